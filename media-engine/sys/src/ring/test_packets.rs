//! Packets for tests, made octet by octet and summed in the plainest way.
#![allow(dead_code)] // Each test takes what it needs.
#![allow(missing_docs)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A UDP datagram in an IP packet.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    /// IPv4 options, a multiple of 4 octets.
    pub options: Vec<u8>,
    /// IPv6 extension headers, each with its number and a multiple of 8 octets, the first of which is
    /// filled in.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub payload: Vec<u8>,
    /// Added to the right checksum.
    pub checksum_error: u16,
    /// Zero in place of the checksum.
    pub without_checksum: bool,
}

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

impl Packet {
    pub fn v4(port: u16) -> Self {
        let source = Ipv4Addr::new(192, 0, 2, 1).into();
        let destination = Ipv4Addr::new(192, 0, 2, 2).into();
        Self::new((source, 4_000), (destination, port))
    }

    pub fn v6(port: u16) -> Self {
        let host = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        Self::new((host(1).into(), 4_000), (host(2).into(), port))
    }

    fn new(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Self {
        Self {
            source,
            destination,
            options: Vec::new(),
            extensions: Vec::new(),
            payload: (0..172).collect(),
            checksum_error: 0,
            without_checksum: false,
        }
    }

    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub const fn ethertype(&self) -> u16 {
        if self.source.0.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// From the network header on.
    pub fn bytes(&self) -> Vec<u8> {
        let udp = self.udp();
        match (self.source.0, self.destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let size = 20 + self.options.len();
                let mut header = vec![0x40 | (size / 4) as u8, 0];
                header.extend(((size + udp.len()) as u16).to_be_bytes());
                header.extend([0x12, 0x34, 0, 0, 64, 17, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.options);
                seal_ipv4(&mut header);
                [header, udp].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut next = 17;
                let mut rest = udp;
                for (number, body) in self.extensions.iter().rev() {
                    let mut header = body.clone();
                    header[0] = next;
                    rest = [header, rest].concat();
                    next = *number;
                }
                let mut header = vec![0x60, 0, 0, 0];
                header.extend((rest.len() as u16).to_be_bytes());
                header.extend([next, 64]);
                header.extend(source.octets());
                header.extend(destination.octets());
                [header, rest].concat()
            }
            _ => unreachable!("one family"),
        }
    }

    /// With an Ethernet header, and a VLAN tag if there is one.
    pub fn frame(&self, to: [u8; 6], vlan: Option<u16>) -> Vec<u8> {
        ethernet(to, vlan, self.ethertype(), &self.bytes())
    }

    fn udp(&self) -> Vec<u8> {
        let size = 8 + self.payload.len() as u16;
        let mut udp = Vec::new();
        for field in [self.source.1, self.destination.1, size, 0] {
            udp.extend(field.to_be_bytes());
        }
        udp.extend(&self.payload);
        let mut summed = match (self.source.0, self.destination.0) {
            (IpAddr::V4(a), IpAddr::V4(b)) => [a.octets(), b.octets()].concat(),
            (IpAddr::V6(a), IpAddr::V6(b)) => [a.octets(), b.octets()].concat(),
            _ => unreachable!("one family"),
        };
        summed.extend([0, 17]);
        summed.extend(size.to_be_bytes());
        summed.extend(&udp);
        if !self.without_checksum {
            let sum = match checksum(&summed) {
                0 => 0xffff,
                sum => sum,
            };
            udp[6..8].copy_from_slice(&sum.wrapping_add(self.checksum_error).to_be_bytes());
        }
        udp
    }
}

pub fn ethernet(to: [u8; 6], vlan: Option<u16>, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend([2, 0, 0, 0, 0, 1]);
    if let Some(vlan) = vlan {
        frame.extend([0x81, 0]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

/// An IPv4 packet in pieces of so many octets, a multiple of 8.
pub fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, body) = packet.split_at(20);
    let last = body.chunks(size).count() - 1;
    let piece = |(index, piece): (usize, &[u8])| {
        let mut header = header.to_vec();
        let place = (index * size / 8) as u16 | if index < last { 0x2000 } else { 0 };
        header[2..4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
        header[6..8].copy_from_slice(&place.to_be_bytes());
        seal_ipv4(&mut header);
        [&header[..], piece].concat()
    };
    body.chunks(size).enumerate().map(piece).collect()
}

fn seal_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071, word by word.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
