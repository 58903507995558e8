//! What recovery says about a file that is not as it was written.

use std::fmt;
use std::io;

use crate::ids::{LsnRange, SegmentNumber, Shard};

/// Something that is damaged, missing, or does not belong here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What it is.
    pub kind: FindingKind,
    /// Records that were there and are not recovered, as far as their numbers are known.
    pub lost: Option<LsnRange>,
}

/// What a finding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A write that was not finished, as a power cut leaves it. Nothing in it was committed.
    Torn,
    /// Bytes that were durable and are not as they were written.
    BitFlip,
    /// The file is shorter than it was made.
    Truncated {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// Segments that are needed are not there.
    MissingSegment {
        /// The first that is not there; of those before the oldest, only the last is known.
        first: SegmentNumber,
        /// The last that is not there.
        last: SegmentNumber,
    },
    /// The file is not of this journal. It is left alone.
    Foreign(ForeignReason),
    /// What is left of an earlier life of the file. All is well.
    StaleTail,
    /// The disk does not give these bytes.
    Unreadable {
        /// What the system said.
        error: io::ErrorKind,
    },
}

/// Why a file is not of this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignReason {
    /// Its name is not that of a segment.
    Name,
    /// It is of another shard.
    OtherShard(Shard),
    /// It is of another journal.
    OtherJournal,
    /// It has the name of a segment, and is none.
    NotASegment,
    /// Another file has the same number, and its name too.
    Duplicate(SegmentNumber),
}

impl FindingKind {
    /// Whether this may be after a power cut on a disk without a fault.
    pub const fn is_harmless(&self) -> bool {
        match self {
            Self::Torn | Self::StaleTail => true,
            Self::BitFlip
            | Self::Truncated { .. }
            | Self::MissingSegment { .. }
            | Self::Foreign(_)
            | Self::Unreadable { .. } => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.file, self.offset, self.kind)?;
        match self.lost {
            Some(range) => write!(f, "; records {range} are lost"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn => f.write_str("torn write"),
            Self::BitFlip => f.write_str("flipped bits"),
            Self::Truncated { expected, found } => {
                write!(f, "truncated to {found} of {expected} bytes")
            }
            Self::MissingSegment { first, last } if first == last => {
                write!(f, "segment {first} is missing")
            }
            Self::MissingSegment { first, last } => {
                write!(f, "segments {first} to {last} are missing")
            }
            Self::Foreign(reason) => write!(f, "foreign: {reason}"),
            Self::StaleTail => f.write_str("rest of an earlier life of the file"),
            Self::Unreadable { error } => write!(f, "unreadable: {error}"),
        }
    }
}

impl fmt::Display for ForeignReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("not the name of a segment"),
            Self::OtherShard(shard) => write!(f, "of shard {}", shard.0),
            Self::OtherJournal => f.write_str("of another journal"),
            Self::NotASegment => f.write_str("not a segment"),
            Self::Duplicate(number) => write!(f, "a second file of segment {number}"),
        }
    }
}
