//! The messages themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_manifest::{Codec, EndReason};
use holdfast_units::{RecordingId, StreamId, WallTime};
use serde::{Deserialize, Serialize};

use crate::limits::DOCUMENT_NAME_SIZE_MAX;
use crate::srtp::Srtp;
use crate::statistics::{EngineStatistics, ShardStatistics};

/// What signaling tells the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToEngine {
    /// First message on a connection.
    Hello {
        /// Random, new at each start of the signaling process.
        instance: u64,
    },
    /// The desired state of one recording, whole. Answered by [`FromEngine::Applied`] or
    /// [`FromEngine::Refused`].
    Recording(Recording),
    /// A piece of a document that is kept with the recording. Not answered: the
    /// [`FromEngine::Applied`] of the next [`ToEngine::Recording`] covers it.
    Document(Document),
    /// All recordings that signaling knows have been sent: what it did not name is an orphan.
    ReconcileDone,
    /// How long things take is asked for. Answered by a [`FromEngine::Latency`] for each shard and
    /// [`Stage`].
    AskLatencies,
    /// How long nothing has come for a recording is asked for. Answered by a [`FromEngine::Media`].
    AskMedia {
        /// Which recording.
        recording: RecordingId,
        /// The shard that owns it.
        shard: u16,
    },
}

/// What the engine tells signaling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromEngine {
    /// First message on a connection, before any other.
    Hello {
        /// Random, new at each start of the engine.
        instance: u64,
        /// The slices of the port range, one a shard, in the order of the shards.
        shards: Vec<ShardPorts>,
    },
    /// One of the recordings that the engine holds and has not been told the end of.
    Held(HeldRecording),
    /// All [`FromEngine::Held`] have been sent.
    HeldDone,
    /// The desired state of this revision is in force: every stream that is not named as refused
    /// receives, and all that was said of the recording so far is on disk in the journal.
    Applied {
        /// Which recording.
        recording: RecordingId,
        /// Which revision of it.
        revision: u64,
        /// Streams that could not be had, empty in the usual case.
        refused: Vec<RefusedStream>,
    },
    /// Nothing of this revision took effect; the one before stands.
    Refused {
        /// Which recording.
        recording: RecordingId,
        /// Which revision of it.
        revision: u64,
        /// Who has to act.
        reason: RefusalReason,
    },
    /// A recording has been published and will not be spoken of again.
    Published(PublishedRecording),
    /// How the engine is; sent when it changes and once a second while it does.
    Health(Health),
    /// How long things took in one stage of one shard since the start of the engine.
    Latency(StageLatency),
    /// Numbers of the engine as a whole, once a second.
    Engine(EngineStatistics),
    /// Numbers of one shard, once a second.
    Shard(ShardStatistics),
    /// How long nothing has come for a recording.
    Media {
        /// Which recording.
        recording: RecordingId,
        /// Since the last packet of any of its streams, recorded or paused, or since the engine began to
        /// receive it, to the second; `None`: none of its streams receives.
        silent_for: Option<Duration>,
    },
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// From a packet's arrival in the kernel until the shard has seen it.
    Seen,
    /// From a packet's arrival in the kernel until the journal has it on disk.
    Durable,
    /// From a packet's arrival in the kernel until it is in its track, by the first packet of each
    /// block of the journal.
    Assembled,
    /// A turn of the shard, without the rest after it.
    Turn,
    /// A commit of the journal, from its first write until the disk has all of it; one value each.
    Commit,
}

impl Stage {
    /// All of them, in the order of a packet's way.
    pub const ALL: [Self; 5] = [
        Self::Seen,
        Self::Commit,
        Self::Durable,
        Self::Assembled,
        Self::Turn,
    ];

    /// Its name: one word in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Durable => "durable",
            Self::Assembled => "assembled",
            Self::Turn => "turn",
            Self::Commit => "commit",
        }
    }
}

/// How long things took in one stage of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageLatency {
    /// Which shard.
    pub shard: u16,
    /// Which stage.
    pub stage: Stage,
    /// Microseconds, each the upper end of a step, and how many values were in that step; in rising
    /// order.
    pub values: Vec<(u32, u64)>,
}

/// The desired state of one recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Identity, and name of its folder.
    pub id: RecordingId,
    /// The shard that owns all of its streams.
    pub shard: u16,
    /// Rises with each change; an older one is ignored.
    pub revision: u64,
    /// When the recording began, by the clock of the signaling process.
    pub started: WallTime,
    /// Whether it goes on.
    pub life: Life,
    /// The streams that should exist now. One that was there before and is missing here has ended.
    pub streams: Vec<Stream>,
}

/// Whether a recording goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It does.
    Active,
    /// It has ended and is to be published.
    Ended {
        /// Why.
        reason: EndReason,
        /// When, by the clock of whoever ended it.
        at: WallTime,
    },
}

/// One media stream of a recording: one m-line for as long as it keeps its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Identity, never used again.
    pub id: StreamId,
    /// Number within the recording, from 1, never used again within it. Names the track file.
    pub number: u16,
    /// Index of the m-line in the SDP.
    pub media_line: u16,
    /// Media type of the m-line: `audio`, `video`, …
    pub media: String,
    /// `a=label` of the m-line, where it had one.
    pub label: Option<String>,
    /// Channel of the published audio, from 0. Streams of one participant share one.
    pub channel: u16,
    /// Local address that receives.
    pub address: IpAddr,
    /// Local RTP port.
    pub rtp_port: u16,
    /// Local RTCP port; the same as `rtp_port` with rtcp-mux (RFC 5761).
    pub rtcp_port: u16,
    /// What becomes of packets that arrive.
    pub mode: StreamMode,
    /// What the payload types mean (SDP rtpmap); others are refused.
    pub codecs: BTreeMap<u8, Codec>,
    /// Where the SDP says that media comes from (c= and m=); `None` where it names nobody.
    pub peer_rtp: Option<SocketAddr>,
    /// Where receiver reports go (RFC 7866 §8.1.8): a=rtcp, or the port after the media's.
    pub peer_rtcp: Option<SocketAddr>,
    /// Where the SIP requests come from.
    pub signaling_peer: Option<IpAddr>,
    /// CNAME of our receiver reports (RFC 7022), the same for all streams of a recording.
    pub cname: String,
    /// Whether receiver reports are sent: `b=RR:0` forbids them.
    pub send_reports: bool,
    /// How its packets are encrypted; `None`: not at all.
    pub srtp: Option<Srtp>,
}

/// What becomes of packets that arrive for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamMode {
    /// They are recorded.
    Record,
    /// They must not reach the disk in any form (`a=inactive`, masking).
    Pause,
}

/// A piece of a document that is kept with a recording: a metadata body, a SIP head, or the call's
/// description (`call.json`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Which recording.
    pub recording: RecordingId,
    /// The shard that owns it.
    pub shard: u16,
    /// Name of the file. A document that comes again under its name replaces the former one.
    pub name: DocumentName,
    /// Where in the document these octets belong; 0 begins it anew.
    pub offset: u32,
    /// Whether these are the last ones.
    pub last: bool,
    /// At most [`crate::limits::DOCUMENT_CHUNK_SIZE_MAX`].
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("recording", &self.recording)
            .field("name", &self.name)
            .field("offset", &self.offset)
            .field("last", &self.last)
            .field("size", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A file name that cannot leave its folder: lower-case letters, digits, `-` and `.`, not
/// beginning with a dot, 1 to [`DOCUMENT_NAME_SIZE_MAX`] octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentName(String);

/// A text that is no [`DocumentName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of a document")]
pub struct DocumentNameError(String);

impl DocumentName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DocumentName {
    type Error = DocumentNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let fits = (1..=DOCUMENT_NAME_SIZE_MAX).contains(&text.len());
        if fits && !text.starts_with('.') && text.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err(DocumentNameError(text))
        }
    }
}

impl From<DocumentName> for String {
    fn from(name: DocumentName) -> Self {
        name.0
    }
}

/// The slice of the port range that one shard owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPorts {
    /// First port, even.
    pub first: u16,
    /// Last port, odd.
    pub last: u16,
}

/// A recording that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecording {
    /// Which.
    pub id: RecordingId,
    /// The revision in force.
    pub revision: u64,
    /// The documents that need not be sent again.
    pub documents: Vec<HeldDocument>,
    /// The ports that its streams occupy, RTP and RTCP.
    pub ports: Vec<u16>,
}

/// A document that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDocument {
    /// Its name.
    pub name: DocumentName,
    /// Its size in octets.
    pub size: u32,
}

/// A stream that the engine could not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedStream {
    /// Which.
    pub stream: StreamId,
    /// Why, for the log.
    pub reason: String,
}

/// Why a revision did not take effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RefusalReason {
    /// The disk or the limits allow no further recording.
    #[error("no further recording: {0}")]
    Unwilling(Unwilling),
    /// The journal does not take what must be in it.
    #[error("the journal cannot be written")]
    Journal,
    /// The shard does not exist, a port is outside its slice, or a limit of the protocol is passed.
    #[error("the request is not valid: {0}")]
    Invalid(String),
}

/// Why the engine takes no further recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unwilling {
    /// The file system of the recordings is past its high watermark.
    #[error("the disk is past its high watermark")]
    DiskFull,
    /// Nothing can be made durable at present.
    #[error("the journal is full or failing")]
    Journal,
}

/// A finished recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRecording {
    /// Which.
    pub id: RecordingId,
    /// Its folder.
    pub folder: String,
    /// Packets in its tracks.
    pub packets: u64,
    /// Packets that the sequence numbers say are missing.
    pub lost: u64,
}

/// How the engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `None`: further recordings are welcome.
    pub unwilling: Option<Unwilling>,
    /// Use of the file system of the recordings, 0–1,000.
    pub disk_used_permille: u16,
    /// Use of the fullest journal, 0–1,000.
    pub journal_used_permille: u16,
    /// Streams that receive.
    pub streams: u32,
    /// Packets accepted since the start.
    pub packets: u64,
    /// Packets refused since the start.
    pub refused: u64,
    /// Packets lost in the kernel since the start, for want of buffer.
    pub kernel_drops: u64,
}
