//! What the recorder wants sent: on a connection, or as a datagram.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use holdfast_sip::endpoint::Owner;
use holdfast_sip::{Bytes, Target, Transport};
use tracing::debug;

use super::Server;
use super::connections::Connection;
use crate::tcp::Outgoing;
use crate::traffic::Way;
use crate::udp::UdpPort;

impl Server {
    pub(super) fn transmit(&mut self, to: Target, bytes: Bytes, owner: Owner) {
        self.watch.traffic.count(Way::Sent, &bytes);
        let peer = match to {
            Target::Flow(flow) => self.connections.get(&flow).map(Connection::remote),
            Target::Address { remote, .. } => Some(remote),
        };
        let now = (self.clock.now(), self.clock.wall());
        self.tracer.note(now, Way::Sent, peer, &bytes);
        let flow = match to {
            Target::Flow(flow) => flow,
            Target::Address {
                transport: Transport::Udp,
                remote,
                local,
            } => {
                return self.send_datagram(remote, local, &bytes, owner);
            }
            Target::Address {
                transport, remote, ..
            } => match self.flow_by_remote.get(&(transport, remote)) {
                Some(flow) => *flow,
                None => self.connect(transport, remote),
            },
        };
        let queued = self.connections.get(&flow).is_some_and(|connection| {
            let message = Outgoing::Message { bytes, owner };
            connection.outgoing.try_send(message).is_ok()
        });
        if !queued {
            // Gone, or a peer that does not read.
            self.forget(flow);
            self.fail(owner);
        }
    }

    fn send_datagram(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        bytes: &[u8],
        owner: Owner,
    ) {
        let source = local.map(|local| local.ip());
        let Some(port) = self.udp_port(remote, local) else {
            debug!(%remote, "no UDP socket of that family");
            return self.fail(owner);
        };
        match port.send(bytes, remote, source) {
            Ok(()) => {}
            // As if lost on the way: it is repeated.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                debug!(%remote, "a datagram did not fit into the socket's buffer");
            }
            Err(error) => {
                debug!(%remote, %error, "a datagram was not sent");
                self.fail(owner);
            }
        }
    }

    /// The socket that a local address belongs to, else one of the right family.
    fn udp_port(&self, remote: SocketAddr, local: Option<SocketAddr>) -> Option<Rc<UdpPort>> {
        let of_family = || {
            self.udp
                .iter()
                .filter(|p| p.bound().is_ipv4() == remote.is_ipv4())
        };
        let is_exact = |port: &&Rc<UdpPort>| {
            let bound = port.bound();
            local.is_some_and(|local| {
                bound.port() == local.port()
                    && (bound.ip() == local.ip() || bound.ip().is_unspecified())
            })
        };
        of_family()
            .find(is_exact)
            .or_else(|| of_family().next())
            .cloned()
    }

    /// Sending failed; told once everything before it has been done.
    fn fail(&mut self, owner: Owner) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.recorder.handle_transport_error(now, wall, owner);
    }
}
