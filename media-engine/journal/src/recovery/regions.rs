//! What a segment is made of: batches that say they are of its present life, and what lies
//! between them.

use super::{ReadAt, Recovery};
use crate::format::batch::{self, BatchHeader, HEADER_SIZE, padded};
use crate::ids::SegmentNumber;
use crate::limits::PAGE_SIZE;

/// A stretch of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Region {
    /// A batch of this life of the file, by its header; its records are not looked at.
    Batch(BatchHeader),
    /// No such batch up to `end`, where `next` begins if there is one. `dirty` is the first page
    /// in it that is not zero.
    Hole {
        end: u64,
        next: Option<BatchHeader>,
        dirty: Option<u64>,
    },
}

impl<R: ReadAt> Recovery<R> {
    /// The region that begins at `offset`; `None` at the end of the file.
    pub(super) fn region(&mut self, index: usize, offset: u64) -> Option<Region> {
        let size = self.segments[index].size;
        if offset.saturating_add(HEADER_SIZE as u64) > size {
            return None;
        }
        if let Some(header) = self.batch_at(index, offset) {
            return Some(Region::Batch(header));
        }
        let (mut at, mut dirty) = (offset, None);
        loop {
            let page = self.read(index, at, PAGE_SIZE);
            if dirty.is_none() && page != &ZEROS[..page.len()] {
                dirty = Some(at);
            }
            at += PAGE_SIZE as u64;
            if at + HEADER_SIZE as u64 > size {
                return Some(Region::Hole {
                    end: size,
                    next: None,
                    dirty,
                });
            }
            if let Some(header) = self.batch_at(index, at) {
                return Some(Region::Hole {
                    end: at,
                    next: Some(header),
                    dirty,
                });
            }
        }
    }

    fn batch_at(&mut self, index: usize, offset: u64) -> Option<BatchHeader> {
        let (journal, number) = (self.journal?, self.segments[index].number);
        let header = decode_at(self.read(index, offset, HEADER_SIZE), number, offset)?;
        (header.journal == journal).then_some(header)
    }
}

/// The header of a batch that was written for this segment and this place in it.
pub(super) fn decode_at(bytes: &[u8], number: SegmentNumber, offset: u64) -> Option<BatchHeader> {
    if !batch::has_magic(bytes) {
        return None;
    }
    let header = BatchHeader::decode(bytes)?;
    let is_here = u64::from(header.page) * PAGE_SIZE as u64 == offset;
    (is_here && header.segment == number).then_some(header)
}

/// Where the region after a batch at `offset` begins.
pub(super) fn after(offset: u64, header: &BatchHeader) -> u64 {
    offset.saturating_add(padded(header.byte_length as usize) as u64)
}

static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
