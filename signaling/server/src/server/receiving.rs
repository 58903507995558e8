//! The tasks that read datagrams and accept connections.

use std::cell::Cell;
use std::rc::Rc;

use holdfast_sip::datagram::{Datagram, classify};
use holdfast_sip::{Flow, FlowInfo, Transport};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tracing::warn;

use crate::incoming::Incoming;
use crate::limits::{ACCEPT_PAUSE, DATAGRAM_SIZE_MAX};
use crate::udp::UdpPort;

/// Hands on every datagram that may be SIP, and counts the others.
pub(super) async fn receive(
    port: Rc<UdpPort>,
    flow: Flow,
    inbox: Sender<Incoming>,
    junk: Rc<Cell<u64>>,
) {
    let mut buffer = vec![0; DATAGRAM_SIZE_MAX];
    loop {
        let received = match port.receive(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "a UDP socket cannot be read");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let info = FlowInfo {
            transport: Transport::Udp,
            remote: received.remote,
            local: received.local,
        };
        let bytes = buffer.get(..received.size).unwrap_or_default();
        if matches!(classify(bytes), Datagram::Junk(_)) {
            junk.set(junk.get() + 1);
            continue;
        }
        let bytes = bytes.to_vec();
        if inbox
            .send(Incoming::Message { flow, info, bytes })
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Hands on every connection.
pub(super) async fn accept(transport: Transport, listener: TcpListener, inbox: Sender<Incoming>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let accepted = Incoming::Accepted {
                    transport,
                    stream,
                    remote,
                };
                if inbox.send(accepted).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
