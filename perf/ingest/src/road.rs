//! How datagrams get to the engine: through a socket, or as a network card would bring them.
//!
//! A sender of the sockets' kind costs the kernel about 3 us a datagram here, of which nothing is
//! the recorder's: a core of it ends at some 330,000 a second. Frames that are given to the loopback
//! interface as they are leave out all of that but the delivery itself.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn, bind, sendmmsg, socket,
};

/// Octets before the payload: Ethernet, IPv4, UDP.
pub const HEADERS: usize = 14 + 20 + 8;

/// See the module's documentation.
#[derive(Debug)]
pub enum Road {
    /// A datagram socket: whatever receives, receives it.
    Socket(UdpSocket),
    /// Frames at the loopback interface. Their UDP checksum is left out (RFC 768), as one that the
    /// card has seen to: the receiver has nothing to sum.
    Frames {
        /// Bound to the interface; receives nothing.
        socket: OwnedFd,
        /// All but the UDP header, which is the same for each.
        headers: [u8; HEADERS],
    },
}

impl Road {
    /// Frames whose payload is `size` octets long, from this port of the loopback address.
    pub fn frames(from_port: u16, size: usize) -> io::Result<Self> {
        let loopback = getifaddrs()?
            .filter(|it| it.flags.contains(InterfaceFlags::IFF_LOOPBACK))
            .find_map(|it| it.address.as_ref()?.as_link_addr().copied())
            .ok_or(io::ErrorKind::NotFound)?;
        let family = AddressFamily::Packet;
        let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &loopback)?;
        let headers = headers(from_port, size);
        Ok(Self::Frames { socket, headers })
    }

    /// Makes room for what comes before the payload.
    pub fn address(&self, packet: &mut [u8], to: SocketAddrV4) {
        if let Self::Frames { headers, .. } = self {
            packet[..HEADERS].copy_from_slice(headers);
            packet[36..38].copy_from_slice(&to.port().to_be_bytes());
        }
    }

    /// Sends packets, each with room for [`HEADERS`] before its payload, in as few system calls as
    /// the kernel allows.
    pub fn send<const SIZE: usize>(
        &self,
        packets: &[[u8; SIZE]],
        to: &[Option<SockaddrIn>],
        room: &mut MultiHeaders<SockaddrIn>,
    ) -> io::Result<()> {
        let (fd, skipped): (RawFd, usize) = match self {
            Self::Socket(socket) => (socket.as_raw_fd(), HEADERS),
            Self::Frames { socket, .. } => (socket.as_raw_fd(), 0),
        };
        let slices: Vec<[IoSlice<'_>; 1]> = packets
            .iter()
            .map(|packet| [IoSlice::new(&packet[skipped..])])
            .collect();
        let nowhere = vec![None; packets.len()];
        let to = match self {
            Self::Socket(_) => to,
            Self::Frames { .. } => &nowhere,
        };
        let mut done = 0;
        while done < packets.len() {
            match sendmmsg(
                fd,
                room,
                &slices[done..],
                &to[done..],
                [],
                MsgFlags::empty(),
            ) {
                Ok(results) => done += results.count().max(1),
                Err(nix::Error::EINTR | nix::Error::ENOBUFS | nix::Error::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The headers of every frame, but for the destination port.
fn headers(from_port: u16, size: usize) -> [u8; HEADERS] {
    let mut headers = [0; HEADERS];
    headers[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip = &mut headers[14..34];
    // Version 4, 5 words; no fragment; lives for 64 hops; UDP.
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&((20 + 8 + size) as u16).to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    ip[16..20].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    headers[34..36].copy_from_slice(&from_port.to_be_bytes());
    headers[38..40].copy_from_slice(&((8 + size) as u16).to_be_bytes());
    headers
}

/// RFC 1071.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks_exact(2)
        .map(|it| u16::from_be_bytes([it[0], it[1]]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_a_header_with_its_checksum_is_nothing() {
        let headers = headers(9_000, 172);
        assert_eq!(checksum(&headers[14..34]), 0);
        assert_eq!(headers[16..18], [0, 200], "the datagram's length");
        assert_eq!(headers[38..40], [0, 180], "with the UDP header");
    }
}
