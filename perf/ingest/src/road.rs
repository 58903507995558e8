//! How datagrams get to the engine: through a socket, or as a network card would bring them.
//!
//! A sender of the sockets' kind costs the kernel about 3 us a datagram here, of which nothing is
//! the recorder's: a core of it ends at some 330,000 a second. Frames that the loopback interface
//! takes in as if a card had brought them leave out all of that but the delivery itself.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use holdfast_sys::inject::{FRAMES_MAX, Injector};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

/// Octets before the payload: Ethernet, IPv4, UDP.
pub const HEADERS: usize = 14 + 20 + 8;

/// Datagrams of one system call.
const DATAGRAMS: usize = 64;
/// What frames are gathered for, since a call that brings them has its price.
const GATHERING: Duration = Duration::from_millis(4);

/// See the module's documentation.
#[derive(Debug)]
pub enum Road {
    /// A datagram socket: whatever receives, receives it.
    Socket(UdpSocket),
    /// Frames at the loopback interface. Their UDP checksum is left out (RFC 768), as one that the
    /// card has seen to: the receiver has nothing to sum.
    Frames {
        /// For the interface.
        injector: Injector,
        /// All but the UDP header, which is the same for each.
        headers: [u8; HEADERS],
    },
}

impl Road {
    /// Frames whose payload is `size` octets long, from this port of the loopback address.
    pub fn frames(from_port: u16, size: usize) -> io::Result<Self> {
        let loopback = getifaddrs()?
            .find(|it| it.flags.contains(InterfaceFlags::IFF_LOOPBACK))
            .ok_or(io::ErrorKind::NotFound)?;
        let injector = Injector::new(&loopback.interface_name, HEADERS + size)?;
        let headers = headers(from_port, size);
        Ok(Self::Frames { injector, headers })
    }

    /// How many packets are sent together, where one is due in each `interval`.
    pub fn batch(&self, interval: Duration) -> usize {
        match self {
            Self::Socket(_) => DATAGRAMS,
            Self::Frames { .. } => {
                let due = GATHERING.as_nanos() / interval.as_nanos().max(1);
                (due as usize).clamp(DATAGRAMS, FRAMES_MAX)
            }
        }
    }

    /// Makes room for what comes before the payload.
    pub fn address(&self, packet: &mut [u8], from: Option<u16>, to: SocketAddrV4) {
        if let Self::Frames { headers, .. } = self {
            packet[..HEADERS].copy_from_slice(headers);
            if let Some(port) = from {
                packet[34..36].copy_from_slice(&port.to_be_bytes());
            }
            packet[36..38].copy_from_slice(&to.port().to_be_bytes());
        }
    }

    /// Sends packets, each with room for [`HEADERS`] before its payload, in as few system calls as
    /// the kernel allows.
    pub fn send(
        &mut self,
        packets: &[Vec<u8>],
        to: &[Option<SockaddrIn>],
        room: &mut MultiHeaders<SockaddrIn>,
    ) -> io::Result<()> {
        match self {
            Self::Frames { injector, .. } => injector.send(packets.iter().map(|it| &it[..])),
            Self::Socket(socket) => send_datagrams(socket, packets, to, room),
        }
    }
}

fn send_datagrams(
    socket: &UdpSocket,
    packets: &[Vec<u8>],
    to: &[Option<SockaddrIn>],
    room: &mut MultiHeaders<SockaddrIn>,
) -> io::Result<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = packets
        .iter()
        .map(|packet| [IoSlice::new(&packet[HEADERS..])])
        .collect();
    let mut done = 0;
    while done < packets.len() {
        match sendmmsg(
            socket.as_raw_fd(),
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
