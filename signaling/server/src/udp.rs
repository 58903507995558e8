//! A UDP socket that knows to which local address each datagram came, and sends from it
//! (RFC 3581 §4), also where it listens on all addresses.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::limits::UDP_BUFFER_SIZE;

/// A bound socket.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    bound: SocketAddr,
}

/// Where a datagram came from, and to.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub size: usize,
    pub remote: SocketAddr,
    pub local: SocketAddr,
}

impl UdpPort {
    /// Binds a socket, or goes on with one that is bound there.
    pub fn bind(address: SocketAddr, kept: Option<Socket>) -> io::Result<Self> {
        let is_bound = kept.is_some();
        let socket = match kept {
            Some(socket) => socket,
            None => Socket::new(
                Domain::for_address(address),
                Type::DGRAM,
                Some(Protocol::UDP),
            )?,
        };
        if address.is_ipv6() {
            if !is_bound {
                socket.set_only_v6(true)?;
            }
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        // As much as the system gives.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_SIZE);
        let _ = socket.set_send_buffer_size(UDP_BUFFER_SIZE);
        socket.set_nonblocking(true)?;
        if !is_bound {
            socket.bind(&address.into())?;
        }
        let socket = UdpSocket::from_std(socket.into())?;
        let bound = socket.local_addr()?;
        Ok(Self { socket, bound })
    }

    /// The address it is bound to, which may be unspecified.
    pub const fn bound(&self) -> SocketAddr {
        self.bound
    }

    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let read = || self.receive_now(buffer);
        self.socket.async_io(Interest::READABLE, read).await
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), MsgFlags::empty())?;
        let remote = message.address.as_ref().and_then(address_of);
        let remote = remote.ok_or_else(|| io::Error::other("a datagram from nowhere"))?;
        let mut local = self.bound;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    local.set_ip(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    local.set_ip(IpAddr::from(info.ipi6_addr.s6_addr));
                }
                _ => {}
            }
        }
        Ok(Received {
            size: message.bytes,
            remote,
            local,
        })
    }

    /// Sends a datagram, or says why not: a full buffer is an error, since a repetition comes later
    /// anyway.
    pub fn send(&self, bytes: &[u8], remote: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        let is_open = self.bound.ip().is_unspecified();
        let source = source.filter(|source| is_open && source.is_ipv4() == remote.is_ipv4());
        let write = || self.send_now(bytes, remote, source);
        self.socket.try_io(Interest::WRITABLE, write)
    }

    fn send_now(&self, bytes: &[u8], remote: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let to = SockaddrStorage::from(remote);
        let (v4, v6);
        let control = match source {
            Some(IpAddr::V4(ip)) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                Some(ControlMessage::Ipv4PacketInfo(&v4))
            }
            Some(IpAddr::V6(ip)) => {
                let scope = match remote {
                    SocketAddr::V6(remote) => remote.scope_id(),
                    SocketAddr::V4(_) => 0,
                };
                v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: scope,
                };
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
            None => None,
        };
        let fd = self.socket.as_raw_fd();
        sendmsg(
            fd,
            &slices,
            control.as_slice(),
            MsgFlags::empty(),
            Some(&to),
        )?;
        Ok(())
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|address| SocketAddr::V6((*address).into()))
    })
}
