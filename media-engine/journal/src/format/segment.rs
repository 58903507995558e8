//! Segment header: the first page of every segment file, little-endian.
//!
//! ```text
//!   0       8         12      16       24           40          48        56
//!   | magic | version | shard | number | journal id | first LSN | run LSN |
//!   56               64     72       76     4096
//!   | checkpoint LSN | size | crc32c | zero |
//! ```
//!
//! * *number*: this life of the file. Batches in it that carry another number are of an earlier
//!   life.
//! * *first LSN*: all records below were durable elsewhere when the segment was opened, so none in
//!   it has a lower one (it was opened ahead of need: its first record may have a higher one).
//! * *run LSN*: the first record of the writer that opened this segment, that is the end of what
//!   its recovery had seen. Records of earlier segments from there on were not seen then and their
//!   numbers were given again.
//! * *checkpoint LSN*: all records below were safe in the tracks when the segment was opened.
//!
//! Magic, version, and place and range of the checksum (the whole page, its own field taken as
//! zero) are the same in every version, so that a version from the future is told from a flipped
//! bit.

use super::bytes::{array, put, u32_at, u64_at};
use crate::ids::{JournalId, Lsn, SegmentNumber, Shard};
use crate::limits::{NUMBER_MAX, PAGE_SIZE, SEGMENT_SIZE_MAX};

/// The version of all formats in a segment that this build writes, and the highest it reads.
pub const VERSION: u32 = 1;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The shard whose journal it is.
    pub shard: Shard,
    /// Its number; the file name says the same.
    pub number: SegmentNumber,
    /// The journal it belongs to.
    pub journal: JournalId,
    /// All records below were durable when it was opened; no record in it has a lower number.
    pub first: Lsn,
    /// First record of the writer that opened it.
    pub run: Lsn,
    /// All records below were safe in the tracks when it was opened.
    pub checkpoint: Lsn,
    /// Bytes of the file.
    pub size: u64,
}

/// Why a page is not the header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// The file ends before the header does.
    #[error("the file is shorter than a segment header")]
    Short,
    /// It was preallocated and never opened.
    #[error("the header was never written")]
    Blank,
    /// Something else, or damage in the first bytes.
    #[error("no segment magic")]
    NotASegment,
    /// It is a header, but not as it was written.
    #[error("the checksum of the segment header is wrong")]
    Checksum,
    /// The operator must upgrade.
    #[error("format version {found}, this build reads up to {VERSION}")]
    TooNew {
        /// The version in the file.
        found: u32,
    },
    /// The checksum is right and the content cannot be.
    #[error("the segment header makes no sense")]
    Implausible,
}

impl SegmentHeader {
    /// Writes the header page.
    ///
    /// # Panics
    ///
    /// Where `page` is not [`PAGE_SIZE`] bytes.
    pub fn encode(&self, page: &mut [u8]) {
        assert_eq!(page.len(), PAGE_SIZE, "a segment header is one page");
        page.fill(0);
        put(page, MAGIC_AT, MAGIC);
        put(page, VERSION_AT, VERSION.to_le_bytes());
        put(page, SHARD_AT, u32::from(self.shard.0).to_le_bytes());
        put(page, NUMBER_AT, self.number.0.to_le_bytes());
        put(page, JOURNAL_AT, self.journal.0);
        put(page, FIRST_AT, self.first.0.to_le_bytes());
        put(page, RUN_AT, self.run.0.to_le_bytes());
        put(page, CHECKPOINT_AT, self.checkpoint.0.to_le_bytes());
        put(page, SIZE_AT, self.size.to_le_bytes());
        let crc = checksum(page);
        put(page, CRC_AT, crc.to_le_bytes());
    }

    /// Reads the header page.
    pub fn decode(page: &[u8]) -> Result<Self, SegmentHeaderError> {
        let page = page.get(..PAGE_SIZE).ok_or(SegmentHeaderError::Short)?;
        if page.iter().all(|&b| b == 0) {
            return Err(SegmentHeaderError::Blank);
        }
        if array(page, MAGIC_AT) != Some(MAGIC) {
            return Err(SegmentHeaderError::NotASegment);
        }
        if u32_at(page, CRC_AT) != Some(checksum(page)) {
            return Err(SegmentHeaderError::Checksum);
        }
        let found = u32_at(page, VERSION_AT).ok_or(SegmentHeaderError::Short)?;
        if found > VERSION {
            return Err(SegmentHeaderError::TooNew { found });
        }
        Self::fields(page)
            .filter(|header| found == VERSION && header.is_plausible())
            .ok_or(SegmentHeaderError::Implausible)
    }

    fn fields(page: &[u8]) -> Option<Self> {
        Some(Self {
            shard: Shard(u16::try_from(u32_at(page, SHARD_AT)?).ok()?),
            number: SegmentNumber(u64_at(page, NUMBER_AT)?),
            journal: JournalId(array(page, JOURNAL_AT)?),
            first: Lsn(u64_at(page, FIRST_AT)?),
            run: Lsn(u64_at(page, RUN_AT)?),
            checkpoint: Lsn(u64_at(page, CHECKPOINT_AT)?),
            size: u64_at(page, SIZE_AT)?,
        })
    }

    fn is_plausible(&self) -> bool {
        self.number.0 < NUMBER_MAX
            && self.first.0 < NUMBER_MAX
            && self.run <= self.first
            && self.checkpoint <= self.first
            && self.size > PAGE_SIZE as u64
            && self.size <= SEGMENT_SIZE_MAX
            && self.size.is_multiple_of(PAGE_SIZE as u64)
    }
}

fn checksum(page: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&page[..CRC_AT]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &page[CRC_AT + 4..])
}

/// Makes the checksum of a header page right, whatever is in it.
pub(crate) fn seal(page: &mut [u8]) {
    put(page, MAGIC_AT, MAGIC);
    let crc = checksum(page);
    put(page, CRC_AT, crc.to_le_bytes());
}

const MAGIC: [u8; 8] = *b"HFJRNSEG";
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 8;
const SHARD_AT: usize = 12;
const NUMBER_AT: usize = 16;
const JOURNAL_AT: usize = 24;
const FIRST_AT: usize = 40;
const RUN_AT: usize = 48;
const CHECKPOINT_AT: usize = 56;
const SIZE_AT: usize = 64;
const CRC_AT: usize = 72;
