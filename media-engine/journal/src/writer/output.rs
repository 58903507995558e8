//! What a writer asks for and says.

use std::io;

use holdfast_units::MonoTime;

use crate::format::segment::SegmentHeader;
use crate::ids::{Lsn, LsnRange, SegmentNumber, Ticket};

/// What the shell has to do. Each is reported back once, by its ticket.
#[derive(Debug)]
pub enum Output<B> {
    /// Make the file of this number ready: rename that of `reuse`, or create it; preallocate it to
    /// `header.size`; write `header` at 0; sync the file, then its folder.
    OpenSegment {
        /// For the completion, which brings no block.
        ticket: Ticket,
        /// The number of the new segment.
        number: SegmentNumber,
        /// The number of a file that is no longer needed.
        reuse: Option<SegmentNumber>,
        /// Its first page.
        header: SegmentHeader,
    },
    /// Write the first `len` bytes of the block.
    Write {
        /// For the completion, which brings the block back, also where it failed.
        ticket: Ticket,
        /// Which segment.
        segment: SegmentNumber,
        /// Where in the file, in bytes; a multiple of a page.
        offset: u64,
        /// What to write.
        block: B,
        /// How much of it; a multiple of a page.
        len: usize,
    },
    /// Make all completed writes of this segment durable.
    Sync {
        /// For the completion, which brings no block.
        ticket: Ticket,
        /// Which segment.
        segment: SegmentNumber,
    },
    /// Remove this file; it is well if there is none.
    DeleteSegment {
        /// For the completion, which brings no block.
        ticket: Ticket,
        /// The number in its name.
        number: SegmentNumber,
    },
}

/// What a ticket stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Open { number: SegmentNumber },
    Write { segment: SegmentNumber, first: Lsn },
    Sync { segment: SegmentNumber },
    Delete { number: SegmentNumber },
}

/// Why something that was asked for could not be done.
#[derive(Debug)]
pub struct Failure<B> {
    /// The block of a write that failed.
    pub block: Option<B>,
    /// What the system said.
    pub error: io::ErrorKind,
}

/// Which request to the disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writing a batch.
    Write,
    /// Making batches durable.
    Sync,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A segment takes no more; what is not committed is written again, to another one.
    SegmentFailed {
        /// Which one.
        segment: SegmentNumber,
        /// What was asked of it.
        operation: Operation,
        /// What the system said.
        error: io::ErrorKind,
        /// The records that are not committed.
        records: LsnRange,
    },
    /// A segment could not be opened; another one is tried after a while.
    OpenFailed {
        /// Which one.
        segment: SegmentNumber,
        /// What the system said.
        error: io::ErrorKind,
    },
    /// A file could not be removed; it stays until the next start.
    DeleteFailed {
        /// Which one.
        segment: SegmentNumber,
        /// What the system said.
        error: io::ErrorKind,
    },
    /// Too many failures in a row: nothing more is taken until a commit succeeds, which is tried
    /// ever more rarely.
    Failed {
        /// The records that are not committed; they wait in their blocks.
        records: LsnRange,
    },
    /// The disk is back: what waited is durable, and records are taken again.
    Recovered {
        /// All records below are durable.
        committed: Lsn,
    },
}

impl Event {
    /// Whether something was asked of the disk that it did not do.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::SegmentFailed { .. } | Self::OpenFailed { .. } | Self::DeleteFailed { .. } => {
                true
            }
            Self::Failed { .. } | Self::Recovered { .. } => false,
        }
    }
}

/// A record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal takes no record: {reason}")]
pub struct Full {
    /// Why, and so what helps.
    pub reason: FullReason,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FullReason {
    /// The disk is slower than the packets: wait for completions, or offer more blocks.
    #[error("no empty block")]
    NoBlock,
    /// The tracks are behind, or no file can be opened: wait for a checkpoint.
    #[error("no segment")]
    NoSegment,
    /// The payload is above the maximum and never fits.
    #[error("payload too large")]
    TooLarge,
    /// The disk failed too often; see [`Event::Failed`] and [`Event::Recovered`].
    #[error("the disk fails")]
    Failed,
}

/// When something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: MonoTime,
    /// What for.
    pub reason: TimerReason,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerReason {
    /// Records wait for their commit.
    CommitInterval,
    /// A segment could not be opened and is tried again.
    RetryOpen,
    /// The disk failed too often and is tried again.
    RetryWrite,
}

/// How full a journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Files whose records are still needed, with the one that fills.
    pub segments_used: usize,
    /// Files there are, with those open ahead or kept for reuse.
    pub segment_files: usize,
    /// Files there may be.
    pub segments_max: usize,
    /// Bytes of the segments used that are taken.
    pub bytes: u64,
    /// Bytes of batches that are not committed.
    pub uncommitted_bytes: u64,
    /// Records that are not committed.
    pub uncommitted_records: u64,
    /// The oldest record that is still needed: the checkpoint.
    pub oldest_lsn: Lsn,
    /// Blocks ready to be filled.
    pub blocks_empty: usize,
}
