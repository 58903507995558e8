//! Connections of HTTP: a bounded number, each bounded in what it may send and how long it may take.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info, warn};

use super::Http;
use crate::limits::{
    ACCEPT_PAUSE, HTTP_HEAD_SIZE_MAX, HTTP_HEAD_TIMEOUT, HTTP_RETRY, HTTP_STALL_MAX,
};
use crate::tcp;

/// Serves until the process ends.
pub async fn run(http: Http, address: SocketAddr) {
    let listener = bind(address).await;
    let scheme = if http.files().tls.is_some() {
        "https"
    } else {
        "http"
    };
    info!("health, metrics and the API are at {scheme}://{address}");
    let router = http.router();
    let places = Arc::new(Semaphore::new(
        http.settings().http.connections_max as usize,
    ));
    loop {
        // Beyond the places there are, connections wait to be accepted.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, remote)) => {
                let (http, router) = (http.clone(), router.clone());
                tokio::spawn(async move {
                    serve(&http, router, stream, remote).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a connection of HTTP could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whoever has the address now may let go of it.
async fn bind(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match tcp::listen(address, None) {
            Ok(listener) => return listener,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    error!(%address, %error, "no HTTP at http.listen; it is tried again");
                }
                tokio::time::sleep(HTTP_RETRY).await;
            }
        }
    }
}

async fn serve(http: &Http, router: Router, stream: TcpStream, remote: SocketAddr) {
    // Who does not read what was asked for is cut off.
    let stalled = SockRef::from(&stream).set_tcp_user_timeout(Some(HTTP_STALL_MAX));
    if let Err(error) = stalled.and_then(|()| stream.set_nodelay(true)) {
        return debug!(%remote, %error, "a connection of HTTP was gone before it began");
    }
    match http.files().tls {
        None => talk(router, stream, remote).await,
        Some(tls) => {
            let accepted = TlsAcceptor::from(tls).accept(stream);
            match timeout(HTTP_HEAD_TIMEOUT, accepted).await {
                Ok(Ok(stream)) => talk(router, stream, remote).await,
                Ok(Err(error)) => debug!(%remote, %error, "no TLS on a connection of HTTP"),
                Err(_) => debug!(%remote, "no TLS on a connection of HTTP in time"),
            }
        }
    }
}

async fn talk<S>(router: Router, stream: S, remote: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Of the next request too: a connection that is kept without one ends after this.
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_buf_size(HTTP_HEAD_SIZE_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%remote, %error, "a connection of HTTP");
    }
}
