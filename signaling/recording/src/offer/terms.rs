//! What an offer asks for, line by line, before anything is done about it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::refusal::LineRefusal;
use super::sdes::Encryption;
use crate::sdp::{Codec, Direction, Family, MediaKind, Profile};

/// The life of one stream in one recording session: the key under which it is recorded.
///
/// A line that comes back after port 0 has the same line number and another serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId {
    /// The index of the m-line, from 0.
    pub line: u16,
    /// Counts the streams of the session, from 1.
    pub serial: u32,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line-{}-{}", self.line, self.serial)
    }
}

/// The local end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPorts {
    /// The address that the answer announces.
    pub address: IpAddr,
    /// The port for RTP.
    pub rtp: u16,
    /// The port for RTCP; unused while both share the RTP port.
    pub rtcp: u16,
}

/// The far end of a stream, as announced: where reports go to. Where packets come from, it does
/// not tell (RFC 3264 §5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address as text, also where it is a name or nonsense.
    pub host: Option<String>,
    /// Address and port of RTP; `None` without a real address (a name, 0.0.0.0).
    pub rtp: Option<SocketAddr>,
    /// Address and port of RTCP; `None` where no report can be sent.
    pub rtcp: Option<SocketAddr>,
}

/// Something odd about a stream that is recorded all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LineFlag {
    /// No `a=label`: the metadata cannot name it (P-26).
    NoLabel,
    /// Another line has the same label.
    DuplicateLabel,
    /// No connection address at all.
    NoConnection,
    /// The connection address is a name or nonsense; it is not looked up.
    UnresolvedHost,
    /// Connection address 0.0.0.0: hold as in RFC 2543, taken as inactive.
    OldHold,
    /// A payload type changed its codec during the stream (D-05).
    Remapped,
    /// `a=crypto` on a line that is not encrypted: ignored (D-08).
    CryptoIgnored,
    /// The peer's answer names none of the codecs offered to it.
    ForeignAnswer,
}

/// What is agreed on, or would be, about one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The kind of media.
    pub kind: MediaKind,
    /// The profile.
    pub profile: Profile,
    /// What we do: [`Direction::RecvOnly`] or [`Direction::Inactive`], nothing else.
    pub direction: Direction,
    /// What the peer said about the direction.
    pub peer_direction: Direction,
    /// The codecs in the offer's order, with the offer's payload types.
    pub codecs: Vec<Codec>,
    /// The label as it came.
    pub label: Option<String>,
    /// The far end.
    pub peer: Peer,
    /// The family that the local address has to be of (D-03).
    pub family: Family,
    /// Whether RTCP shares the RTP port.
    pub mux: bool,
    /// Whether the peer takes all bandwidth for reports away, `b=RR:0` (D-13): send none.
    pub rtcp_silent: bool,
    /// The packet time that was announced.
    pub ptime_ms: Option<u32>,
    /// `a=content`.
    pub content: Option<String>,
    /// `a=mid`.
    pub mid: Option<String>,
    /// The sources that `a=ssrc` announces.
    pub ssrcs: Vec<u32>,
    /// How the stream is encrypted; `None`: not at all.
    pub encryption: Option<Encryption>,
    /// What was odd.
    pub flags: BTreeSet<LineFlag>,
}

impl Terms {
    /// Whether packets that arrive are to be recorded. While it is false they must not reach
    /// the recording in any form (P-35).
    pub fn is_receiving(&self) -> bool {
        self.direction == Direction::RecvOnly
    }

    /// The codecs by payload type, as the recording's manifest and the engine know them.
    pub fn codec_map(&self) -> BTreeMap<u8, holdfast_manifest::Codec> {
        let entry = |codec: &Codec| {
            let known = holdfast_manifest::Codec {
                name: codec.name.clone(),
                clock_rate: codec.clock_hz,
                channels: codec.channels,
                fmtp: codec.fmtp.clone(),
            };
            (codec.payload_type.value(), known)
        };
        self.codecs.iter().map(entry).collect()
    }
}

/// What becomes of one m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The stream goes on with its ports.
    Keep {
        /// The stream.
        slot: SlotId,
        /// Its terms from now on.
        terms: Box<Terms>,
        /// Whether the far end's address or port changed: its packets may come from elsewhere.
        moved: bool,
    },
    /// A new stream: it needs ports.
    New {
        /// The stream.
        slot: SlotId,
        /// Its terms.
        terms: Box<Terms>,
        /// The stream of this line that ends with it.
        replaces: Option<SlotId>,
    },
    /// The peer wants no stream here; the stream there was ends.
    Remove {
        /// The stream that ends.
        slot: Option<SlotId>,
    },
    /// Answered with port 0.
    Refuse {
        /// Why.
        reason: LineRefusal,
        /// The stream of this line that ends with it.
        ends: Option<SlotId>,
    },
}

/// What becomes of one m-line, and what its answer mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlan {
    /// Its index, from 0.
    pub line: u16,
    /// What becomes of it.
    pub action: Action,
    /// The label that the line has in this message (P-25), also where it is refused.
    pub label: Option<String>,
    /// What every answer to the line repeats.
    pub(super) head: Head,
}

/// The part of an m-line that is repeated in every answer, refused or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The kind of media, as written.
    pub kind: String,
    /// The profile, as written.
    pub profile: String,
    /// One of its formats.
    pub format: String,
}

/// What an offer or answer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One entry per m-line, in order.
    pub lines: Vec<LinePlan>,
    /// Streams whose m-line is gone altogether, against RFC 3264 §8: they end.
    pub dropped: Vec<SlotId>,
    /// The `t=` lines that the answer copies.
    pub(super) times: Vec<String>,
    /// The state of the session that it was made for.
    pub(super) revision: u64,
    /// How many streams the session has had once it is in force.
    pub(super) serials: u32,
}

impl LinePlan {
    /// The stream that is there afterwards, with its terms.
    pub fn stream(&self) -> Option<(SlotId, &Terms)> {
        match &self.action {
            Action::Keep { slot, terms, .. } | Action::New { slot, terms, .. } => {
                Some((*slot, terms))
            }
            Action::Remove { .. } | Action::Refuse { .. } => None,
        }
    }

    /// The stream that ends.
    pub fn ended(&self) -> Option<SlotId> {
        match &self.action {
            Action::Keep { .. } => None,
            Action::New { replaces, .. } => *replaces,
            Action::Remove { slot } => *slot,
            Action::Refuse { ends, .. } => *ends,
        }
    }
}

impl Plan {
    /// The streams that are there afterwards.
    pub fn streams(&self) -> impl Iterator<Item = (SlotId, &Terms)> {
        self.lines.iter().filter_map(LinePlan::stream)
    }

    /// The lines that need ports.
    pub fn new_lines(&self) -> impl Iterator<Item = &LinePlan> {
        self.lines
            .iter()
            .filter(|line| matches!(line.action, Action::New { .. }))
    }

    /// The lines that are refused, by their index, and why.
    pub fn refusals(&self) -> impl Iterator<Item = (usize, LineRefusal)> + '_ {
        self.lines.iter().filter_map(|line| match line.action {
            Action::Refuse { reason, .. } => Some((usize::from(line.line), reason)),
            Action::Keep { .. } | Action::New { .. } | Action::Remove { .. } => None,
        })
    }

    /// The streams that end.
    pub fn ended(&self) -> impl Iterator<Item = SlotId> + '_ {
        self.lines
            .iter()
            .filter_map(LinePlan::ended)
            .chain(self.dropped.iter().copied())
    }
}
