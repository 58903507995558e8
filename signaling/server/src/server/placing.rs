//! Calls that operators have placed: by which address of ours, and what is told of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use holdfast_control::operator::{Answer, Command, Placing, Refusal};
use holdfast_recording::recorder::Destination;
use holdfast_units::RecordingId;
use tokio::sync::oneshot;

use super::Server;

impl Server {
    /// Calls a client; whoever asked is told when it has answered.
    pub(super) fn place(&mut self, placing: Placing, answer: oneshot::Sender<Answer>) {
        let Placing::Record { uri } = placing;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let placed = Destination::parse(&uri).and_then(|destination| {
            let local = self.local_for(&destination).ok_or(Refusal::NoListener)?;
            self.recorder.record(now, wall, destination, local)
        });
        match placed {
            // Where nobody waits any more, the call stands all the same.
            Ok(id) => drop(self.placed.insert(id, answer)),
            Err(reason) => drop(answer.send(Answer::Refused { reason })),
        }
    }

    pub(super) fn tell_placed(&mut self, id: RecordingId, outcome: Result<(), Refusal>) {
        let Some(answer) = self.placed.remove(&id) else {
            return;
        };
        let said = match outcome {
            Ok(()) => {
                let (now, wall) = (self.clock.now(), self.clock.wall());
                self.recorder
                    .handle_command(now, wall, Command::Show { id })
            }
            Err(reason) => Answer::Refused { reason },
        };
        drop(answer.send(said));
    }

    /// Where the peer can reach us: a listener of that transport, by the address from which the
    /// system would send to it.
    fn local_for(&self, destination: &Destination) -> Option<SocketAddr> {
        let (transport, remote) = (destination.transport, destination.address);
        let route = route_to(remote).ok()?;
        let listeners = self.addresses.iter().filter(|(kind, bound)| {
            let is_ours = bound.ip().is_unspecified() || bound.ip() == route;
            *kind == transport && bound.is_ipv4() == remote.is_ipv4() && is_ours
        });
        let bound_alike = || {
            let mut alike = self.addresses.iter();
            alike.find(|(kind, bound)| *kind == transport && bound.is_ipv4() == remote.is_ipv4())
        };
        match listeners.clone().next() {
            Some((_, bound)) => Some((route, bound.port()).into()),
            // None at that address: one that is at another is better than none.
            None => bound_alike().map(|(_, bound)| *bound),
        }
    }
}

/// The local address of what is sent there: a datagram socket is connected, which sends nothing.
fn route_to(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}
