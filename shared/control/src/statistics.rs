//! Numbers of the engine, for whoever watches it: told once a second, and held by nobody against
//! anything. Counts are since the start of the engine, whose streams may be older than it.

use holdfast_manifest::time;
use holdfast_units::WallTime;
use serde::{Deserialize, Serialize};

/// What concerns the engine as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatistics {
    /// Its version.
    pub version: String,
    /// When it began to receive.
    #[serde(with = "time")]
    pub started: WallTime,
    /// How packets come in: `packet-ring` or `udp`.
    pub ingest: String,
    /// The file systems that it writes to.
    pub disks: Vec<Disk>,
    /// CPU time of the process, user and system, in microseconds.
    pub cpu_us: u64,
    /// Memory of the process that is resident, in octets.
    pub memory: u64,
}

/// A file system that the engine writes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What is on it: `recordings` or `journal`.
    pub name: String,
    /// Octets of it that this process could have at most: those of root left out.
    pub size: u64,
    /// Octets that this process may still take.
    pub free: u64,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatistics {
    /// Which shard.
    pub shard: u16,
    /// The core that it is pinned to.
    pub core: u32,
    /// Recordings that are not published yet.
    pub recordings: u64,
    /// Streams that receive.
    pub streams: u64,
    /// Datagrams that went into the journal.
    pub packets: u64,
    /// Their octets, without UDP and IP.
    pub octets: u64,
    /// Of these, how many had come before, and are not in a track.
    pub duplicates: u64,
    /// How many came after one with a higher sequence number.
    pub late: u64,
    /// Datagrams that were refused, by reason; a reason that never was is left out.
    pub refused: Vec<Refused>,
    /// Datagrams to ports that no stream has.
    pub strays: u64,
    /// Datagrams that the kernel dropped for want of room.
    pub kernel_drops: u64,
    /// Datagrams that the journal did not take.
    pub unwritten: u64,
    /// Encrypted streams of which packets came and for 2 s none authenticated.
    pub mute_streams: u64,
    /// The journal.
    pub journal: JournalStatistics,
    /// The packet rings; `None` with plain sockets.
    pub ring: Option<RingStatistics>,
}

/// Datagrams that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The reason, as manifests name it.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// The journal of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatistics {
    /// Segments whose records are still needed.
    pub segments_used: u32,
    /// Segments there may be.
    pub segments_max: u32,
    /// Octets that are not durable yet.
    pub uncommitted: u64,
    /// Blocks of memory that are ready to be filled.
    pub blocks_empty: u32,
    /// Blocks of memory there are.
    pub blocks: u32,
    /// Commits that succeeded.
    pub commits: u64,
    /// Writes, syncs and openings of segments that failed.
    pub failures: u64,
    /// Whether it takes nothing at present.
    pub is_failing: bool,
}

/// The packet rings of a shard, of all interfaces together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingStatistics {
    /// Blocks there are.
    pub blocks: u64,
    /// Blocks that were read and are not released, because the journal does not have them durably.
    pub held: u64,
}
