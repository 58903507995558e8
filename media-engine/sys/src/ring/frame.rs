//! From the octets behind the link header to a UDP datagram: IPv4 (RFC 791), IPv6 (RFC 8200), UDP
//! (RFC 768).
//!
//! It takes whole datagrams only and never trusts a length. Whether the checksum is right is asked
//! for separately, because the kernel often knows it already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::program::{
    DESTINATION_OPTIONS, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EXTENSIONS_MAX, FRAGMENT, HOP_BY_HOP,
    ROUTING, UDP,
};

/// A UDP datagram within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it comes from.
    pub source: IpAddr,
    /// Port that it comes from.
    pub source_port: u16,
    /// Where it is sent to.
    pub destination: IpAddr,
    /// Port that it is sent to.
    pub port: u16,
    /// Payload, as far as it was captured.
    pub payload: &'a [u8],
    /// Octets of the whole payload.
    pub size: usize,
    network_header: &'a [u8],
    udp_header: [u8; UDP_HEADER_SIZE],
}

/// Octets that are no UDP datagram, or only a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl<'a> Datagram<'a> {
    /// Reads a datagram. `captured` begins with the network header of the EtherType `protocol`;
    /// `wire_size` is how many octets it had on the wire, padding included.
    ///
    /// # Errors
    ///
    /// Another protocol, a fragment, or lengths that contradict each other.
    pub fn read(protocol: u16, captured: &'a [u8], wire_size: usize) -> Result<Self, Unreadable> {
        match protocol {
            ETHERTYPE_IPV4 => Self::read_ipv4(captured, wire_size),
            ETHERTYPE_IPV6 => Self::read_ipv6(captured, wire_size),
            _ => None,
        }
        .ok_or(Unreadable)
    }

    /// Whether all of it was captured.
    pub const fn is_whole(&self) -> bool {
        self.payload.len() == self.size
    }

    /// Whether its checksum is right; only of a whole one.
    ///
    /// RFC 768: zero means that the sender made none. RFC 8200 section 8.1: IPv6 does not permit
    /// that. Without it, IPv4's own header checksum is all that protects the addresses.
    pub fn is_intact(&self) -> bool {
        let sum = u16::from_ne_bytes([self.udp_header[6], self.udp_header[7]]);
        match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) if sum == 0 => is_ones(add(0, self.network_header)),
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.is_sum_right(&source.octets(), &destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) if sum != 0 => {
                self.is_sum_right(&source.octets(), &destination.octets())
            }
            _ => false,
        }
    }

    fn is_sum_right(&self, source: &[u8], destination: &[u8]) -> bool {
        // The pseudo header; the length of the datagram stands in the UDP header as well.
        let length = [0, UDP as u8, self.udp_header[4], self.udp_header[5]];
        let mut sum = add(0, source);
        sum = add(sum, destination);
        sum = add(sum, &length);
        sum = add(sum, &self.udp_header);
        is_ones(add(sum, self.payload))
    }

    fn read_ipv4(captured: &'a [u8], wire_size: usize) -> Option<Self> {
        let fixed: &[u8; 20] = captured.first_chunk()?;
        let header_size = usize::from(fixed[0] & 0x0f) * 4;
        let total = usize::from(half(fixed, 2)?);
        let is_whole = half(fixed, 6)? & 0x3fff == 0;
        if fixed[0] >> 4 != 4
            || header_size < fixed.len()
            || u32::from(fixed[9]) != UDP
            || !is_whole
            || total > wire_size
        {
            return None;
        }
        let source = Ipv4Addr::from(*fixed[12..].first_chunk::<4>()?);
        let destination = Ipv4Addr::from(*fixed[16..].first_chunk::<4>()?);
        let room = total.checked_sub(header_size)?;
        let header = captured.get(..header_size)?;
        let rest = captured.get(header_size..)?;
        Self::read_udp((source.into(), destination.into()), header, rest, room)
    }

    fn read_ipv6(captured: &'a [u8], wire_size: usize) -> Option<Self> {
        let fixed: &[u8; 40] = captured.first_chunk()?;
        let total = fixed.len() + usize::from(half(fixed, 4)?);
        if fixed[0] >> 4 != 6 || total > wire_size {
            return None;
        }
        let source = Ipv6Addr::from(*fixed[8..].first_chunk::<16>()?);
        let destination = Ipv6Addr::from(*fixed[24..].first_chunk::<16>()?);
        let at = skip_extensions(captured, u32::from(fixed[6]), fixed.len())?;
        let room = total.checked_sub(at)?;
        let rest = captured.get(at..)?;
        Self::read_udp((source.into(), destination.into()), fixed, rest, room)
    }

    /// `room`: what the network header leaves for the datagram.
    fn read_udp(
        (source, destination): (IpAddr, IpAddr),
        network_header: &'a [u8],
        rest: &'a [u8],
        room: usize,
    ) -> Option<Self> {
        let (header, payload) = rest.split_first_chunk::<UDP_HEADER_SIZE>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if length > room {
            return None;
        }
        let size = length.checked_sub(UDP_HEADER_SIZE)?;
        Some(Self {
            source,
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination,
            port: u16::from_be_bytes([header[2], header[3]]),
            payload: payload.get(..size).unwrap_or(payload),
            size,
            network_header,
            udp_header: *header,
        })
    }
}

/// Where the UDP header begins, behind at most so many extension headers as the filter passes.
fn skip_extensions(packet: &[u8], mut next: u32, mut at: usize) -> Option<usize> {
    for _ in 0..=EXTENSIONS_MAX {
        let header = packet.get(at..at.checked_add(8)?)?;
        let size = match next {
            UDP => return Some(at),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(header[1]) + 1) * 8,
            // RFC 6946: an atomic fragment is whole.
            FRAGMENT if half(header, 2)? & 0xfff9 == 0 => 8,
            _ => return None,
        };
        next = u32::from(header[0]);
        at = at.checked_add(size)?;
    }
    None
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// Adds octets to a ones' complement sum (RFC 1071): the order of octets within the words does not
/// matter as long as it is the same for all, so the machine's own will do.
fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        // A datagram has at most 2^14 such words: there is no overflow.
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(last));
    }
    sum
}

/// Whether a sum that includes the checksum folds to all ones.
fn is_ones(mut sum: u64) -> bool {
    while sum > u64::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == u64::from(u16::MAX)
}

const UDP_HEADER_SIZE: usize = 8;

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
