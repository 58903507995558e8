//! One media stream of a recording: codecs, sources, counts, gaps and marks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_units::{StreamId, WallTime};
use serde::{Deserialize, Serialize};

use crate::time;

/// One media stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Counts from 1; names the track file.
    pub number: u32,
    /// Identity within the whole system; 16 hex digits in text, since JSON readers that keep
    /// numbers as doubles would round it.
    #[serde(with = "stream_id_hex")]
    pub stream_id: StreamId,
    /// `a=label` of the m-line (RFC 4574).
    pub label: Option<String>,
    /// Index of the m-line, from 0.
    pub m_line: Option<u32>,
    /// Media of the m-line: `audio`.
    pub media: String,
    /// Negotiated codecs by payload type.
    #[serde(default)]
    pub codecs: BTreeMap<u8, Codec>,
    /// The suite that its packets were encrypted with, as SDP names it; none: not at all.
    #[serde(default)]
    pub srtp: Option<String>,
    /// Each change of direction.
    #[serde(default)]
    pub directions: Vec<DirectionChange>,
    /// Our addresses that packets arrived at.
    #[serde(default)]
    pub local: Vec<SocketAddr>,
    /// Addresses that packets came from.
    #[serde(default)]
    pub remote: Vec<SocketAddr>,
    /// Synchronisation sources that were heard.
    #[serde(default)]
    pub ssrcs: Vec<SsrcSeen>,
    /// RTP packets kept, duplicates not counted.
    pub packets: u64,
    /// Octets of those packets, RTP headers included.
    pub bytes: u64,
    /// Sequence numbers that never came while the stream was to be recorded.
    pub lost: u64,
    /// Packets missing or late whose audio a later one brought (RFC 2198). They are not among those
    /// that are lost.
    #[serde(default)]
    pub recovered: u64,
    /// Audio that is not heard, in milliseconds: of packets that claim to sound longer than until the next
    /// one, by its timestamp as by its arrival.
    #[serde(default)]
    pub overlapped_ms: u64,
    /// Packets that came after one with a higher sequence number.
    pub late: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets kept that could not be given a place on the timeline.
    #[serde(default)]
    pub unplaced: u64,
    /// Packets refused, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    #[serde(default)]
    pub jitter_ms: JitterMs,
    /// Sequence numbers missing where the recorder could not keep what came: a full ring, a disk
    /// that did not follow. Not among those that are lost.
    #[serde(default)]
    pub dropped: u64,
    /// Packets the kernel dropped before the recorder saw them.
    #[serde(default)]
    pub kernel_drops: u64,
    /// What is missing in the audio, and why, in order of time.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Further gaps beyond the number that is listed.
    #[serde(default)]
    pub gaps_omitted: u64,
    /// What happened in the stream, in order of time.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// Further marks beyond the number that is listed.
    #[serde(default)]
    pub marks_omitted: u64,
    /// How it was aligned with other streams by its sender reports; none: it lies where it arrived.
    #[serde(default)]
    pub aligned: Option<Aligned>,
    /// Channel of the audio file it is heard in.
    pub channel: Option<u16>,
    /// Whether it is heard there.
    pub rendered: bool,
    /// Why not, or not all of it.
    pub not_rendered_reason: Option<String>,
    /// What a reader should know at a glance, as stable snake_case words.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl Stream {
    /// A stream of which nothing is known but who it is.
    pub fn new(number: u32, stream_id: StreamId) -> Self {
        Self {
            number,
            stream_id,
            label: None,
            m_line: None,
            media: String::from("audio"),
            codecs: BTreeMap::new(),
            srtp: None,
            directions: Vec::new(),
            local: Vec::new(),
            remote: Vec::new(),
            ssrcs: Vec::new(),
            packets: 0,
            bytes: 0,
            lost: 0,
            recovered: 0,
            overlapped_ms: 0,
            late: 0,
            duplicate: 0,
            unplaced: 0,
            refused: BTreeMap::new(),
            jitter_ms: JitterMs::default(),
            dropped: 0,
            kernel_drops: 0,
            gaps: Vec::new(),
            gaps_omitted: 0,
            marks: Vec::new(),
            marks_omitted: 0,
            aligned: None,
            channel: None,
            rendered: false,
            not_rendered_reason: None,
            flags: Vec::new(),
        }
    }
}

/// Streams that one clock stamped lie as that says (RFC 3550 §6.4.1), not as they arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aligned {
    /// Why they are taken to share it.
    pub by: SharedClock,
    /// By how much this one was moved from where its packets arrived: back, so 0 or less.
    pub shift_ms: i64,
}

/// Why streams are taken to share a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedClock {
    /// Their sources have the same CNAME (RFC 3550 §6.5.1).
    Cname,
    /// They have none, come from one host, and its clock agrees with the recorder's.
    Host,
}

/// What a payload type means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// Encoding name: `PCMU`.
    pub name: String,
    /// Clock rate of its timestamps in hertz.
    pub clock_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// Format parameters of `a=fmtp`.
    pub fmtp: Option<String>,
}

/// Direction of a stream as the recorder answered it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Recording.
    Recvonly,
    /// Paused.
    Inactive,
}

/// A change of direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionChange {
    /// When.
    #[serde(with = "time")]
    pub at: WallTime,
    /// To what.
    pub direction: Direction,
}

/// A synchronisation source that was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SsrcSeen {
    /// The identifier.
    pub ssrc: u32,
    /// Canonical name by RTCP (RFC 3550 §6.5.1).
    pub cname: Option<String>,
    /// Arrival of its first packet.
    #[serde(with = "time")]
    pub first_seen: WallTime,
    /// Arrival of its last packet.
    #[serde(with = "time")]
    pub last_seen: WallTime,
    /// Packets kept of it.
    #[serde(default)]
    pub packets: u64,
}

/// Interarrival jitter in milliseconds (RFC 3550 §6.4.1, A.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JitterMs {
    /// At the end.
    pub last: f64,
    /// The highest it was.
    pub max: f64,
}

/// A span of the timeline without audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Where it begins on the recording's timeline.
    pub from_ms: u64,
    /// Where it ends. Equal to `from_ms` where packets are missing that take no time, as one of a
    /// telephone-event's.
    pub to_ms: u64,
    /// The same as wall-clock time.
    #[serde(with = "time")]
    pub from: WallTime,
    /// The same as wall-clock time.
    #[serde(with = "time")]
    pub to: WallTime,
    /// Why nothing is there.
    pub cause: GapCause,
    /// Sequence numbers that are missing in it.
    pub packets: u64,
}

/// Why a span holds no audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The stream's first packet had not come yet.
    NotStarted,
    /// Packets were sent and did not arrive.
    Loss,
    /// The sender sent nothing: silence suppression, comfort noise, or a stopped clock.
    Dtx,
    /// Recording was paused.
    Paused,
    /// The stream's last packet had come.
    Ended,
    /// The recorder could not receive.
    Outage,
    /// The recorder received more than it could keep.
    Dropped,
    /// One source ended and another began.
    SsrcChange,
    /// The source began its numbering anew; how much it sent between is not known.
    Restart,
    /// Packets are there, in a codec that is not rendered.
    NotRendered,
}

/// Something that happened in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When, on the recording's timeline.
    pub at_ms: u64,
    /// When, as wall-clock time.
    #[serde(with = "time")]
    pub at: WallTime,
    /// What.
    pub kind: MarkKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// A key was pressed (RFC 4733).
    TelephoneEvent {
        /// `0`–`9`, `*`, `#`, `A`–`D`, or the number of another event.
        digit: String,
        /// How long.
        duration_ms: u64,
    },
    /// Recording was paused.
    Pause,
    /// Recording went on.
    Resume,
    /// Another synchronisation source is heard from here on.
    SsrcChange {
        /// The one before.
        from: u32,
        /// The one from here on.
        to: u32,
    },
    /// Another payload type carries the audio from here on.
    PayloadTypeChange {
        /// The one before.
        from: u8,
        /// The one from here on.
        to: u8,
    },
    /// Packets come from another address from here on.
    SourceChange {
        /// The address.
        remote: SocketAddr,
    },
    /// The source began its sequence numbers anew.
    SequenceRestart,
    /// Timestamp and arrival disagreed: the audio is placed by its arrival from here on.
    Reanchored {
        /// By how much the timestamp was ahead of (positive) or behind (negative) the arrival.
        ahead_ms: i64,
    },
    /// The codec map changed by an offer and answer.
    CodecsChange,
    /// The label changed by an offer and answer.
    LabelChange {
        /// The new one.
        label: String,
    },
    /// The direction changed by an offer and answer.
    DirectionChange {
        /// The new one.
        direction: Direction,
    },
    /// The media engine was started again.
    EngineRestart,
    /// The recorder could not receive.
    Outage {
        /// For how long.
        duration_ms: u64,
    },
    /// The recorder received more than it could keep.
    Dropped {
        /// How many packets.
        packets: u64,
    },
    /// The ring that packets come in by was full for a while.
    RingOverflow {
        /// For how long, at most.
        duration_ms: u64,
        /// How many packets were dropped meanwhile, of all streams of the ring together: how many
        /// of them were this stream's, its sequence numbers tell.
        packets: u64,
    },
    /// The source said goodbye (RFC 3550 §6.6).
    RtcpBye {
        /// The source.
        ssrc: u32,
    },
}

/// A stream id as 16 hex digits in text, as its number in binary formats.
mod stream_id_hex {
    use holdfast_units::StreamId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(id: &StreamId, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(id)
        } else {
            id.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StreamId, D::Error> {
        if !deserializer.is_human_readable() {
            return StreamId::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        if text.len() != 16 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(D::Error::custom("a stream id is 16 hex digits"));
        }
        u64::from_str_radix(&text, 16)
            .map(StreamId)
            .map_err(D::Error::custom)
    }
}
