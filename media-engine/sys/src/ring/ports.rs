//! The ports of a shard that are open: what the ring takes, and the sockets that hold the ports.
//!
//! The sockets receive nothing. They are bound so that nobody else gets the port, and reports leave
//! from them. Thousands of streams need more of them than a process may have descriptors: what is opened
//! beyond half of these is bound for a moment, to see whether it is free, and again for each report.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use nix::sys::resource::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::program::{PortSlice, nothing};
use super::socket::set_filter;
use crate::interfaces;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Ports {
    slice: PortSlice,
    open: Vec<Option<OpenPort>>,
    /// This host's addresses, for ports that take all of them.
    local: BTreeSet<IpAddr>,
    /// Ports that are held.
    held: usize,
    held_max: usize,
}

#[derive(Debug)]
struct OpenPort {
    address: IpAddr,
    /// `None` where there is no descriptor to spare for it.
    socket: Option<Socket>,
}

/// Whether a datagram is for one of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The port is open at this address.
    Open,
    /// The port is open at another address.
    Foreign,
    /// Nobody wants it.
    Closed,
}

impl Ports {
    /// The ports of one of `shards` shards.
    pub fn new(slice: PortSlice, shards: usize) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft) as usize;
        Self::with_limit(slice, descriptors / 2 / shards.max(1))
    }

    fn with_limit(slice: PortSlice, held_max: usize) -> Self {
        Self {
            slice,
            open: std::iter::repeat_with(|| None)
                .take(slice.count())
                .collect(),
            local: BTreeSet::new(),
            held: 0,
            held_max,
        }
    }

    pub fn open(&mut self, address: IpAddr, port: u16) -> io::Result<()> {
        let index = self.index(port).ok_or(io::ErrorKind::InvalidInput)?;
        if self.open[index].is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = hold(SocketAddr::new(address, port))?;
        if address.is_unspecified() {
            self.local = local_addresses()?;
        }
        let socket = Some(socket).filter(|_| self.held < self.held_max);
        self.held += usize::from(socket.is_some());
        self.open[index] = Some(OpenPort { address, socket });
        Ok(())
    }

    pub fn close(&mut self, port: u16) {
        if let Some(index) = self.index(port) {
            let closed = self.open[index].take().and_then(|open| open.socket);
            self.held -= usize::from(closed.is_some());
        }
    }

    pub fn send(&self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let open = self.find(from_port).ok_or(io::ErrorKind::NotConnected)?;
        let to = to.into();
        let sent = match &open.socket {
            Some(socket) => socket.send_to(bytes, &to),
            None => hold(SocketAddr::new(open.address, from_port))?.send_to(bytes, &to),
        };
        sent.map(|_| ())
    }

    pub fn admission(&self, destination: IpAddr, port: u16) -> Admission {
        match self.find(port) {
            None => Admission::Closed,
            Some(open) if open.address == destination => Admission::Open,
            Some(open) if open.address.is_unspecified() && self.is_here(open, destination) => {
                Admission::Open
            }
            Some(_) => Admission::Foreign,
        }
    }

    fn is_here(&self, open: &OpenPort, destination: IpAddr) -> bool {
        // All of 127.0.0.0/8 is this host.
        let is_local = destination.is_loopback() || self.local.contains(&destination);
        is_local && open.address.is_ipv4() == destination.is_ipv4()
    }

    fn find(&self, port: u16) -> Option<&OpenPort> {
        self.open.get(self.index(port)?)?.as_ref()
    }

    fn index(&self, port: u16) -> Option<usize> {
        let index = usize::from(port.checked_sub(self.slice.first)?);
        (index < self.open.len()).then_some(index)
    }
}

fn local_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let interfaces = interfaces::list()?;
    Ok(interfaces
        .into_iter()
        .flat_map(|interface| interface.addresses)
        .collect())
}

/// Takes a port and refuses whatever comes to it: without the drop rule the packets still climb up to
/// here, and would wait in vain.
fn hold(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    set_filter(socket.as_fd(), &nothing())?;
    // The kernel gives the least that it has.
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Ports that were free a moment ago.
    fn slice() -> PortSlice {
        let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        let first = socket.local_addr().unwrap().port().min(u16::MAX - 7) & !7;
        PortSlice {
            first,
            last: first + 7,
        }
    }

    #[test]
    fn a_report_leaves_from_its_port_whether_or_not_a_descriptor_is_spared_for_it() {
        let slice = slice();
        let mut ports = Ports::with_limit(slice, 1);
        let peer = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        for round in 0..2 {
            for port in [slice.first, slice.first + 1] {
                ports.open(LOCALHOST, port).unwrap();
                assert_eq!(ports.admission(LOCALHOST, port), Admission::Open);
                ports
                    .send(port, peer.local_addr().unwrap(), b"report")
                    .unwrap();
                let mut report = [0; 16];
                let (size, from) = peer.recv_from(&mut report).unwrap();
                assert_eq!((&report[..size], from.port()), (&b"report"[..], port));
            }
            assert_eq!(ports.held, 1, "round {round}");
            ports.close(slice.first);
            ports.close(slice.first);
            ports.close(slice.first + 1);
            assert_eq!(ports.held, 0, "round {round}");
        }
    }

    #[test]
    fn a_port_that_somebody_has_is_refused_beyond_the_limit_too() {
        let slice = slice();
        let other = UdpSocket::bind((LOCALHOST, slice.first)).unwrap();
        let mut ports = Ports::with_limit(slice, 0);
        let refused = ports.open(LOCALHOST, slice.first).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(other);
        ports.open(LOCALHOST, slice.first).unwrap();
    }
}
