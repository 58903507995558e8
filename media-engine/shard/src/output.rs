//! What a shard is told and what it asks for.

use std::net::{IpAddr, SocketAddr};

use holdfast_control::{Document, FromEngine, Recording, Unwilling};
use holdfast_journal::Occupancy;
use holdfast_rtp::Refused;
use holdfast_units::{RecordingId, StreamId, WallTime};

use crate::decryption::Mute;
use crate::disk::{DiskError, DiskOrder};

/// What the control thread tells a shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// A signaling process is there: it is to be told what the shard holds.
    Connected,
    /// It is gone.
    Disconnected,
    /// It has named all recordings that it knows.
    ReconcileDone,
    /// The desired state of a recording.
    Recording(Recording),
    /// A piece of a document.
    Document(Document),
    /// Whether further recordings are welcome.
    Willing(Option<Unwilling>),
    /// How long things take is asked for.
    AskLatencies,
    /// How long nothing has come for a recording is asked for.
    AskMedia(RecordingId),
}

/// One datagram as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Local port it was sent to.
    pub port: u16,
    /// Where it came from.
    pub source: SocketAddr,
    /// The kernel's time of arrival.
    pub arrival: WallTime,
    /// UDP payload.
    pub bytes: &'a [u8],
    /// Whether it was longer than what is there.
    pub truncated: bool,
}

/// What a shard asks for, in the order in which it is to be done.
#[derive(Debug)]
pub enum Output<B> {
    /// Something of the journal.
    Journal(holdfast_journal::Output<B>),
    /// Something of the disk beside it.
    Disk(DiskOrder),
    /// Begin to receive on the ports of a stream; told at once by [`crate::Shard::handle_opened`].
    Open {
        /// Which stream.
        stream: StreamId,
        /// Local address.
        address: IpAddr,
        /// RTP port.
        rtp_port: u16,
        /// RTCP port, the same with rtcp-mux.
        rtcp_port: u16,
    },
    /// End receiving on a port.
    Close {
        /// Which port.
        port: u16,
    },
    /// Send a report. It is not worth an error when it fails.
    Send {
        /// From which port.
        from_port: u16,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Something for the control thread.
    Event(ShardEvent),
    /// Something for the log.
    Notice(Notice),
}

/// What a shard says to the control thread.
#[derive(Debug)]
pub enum ShardEvent {
    /// To be told to signaling as it is.
    Tell(FromEngine),
    /// All that the shard holds has been told.
    HeldDone,
    /// How the shard is.
    Statistics(Box<ShardStatistics>),
}

/// How a shard is. Counts are since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStatistics {
    /// Streams that receive.
    pub streams: u64,
    /// Recordings that are not published yet.
    pub recordings: u64,
    /// Datagrams that went into the journal.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Datagrams refused by the guards, those of streams that have ended included.
    pub refused: Refused,
    /// Datagrams that had come before.
    pub duplicates: u64,
    /// Datagrams that came after one with a higher sequence number.
    pub late: u64,
    /// Datagrams to ports that no stream has.
    pub strays: u64,
    /// Datagrams that the kernel dropped.
    pub kernel_drops: u64,
    /// Datagrams that the journal did not take.
    pub unwritten: u64,
    /// How full the journal is.
    pub journal: Occupancy,
    /// Commits of the journal that succeeded.
    pub commits: u64,
    /// What of the journal failed.
    pub journal_failures: u64,
    /// Encrypted streams of which nothing authenticated for a while.
    pub mute_streams: u64,
    /// Whether the journal takes nothing at present.
    pub journal_failing: bool,
    /// What is counted before the shard; the shell fills it in.
    pub ingest: IngestFigures,
}

/// What the ingest of a shard counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestFigures {
    /// Datagrams with a wrong checksum.
    pub checksum: u64,
    /// Datagrams for an address that their port is not open at.
    pub address: u64,
    /// Packets that are no whole datagram.
    pub unreadable: u64,
    /// Datagrams to ports that are not open.
    pub closed: u64,
    /// Blocks of the rings, and how many of them are held; `None` without rings.
    pub ring: Option<(u64, u64)>,
}

impl ShardStatistics {
    /// Use of the journal, 0–1,000.
    pub fn journal_used_permille(&self) -> u16 {
        let used = self.journal.segments_used * 1_000 / self.journal.segments_max.max(1);
        u16::try_from(used).unwrap_or(1_000)
    }
}

/// Something that the log should say.
#[derive(Debug)]
pub enum Notice {
    /// The journal met trouble.
    Journal(holdfast_journal::Event),
    /// A recording was not written or published; it is tried again.
    Failed(RecordingId, DiskError),
    /// The checkpoint could not be made; it is tried again.
    CheckpointFailed(DiskError),
    /// A stream listens to another source.
    Latched {
        /// Which recording.
        recording: RecordingId,
        /// Which stream.
        stream: StreamId,
        /// To whom.
        source: SocketAddr,
    },
    /// Nobody claims a recording.
    Orphaned(RecordingId),
    /// Packets of an encrypted stream come, and none of them authenticates.
    Mute(Mute),
    /// Datagrams of a stream could not be kept.
    Dropped {
        /// Which recording.
        recording: RecordingId,
        /// Which stream.
        stream: StreamId,
        /// How many.
        count: u32,
    },
}

impl Notice {
    /// The recording that it is about; `None` where it is about the shard.
    pub const fn recording(&self) -> Option<RecordingId> {
        match self {
            Self::Failed(recording, _)
            | Self::Orphaned(recording)
            | Self::Latched { recording, .. }
            | Self::Mute(Mute { recording, .. })
            | Self::Dropped { recording, .. } => Some(*recording),
            Self::Journal(_) | Self::CheckpointFailed(_) => None,
        }
    }
}
