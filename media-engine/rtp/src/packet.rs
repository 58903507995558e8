//! One RTP packet (RFC 3550 §5.1), checked as its appendix A.1 asks, borrowed from its datagram.
//!
//! ```text
//!   0                   1                   2                   3
//!   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//!   |                           timestamp                           |
//!   |                             SSRC                              |
//!   |                         CSRC, CC times                        |
//!   |      extension profile        |  length in words  | data …    |   if X
//!   |  payload …                              padding … | pad count |   if P
//! ```
//!
//! It doesn't know which payload types are negotiated: that is the guard's question.

use std::ops::Range;

use crate::number::{PayloadType, RtpTimestamp, Ssrc, WireSeq};

/// Octets of the header without CSRCs and extension.
pub const FIXED_BYTES: usize = 12;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
const CSRC_COUNT_MASK: u8 = 0x0f;
const MARKER_BIT: u8 = 0x80;
const WORD: usize = 4;

/// Why a datagram is no RTP packet. The peer is to blame; the packet is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Less than a fixed header, or than its CSRC count asks for.
    #[error("the packet is shorter than its header")]
    TooShort,
    /// Version 0 is a keepalive of RFC 6263 §4.5, 1 the first draft, 3 nothing.
    #[error("the RTP version is not 2")]
    BadVersion,
    /// The header extension is longer than the packet.
    #[error("the header extension does not fit the packet")]
    BadExtension,
    /// The count in the last octet is zero or longer than the payload.
    #[error("the padding does not fit the packet")]
    BadPadding,
}

/// A checked RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    fixed: &'a [u8; FIXED_BYTES],
    payload_start: usize,
    payload_end: usize,
}

/// The header extension of a packet (RFC 3550 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Defined by profile: 0xBEDE and 0x100x are those of RFC 8285.
    pub profile: u16,
    /// Its data, a multiple of four octets.
    pub data: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads a packet in the clear.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut packet = Self::parse_protected(bytes)?;
        if packet.fixed[0] & PADDING_BIT != 0 {
            let payload = packet.payload();
            // "The last octet of the padding contains a count of how many padding octets should be
            // ignored, including itself" (RFC 3550 §5.1).
            let count = payload.last().copied().map_or(0, usize::from);
            if count == 0 || count > payload.len() {
                return Err(PacketError::BadPadding);
            }
            packet.payload_end -= count;
        }
        Ok(packet)
    }

    /// Reads a packet whose payload is still encrypted (RFC 3711 §3.1): the header is in the clear,
    /// the padding is not, and the payload ends with the authentication tag.
    pub fn parse_protected(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let fixed = bytes
            .first_chunk::<FIXED_BYTES>()
            .ok_or(PacketError::TooShort)?;
        if fixed[0] >> 6 != VERSION {
            return Err(PacketError::BadVersion);
        }
        let mut payload_start = FIXED_BYTES + WORD * usize::from(fixed[0] & CSRC_COUNT_MASK);
        let rest = bytes.get(payload_start..).ok_or(PacketError::TooShort)?;
        if fixed[0] & EXTENSION_BIT != 0 {
            let head = rest
                .first_chunk::<WORD>()
                .ok_or(PacketError::BadExtension)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            payload_start += WORD + WORD * words;
            if payload_start > bytes.len() {
                return Err(PacketError::BadExtension);
            }
        }
        Ok(Self {
            bytes,
            fixed,
            payload_start,
            payload_end: bytes.len(),
        })
    }

    /// The whole datagram.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The marker bit; for audio the first packet after silence (RFC 3551 §4.1).
    pub const fn marker(&self) -> bool {
        self.fixed[1] & MARKER_BIT != 0
    }

    /// The payload type.
    pub const fn payload_type(&self) -> PayloadType {
        PayloadType::from_octet(self.fixed[1])
    }

    /// The sequence number.
    pub const fn sequence(&self) -> WireSeq {
        WireSeq(u16::from_be_bytes([self.fixed[2], self.fixed[3]]))
    }

    /// The timestamp.
    pub const fn timestamp(&self) -> RtpTimestamp {
        let f = self.fixed;
        RtpTimestamp(u32::from_be_bytes([f[4], f[5], f[6], f[7]]))
    }

    /// Who sent it.
    pub const fn ssrc(&self) -> Ssrc {
        let f = self.fixed;
        Ssrc(u32::from_be_bytes([f[8], f[9], f[10], f[11]]))
    }

    /// Who contributed to it, up to 15: speakers that a mixer put together.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        let count = usize::from(self.fixed[0] & CSRC_COUNT_MASK);
        let words = self
            .bytes
            .get(FIXED_BYTES..FIXED_BYTES + WORD * count)
            .unwrap_or_default();
        words
            .as_chunks::<WORD>()
            .0
            .iter()
            .map(|word| Ssrc(u32::from_be_bytes(*word)))
    }

    /// The header extension, if there is one.
    pub fn extension(&self) -> Option<Extension<'a>> {
        if self.fixed[0] & EXTENSION_BIT == 0 {
            return None;
        }
        let start = FIXED_BYTES + WORD * usize::from(self.fixed[0] & CSRC_COUNT_MASK);
        let (head, data) = self
            .bytes
            .get(start..self.payload_start)?
            .split_first_chunk::<WORD>()?;
        Some(Extension {
            profile: u16::from_be_bytes([head[0], head[1]]),
            data,
        })
    }

    /// Where the payload lies in the datagram, padding taken off.
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload_start..self.payload_end
    }

    /// The payload, padding taken off.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.payload_range()).unwrap_or_default()
    }

    /// Octets of padding at the end.
    pub const fn padding_len(&self) -> usize {
        self.bytes.len() - self.payload_end
    }
}

/// Whether a datagram on a port that RTP and RTCP share is RTCP.
///
/// RFC 5761 §4: RTCP packet types 192 to 223 stand where RTP has the marker and payload types 64 to
/// 95, which are therefore not used with RTP on such a port.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 16] = [
        0x80, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4,
    ];

    #[test]
    fn fields_of_a_plain_packet() {
        let packet = RtpPacket::parse(&PLAIN).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type().number(), 0);
        assert_eq!(packet.sequence(), WireSeq(0x1234));
        assert_eq!(packet.timestamp(), RtpTimestamp(160));
        assert_eq!(packet.ssrc(), Ssrc(0xdead_beef));
        assert_eq!(packet.csrcs().count(), 0);
        assert_eq!(packet.extension(), None);
        assert_eq!(packet.payload(), [1, 2, 3, 4]);
        assert_eq!(packet.payload_range(), 12..16);
    }

    #[test]
    fn csrcs_extension_and_padding_are_taken_off_the_payload() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]);
        bytes.extend([7, 7, 7, 0, 0, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
        let extension = packet.extension().unwrap();
        assert_eq!(
            (extension.profile, extension.data),
            (0xbede, &[0x10, 0x55, 0, 0][..])
        );
        assert_eq!(packet.payload(), [7, 7, 7]);
        assert_eq!(packet.padding_len(), 3);
        let protected = RtpPacket::parse_protected(&bytes).unwrap();
        assert_eq!(protected.payload(), [7, 7, 7, 0, 0, 3]);
    }

    /// RFC 3550 A.1, one row for each check.
    #[test]
    fn what_is_no_packet_is_refused_with_its_reason() {
        let with = |first: u8, tail: &[u8]| {
            let mut bytes = PLAIN[..12].to_vec();
            bytes[0] = first;
            bytes.extend(tail);
            RtpPacket::parse(&bytes).map(|packet| packet.payload().len())
        };
        for (name, first, tail, expected) in [
            ("version 0", 0x00, &[][..], Err(PacketError::BadVersion)),
            ("version 1", 0x40, &[], Err(PacketError::BadVersion)),
            ("version 3", 0xc0, &[], Err(PacketError::BadVersion)),
            ("empty payload", 0x80, &[], Ok(0)),
            (
                "one CSRC, none there",
                0x81,
                &[0, 0, 0],
                Err(PacketError::TooShort),
            ),
            ("15 CSRCs fit", 0x8f, &[0; 60], Ok(0)),
            (
                "15 CSRCs, 59 octets",
                0x8f,
                &[0; 59],
                Err(PacketError::TooShort),
            ),
            (
                "extension without head",
                0x90,
                &[0xbe, 0xde, 0],
                Err(PacketError::BadExtension),
            ),
            ("extension of no words", 0x90, &[0xbe, 0xde, 0, 0], Ok(0)),
            (
                "extension too long",
                0x90,
                &[0xbe, 0xde, 0, 1],
                Err(PacketError::BadExtension),
            ),
            (
                "extension longest",
                0x90,
                &[0, 0, 255, 255, 1],
                Err(PacketError::BadExtension),
            ),
            (
                "padding without payload",
                0xa0,
                &[],
                Err(PacketError::BadPadding),
            ),
            (
                "padding count zero",
                0xa0,
                &[1, 0],
                Err(PacketError::BadPadding),
            ),
            ("padding all of it", 0xa0, &[0, 2], Ok(0)),
            (
                "padding one too many",
                0xa0,
                &[0, 3],
                Err(PacketError::BadPadding),
            ),
        ] {
            assert_eq!(with(first, tail), expected, "{name}");
        }
        for len in 0..12 {
            let short = RtpPacket::parse(&PLAIN[..len]).map(|_| ());
            assert_eq!(short, Err(PacketError::TooShort), "{len}");
        }
    }

    #[test]
    fn rtcp_is_told_by_its_packet_type() {
        for (bytes, expected) in [
            (&[0x80, 200][..], true),
            (&[0x80, 192], true),
            (&[0x80, 223], true),
            (&[0x80, 191], false),
            (&[0x80, 224], false),
            (&[0x80, 0x80], false),
            (&[0x00, 200], false),
            (&[0x80], false),
            (&[], false),
        ] {
            assert_eq!(is_rtcp(bytes), expected, "{bytes:?}");
        }
    }
}
