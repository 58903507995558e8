//! What a writer is told at its start.

use std::time::Duration;

use crate::ids::{JournalId, Lsn, SegmentNumber, Shard};
use crate::limits::{BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, PAGE_SIZE, SEGMENT_SIZE_MAX, SEGMENTS_MIN};

/// How a journal is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterConfig {
    /// Whose journal it is.
    pub shard: Shard,
    /// Its identity: of the journal that recovery found, or 16 new random octets.
    pub journal: JournalId,
    /// Bytes of a segment file.
    pub segment_size: u64,
    /// How many segment files there may be.
    pub segments_max: usize,
    /// How many files without content are kept for the next openings; more are deleted.
    pub reusable_max: usize,
    /// Bytes of a block, and so of the largest batch.
    pub block_size: usize,
    /// A record is not left longer than this before its commit begins.
    pub commit_interval: Duration,
}

/// Why a configuration cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Blocks are whole pages, within bounds.
    #[error(
        "block size {found}: a multiple of {PAGE_SIZE} from {BLOCK_SIZE_MIN} to {BLOCK_SIZE_MAX}"
    )]
    BlockSize {
        /// Bytes that were asked for.
        found: usize,
    },
    /// Segments are whole pages and hold their header and a block.
    #[error("segment size {found}: a multiple of {PAGE_SIZE} from {least} to {SEGMENT_SIZE_MAX}")]
    SegmentSize {
        /// Bytes that were asked for.
        found: u64,
        /// Bytes that a segment has at least.
        least: u64,
    },
    /// One fills, one is open ahead, one waits for the tracks.
    #[error("{found} segments: at least {SEGMENTS_MIN}")]
    SegmentsMax {
        /// Files that were asked for.
        found: usize,
    },
}

impl WriterConfig {
    /// Whether a writer can work with this; what an operator sets has to pass here first.
    pub fn check(&self) -> Result<(), ConfigError> {
        let block_size = self.block_size;
        if !(BLOCK_SIZE_MIN..=BLOCK_SIZE_MAX).contains(&block_size)
            || !block_size.is_multiple_of(PAGE_SIZE)
        {
            return Err(ConfigError::BlockSize { found: block_size });
        }
        let least = (PAGE_SIZE + block_size) as u64;
        if !(least..=SEGMENT_SIZE_MAX).contains(&self.segment_size)
            || !self.segment_size.is_multiple_of(PAGE_SIZE as u64)
        {
            return Err(ConfigError::SegmentSize {
                found: self.segment_size,
                least,
            });
        }
        if self.segments_max < SEGMENTS_MIN {
            return Err(ConfigError::SegmentsMax {
                found: self.segments_max,
            });
        }
        Ok(())
    }
}

/// Where a writer begins: what recovery found, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The number of the first record to append.
    pub next: Lsn,
    /// All records below are safe in the tracks.
    pub checkpoint: Lsn,
    /// The number of the first segment to open.
    pub next_segment: SegmentNumber,
    /// All files that are there, whether their records are needed or not.
    pub segments: Vec<OldSegment>,
}

/// A segment file of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldSegment {
    /// The number in its name.
    pub number: SegmentNumber,
    /// The record after its last one: it has to stay until the checkpoint is there.
    pub end: Lsn,
    /// All records below were given a number, by what the file says.
    pub known: Lsn,
    /// Whether it may be used again; a damaged one is deleted instead.
    pub sound: bool,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Start {
    /// The start of a journal that never was.
    pub const fn fresh() -> Self {
        Self {
            next: Lsn::ZERO,
            checkpoint: Lsn::ZERO,
            next_segment: SegmentNumber(1),
            segments: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_layouts_are_refused_by_name() {
        let good = WriterConfig {
            shard: Shard(0),
            journal: JournalId([1; 16]),
            segment_size: 64 << 20,
            segments_max: 16,
            reusable_max: 4,
            block_size: 1 << 20,
            commit_interval: Duration::from_millis(200),
        };
        assert_eq!(good.check(), Ok(()));
        let block = |block_size| {
            WriterConfig {
                block_size,
                ..good.clone()
            }
            .check()
        };
        for found in [
            0,
            4096,
            BLOCK_SIZE_MIN - 1,
            BLOCK_SIZE_MIN + 1,
            BLOCK_SIZE_MAX + 4096,
        ] {
            assert_eq!(block(found), Err(ConfigError::BlockSize { found }));
        }
        let segment = |segment_size| {
            WriterConfig {
                segment_size,
                ..good.clone()
            }
            .check()
        };
        for found in [0, 1 << 20, (64 << 20) + 512, SEGMENT_SIZE_MAX + 4096] {
            let least = 4096 + (1 << 20);
            assert_eq!(
                segment(found),
                Err(ConfigError::SegmentSize { found, least })
            );
        }
        let files = WriterConfig {
            segments_max: 2,
            ..good
        }
        .check();
        assert_eq!(files, Err(ConfigError::SegmentsMax { found: 2 }));
    }
}
