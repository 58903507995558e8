//! The second pass: records.
//!
//! ```text
//!   Enter ──needed──▶ Regions ──batch or hole──▶ Stretch ──▶ (records) ──▶ Regions
//!     ▲ │ not needed     │ end of the segment
//!     └─┴────────────────┘          … after the last segment: Done
//! ```
//!
//! Records come in the order of their numbers because segments do, and because each segment is
//! heard only up to its cap.

use super::finding::FindingKind;
use super::regions::{Region, after};
use super::{ReadAt, Recovery};
use crate::format::batch::{BatchHeader, HEADER_SIZE as BATCH_HEADER};
use crate::format::name::segment_name;
use crate::format::record::{self, ALIGN, HEADER_SIZE as RECORD_HEADER};
use crate::ids::{Lsn, LsnRange, SegmentNumber};
use crate::limits::{PAGE_SIZE, SECTOR_SIZE};
use crate::recovery::Finding;

/// How far the replay has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Before a segment.
    Enter { index: usize },
    /// Before a region of a segment.
    Regions { index: usize, offset: u64 },
    /// Among records.
    Stretch(Stretch),
    /// After the last segment.
    Done,
}

/// A run of bytes in which records are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    index: usize,
    /// The next place where a record may begin.
    at: u64,
    /// Records end here; their damage reaches up to the end of the page.
    end: u64,
    damage_end: u64,
    /// The next record is not below `next`, and is below `upper`.
    next: Lsn,
    upper: Lsn,
    /// Where no record was found since the last one.
    bad_from: Option<u64>,
    from: From,
}

/// What a stretch is.
#[derive(Clone, Copy, Debug)]
enum From {
    /// A batch: it has all records up to `upper`.
    Batch,
    /// A hole before a batch: it had all records up to `upper`.
    Hole,
    /// The rest of a segment: what it had is not known. `dirty` is where it is not zero; `empty`
    /// says that no record was found yet.
    Tail { dirty: Option<u64>, empty: bool },
}

/// A record that is intact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) offset: u64,
    /// Bytes of header and payload.
    pub(super) size: usize,
    pub(super) lsn: Lsn,
}

impl<R: ReadAt> Recovery<R> {
    /// The next record that is to be yielded.
    pub(super) fn advance(&mut self) -> Option<Found> {
        loop {
            match self.place {
                Place::Done => return None,
                Place::Enter { index } => self.enter(index),
                Place::Regions { index, offset } => self.begin_region(index, offset),
                Place::Stretch(stretch) => {
                    let found = self.step(stretch);
                    if found.is_some() {
                        return found;
                    }
                }
            }
        }
    }

    fn enter(&mut self, index: usize) {
        let Some(segment) = self.segments.get(index) else {
            self.place = Place::Done;
            return;
        };
        let cap = segment.cap;
        // What was durable when it was opened is in segments before it.
        if let Some(opened) = segment.opened {
            self.note_gap_before(index, opened.first, true);
        }
        self.place = if cap <= self.expected {
            Place::Enter { index: index + 1 }
        } else {
            Place::Regions {
                index,
                offset: PAGE_SIZE as u64,
            }
        };
    }

    fn begin_region(&mut self, index: usize, offset: u64) {
        match self.region(index, offset) {
            None => self.place = Place::Enter { index: index + 1 },
            Some(Region::Batch(header)) => self.begin_batch(index, offset, &header),
            Some(Region::Hole {
                end,
                next: Some(next),
                ..
            }) => {
                let upper = next.first.min(self.segments[index].cap);
                self.begin_hole(index, offset, end, upper, From::Hole);
            }
            Some(Region::Hole {
                end,
                next: None,
                dirty,
            }) => {
                // No batch says how many records there may be: as many as have room.
                let room = (end - offset) / RECORD_HEADER as u64;
                let upper = self.expected.plus(room).min(self.segments[index].cap);
                self.begin_hole(index, offset, end, upper, From::Tail { dirty, empty: true });
            }
        }
    }

    fn begin_batch(&mut self, index: usize, offset: u64, header: &BatchHeader) {
        let segment = &self.segments[index];
        let resume = after(offset, header);
        let upper = header.end().min(segment.cap);
        if header.first >= segment.cap {
            self.place = Place::Enter { index: index + 1 };
            return;
        }
        if upper <= self.expected {
            self.place = Place::Regions {
                index,
                offset: resume,
            };
            return;
        }
        let (size, durable) = (segment.size, self.is_durable(index, self.expected));
        if offset == PAGE_SIZE as u64 {
            self.note_gap_before(index, header.first, durable);
        } else if header.first > self.expected {
            let lost = LsnRange {
                first: self.expected,
                end: header.first,
            };
            self.note_loss(index, offset, offset, lost, durable);
        }
        self.place = Place::Stretch(Stretch {
            index,
            at: offset + BATCH_HEADER as u64,
            end: offset
                .saturating_add(u64::from(header.byte_length))
                .min(size),
            damage_end: resume.min(size),
            next: header.first,
            upper,
            bad_from: None,
            from: From::Batch,
        });
    }

    fn begin_hole(&mut self, index: usize, offset: u64, end: u64, upper: Lsn, from: From) {
        let first = self.segments[index]
            .opened
            .map_or(Lsn::ZERO, |opened| opened.first);
        self.place = Place::Stretch(Stretch {
            index,
            at: offset,
            end,
            damage_end: end,
            next: self.expected.max(first),
            upper,
            bad_from: Some(offset),
            from,
        });
    }

    /// Looks for the next record of a stretch, or ends it.
    fn step(&mut self, mut stretch: Stretch) -> Option<Found> {
        while stretch.next < stretch.upper {
            let Some((size, lsn)) = self.record_at(&stretch) else {
                if stretch.at + RECORD_HEADER as u64 > stretch.end {
                    break;
                }
                stretch.bad_from.get_or_insert(stretch.at);
                stretch.at += self.barren(&stretch);
                continue;
            };
            let (index, offset) = (stretch.index, stretch.at);
            self.note_resync(&mut stretch, lsn);
            stretch.next = lsn.plus(1);
            stretch.at += record::encoded_size(size - RECORD_HEADER) as u64;
            if lsn >= self.expected {
                self.expected = stretch.next;
                let segment = &mut self.segments[index];
                segment.end = segment.end.max(stretch.next);
                self.place = Place::Stretch(stretch);
                return Some(Found {
                    index,
                    offset,
                    size,
                    lsn,
                });
            }
        }
        self.end_stretch(&stretch);
        None
    }

    /// The record at the place of a stretch: bytes of header and payload, and its number.
    fn record_at(&mut self, stretch: &Stretch) -> Option<(usize, Lsn)> {
        let header = self.read(stretch.index, stretch.at, RECORD_HEADER);
        let (size, lsn) = record::peek(header, stretch.next)?;
        let fits = stretch.at.checked_add(size as u64)? <= stretch.end;
        if !fits || lsn < stretch.next || lsn >= stretch.upper {
            return None;
        }
        let key = self.segments[stretch.index].key;
        let bytes = self.read(stretch.index, stretch.at, size);
        (bytes.len() == size && record::is_intact(key, bytes)).then_some((size, lsn))
    }

    /// Bytes from the place of a stretch on, at least one step, where no record begins: what is
    /// not even like a header is passed over here, without a look at checksums.
    fn barren(&mut self, stretch: &Stretch) -> u64 {
        let Stretch {
            index,
            at,
            end,
            next,
            upper,
            ..
        } = *stretch;
        let len = (end - at).min((2 * PAGE_SIZE) as u64) as usize;
        let bytes = self.read(index, at, len);
        if bytes == &ZEROS[..bytes.len()] {
            return ((bytes.len() - RECORD_HEADER) / ALIGN * ALIGN).max(ALIGN) as u64;
        }
        let is_like = |header: &[u8]| {
            record::peek(header, next).is_some_and(|(_, lsn)| lsn >= next && lsn < upper)
        };
        let mut step = ALIGN;
        while bytes
            .get(step..step + RECORD_HEADER)
            .is_some_and(|header| !is_like(header))
        {
            step += ALIGN;
        }
        step as u64
    }

    /// A record was found: what lies before it, back to the last one, is damaged.
    fn note_resync(&mut self, stretch: &mut Stretch, lsn: Lsn) {
        let bad_from = stretch.bad_from.take();
        let first = stretch.next.max(self.expected);
        if first < lsn {
            let lost = LsnRange { first, end: lsn };
            let durable = self.is_durable(stretch.index, first);
            self.note_loss(
                stretch.index,
                bad_from.unwrap_or(stretch.at),
                stretch.at,
                lost,
                durable,
            );
        } else if let (From::Hole | From::Tail { .. }, Some(offset)) = (stretch.from, bad_from) {
            // A record outside of a batch: the header of its batch is damaged.
            let durable = self.is_durable(stretch.index, lsn);
            let kind = self.damage(stretch.index, offset, stretch.at, durable);
            self.report(self.segments[stretch.index].file, offset, kind, None);
        }
        if let From::Tail { empty, .. } = &mut stretch.from {
            *empty = false;
        }
    }

    fn end_stretch(&mut self, stretch: &Stretch) {
        let index = stretch.index;
        match stretch.from {
            From::Batch | From::Hole => {
                let first = stretch.next.max(self.expected);
                if first < stretch.upper {
                    let lost = LsnRange {
                        first,
                        end: stretch.upper,
                    };
                    let offset = stretch
                        .bad_from
                        .unwrap_or(stretch.at)
                        .min(stretch.damage_end);
                    let durable = self.is_durable(index, first);
                    self.note_loss(index, offset, stretch.damage_end, lost, durable);
                }
                self.expected = self.expected.max(stretch.upper);
            }
            From::Tail {
                dirty: Some(offset),
                empty: true,
            } => {
                self.report(
                    self.segments[index].file,
                    offset,
                    FindingKind::StaleTail,
                    None,
                );
            }
            From::Tail { .. } => {}
        }
        self.place = Place::Regions {
            index,
            offset: stretch.damage_end,
        };
    }

    /// Records up to `to` should have come before this segment.
    fn note_gap_before(&mut self, index: usize, to: Lsn, durable: bool) {
        if to <= self.expected {
            return;
        }
        let lost = LsnRange {
            first: self.expected,
            end: to,
        };
        let number = self.segments[index].number;
        let before = index
            .checked_sub(1)
            .map(|before| (before, self.segments[before].number));
        let first = before.map_or(number.0.saturating_sub(1), |(_, number)| number.0 + 1);
        match before {
            Some((before, _)) if first >= number.0 || !durable => {
                let (tail, size) = (self.segments[before].tail, self.segments[before].size);
                self.note_loss(before, tail, size, lost, durable);
            }
            // Nothing that was committed is missing, and no file is there to be at fault.
            None if !durable => {
                self.note_loss(index, PAGE_SIZE as u64, PAGE_SIZE as u64, lost, false)
            }
            Some(_) | None => {
                let first = SegmentNumber(first);
                let last = SegmentNumber(number.0.saturating_sub(1));
                self.push(Finding {
                    file: segment_name(self.settings.shard, first),
                    offset: 0,
                    kind: FindingKind::MissingSegment { first, last },
                    lost: Some(lost),
                });
                self.expected = to;
            }
        }
    }

    /// Records are lost in a segment, by damage from `offset` to `end`.
    fn note_loss(&mut self, index: usize, offset: u64, end: u64, lost: LsnRange, durable: bool) {
        let kind = self.damage(index, offset, end, durable);
        self.report(self.segments[index].file, offset, kind, Some(lost));
        self.expected = self.expected.max(lost.end);
    }

    /// What damage of this extent is.
    fn damage(&mut self, index: usize, offset: u64, end: u64, durable: bool) -> FindingKind {
        let segment = &mut self.segments[index];
        if segment.size < segment.declared_size && end >= segment.size {
            segment.truncation_reported = true;
            return self.truncated(index);
        }
        // A write tears between sectors: where no whole one is damaged, it was something else.
        let whole_sector = offset.next_multiple_of(SECTOR_SIZE) + SECTOR_SIZE <= end;
        if durable || (!whole_sector && offset < end) {
            segment.sound = false;
            return FindingKind::BitFlip;
        }
        FindingKind::Torn
    }

    /// Whether the record was durable once, as far as the run that wrote it had noted.
    fn is_durable(&self, index: usize, lsn: Lsn) -> bool {
        let mark = self.committed_by_run.get(&self.segments[index].run);
        mark.is_some_and(|&mark| lsn < mark)
    }
}

static ZEROS: [u8; 2 * PAGE_SIZE] = [0; 2 * PAGE_SIZE];
