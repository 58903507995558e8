//! Batch header: the first 64 bytes of every batch, little-endian. A batch begins on a page; its
//! records follow one another from byte 64, and zeros fill its last page.
//!
//! ```text
//!   0       4      8        16           32          40               48
//!   | magic | page | number | journal id | first LSN | checkpoint LSN |
//!   48             52            56            60       64
//!   | record count | byte length | uncommitted | crc32c |
//! ```
//!
//! * *page*: where in the segment it begins, in pages; one written elsewhere by mistake is not it.
//! * *number*, *journal id*: the life of the file that it was written for.
//! * *byte length*: header and records, without the zeros after them.
//! * *uncommitted*: how many records before *first LSN* were not known to be durable then. What
//!   lies below was, so damage there is no torn write.
//! * *crc32c*: over the bytes before it.

use super::bytes::{array, put, u32_at, u64_at};
use crate::ids::{JournalId, Lsn, SegmentNumber};
use crate::limits::{BLOCK_SIZE_MAX, NUMBER_MAX, PAGE_SIZE};

/// Bytes of the header.
pub const HEADER_SIZE: usize = 64;

/// What a batch says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Where in the segment it begins, in pages.
    pub page: u32,
    /// The segment it was written for.
    pub segment: SegmentNumber,
    /// The journal it was written for.
    pub journal: JournalId,
    /// Its first record.
    pub first: Lsn,
    /// All records below were safe in the tracks when it was written.
    pub checkpoint: Lsn,
    /// How many records it has.
    pub record_count: u32,
    /// Bytes of header and records.
    pub byte_length: u32,
    /// How many records before `first` were not known to be durable when it was written.
    pub uncommitted: u32,
}

impl BatchHeader {
    /// Writes the header into the first bytes of a block.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        put(block, MAGIC_AT, MAGIC);
        put(block, PAGE_AT, self.page.to_le_bytes());
        put(block, SEGMENT_AT, self.segment.0.to_le_bytes());
        put(block, JOURNAL_AT, self.journal.0);
        put(block, FIRST_AT, self.first.0.to_le_bytes());
        put(block, CHECKPOINT_AT, self.checkpoint.0.to_le_bytes());
        put(block, RECORD_COUNT_AT, self.record_count.to_le_bytes());
        put(block, BYTE_LENGTH_AT, self.byte_length.to_le_bytes());
        put(block, UNCOMMITTED_AT, self.uncommitted.to_le_bytes());
        seal(block);
    }

    /// Reads a header; `None` where there is none or it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if array(bytes, MAGIC_AT)? != MAGIC
            || u32_at(bytes, CRC_AT)? != crc32c::crc32c(bytes.get(..CRC_AT)?)
        {
            return None;
        }
        let header = Self {
            page: u32_at(bytes, PAGE_AT)?,
            segment: SegmentNumber(u64_at(bytes, SEGMENT_AT)?),
            journal: JournalId(array(bytes, JOURNAL_AT)?),
            first: Lsn(u64_at(bytes, FIRST_AT)?),
            checkpoint: Lsn(u64_at(bytes, CHECKPOINT_AT)?),
            record_count: u32_at(bytes, RECORD_COUNT_AT)?,
            byte_length: u32_at(bytes, BYTE_LENGTH_AT)?,
            uncommitted: u32_at(bytes, UNCOMMITTED_AT)?,
        };
        header.is_plausible().then_some(header)
    }

    /// The record after its last.
    pub const fn end(&self) -> Lsn {
        self.first.plus(self.record_count as u64)
    }

    /// All records below were durable when it was written.
    pub const fn committed(&self) -> Lsn {
        Lsn(self.first.0.saturating_sub(self.uncommitted as u64))
    }

    fn is_plausible(&self) -> bool {
        let length = self.byte_length as usize;
        let count = self.record_count as usize;
        self.first.0 < NUMBER_MAX
            && self.checkpoint <= self.committed()
            && count > 0
            && length <= BLOCK_SIZE_MAX
            && length
                .checked_sub(HEADER_SIZE)
                .is_some_and(|records| records / super::record::HEADER_SIZE >= count)
    }
}

/// Bytes that a batch takes in its segment: whole pages.
pub const fn padded(byte_length: usize) -> usize {
    byte_length.next_multiple_of(PAGE_SIZE)
}

/// Makes the checksum of a header right, whatever is in it.
pub(crate) fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    put(bytes, CRC_AT, crc.to_le_bytes());
}

/// Whether these bytes begin as a batch header does.
pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

const MAGIC: [u8; 4] = *b"HJB1";
const MAGIC_AT: usize = 0;
const PAGE_AT: usize = 4;
const SEGMENT_AT: usize = 8;
const JOURNAL_AT: usize = 16;
const FIRST_AT: usize = 32;
const CHECKPOINT_AT: usize = 40;
const RECORD_COUNT_AT: usize = 48;
const BYTE_LENGTH_AT: usize = 52;
const UNCOMMITTED_AT: usize = 56;
const CRC_AT: usize = 60;
const _: () = assert!(CRC_AT + size_of::<u32>() == HEADER_SIZE);
