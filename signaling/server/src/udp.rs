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
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
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
        // Without it everything is read here; it is only slower.
        if let Err(error) = socket.attach_filter(&filter()) {
            tracing::debug!(%error, "the kernel takes no filter for what is no text");
        }
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

/// Has the kernel drop what is no text: a flood of noise then neither wakes this process nor takes
/// the room of requests in the socket's buffer. A datagram passes that begins with a line end, or whose
/// first four octets are printable, as those of every SIP message are.
///
/// The program sees the UDP header first. A datagram that ends before what is looked at is dropped.
fn filter() -> Vec<SockFilter> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| {
        SockFilter::new(u16::try_from(code).unwrap_or(0), jt, jf, k)
    };
    let load = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    let is_at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let end = libc::BPF_RET | libc::BPF_K;
    let mut program = vec![
        step(load, UDP_HEADER_SIZE, 0, 0),
        step(is, u32::from(b'\r'), LOOKS * 3 + 1, 0),
        step(is, u32::from(b'\n'), LOOKS * 3, 0),
    ];
    for look in 0..LOOKS {
        // Behind each look lie three steps for every further one, then the two ends.
        let to_drop = (LOOKS - 1 - look) * 3 + 1;
        program.extend([
            step(load, UDP_HEADER_SIZE + u32::from(look), 0, 0),
            step(is_at_least, u32::from(b' '), 0, to_drop + 1),
            step(is_at_least, 0x7f, to_drop, 0),
        ]);
    }
    program.extend([step(end, u32::MAX, 0, 0), step(end, 0, 0, 0)]);
    program
}

/// Octets of a datagram that are looked at.
const LOOKS: u8 = 4;

const UDP_HEADER_SIZE: u32 = 8;

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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn noise_does_not_come_through_and_text_does() {
        let port = UdpPort::bind((Ipv4Addr::LOCALHOST, 0).into(), None).expect("a socket");
        let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let text: [&[u8]; 4] = [b"ACK sip:a SIP/2.0\r\n", b"\r\n\r\n", b"\nBYE", b"!a ~"];
        let noise: [&[u8]; 6] = [
            b"\x00\x01\x00\x00\x21\x12",
            b"\xffNVITE",
            b"I\x80VITE",
            b"IN\x00ITE",
            b"INV\x7fTE",
            b"",
        ];
        for octets in noise.iter().chain(&text) {
            sender.send_to(octets, port.bound()).expect("sent");
        }
        let mut buffer = [0; 64];
        for expected in text {
            let wait = Duration::from_secs(10);
            let received = tokio::time::timeout(wait, port.receive(&mut buffer)).await;
            let size = received.expect("in time").expect("a datagram").size;
            assert_eq!(&buffer[..size], expected);
        }
    }
}
