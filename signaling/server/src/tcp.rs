//! TCP connections: octets in, whole messages out, and back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_sip::endpoint::Owner;
use holdfast_sip::stream::{Frame, StreamFramer};
use holdfast_sip::{Bytes, Flow, FlowInfo, Limits, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{timeout, timeout_at};

use crate::clock::Clock;
use crate::limits::{CONNECT_TIMEOUT, READ_SIZE, WRITE_TIMEOUT};
use crate::server::Incoming;

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
    pub inbox: Sender<Incoming>,
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
pub async fn serve(setup: Setup, stream: TcpStream, flow: Flow, writes: Ends) {
    let inbox = setup.inbox.clone();
    let mut rest = writes.outgoing;
    match info_of(&stream) {
        Ok(info) => {
            let (reader, writer) = stream.into_split();
            let pongs = writes.pongs;
            tokio::select! {
                () = read(&setup, reader, flow, info, pongs) => {}
                () = write(writer, &mut rest, &inbox) => {}
            }
        }
        Err(error) => tracing::debug!(%error, "a connection was gone before it began"),
    }
    give_up(rest, &inbox).await;
    let _ = inbox.send(Incoming::Closed(flow)).await;
}

/// Connects to a peer, then serves the connection.
pub async fn connect(setup: Setup, remote: SocketAddr, flow: Flow, writes: Ends) {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => serve(setup, stream, flow, writes).await,
        failed => {
            let error = failed
                .err()
                .map_or("refused or unreachable", |_| "no answer");
            tracing::debug!(%remote, error, "no connection");
            give_up(writes.outgoing, &setup.inbox).await;
            let _ = setup.inbox.send(Incoming::Closed(flow)).await;
        }
    }
}

/// A connection's ends of its queues.
#[derive(Debug)]
pub struct Ends {
    pub outgoing: Receiver<Outgoing>,
    pub pongs: tokio::sync::mpsc::WeakSender<Outgoing>,
}

fn info_of(stream: &TcpStream) -> io::Result<FlowInfo> {
    stream.set_nodelay(true)?;
    Ok(FlowInfo {
        transport: Transport::Tcp,
        remote: stream.peer_addr()?,
        local: stream.local_addr()?,
    })
}

async fn read(
    setup: &Setup,
    mut reader: OwnedReadHalf,
    flow: Flow,
    info: FlowInfo,
    pongs: tokio::sync::mpsc::WeakSender<Outgoing>,
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

/// Writes until the queue is closed and empty, or the peer does not take any more.
async fn write(
    mut writer: OwnedWriteHalf,
    outgoing: &mut Receiver<Outgoing>,
    inbox: &Sender<Incoming>,
) {
    while let Some(next) = outgoing.recv().await {
        let bytes: &[u8] = match &next {
            Outgoing::Message { bytes, .. } => bytes,
            Outgoing::Pong => b"\r\n",
        };
        let result = timeout(WRITE_TIMEOUT, writer.write_all(bytes)).await;
        if !matches!(result, Ok(Ok(()))) {
            if let Outgoing::Message { owner, .. } = next {
                let _ = inbox.send(Incoming::Unsent(owner)).await;
            }
            return;
        }
    }
    let _ = writer.shutdown().await;
}

async fn give_up(mut outgoing: Receiver<Outgoing>, inbox: &Sender<Incoming>) {
    outgoing.close();
    while let Some(next) = outgoing.recv().await {
        if let Outgoing::Message { owner, .. } = next {
            let _ = inbox.send(Incoming::Unsent(owner)).await;
        }
    }
}
