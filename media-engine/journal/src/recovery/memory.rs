//! Records in blocks of memory that outlived their writer: appended, and not known to be on the disk.
//!
//! A block begins with the room for a batch header, its records follow one another; what lies behind
//! the last one is of an earlier filling. The checksum of a record is made for the segment that the
//! block was most likely to go to, so a few numbers are tried.

use std::ops::RangeInclusive;

use crate::format::batch::HEADER_SIZE;
use crate::format::record::{self, RecordRef, encoded_size};
use crate::ids::{JournalId, Lsn, SegmentNumber};

/// The intact records of these blocks, in the order of their numbers. `near` is any record's number
/// of the same time.
pub fn records_in_memory<'a>(
    journal: JournalId,
    segments: RangeInclusive<SegmentNumber>,
    near: Lsn,
    blocks: impl Iterator<Item = &'a [u8]>,
) -> Vec<RecordRef<'a>> {
    let mut records = Vec::new();
    for block in blocks {
        let first = block.get(HEADER_SIZE..).unwrap_or_default();
        let key = |number| record::Key::new(journal, SegmentNumber(number));
        let keys = (segments.start().0..=segments.end().0).map(key);
        let Some((mut found, key)) = keys
            .filter_map(|key| Some((read(key, near, first)?, key)))
            .next()
        else {
            continue;
        };
        let mut rest = first;
        loop {
            records.push(found);
            rest = rest
                .get(encoded_size(found.payload.len())..)
                .unwrap_or_default();
            let next = found.lsn.plus(1);
            match read(key, next, rest).filter(|record| record.lsn == next) {
                Some(record) => found = record,
                None => break,
            }
        }
    }
    records.sort_unstable_by_key(|record| record.lsn);
    records.dedup_by_key(|record| record.lsn);
    records
}

fn read(key: record::Key, near: Lsn, bytes: &[u8]) -> Option<RecordRef<'_>> {
    let (size, lsn) = record::peek(bytes, near)?;
    let bytes = bytes.get(..size)?;
    record::is_intact(key, bytes).then(|| record::view(bytes, lsn))?
}
