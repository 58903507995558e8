//! A block on its way: filling, sealed, in flight, written, committed.

use holdfast_prefetch::prefetch_octets;

use crate::format::batch::{HEADER_SIZE, padded};
use crate::format::record::{self, RecordRef, encoded_size};
use crate::ids::{Lsn, LsnRange, SegmentNumber};

/// The block that records are appended to.
#[derive(Debug)]
pub(super) struct Filling<B> {
    block: B,
    pub(super) first: Lsn,
    /// Bytes so far, with the room for the header.
    pub(super) length: usize,
    /// The segment that it most likely goes to, which the checksums are made for.
    pub(super) keyed_for: SegmentNumber,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Filling<B> {
    pub(super) fn new(block: B, first: Lsn, keyed_for: SegmentNumber) -> Self {
        Self {
            block,
            first,
            length: HEADER_SIZE,
            keyed_for,
        }
    }

    /// Whether a record of this size still has room in a block of `capacity` bytes.
    pub(super) fn fits(&self, size: usize, capacity: usize) -> bool {
        self.length + size <= capacity
    }

    /// Takes the room for one more record.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        let from = self.length;
        self.length += size;
        &mut self.block.as_mut()[from..from + size]
    }

    /// Ends it before `end`, with zeros up to the end of its last page.
    pub(super) fn seal(mut self, end: Lsn) -> Batch<B> {
        assert!(end > self.first, "a batch has records");
        self.block.as_mut()[self.length..padded(self.length)].fill(0);
        Batch {
            block: Some(self.block),
            first: self.first,
            count: u32::try_from(end.since(self.first)).expect("a block holds fewer records"),
            length: self.length,
            segment: self.keyed_for,
            checkpoint: Lsn::ZERO,
            state: BatchState::Sealed,
        }
    }
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchState {
    /// Waiting for a place in a segment.
    Sealed,
    /// The shell has its block.
    InFlight,
    /// Written, not known to be durable.
    Written,
}

/// A block that takes no more records.
#[derive(Debug)]
pub(super) struct Batch<B> {
    /// Away while it is in flight.
    pub(super) block: Option<B>,
    pub(super) first: Lsn,
    pub(super) count: u32,
    /// Bytes of header and records.
    pub(super) length: usize,
    /// Where it was placed, or will be unless that is full, and the checkpoint it carries there.
    pub(super) segment: SegmentNumber,
    pub(super) checkpoint: Lsn,
    pub(super) state: BatchState,
}

impl<B> Batch<B> {
    pub(super) const fn end(&self) -> Lsn {
        self.first.plus(self.count as u64)
    }

    /// Bytes that it takes in a segment.
    pub(super) const fn size(&self) -> usize {
        padded(self.length)
    }

    pub(super) fn into_committed(self) -> Committed<B> {
        Committed {
            records: LsnRange {
                first: self.first,
                end: self.end(),
            },
            length: self.length,
            block: self.block.expect("a written batch has its block"),
        }
    }
}

/// A batch that is durable, with the block that its records are in.
#[derive(Debug)]
pub struct Committed<B> {
    block: B,
    records: LsnRange,
    length: usize,
}

impl<B: AsRef<[u8]>> Committed<B> {
    /// Which records it has.
    pub const fn range(&self) -> LsnRange {
        self.records
    }

    /// Its records in order.
    pub fn records(&self) -> Records<'_> {
        Records {
            bytes: &self.block.as_ref()[HEADER_SIZE..self.length],
            next: self.records.first,
            end: self.records.end,
            offset: HEADER_SIZE,
        }
    }

    /// The record that begins at an offset which [`Records::offset`] gave.
    ///
    /// # Panics
    ///
    /// Where none begins there.
    #[inline]
    pub fn record_at(&self, offset: usize) -> RecordRef<'_> {
        let bytes = &self.block.as_ref()[offset..self.length];
        let (size, lsn) = record::peek(bytes, self.records.first).expect("a record of ours");
        record::view(&bytes[..size], lsn).expect("a record of ours")
    }

    /// Asks the memory for an ordinary record that begins at this offset.
    #[inline]
    pub fn prefetch(&self, offset: usize) {
        prefetch_octets(self.block.as_ref(), offset, USUAL_SIZE);
    }

    /// The block, to be offered again.
    pub fn into_block(self) -> B {
        self.block
    }
}

/// Octets of the record of a usual packet: 20 ms of G.711.
const USUAL_SIZE: usize = 216;

/// Records of a block, in order.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    next: Lsn,
    end: Lsn,
    offset: usize,
}

impl Records<'_> {
    /// Where in its batch the next record begins.
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        if self.next >= self.end {
            return None;
        }
        // These bytes never left memory that we own: what they say was written by us.
        let (size, lsn) = record::peek(self.bytes, self.next).expect("a record of ours");
        assert_eq!(lsn, self.next, "records of a block count up");
        let record = record::view(&self.bytes[..size], lsn).expect("a record of ours");
        let room = encoded_size(size - record::HEADER_SIZE);
        self.bytes = &self.bytes[room..];
        self.offset += room;
        self.next = lsn.plus(1);
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.since(self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Records<'_> {}
