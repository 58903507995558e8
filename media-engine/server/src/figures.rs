//! The engine's numbers as signaling is told them.

use std::io;
use std::path::{Path, PathBuf};

use holdfast_control::statistics::{Disk, JournalStatistics, Refused, RingStatistics};
use holdfast_control::{EngineStatistics, ShardStatistics};
use holdfast_shard::ShardStatistics as Counted;
use holdfast_units::WallTime;

use crate::shard_loop::BLOCKS;

/// What is told of the engine as a whole, and where that is looked up.
pub struct EngineFigures {
    pub started: WallTime,
    /// How packets come in.
    pub ingest: &'static str,
    /// Names of file systems, and a folder on each.
    pub disks: Vec<(&'static str, PathBuf)>,
}

impl EngineFigures {
    /// As it is now. A disk that does not tell is left out: its trouble is told elsewhere.
    pub fn look(&self) -> EngineStatistics {
        let disks = self.disks.iter();
        EngineStatistics {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            ingest: self.ingest.to_owned(),
            disks: disks
                .filter_map(|(name, folder)| disk(name, folder).ok())
                .collect(),
            cpu_us: holdfast_process::cpu_us(),
            memory: holdfast_process::memory(),
        }
    }
}

fn disk(name: &str, folder: &Path) -> io::Result<Disk> {
    let figures = nix::sys::statvfs::statvfs(folder)?;
    let block = figures.fragment_size();
    Ok(Disk {
        name: name.to_owned(),
        // As df counts: what is kept for root is neither used nor to be had.
        size: (figures.blocks() - figures.blocks_free() + figures.blocks_available()) * block,
        free: figures.blocks_available() * block,
    })
}

/// What a shard has counted.
pub fn of_shard(shard: u16, core: u32, counted: &Counted) -> ShardStatistics {
    let guards = counted
        .refused
        .iter()
        .map(|(why, count)| (why.name(), count));
    let ingest = &counted.ingest;
    let before = [
        ("checksum", ingest.checksum),
        ("address", ingest.address),
        ("unreadable", ingest.unreadable),
    ];
    let refused = guards.chain(before.into_iter().filter(|(_, count)| *count > 0));
    let journal = &counted.journal;
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    ShardStatistics {
        shard,
        core,
        recordings: counted.recordings,
        streams: counted.streams,
        packets: counted.packets,
        octets: counted.octets,
        duplicates: counted.duplicates,
        late: counted.late,
        refused: refused
            .map(|(reason, count)| Refused {
                reason: reason.to_owned(),
                count,
            })
            .collect(),
        strays: counted.strays + ingest.closed,
        kernel_drops: counted.kernel_drops,
        unwritten: counted.unwritten,
        mute_streams: counted.mute_streams,
        journal: JournalStatistics {
            segments_used: small(journal.segments_used),
            segments_max: small(journal.segments_max),
            uncommitted: journal.uncommitted_bytes,
            blocks_empty: small(journal.blocks_empty),
            blocks: small(BLOCKS),
            commits: counted.commits,
            failures: counted.journal_failures,
            is_failing: counted.journal_failing,
        },
        ring: ingest
            .ring
            .map(|(blocks, held)| RingStatistics { blocks, held }),
    }
}
