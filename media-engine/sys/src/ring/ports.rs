//! The ports of a shard that are open: what the ring takes, and the sockets that hold the ports.
//!
//! The sockets receive nothing. They are bound so that nobody else gets the port, and reports leave
//! from them.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

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
}

#[derive(Debug)]
struct OpenPort {
    address: IpAddr,
    socket: Socket,
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
    pub fn new(slice: PortSlice) -> Self {
        Self {
            slice,
            open: std::iter::repeat_with(|| None)
                .take(slice.count())
                .collect(),
            local: BTreeSet::new(),
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
        self.open[index] = Some(OpenPort { address, socket });
        Ok(())
    }

    pub fn close(&mut self, port: u16) {
        if let Some(index) = self.index(port) {
            self.open[index] = None;
        }
    }

    pub fn send(&self, from_port: u16, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let open = self.find(from_port).ok_or(io::ErrorKind::NotConnected)?;
        open.socket.send_to(bytes, &to.into()).map(|_| ())
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
