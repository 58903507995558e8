//! A block of a TPACKET_V3 ring, as the kernel left it (`linux/if_packet.h`, host byte order).
//!
//! ```text
//! block:  version 4 | private 4 | status 4 | packets 4 | first packet 4 | length 4 | sequence 8 | …
//! packet: next 4 | s 4 | ns 4 | captured 4 | length 4 | status 4 | mac 2 | net 2 | hash 4 |
//!         VLAN tag 4 | VLAN type 2 | … 10 | sockaddr_ll 20 | … | link header | network header …
//! ```
//!
//! Offsets of a packet count from its own beginning. They are the kernel's, and checked all the same.

use holdfast_units::WallTime;

/// Where the owner of a block is said.
pub(super) const STATUS_OFFSET: usize = 8;
/// Where the number of a block is said.
pub(super) const SEQUENCE_OFFSET: usize = 24;
/// The block is the reader's.
pub(super) const STATUS_USER: u32 = libc::TP_STATUS_USER;
/// The block is the kernel's.
pub(super) const STATUS_KERNEL: u32 = libc::TP_STATUS_KERNEL;

/// One packet of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// When the kernel took it.
    pub arrival: WallTime,
    /// `TP_STATUS_…`.
    pub status: u32,
    /// EtherType behind the link header and one VLAN tag.
    pub protocol: u16,
    /// For whom the link layer says it is: `PACKET_…`.
    pub kind: u8,
    /// The interface it came in by.
    pub interface: u32,
    /// From the network header on, as far as it was captured.
    pub captured: &'a [u8],
    /// Octets from the network header on, on the wire.
    pub wire_size: usize,
}

impl Frame<'_> {
    /// Whether the kernel or the network card has checked the transport checksum, or there was no
    /// wire that could have damaged the packet.
    pub const fn is_known_intact(&self) -> bool {
        self.status & (libc::TP_STATUS_CSUM_VALID | libc::TP_STATUS_CSUMNOTREADY) != 0
    }
}

/// The packets of a block.
#[derive(Clone, Debug)]
pub(super) struct Frames<'a> {
    block: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Frames<'a> {
    pub fn of(block: &'a [u8]) -> Self {
        Self {
            block,
            at: word(block, 16).unwrap_or(0) as usize,
            left: word(block, 12).unwrap_or(0),
        }
    }

    /// Packets that cannot be told apart any more, after the iteration has ended: none, unless the
    /// block is not what the kernel makes.
    pub const fn unread(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let packet = self.block.get(self.at..)?;
        let frame = read(packet)?;
        self.left -= 1;
        if self.left > 0 {
            let step = word(packet, 0)? as usize;
            self.at = self.at.checked_add(step)?;
        }
        Some(frame)
    }
}

fn read(packet: &[u8]) -> Option<Frame<'_>> {
    let header: &[u8; HEADER_SIZE] = packet.first_chunk()?;
    let (captured_size, size) = (word(header, 12)? as usize, word(header, 16)? as usize);
    let (mac, net) = (half(header, 24)? as usize, half(header, 26)? as usize);
    let address = &header[LINK_ADDRESS_OFFSET..];
    let seconds = u64::from(word(header, 4)?);
    Some(Frame {
        arrival: WallTime(seconds * 1_000_000_000 + u64::from(word(header, 8)?)),
        status: word(header, 20)?,
        protocol: u16::from_be(half(address, 2)?),
        kind: *address.get(10)?,
        interface: word(address, 4)?,
        captured: packet.get(net..mac.checked_add(captured_size)?)?,
        wire_size: size.checked_sub(net.checked_sub(mac)?)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

const LINK_ADDRESS_OFFSET: usize = 48;
const HEADER_SIZE: usize = LINK_ADDRESS_OFFSET + 20;

const _: () = assert!(size_of::<libc::tpacket3_hdr>() == LINK_ADDRESS_OFFSET);
const _: () = assert!(size_of::<libc::sockaddr_ll>() == HEADER_SIZE - LINK_ADDRESS_OFFSET);

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
