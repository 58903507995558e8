//! Record: 32 bytes of header, then the payload, then zeros up to a multiple of 8; little-endian.
//!
//! ```text
//!   0        4        7      8             13      14       16       24        32
//!   | crc32c | length | kind | LSN, low 40 | flags | source | stream | arrival | payload
//! ```
//!
//! * *crc32c*: over all that follows up to the end of the payload, begun with the checksum of the
//!   journal's id, and masked (exclusive or) with the low 32 bits of the segment's number times
//!   0x9E3779B1. Nobody who does not know the id can write a payload that passes for a record; and
//!   what an earlier life of the file left is no record in this one, whatever its number.
//! * *length*: of the payload, without the zeros.
//! * *LSN*: the low 40 bits; the batch, or what was read before, gives the others. A trillion
//!   records lie between two with the same ones, where a segment holds a few million.
//! * *arrival*: nanoseconds since 1970.
//!
//! *kind*, *flags*, *source* and the payload are the caller's.

use holdfast_units::{StreamId, WallTime};

use super::bytes::{put, u32_at, u64_at};
use crate::ids::{JournalId, Lsn, SegmentNumber};
use crate::limits::PAYLOAD_MAX;

/// Bytes of the header.
pub const HEADER_SIZE: usize = 32;

/// What the caller says about a record beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What the payload is; the caller's own numbers.
    pub kind: u8,
    /// Free for the caller.
    pub flags: u8,
    /// Free for the caller, such as the number of a source address.
    pub source: u16,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// When it arrived.
    pub arrival: WallTime,
}

/// A record as it lies in a block or a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// What the payload is; the caller's own numbers.
    pub kind: u8,
    /// Free for the caller.
    pub flags: u8,
    /// Free for the caller.
    pub source: u16,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// When it arrived.
    pub arrival: WallTime,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Bytes that a record with this much payload takes.
pub const fn encoded_size(payload_len: usize) -> usize {
    (HEADER_SIZE + payload_len).next_multiple_of(ALIGN)
}

/// What makes the checksum of a record one of this journal and this segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    seed: u32,
    mask: u32,
}

impl Key {
    pub(crate) fn new(journal: JournalId, segment: SegmentNumber) -> Self {
        Self {
            seed: crc32c::crc32c(&journal.0),
            mask: mask(segment),
        }
    }

    /// The same journal, another segment.
    pub(crate) const fn of(self, segment: SegmentNumber) -> Self {
        Self {
            mask: mask(segment),
            ..self
        }
    }

    #[inline]
    fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed, bytes) ^ self.mask
    }
}

/// The multiplier is odd, so two numbers have one mask only where 2^32 segments lie between them.
const fn mask(segment: SegmentNumber) -> u32 {
    (segment.0 as u32).wrapping_mul(0x9e37_79b1)
}

/// Writes a record into `room`, which is exactly as long as it takes.
#[inline]
pub(crate) fn encode(key: Key, lsn: Lsn, record: &NewRecord, parts: &[&[u8]], room: &mut [u8]) {
    let mut end = HEADER_SIZE;
    for part in parts {
        room[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    let length = (end - HEADER_SIZE) as u32;
    let word = lsn.low() | u64::from(record.flags) << 40 | u64::from(record.source) << 48;
    put(
        room,
        LENGTH_AT,
        (length | u32::from(record.kind) << 24).to_le_bytes(),
    );
    put(room, LSN_AT, word.to_le_bytes());
    put(room, STREAM_AT, record.stream.0.to_le_bytes());
    put(room, ARRIVAL_AT, record.arrival.0.to_le_bytes());
    let crc = key.checksum(&room[LENGTH_AT..end]);
    put(room, CRC_AT, crc.to_le_bytes());
    room[end..].fill(0);
}

/// Bytes of header and payload by what the header says, and the number nearest to `reference`;
/// `None` where this cannot be a header. The checksum is not looked at.
#[inline]
pub(crate) fn peek(header: &[u8], reference: Lsn) -> Option<(usize, Lsn)> {
    let length = payload_len(header)?;
    let lsn = reference.nearest(u64_at(header, LSN_AT)? & LSN_MASK)?;
    Some((HEADER_SIZE + length, lsn))
}

/// Bytes of payload by what the header says; `None` where this cannot be a header.
#[inline]
pub(crate) fn payload_len(header: &[u8]) -> Option<usize> {
    let length = (u32_at(header, LENGTH_AT)? & LENGTH_MASK) as usize;
    (length <= PAYLOAD_MAX).then_some(length)
}

/// Whether header and payload are as they were written.
pub(crate) fn is_intact(key: Key, record: &[u8]) -> bool {
    let crc = record.get(LENGTH_AT..).map(|rest| key.checksum(rest));
    crc.is_some() && u32_at(record, CRC_AT) == crc
}

/// The record whose header and payload these bytes are.
pub(crate) fn view(record: &[u8], lsn: Lsn) -> Option<RecordRef<'_>> {
    let word = u64_at(record, LSN_AT)?;
    Some(RecordRef {
        lsn,
        kind: (u32_at(record, LENGTH_AT)? >> 24) as u8,
        flags: (word >> 40) as u8,
        source: (word >> 48) as u16,
        stream: StreamId(u64_at(record, STREAM_AT)?),
        arrival: WallTime(u64_at(record, ARRIVAL_AT)?),
        payload: record.get(HEADER_SIZE..)?,
    })
}

/// Turns records that follow one another, and are intact, from one segment's into another's.
pub(crate) fn rekey(from: Key, to: Key, mut records: &mut [u8]) {
    while let Some(length) = payload_len(records) {
        let crc = u32_at(records, CRC_AT).expect("a header was just read");
        put(records, CRC_AT, (crc ^ from.mask ^ to.mask).to_le_bytes());
        records = &mut records[encoded_size(length)..];
    }
}

/// Makes the checksum of a record right, whatever is in it.
pub(crate) fn seal(key: Key, record: &mut [u8]) {
    let crc = key.checksum(&record[LENGTH_AT..]);
    put(record, CRC_AT, crc.to_le_bytes());
}

/// Every record begins at a multiple of this.
pub(crate) const ALIGN: usize = 8;
const CRC_AT: usize = 0;
const LENGTH_AT: usize = 4;
const LSN_AT: usize = 8;
const STREAM_AT: usize = 16;
const ARRIVAL_AT: usize = 24;
const LENGTH_MASK: u32 = 0x00ff_ffff;
const LSN_MASK: u64 = 0x00ff_ffff_ffff;
const _: () = assert!(ARRIVAL_AT + size_of::<u64>() == HEADER_SIZE);
