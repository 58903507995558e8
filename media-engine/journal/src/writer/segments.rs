//! The segment files of a writer: which one fills, which come next, which may go.

use std::collections::BTreeMap;

use super::config::{OldSegment, Start, WriterConfig};
use super::output::Occupancy;
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::PAGE_SIZE;

/// What a segment file is good for.
///
/// ```text
///   Opening ──▶ Spare ──▶ Current ──full──▶ Live ──checkpoint──▶ Reusable ──▶ (Opening, new number)
///      │ failed               └──failed──▶ Abandoned                 │ too many
///      │                                      │ checkpoint           │
///      └──────────────────────────────────────┴──▶ Discarded ◀───────┘
///                                  durable checkpoint │
///                                                     ▼
///                                                 Deleting ──▶ gone
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The shell makes it ready.
    Opening,
    /// Ready, waiting for the current one to be full.
    Spare,
    /// Takes batches.
    Current,
    /// Full; its records are needed until a checkpoint.
    Live,
    /// Failed or damaged; its records are needed until a checkpoint, then it goes.
    Abandoned,
    /// Nothing in it is needed.
    Reusable,
    /// To be deleted.
    Discarded,
    /// The shell deletes it.
    Deleting,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    state: State,
    /// The record after its last one: it has to stay until the checkpoint is there.
    end: Lsn,
    /// The record after the last one of it that is committed; zero where there is none.
    safe: Lsn,
    /// All records below were given a number, by what the disk has of it. Some file has to know
    /// the highest one, else a recovery would give numbers again.
    known: Lsn,
    /// Whether there is such a file at all, as far as we know.
    certain: bool,
    /// Bytes taken, with the header.
    bytes: u64,
}

impl Segment {
    const fn unused(state: State) -> Self {
        Self {
            state,
            end: Lsn::ZERO,
            safe: Lsn::ZERO,
            known: Lsn::ZERO,
            certain: true,
            bytes: 0,
        }
    }
}

/// Where a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: SegmentNumber,
    pub(super) offset: u64,
}

/// A segment that the shell makes ready.
#[derive(Clone, Copy, Debug)]
struct Opening {
    number: SegmentNumber,
    /// The file it is made of, as it was before.
    reuse: Option<(SegmentNumber, Segment)>,
    /// What its header carries.
    first: Lsn,
    checkpoint: Lsn,
}

/// All segment files of one journal.
#[derive(Debug)]
pub(super) struct Segments {
    segment_size: u64,
    files_max: usize,
    reusable_max: usize,
    by_number: BTreeMap<SegmentNumber, Segment>,
    current: Option<SegmentNumber>,
    spare: Option<SegmentNumber>,
    opening: Option<Opening>,
    next_number: SegmentNumber,
    /// As it was told.
    checkpoint: Lsn,
    /// As a reader of the disk would find it.
    durable_checkpoint: Lsn,
}

impl Segments {
    pub(super) fn new(config: &WriterConfig, start: &Start) -> Self {
        let old = start.segments.iter().map(
            |&OldSegment {
                 number,
                 end,
                 known,
                 sound,
                 bytes,
             }| {
                let state = if sound { State::Live } else { State::Abandoned };
                (
                    number,
                    Segment {
                        state,
                        end,
                        safe: end,
                        known,
                        certain: true,
                        bytes,
                    },
                )
            },
        );
        let by_number: BTreeMap<_, _> = old.collect();
        let last = by_number.last_key_value().map(|(&number, _)| number);
        assert!(
            last.is_none_or(|last| last < start.next_segment),
            "numbers only go up"
        );
        let mut segments = Self {
            segment_size: config.segment_size,
            files_max: config.segments_max,
            reusable_max: config.reusable_max,
            by_number,
            current: None,
            spare: None,
            opening: None,
            next_number: start.next_segment,
            checkpoint: start.checkpoint,
            // The file that has it may be the first to go; the first one opened has it too.
            durable_checkpoint: Lsn::ZERO,
        };
        segments.release();
        segments
    }

    pub(super) const fn checkpoint_lsn(&self) -> Lsn {
        self.checkpoint
    }

    pub(super) fn checkpoint(&mut self, lsn: Lsn) {
        if lsn > self.checkpoint {
            self.checkpoint = lsn;
            self.release();
        }
    }

    /// A batch or a header that carries this checkpoint is durable.
    pub(super) fn checkpoint_is_durable(&mut self, lsn: Lsn) {
        self.durable_checkpoint = self.durable_checkpoint.max(lsn);
    }

    /// Whether a batch of `size` bytes has a place now.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.spare.is_some() || self.current.is_some_and(|number| self.fits(number, size))
    }

    /// Where the next batch goes, unless that is full by then.
    pub(super) fn likely(&self) -> SegmentNumber {
        let opening = self.opening.map(|opening| opening.number);
        self.current
            .or(self.spare)
            .or(opening)
            .unwrap_or(self.next_number)
    }

    /// Gives a batch of `size` bytes, whose last record is the one before `end`, a place.
    pub(super) fn place(&mut self, size: usize, end: Lsn) -> Option<Place> {
        let number = match self.current {
            Some(current) if self.fits(current, size) => current,
            Some(_) | None => self.take_spare()?,
        };
        let segment = self
            .by_number
            .get_mut(&number)
            .expect("the current segment is known");
        assert!(end > segment.end, "numbers go up within a segment");
        let place = Place {
            segment: number,
            offset: segment.bytes,
        };
        segment.bytes += size as u64;
        segment.end = end;
        assert!(
            segment.bytes <= self.segment_size,
            "a batch fits into an empty segment"
        );
        Some(place)
    }

    /// The segment to open next: ahead of need, one at a time; all records below `first` are
    /// durable. `blocked` says that a batch waits for it; only then, or where nothing is open yet,
    /// is a file used again whose content the disk does not yet call safe. Its header then does.
    pub(super) fn next_open(
        &mut self,
        first: Lsn,
        blocked: bool,
    ) -> Option<(SegmentNumber, Option<SegmentNumber>)> {
        if self.opening.is_some() || self.spare.is_some() {
            return None;
        }
        let reuse = match self.reusable_below(self.durable_checkpoint) {
            Some(old) => Some(old),
            None if self.by_number.len() < self.files_max => None,
            None if blocked || self.current.is_none() => {
                Some(self.reusable_below(self.checkpoint)?)
            }
            None => return None,
        };
        let reuse = reuse.and_then(|old| self.by_number.remove(&old).map(|was| (old, was)));
        let number = self.next_number;
        self.next_number = number.next();
        let checkpoint = self.checkpoint;
        self.by_number
            .insert(number, Segment::unused(State::Opening));
        self.opening = Some(Opening {
            number,
            reuse,
            first,
            checkpoint,
        });
        Some((number, reuse.map(|(old, _)| old)))
    }

    /// The shell has made it ready, and its header is durable.
    pub(super) fn opened(&mut self, number: SegmentNumber) {
        let opening = self.end_opening(number);
        let known = opening.first;
        let bytes = PAGE_SIZE as u64;
        self.by_number.insert(
            number,
            Segment {
                known,
                bytes,
                ..Segment::unused(State::Spare)
            },
        );
        self.spare = Some(number);
        self.checkpoint_is_durable(opening.checkpoint);
    }

    /// The shell could not: whether a file has its old or its new name is not known, so both go.
    pub(super) fn open_failed(&mut self, number: SegmentNumber) {
        let opening = self.end_opening(number);
        let was = opening
            .reuse
            .map_or(Segment::unused(State::Opening), |(_, was)| was);
        let doubtful = Segment {
            state: State::Discarded,
            certain: false,
            ..was
        };
        self.by_number.insert(number, doubtful);
        if let Some((old, _)) = opening.reuse {
            self.by_number.insert(old, doubtful);
        }
    }

    /// A batch of this segment, whose last record is the one before `end`, is durable.
    pub(super) fn committed(&mut self, number: SegmentNumber, end: Lsn) {
        let segment = self
            .by_number
            .get_mut(&number)
            .expect("a segment with batches is known");
        segment.known = segment.known.max(end);
        segment.safe = end;
    }

    /// Nothing more goes into this segment, and it is not used again. What is not committed of it
    /// is written again elsewhere, so it need not stay for that.
    pub(super) fn abandon(&mut self, number: SegmentNumber) {
        if self.current == Some(number) {
            self.current = None;
        }
        let segment = self
            .by_number
            .get_mut(&number)
            .expect("a segment with batches is known");
        segment.end = segment.safe;
        match segment.state {
            State::Current | State::Live | State::Abandoned => segment.state = State::Abandoned,
            State::Opening
            | State::Spare
            | State::Reusable
            | State::Discarded
            | State::Deleting => unreachable!("it holds records that are not committed"),
        }
    }

    /// The next file to delete. Not before the disk says that its content is safe, else recovery
    /// would miss it; only where a batch waits for the room there is no other way. Never the last
    /// one that knows the highest number.
    pub(super) fn next_delete(&mut self, blocked: bool) -> Option<SegmentNumber> {
        let in_need = blocked && self.by_number.len() >= self.files_max;
        let limit = if in_need {
            self.checkpoint
        } else {
            self.durable_checkpoint
        };
        let is_due = |s: &Segment| s.state == State::Discarded && s.end <= limit;
        let mut due = self.by_number.iter().filter(|(_, segment)| is_due(segment));
        let (&number, _) = due.find(|&(number, segment)| {
            self.by_number.iter().any(|(other, witness)| {
                let stays = !matches!(witness.state, State::Opening | State::Deleting);
                other != number && stays && witness.certain && witness.known >= segment.known
            })
        })?;
        self.by_number
            .get_mut(&number)
            .expect("it was just found")
            .state = State::Deleting;
        Some(number)
    }

    pub(super) fn deleted(&mut self, number: SegmentNumber) {
        let gone = self
            .by_number
            .remove(&number)
            .expect("it was being deleted");
        assert_eq!(gone.state, State::Deleting, "it was being deleted");
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        let is_used = |state| matches!(state, State::Current | State::Live | State::Abandoned);
        let used = self
            .by_number
            .values()
            .filter(|segment| is_used(segment.state));
        let (segments_used, bytes) = used.fold((0, 0), |(count, bytes), segment| {
            (count + 1, bytes + segment.bytes)
        });
        Occupancy {
            segments_used,
            segment_files: self.by_number.len(),
            segments_max: self.files_max,
            bytes,
            oldest_lsn: self.checkpoint,
            ..Occupancy::default()
        }
    }

    /// The oldest file of which nothing is needed once all records below `limit` are safe.
    fn reusable_below(&self, limit: Lsn) -> Option<SegmentNumber> {
        let usable = |s: &Segment| s.state == State::Reusable && s.end <= limit;
        self.by_number
            .iter()
            .find(|(_, segment)| usable(segment))
            .map(|(&number, _)| number)
    }

    fn end_opening(&mut self, number: SegmentNumber) -> Opening {
        let opening = self.opening.take().expect("a segment was being opened");
        assert_eq!(opening.number, number, "one is opened at a time");
        opening
    }

    fn fits(&self, number: SegmentNumber, size: usize) -> bool {
        let segment = self.by_number.get(&number);
        segment.is_some_and(|segment| segment.bytes + size as u64 <= self.segment_size)
    }

    fn take_spare(&mut self) -> Option<SegmentNumber> {
        let number = self.spare.take()?;
        if let Some(full) = self.current.replace(number) {
            self.by_number
                .get_mut(&full)
                .expect("the current segment is known")
                .state = State::Live;
            self.release();
        }
        self.by_number
            .get_mut(&number)
            .expect("the spare segment is known")
            .state = State::Current;
        Some(number)
    }

    /// Lets go of all that lies below the checkpoint.
    pub(super) fn release(&mut self) {
        let checkpoint = self.checkpoint;
        for segment in self
            .by_number
            .values_mut()
            .filter(|segment| segment.end <= checkpoint)
        {
            segment.state = match segment.state {
                State::Live => State::Reusable,
                State::Abandoned => State::Discarded,
                other => other,
            };
        }
        let is_reusable = |segment: &&mut Segment| segment.state == State::Reusable;
        let excess = self
            .by_number
            .values_mut()
            .filter(is_reusable)
            .skip(self.reusable_max);
        for segment in excess {
            segment.state = State::Discarded;
        }
    }
}
