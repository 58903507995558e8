//! From sealed to durable: placing, writing, syncing, and going back when the disk fails.

use std::io;
use std::time::Duration;

use holdfast_units::MonoTime;

use super::block::BatchState;
use super::output::Task;
use super::{Event, Operation, Output, Writer};
use crate::format::batch::{BatchHeader, HEADER_SIZE};
use crate::format::record;
use crate::ids::{Lsn, LsnRange, SegmentNumber};
use crate::limits::{FAILURES_MAX, LEAD_DECAY, PAGE_SIZE, REST_MAX, REST_MIN};

/// The commit in progress; there is one at a time.
///
/// ```text
///   Idle ──wanted──▶ Writing ──all written──▶ Syncing ──all synced──▶ Idle
///    ▲                  │ failed                 │ failed
///    └──────────────────┴────────────────────────┘  (wanted again)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Waiting for a deadline or a request.
    Idle,
    /// Waiting until all batches below `target`, or those that have a place, are written.
    Writing { target: Lsn, began: MonoTime },
    /// Waiting for `waiting` syncs of the segments that hold the batches below `target`;
    /// `issued` is the last segment whose sync was issued.
    Syncing {
        target: Lsn,
        issued: SegmentNumber,
        waiting: usize,
        began: MonoTime,
    },
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Writer<B> {
    /// Begins a commit of all that was appended, where one is wanted and none is in progress.
    pub(super) fn begin_commit(&mut self, now: MonoTime) {
        let is_held = self.draining || self.resting_until.is_some();
        if !self.wanted || self.commit != Commit::Idle || is_held {
            return;
        }
        self.wanted = false;
        if self.committed == self.next {
            return;
        }
        self.seal_block();
        self.deadline = None;
        self.commit = Commit::Writing {
            target: self.next,
            began: now,
        };
    }

    /// Gives the next sealed batch its place.
    pub(super) fn next_write(&mut self) -> Option<Output<B>> {
        if self.draining {
            return None;
        }
        let batch = self.line.get_mut(self.placed)?;
        assert_eq!(batch.state, BatchState::Sealed, "placed in order");
        let place = self.segments.place(batch.size(), batch.end())?;
        let mut block = batch.block.take().expect("a sealed batch has its block");
        let header = BatchHeader {
            page: u32::try_from(place.offset / PAGE_SIZE as u64).expect("segments are bounded"),
            segment: place.segment,
            journal: self.config.journal,
            first: batch.first,
            checkpoint: self.segments.checkpoint_lsn(),
            record_count: batch.count,
            byte_length: batch.length as u32,
            uncommitted: u32::try_from(batch.first.since(self.committed)).unwrap_or(u32::MAX),
        };
        if batch.segment != place.segment {
            let records = &mut block.as_mut()[HEADER_SIZE..batch.length];
            let (from, to) = (self.key.of(batch.segment), self.key.of(place.segment));
            record::rekey(from, to, records);
        }
        header.encode(block.as_mut());
        batch.checkpoint = header.checkpoint;
        batch.segment = place.segment;
        batch.state = BatchState::InFlight;
        let (len, first) = (batch.size(), batch.first);
        self.placed += 1;
        let ticket = self.issue(Task::Write {
            segment: place.segment,
            first,
        });
        let (segment, offset) = (place.segment, place.offset);
        Some(Output::Write {
            ticket,
            segment,
            offset,
            block,
            len,
        })
    }

    /// The next sync of the commit in progress, once its writes have completed.
    pub(super) fn next_sync(&mut self) -> Option<Output<B>> {
        if self.draining {
            return None;
        }
        let (target, after, waiting, began) = match self.commit {
            Commit::Idle => return None,
            Commit::Writing { target, began } => (self.written(target)?, None, 0, began),
            Commit::Syncing {
                target,
                issued,
                waiting,
                began,
            } => (target, Some(issued), waiting, began),
        };
        // Segments along the line only go up, so the last one issued tells what is left.
        let segment = self
            .line
            .iter()
            .take_while(|batch| batch.first < target)
            .map(|batch| batch.segment)
            .find(|&segment| after.is_none_or(|after| segment > after))?;
        self.commit = Commit::Syncing {
            target,
            issued: segment,
            waiting: waiting + 1,
            began,
        };
        let ticket = self.issue(Task::Sync { segment });
        Some(Output::Sync { ticket, segment })
    }

    /// Where a commit up to `target` can end now; `None` while one of its writes is in flight.
    ///
    /// A batch that has no place must not hold up those that have one: the tracks would wait for
    /// them, and it would wait for the segments that the tracks let go.
    fn written(&mut self, target: Lsn) -> Option<Lsn> {
        let mut reach = target;
        if self.is_blocked() {
            reach = self.line[self.placed].first.min(target);
        }
        let mut covered = self.line.iter().take_while(|batch| batch.first < reach);
        let is_written = covered.all(|batch| batch.state == BatchState::Written);
        if !is_written || reach == self.committed {
            return None;
        }
        self.wanted |= reach < target;
        Some(reach)
    }

    /// A sync has ended well.
    pub(super) fn synced(&mut self, now: MonoTime) {
        let Commit::Syncing {
            target,
            issued,
            waiting,
            began,
        } = self.commit
        else {
            // A failure came between: its batches are written again.
            assert!(self.draining, "a sync belongs to a commit");
            return;
        };
        let mut covered = self.line.iter().take_while(|batch| batch.first < target);
        let more = covered.any(|batch| batch.segment > issued);
        if waiting > 1 || more {
            self.commit = Commit::Syncing {
                target,
                issued,
                waiting: waiting - 1,
                began,
            };
            return;
        }
        while self.line.front().is_some_and(|batch| batch.first < target) {
            let batch = self.line.pop_front().expect("there is a front");
            assert_eq!(
                batch.state,
                BatchState::Written,
                "synced after it was written"
            );
            assert_eq!(batch.first, self.committed, "committed without a gap");
            self.placed -= 1;
            self.committed = batch.end();
            self.segments.committed(batch.segment, batch.end());
            self.segments.checkpoint_is_durable(batch.checkpoint);
            self.durable.push_back(batch);
        }
        assert_eq!(self.committed, target, "a commit ends where a batch ends");
        self.commit = Commit::Idle;
        // The next ones begin so much earlier. A slow one is remembered for some time.
        let slowest = self.lead.saturating_sub(self.lead / LEAD_DECAY);
        let most = self.config.commit_interval / 2;
        let took = now.since(began);
        self.took = Some(took);
        self.lead = took.max(slowest).min(most);
        self.failures = 0;
        self.rest = Duration::ZERO;
        if std::mem::take(&mut self.failed) {
            self.report(Event::Recovered {
                committed: self.committed,
            });
        }
    }

    /// A write or a sync has failed: nothing that is not committed is safe where it is.
    pub(super) fn segment_failed(
        &mut self,
        now: MonoTime,
        segment: SegmentNumber,
        operation: Operation,
        error: io::ErrorKind,
    ) {
        let records = LsnRange {
            first: self.committed,
            end: self.next,
        };
        self.report(Event::SegmentFailed {
            segment,
            operation,
            error,
            records,
        });
        if self.draining {
            return;
        }
        self.draining = true;
        self.commit = Commit::Idle;
        self.wanted = true;
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            return;
        }
        self.rest = (self.rest * 2).clamp(REST_MIN, REST_MAX);
        self.resting_until = Some(now + self.rest);
        if !std::mem::replace(&mut self.failed, true) {
            // The next append needs a block and is told.
            self.seal_block();
            self.report(Event::Failed { records });
        }
    }

    /// Once all that was in flight at a failure came back, puts the whole line back to be written
    /// to other segments. Order matters more than the writes saved: within a segment, and from one
    /// to the next, numbers only go up.
    pub(super) fn end_drain(&mut self) {
        let in_flight = |task: &Task| matches!(task, Task::Write { .. } | Task::Sync { .. });
        if !self.draining || self.outstanding.iter().any(|(_, task)| in_flight(task)) {
            return;
        }
        for batch in self.line.iter_mut().take(self.placed) {
            assert_eq!(batch.state, BatchState::Written, "nothing is in flight");
            self.segments.abandon(batch.segment);
            batch.state = BatchState::Sealed;
        }
        // Where a disk fails for long, the files that failed must not be all there may be.
        self.segments.release();
        self.placed = 0;
        self.draining = false;
    }
}
