//! Connections of the server: taken, opened, found again, let go.

use std::net::SocketAddr;

use holdfast_sip::connections::Place;
use holdfast_sip::{Flow, Transport};
use holdfast_units::MonoTime;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::AbortHandle;

use super::Server;
use crate::limits::CONNECTION_QUEUE_MAX;
use crate::tcp::{self, Outgoing};

/// A connection, as the server knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) outgoing: Sender<Outgoing>,
    transport: Transport,
    remote: SocketAddr,
    /// Of one that was accepted.
    task: Option<AbortHandle>,
}

impl Connection {
    /// The other end.
    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// What it runs over.
    pub(super) const fn transport(&self) -> Transport {
        self.transport
    }
}

impl Server {
    pub(super) fn adopt(&mut self, transport: Transport, stream: TcpStream, remote: SocketAddr) {
        let now = self.clock.now();
        if let Err(refusal) = self.recorder.admit_connection(now, remote) {
            return self.log.connection_refused(now, remote, &refusal);
        }
        let flow = self.number();
        match self.crowd.handle_accepted(flow, remote.ip()) {
            Place::Free => {}
            Place::Of(other) => {
                self.log.connection_displaced(now, remote);
                self.drop_at_once(now, other);
            }
            Place::None(crowd) => return self.log.connection_refused(now, remote, &crowd),
        }
        let line = tcp::Line {
            flow,
            transport,
            remote,
        };
        let ends = self.note_connection(line);
        let served = tcp::serve(self.setup.clone(), stream, line, ends);
        let task = tokio::task::spawn_local(served);
        if let Some(connection) = self.connections.get_mut(&flow) {
            connection.task = Some(task.abort_handle());
        }
    }

    pub(super) fn connect(&mut self, transport: Transport, remote: SocketAddr) -> Flow {
        let flow = self.number();
        self.crowd.handle_opened(flow, remote.ip());
        let line = tcp::Line {
            flow,
            transport,
            remote,
        };
        let ends = self.note_connection(line);
        tokio::task::spawn_local(tcp::connect(self.setup.clone(), line, ends));
        flow
    }

    const fn number(&mut self) -> Flow {
        let flow = Flow(self.next_flow);
        self.next_flow += 1;
        flow
    }

    fn note_connection(&mut self, line: tcp::Line) -> tcp::Ends {
        let (sender, outgoing) = channel(CONNECTION_QUEUE_MAX);
        let ends = tcp::Ends {
            outgoing,
            pongs: sender.downgrade(),
        };
        let (transport, remote) = (line.transport, line.remote);
        let connection = Connection {
            outgoing: sender,
            transport,
            remote,
            task: None,
        };
        self.connections.insert(line.flow, connection);
        self.flow_by_remote.insert((transport, remote), line.flow);
        ends
    }

    /// A connection that never said anything ends in the middle of whatever it does.
    fn drop_at_once(&mut self, now: MonoTime, flow: Flow) {
        let task = self
            .connections
            .get_mut(&flow)
            .and_then(|connection| connection.task.take());
        if let Some(task) = task {
            task.abort();
        }
        self.forget(flow);
        self.recorder
            .handle_flow_closed(now, self.clock.wall(), flow);
    }

    /// The connection ends once what was to be sent on it has been.
    pub(super) fn forget(&mut self, flow: Flow) {
        self.crowd.handle_closed(flow);
        let Some(connection) = self.connections.remove(&flow) else {
            return;
        };
        let way = (connection.transport, connection.remote);
        if self.flow_by_remote.get(&way) == Some(&flow) {
            self.flow_by_remote.remove(&way);
        }
    }
}
