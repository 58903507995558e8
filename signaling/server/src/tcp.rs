//! Connections, TCP and TLS: octets in, whole messages out, and back.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use holdfast_sip::endpoint::Owner;
use holdfast_sip::stream::{Frame, StreamFramer};
use holdfast_sip::{Bytes, Flow, FlowInfo, Limits, Transport};
use rustls::pki_types::{CertificateDer, ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, WeakSender};
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clock::Clock;
use crate::incoming::Incoming;
use crate::limits::{
    CONNECT_TIMEOUT, KEEPALIVE_AFTER, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, READ_SIZE,
    WRITE_TIMEOUT,
};
use crate::tls::{Tls, names_of};

/// A message that is to leave on a connection.
#[derive(Debug)]
pub enum Outgoing {
    /// One of the recorder's.
    Message { bytes: Bytes, owner: Owner },
    /// An answer to a keepalive (RFC 5626 §3.5.1).
    Pong,
}

/// What all connections have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    pub clock: Clock,
    pub limits: Limits,
    pub idle_timeout: Duration,
    /// Where it listens.
    pub listeners: Rc<[(Transport, SocketAddr)]>,
    /// `None` where nothing listens on TLS.
    pub tls: Option<Tls>,
    pub inbox: Sender<Incoming>,
}

/// A connection's ends of its queues.
#[derive(Debug)]
pub struct Ends {
    pub outgoing: Receiver<Outgoing>,
    pub pongs: WeakSender<Outgoing>,
}

/// Who a connection is, to the rest of the process.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub flow: Flow,
    pub transport: Transport,
    pub remote: SocketAddr,
}

/// Listens, or goes on with a socket that does; an IPv6 socket takes IPv6 alone.
pub fn listen(address: SocketAddr, kept: Option<Socket>) -> io::Result<TcpListener> {
    if let Some(socket) = kept {
        socket.set_nonblocking(true)?;
        return TcpListener::from_std(socket.into());
    }
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    TcpListener::from_std(socket.into())
}

/// Serves a connection that was accepted until it ends.
pub async fn serve(setup: Setup, stream: TcpStream, line: Line, ends: Ends) {
    let mut outgoing = ends.outgoing;
    match info_of(&stream, line.transport) {
        Ok(info) if line.transport == Transport::Tls => {
            if let Some(stream) = accept_tls(&setup, stream, line).await {
                let (reader, writer) = tokio::io::split(stream);
                run(
                    &setup,
                    (reader, writer),
                    line,
                    info,
                    &mut outgoing,
                    ends.pongs,
                )
                .await;
            }
        }
        Ok(info) => {
            let halves = stream.into_split();
            run(&setup, halves, line, info, &mut outgoing, ends.pongs).await;
        }
        Err(error) => tracing::debug!(%error, "a connection was gone before it began"),
    }
    end(&setup, line, outgoing).await;
}

/// Connects to a peer, then serves the connection.
pub async fn connect(setup: Setup, line: Line, ends: Ends) {
    let mut outgoing = ends.outgoing;
    let connected = timeout(CONNECT_TIMEOUT, open(&setup, line)).await;
    match connected {
        Ok(Ok(Stream::Plain(stream, info))) => {
            let halves = stream.into_split();
            run(&setup, halves, line, info, &mut outgoing, ends.pongs).await;
        }
        Ok(Ok(Stream::Tls(stream, info))) => {
            let halves = tokio::io::split(stream);
            run(&setup, halves, line, info, &mut outgoing, ends.pongs).await;
        }
        failed => {
            let why = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => "no answer".to_owned(),
            };
            let (remote, transport) = (line.remote, line.transport);
            tracing::warn!(%remote, %transport, why, "a peer cannot be reached");
        }
    }
    end(&setup, line, outgoing).await;
}

enum Stream {
    Plain(TcpStream, FlowInfo),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>, FlowInfo),
}

async fn open(setup: &Setup, line: Line) -> io::Result<Stream> {
    let tls = match line.transport {
        Transport::Tls => {
            let client = |tls: Tls| tls.client.clone().map(|client| (tls, client));
            let lack = "tls.client_ca names nobody who could vouch for it";
            let found = setup.tls.clone().and_then(client);
            Some(found.ok_or_else(|| io::Error::other(lack))?)
        }
        Transport::Tcp | Transport::Udp => None,
    };
    let stream = TcpStream::connect(line.remote).await?;
    let mut info = info_of(&stream, line.transport)?;
    // The peer is told where we listen, not the port that this connection happens to have.
    let listening = setup.listeners.iter().find(|(transport, bound)| {
        *transport == line.transport && bound.is_ipv4() == info.local.is_ipv4()
    });
    if let Some((_, bound)) = listening {
        info.local.set_port(bound.port());
    }
    let Some((tls, client)) = tls else {
        return Ok(Stream::Plain(stream, info));
    };
    let name = ServerName::IpAddress(line.remote.ip().into());
    let stream = TlsConnector::from(client).connect(name, stream).await?;
    let names = names_in(stream.get_ref().1.peer_certificates());
    if !tls.trusts(names.as_deref().unwrap_or_default()) {
        return Err(io::Error::other(
            "no name in its certificate is one of tls.client_names",
        ));
    }
    tell_names(setup, line.flow, names).await;
    Ok(Stream::Tls(Box::new(stream), info))
}

async fn accept_tls(
    setup: &Setup,
    stream: TcpStream,
    line: Line,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(setup.tls.as_ref()?.server.clone());
    let limit = setup.limits.message_duration_max;
    let why = match timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let names = names_in(stream.get_ref().1.peer_certificates());
            tell_names(setup, line.flow, names).await;
            return Some(stream);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    let remote = line.remote;
    let _ = setup.inbox.send(Incoming::Handshake { remote, why }).await;
    None
}

fn names_in(certificates: Option<&[CertificateDer<'_>]>) -> Option<Vec<String>> {
    certificates.and_then(<[_]>::first).map(names_of)
}

/// Before any message of the connection: the inbox keeps the order.
async fn tell_names(setup: &Setup, flow: Flow, names: Option<Vec<String>>) {
    if let Some(names) = names {
        let _ = setup.inbox.send(Incoming::Identified { flow, names }).await;
    }
}

/// Moves messages both ways until one of them ends.
async fn run(
    setup: &Setup,
    (reader, writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    line: Line,
    info: FlowInfo,
    outgoing: &mut Receiver<Outgoing>,
    pongs: WeakSender<Outgoing>,
) {
    tokio::select! {
        () = read(setup, reader, line.flow, info, pongs) => {}
        () = write(writer, outgoing, &setup.inbox) => {}
    }
}

/// What was to be sent and was not is told, then that the connection is gone.
async fn end(setup: &Setup, line: Line, mut outgoing: Receiver<Outgoing>) {
    outgoing.close();
    while let Some(next) = outgoing.recv().await {
        if let Outgoing::Message { owner, .. } = next {
            let _ = setup.inbox.send(Incoming::Unsent(owner)).await;
        }
    }
    let _ = setup.inbox.send(Incoming::Closed(line.flow)).await;
}

fn info_of(stream: &TcpStream, transport: Transport) -> io::Result<FlowInfo> {
    stream.set_nodelay(true)?;
    // A peer that went away without a word is found out while a call keeps its connection open.
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    Ok(FlowInfo {
        transport,
        remote: stream.peer_addr()?,
        local: stream.local_addr()?,
    })
}

async fn read(
    setup: &Setup,
    mut reader: impl AsyncRead + Unpin,
    flow: Flow,
    info: FlowInfo,
    pongs: WeakSender<Outgoing>,
) {
    let mut framer = StreamFramer::new(&setup.limits);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let idle = setup.clock.now() + setup.idle_timeout;
        let until = framer.poll_timeout().unwrap_or(idle).min(idle);
        match timeout_at(setup.clock.instant(until), reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(size)) => {
                framer.handle_bytes(setup.clock.now(), buffer.get(..size).unwrap_or_default());
            }
            Err(_) => match framer.handle_timeout(setup.clock.now()) {
                Some(Frame::Broken(broken)) => {
                    // The recorder closes it.
                    let _ = setup
                        .inbox
                        .send(Incoming::Broken { flow, info, broken })
                        .await;
                    return std::future::pending().await;
                }
                _ if is_in_use(setup, flow).await => {}
                _ => return,
            },
        }
        while let Some(frame) = framer.poll_frame() {
            let incoming = match frame {
                Frame::Message(bytes) => Incoming::Message { flow, info, bytes },
                Frame::Pong => {
                    // Where the queue is full, the peer does not read anyway.
                    let _ = pongs.upgrade().map(|pongs| pongs.try_send(Outgoing::Pong));
                    continue;
                }
                Frame::Broken(broken) => {
                    let _ = setup
                        .inbox
                        .send(Incoming::Broken { flow, info, broken })
                        .await;
                    return std::future::pending().await;
                }
            };
            if setup.inbox.send(incoming).await.is_err() {
                return;
            }
        }
    }
}

/// Whether a call uses the connection: then it is kept however quiet it is.
async fn is_in_use(setup: &Setup, flow: Flow) -> bool {
    let (answer, question) = oneshot::channel();
    let asked = setup.inbox.send(Incoming::Idle { flow, answer }).await;
    asked.is_ok() && question.await.unwrap_or(false)
}

/// Writes until the queue is closed and empty, or the peer does not take any more.
async fn write(
    mut writer: impl AsyncWrite + Unpin,
    outgoing: &mut Receiver<Outgoing>,
    inbox: &Sender<Incoming>,
) {
    while let Some(next) = outgoing.recv().await {
        let bytes: &[u8] = match &next {
            Outgoing::Message { bytes, .. } => bytes,
            Outgoing::Pong => b"\r\n",
        };
        let all = async {
            writer.write_all(bytes).await?;
            // TLS keeps what has been written until then.
            writer.flush().await
        };
        let result = timeout(WRITE_TIMEOUT, all).await;
        if !matches!(result, Ok(Ok(()))) {
            if let Outgoing::Message { owner, .. } = next {
                let _ = inbox.send(Incoming::Unsent(owner)).await;
            }
            return;
        }
    }
    let _ = timeout(WRITE_TIMEOUT, writer.shutdown()).await;
}
