//! Redundant audio (RFC 2198): a packet that repeats what earlier ones said.
//!
//! ```text
//!   |1| block PT |  timestamp offset (14) | block length (10) |   for each earlier block
//!   |0| block PT |                                                for the primary one, the last
//!   the earlier blocks' octets, then the primary's: all that is left
//! ```

use crate::number::PayloadType;

/// A payload of the format `red`, checked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundancy<'a> {
    headers: &'a [[u8; HEADER_BYTES]],
    blocks: &'a [u8],
    primary: (PayloadType, &'a [u8]),
}

/// What an earlier packet said, said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedundantBlock<'a> {
    /// In which format.
    pub payload_type: PayloadType,
    /// How many ticks before the packet's own timestamp: 0 to 16,383.
    pub offset: u16,
    /// The octets.
    pub payload: &'a [u8],
}

/// The headers don't end, or speak of more octets than there are. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the blocks of the redundant payload do not fit into it")]
pub struct BadRedundancy;

impl<'a> Redundancy<'a> {
    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, BadRedundancy> {
        let (headers, _) = payload.as_chunks::<HEADER_BYTES>();
        let count = headers
            .iter()
            .take_while(|header| header[0] & MORE_BIT != 0)
            .count();
        let headers = headers.get(..count).ok_or(BadRedundancy)?;
        let rest = payload.get(count * HEADER_BYTES..).ok_or(BadRedundancy)?;
        let (last, data) = rest.split_first().ok_or(BadRedundancy)?;
        if last & MORE_BIT != 0 {
            return Err(BadRedundancy);
        }
        let size = headers.iter().map(|header| length(*header)).sum();
        let (blocks, primary) = data.split_at_checked(size).ok_or(BadRedundancy)?;
        Ok(Self {
            headers,
            blocks,
            primary: (PayloadType::from_octet(*last), primary),
        })
    }

    /// What the packet itself says, at its own timestamp.
    pub const fn primary(&self) -> (PayloadType, &'a [u8]) {
        self.primary
    }

    /// Where in the payload the primary's header is, and where its octets begin: a payload of that one and
    /// these alone repeats nothing.
    pub const fn primary_at(&self) -> (usize, usize) {
        let header = self.headers.len() * HEADER_BYTES;
        (header, header + 1 + self.blocks.len())
    }

    /// What it repeats, in the packet's order: as a rule the oldest first.
    pub fn earlier(&self) -> impl Iterator<Item = RedundantBlock<'a>> + use<'a> {
        let mut rest = self.blocks;
        self.headers.iter().map_while(move |header| {
            let (payload, after) = rest.split_at_checked(length(*header))?;
            rest = after;
            Some(RedundantBlock {
                payload_type: PayloadType::from_octet(header[0]),
                offset: u16::from_be_bytes([header[1], header[2]]) >> 2,
                payload,
            })
        })
    }
}

fn length(header: [u8; HEADER_BYTES]) -> usize {
    usize::from(u16::from_be_bytes([header[2] & 3, header[3]]))
}

/// The farthest that a block may lie back, in ticks.
pub const OFFSET_MAX: u16 = (1 << 14) - 1;

const HEADER_BYTES: usize = 4;
const MORE_BIT: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(payload_type: u8, offset: u16, payload: &[u8]) -> RedundantBlock<'_> {
        RedundantBlock {
            payload_type: PayloadType::from_octet(payload_type),
            offset,
            payload,
        }
    }

    /// RFC 2198 §4: the example's DVI4 primary with an LPC block, sizes shortened.
    const EXAMPLE: [u8; 10] = [0x87, 0x02, 0x80, 3, 5, b'l', b'p', b'c', b'd', b'v'];

    #[test]
    fn blocks_are_read_in_order_and_the_primary_is_the_rest() {
        let red = Redundancy::parse(&EXAMPLE).unwrap();
        assert_eq!(red.primary(), (PayloadType::from_octet(5), &b"dv"[..]));
        assert!(red.earlier().eq([block(7, 160, b"lpc")]));
        assert_eq!(red.primary_at(), (4, 8));
        let longest = [0xff, 0xff, 0xfc, 0, 0x80, 0, 0, 1, 0, 9, 8];
        let red = Redundancy::parse(&longest).unwrap();
        assert!(
            red.earlier()
                .eq([block(127, 16_383, b""), block(0, 0, &[9])])
        );
        assert_eq!(red.primary(), (PayloadType::from_octet(0), &[8][..]));
        assert!(Redundancy::parse(&[0]).unwrap().earlier().next().is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        // The primary alone may be empty.
        for len in 0..8 {
            assert_eq!(
                Redundancy::parse(&EXAMPLE[..len]),
                Err(BadRedundancy),
                "{len}"
            );
        }
        for payload in [&[0x80; 40][..], &[0x80, 0, 3, 0xff, 0, 1]] {
            assert_eq!(Redundancy::parse(payload), Err(BadRedundancy));
        }
    }
}
