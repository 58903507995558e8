//! The octets of RTCP: compound packets, read and written (RFC 3550 §6, RFC 4585 §6.1, RFC 3611).
//!
//! ```text
//!   |V=2|P|  count  |  packet type  | length in words less one      |  every packet
//!
//!   SR  200   SSRC · NTP time (8) · RTP timestamp · packets · octets · count report blocks
//!   RR  201   SSRC · count report blocks
//!   SDES 202  count chunks: SSRC · items (type, length, text) · 0, padded to a word
//!   BYE 203   count SSRCs · optional length and reason
//!   APP 204   SSRC · name (4) · data             count is the subtype
//!   RTPFB 205, PSFB 206   sender SSRC · media SSRC · control information   count is the format
//!   XR  207   SSRC · blocks
//!
//!   report block: SSRC · fraction lost (1) · cumulative lost (3, signed) · highest sequence number
//!                 · jitter · last SR · delay since last SR
//! ```
//!
//! A compound is checked as a whole (A.2) before any part of it is believed.

use super::{Cname, NtpTime};
use crate::number::{RtpTimestamp, Ssrc};

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const COUNT_MASK: u8 = 0x1f;
const WORD: usize = 4;
const TYPE_SR: u8 = 200;
const TYPE_RR: u8 = 201;
const TYPE_SDES: u8 = 202;
const TYPE_BYE: u8 = 203;
const TYPE_APP: u8 = 204;
const TYPE_RTPFB: u8 = 205;
const TYPE_PSFB: u8 = 206;
const TYPE_XR: u8 = 207;
const ITEM_CNAME: u8 = 1;

/// Why a datagram is no RTCP. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Nothing in it, or less than a header.
    #[error("the RTCP packet is shorter than its header")]
    TooShort,
    /// A part has a version other than 2.
    #[error("the RTCP version is not 2")]
    BadVersion,
    /// The lengths of the parts don't add up.
    #[error("the RTCP parts do not fill the datagram")]
    BadLength,
    /// Padding on another part than the last, or longer than that.
    #[error("the RTCP padding is not at the end")]
    BadPadding,
    /// It does not begin with SR or RR, and reduced size was not agreed on (RFC 5506 §5).
    #[error("the compound does not begin with a report")]
    NotCompound,
}

/// The buffer is too small for what is to be written. Ours: [`crate::limits::RTCP_OUT_BYTES_MAX`]
/// is always enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the report")]
pub struct NoRoom;

/// A checked compound packet; iterates over its parts.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// One part of a compound packet.
#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport {
        /// Its sender.
        ssrc: Ssrc,
        /// A moment on its wall clock …
        ntp: NtpTime,
        /// … and on its media clock.
        rtp: RtpTimestamp,
        /// Packets that it has sent.
        packets: u32,
        /// Payload octets that it has sent.
        octets: u32,
        /// What it receives.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Its sender.
        ssrc: Ssrc,
        /// What it receives.
        blocks: Blocks<'a>,
    },
    /// SDES.
    SourceDescription(Chunks<'a>),
    /// BYE.
    Goodbye {
        /// Who leaves.
        sources: Sources<'a>,
        /// Why.
        reason: Option<&'a [u8]>,
    },
    /// APP.
    Application {
        /// Its sender.
        ssrc: Ssrc,
        /// Defined by the name.
        subtype: u8,
        /// Whose it is.
        name: [u8; 4],
        /// Defined by the name.
        data: &'a [u8],
    },
    /// RTPFB and PSFB.
    Feedback {
        /// About the payload (PSFB), not the transport.
        payload: bool,
        /// Which message.
        format: u8,
        /// Its sender.
        sender: Ssrc,
        /// The source it is about.
        media: Ssrc,
        /// Defined by the format.
        control: &'a [u8],
    },
    /// XR.
    ExtendedReport {
        /// Its sender.
        ssrc: Ssrc,
        /// Its blocks, unread.
        blocks: &'a [u8],
    },
    /// A type that is not known, or a part too short for its type: passed over.
    Unknown {
        /// Its type.
        packet_type: u8,
    },
}

/// One report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whom it is about.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning, 24 bits with sign.
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number.
    pub highest: u32,
    /// Interarrival jitter in ticks.
    pub jitter: u32,
    /// The middle of the NTP time in the last SR; 0 before there was one.
    pub last_sr: u32,
    /// Time since then in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// The report blocks of an SR or RR.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a>(&'a [u8]);

/// The SSRCs of a BYE.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a>(&'a [u8]);

/// The chunks of an SDES.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
    left: u8,
}

impl<'a> Compound<'a> {
    /// Checks a datagram as RFC 3550 A.2 asks.
    pub fn parse(bytes: &'a [u8], reduced_size: bool) -> Result<Self, RtcpError> {
        let mut rest = bytes;
        let mut end = bytes.len();
        loop {
            let head = rest.first_chunk::<WORD>().ok_or(RtcpError::TooShort)?;
            if head[0] >> 6 != VERSION {
                return Err(RtcpError::BadVersion);
            }
            // The first part has to be SR or RR, and without padding (A.2).
            let is_first = rest.len() == bytes.len();
            if is_first && !reduced_size {
                if !matches!(head[1], TYPE_SR | TYPE_RR) {
                    return Err(RtcpError::NotCompound);
                }
                if head[0] & PADDING_BIT != 0 {
                    return Err(RtcpError::BadPadding);
                }
            }
            let len = WORD + WORD * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let part = rest.get(..len).ok_or(RtcpError::BadLength)?;
            rest = rest.get(len..).unwrap_or_default();
            if head[0] & PADDING_BIT != 0 {
                let count = part.last().copied().map_or(0, usize::from);
                let fits = count > 0 && count.is_multiple_of(WORD) && count <= len - WORD;
                if !rest.is_empty() || !fits {
                    return Err(RtcpError::BadPadding);
                }
                end -= count;
            }
            if rest.is_empty() {
                return Ok(Self {
                    rest: bytes.get(..end).unwrap_or_default(),
                });
            }
        }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let (head, after) = self.rest.split_first_chunk::<WORD>()?;
        let len = WORD * usize::from(u16::from_be_bytes([head[2], head[3]]));
        // Only padding can have been cut off, from the last part.
        let (body, rest) = after.split_at(len.min(after.len()));
        self.rest = rest;
        let unknown = RtcpPacket::Unknown {
            packet_type: head[1],
        };
        Some(RtcpPacket::read(head[0] & COUNT_MASK, head[1], body).unwrap_or(unknown))
    }
}

impl<'a> RtcpPacket<'a> {
    fn read(count: u8, packet_type: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = body
            .split_first_chunk::<WORD>()
            .unwrap_or((&[0; WORD], &[]));
        let has_ssrc = body.len() >= WORD;
        let ssrc = Ssrc(u32::from_be_bytes(*ssrc));
        let packet = match packet_type {
            TYPE_SR if has_ssrc => {
                let (info, rest) = rest.split_first_chunk::<20>()?;
                let word = |at: usize| info.get(at..).and_then(first_word).unwrap_or_default();
                Self::SenderReport {
                    ssrc,
                    ntp: NtpTime(u64::from(word(0)) << 32 | u64::from(word(4))),
                    rtp: RtpTimestamp(word(8)),
                    packets: word(12),
                    octets: word(16),
                    blocks: Blocks::read(count, rest)?,
                }
            }
            TYPE_RR if has_ssrc => Self::ReceiverReport {
                ssrc,
                blocks: Blocks::read(count, rest)?,
            },
            TYPE_SDES => Self::SourceDescription(Chunks {
                rest: body,
                left: count,
            }),
            TYPE_BYE => {
                let (sources, tail) = body.split_at_checked(WORD * usize::from(count))?;
                let reason = tail
                    .split_first()
                    .and_then(|(len, text)| text.get(..usize::from(*len)));
                Self::Goodbye {
                    sources: Sources(sources),
                    reason,
                }
            }
            TYPE_APP if has_ssrc => {
                let (name, data) = rest.split_first_chunk::<WORD>()?;
                Self::Application {
                    ssrc,
                    subtype: count,
                    name: *name,
                    data,
                }
            }
            TYPE_RTPFB | TYPE_PSFB if has_ssrc => {
                let (media, control) = rest.split_first_chunk::<WORD>()?;
                let media = Ssrc(u32::from_be_bytes(*media));
                let payload = packet_type == TYPE_PSFB;
                Self::Feedback {
                    payload,
                    format: count,
                    sender: ssrc,
                    media,
                    control,
                }
            }
            TYPE_XR if has_ssrc => Self::ExtendedReport { ssrc, blocks: rest },
            _ => return None,
        };
        Some(packet)
    }

    /// Who sent it, where the type says so.
    pub const fn sender(&self) -> Option<Ssrc> {
        match *self {
            Self::SenderReport { ssrc, .. }
            | Self::ReceiverReport { ssrc, .. }
            | Self::Application { ssrc, .. }
            | Self::ExtendedReport { ssrc, .. } => Some(ssrc),
            Self::Feedback { sender, .. } => Some(sender),
            Self::SourceDescription(_) | Self::Goodbye { .. } | Self::Unknown { .. } => None,
        }
    }
}

impl ReportBlock {
    /// A block that says nothing, to be overwritten.
    pub(super) const EMPTY: Self = Self {
        ssrc: Ssrc(0),
        fraction_lost: 0,
        cumulative_lost: 0,
        highest: 0,
        jitter: 0,
        last_sr: 0,
        delay_since_last_sr: 0,
    };

    /// Octets of a block.
    pub const SIZE: usize = 24;

    /// Its octets.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        let mut bytes = [0; Self::SIZE];
        for (octets, word) in bytes.as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
        bytes
    }

    /// A block from its octets.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let mut words = [0; Self::SIZE / WORD];
        for (word, octets) in words.iter_mut().zip(bytes.as_chunks::<WORD>().0) {
            *word = u32::from_be_bytes(*octets);
        }
        let [ssrc, lost, highest, jitter, last_sr, delay_since_last_sr] = words;
        Self {
            ssrc: Ssrc(ssrc),
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again to extend the sign of 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest,
            jitter,
            last_sr,
            delay_since_last_sr,
        }
    }
}

impl<'a> Blocks<'a> {
    /// The blocks that the count speaks of; what follows them is for profiles.
    fn read(count: u8, bytes: &'a [u8]) -> Option<Self> {
        bytes
            .get(..ReportBlock::SIZE * usize::from(count))
            .map(Self)
    }

    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0
            .as_chunks::<{ ReportBlock::SIZE }>()
            .0
            .iter()
            .map(ReportBlock::decode)
    }
}

impl<'a> Sources<'a> {
    /// The SSRCs.
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.0
            .as_chunks::<WORD>()
            .0
            .iter()
            .map(|word| Ssrc(u32::from_be_bytes(*word)))
    }
}

/// Each chunk as its SSRC and its CNAME, if it has one. Stops at damage.
impl<'a> Iterator for Chunks<'a> {
    type Item = (Ssrc, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (ssrc, mut items) = self.rest.split_first_chunk::<WORD>()?;
        let whole = items.len();
        let mut cname = None;
        loop {
            match *items {
                [0, ..] => break,
                [kind, len, ref text @ ..] => {
                    let (text, after) = text.split_at_checked(usize::from(len))?;
                    if kind == ITEM_CNAME && cname.is_none() {
                        cname = Some(text);
                    }
                    items = after;
                }
                [] | [_] => {
                    self.left = 0;
                    break;
                }
            }
        }
        // The list ends with one or more zeros, up to the next word.
        let used = (whole - items.len() + 1).next_multiple_of(WORD);
        self.rest = self.rest.get(WORD + used..).unwrap_or_default();
        Some((Ssrc(u32::from_be_bytes(*ssrc)), cname))
    }
}

/// Writes RR and SDES with the CNAME, and BYE where wanted; gives the octets used.
///
/// "An empty RR packet (RC = 0) MUST be put at the head of a compound RTCP packet when there is no
/// data transmission or reception to report" (RFC 3550 §6.4.2).
pub fn write_compound(
    out: &mut [u8],
    own: Ssrc,
    blocks: &[ReportBlock],
    cname: &Cname,
    bye: bool,
) -> Result<usize, NoRoom> {
    let mut writer = Writer { out, used: 0 };
    let count = u8::try_from(blocks.len())
        .ok()
        .filter(|count| *count <= COUNT_MASK)
        .ok_or(NoRoom)?;
    writer.head(count, TYPE_RR, WORD + ReportBlock::SIZE * blocks.len())?;
    writer.put(&own.0.to_be_bytes())?;
    for block in blocks {
        writer.put(&block.encode())?;
    }
    let name = cname.as_bytes();
    let items = (2 + name.len() + 1).next_multiple_of(WORD);
    writer.head(1, TYPE_SDES, WORD + items)?;
    writer.put(&own.0.to_be_bytes())?;
    // Its length fits an octet: `Cname` sees to it.
    writer.put(&[ITEM_CNAME, name.len() as u8])?;
    writer.put(name)?;
    writer.put(&[0; WORD][..items - 2 - name.len()])?;
    if bye {
        writer.head(1, TYPE_BYE, WORD)?;
        writer.put(&own.0.to_be_bytes())?;
    }
    Ok(writer.used)
}

struct Writer<'a> {
    out: &'a mut [u8],
    used: usize,
}

impl Writer<'_> {
    fn head(&mut self, count: u8, packet_type: u8, body: usize) -> Result<(), NoRoom> {
        let words = u16::try_from(body / WORD)
            .map_err(|_| NoRoom)?
            .to_be_bytes();
        self.put(&[VERSION << 6 | count, packet_type, words[0], words[1]])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.used + bytes.len();
        self.out
            .get_mut(self.used..end)
            .ok_or(NoRoom)?
            .copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }
}

fn first_word(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<WORD>()
        .map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests;
