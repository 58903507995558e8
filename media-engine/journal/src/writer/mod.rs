//! The writer of a shard's journal: appends records to blocks, says what is to be written and
//! synced, and knows what is durable.
//!
//! It does no I/O: the shell polls [`Output`]s, performs them in any overlap it likes, and reports
//! each by its [`Ticket`]. It allocates nothing per record or batch; blocks come from the shell's
//! pool and go back to it through [`Committed`].
//!
//! ```text
//! append ─▶ filling ─seal─▶ line: sealed ─Write─▶ in flight ─done─▶ written ─Sync─▶ committed
//!               │ block full, or a commit begins        │ failed
//!               │                                       ▼
//!               └──────────────▶ line ◀── all that is not committed goes back to "sealed",
//!                                         for segments that have not failed
//! ```
//!
//! The invariant that matters: a record counts as committed only after a sync that began when its
//! write had completed, and all records before it are committed too.

mod block;
mod commit;
mod config;
mod output;
mod segments;

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_units::MonoTime;

use crate::format::batch::HEADER_SIZE;
use crate::format::record::{self, NewRecord};
use crate::format::segment::SegmentHeader;
use crate::ids::{Lsn, Ticket};
use crate::limits::{BLOCKS_MAX, EVENTS_MAX, PAYLOAD_MAX, RETRY_DELAY};

pub use block::{Committed, Records};
pub use config::{ConfigError, OldSegment, Start, WriterConfig};
pub use output::{
    Deadline, Event, Failure, Full, FullReason, Occupancy, Operation, Output, TimerReason,
};

use block::{Batch, BatchState, Filling};
use commit::Commit;
use output::Task;
use segments::Segments;

/// The writer of one shard's journal. `B` is a block of memory as the shell's pool has it.
#[derive(Debug)]
pub struct Writer<B> {
    config: WriterConfig,
    /// What the checksums of the block that fills are made with.
    key: record::Key,
    /// First record of this writer.
    run: Lsn,
    /// The record that the next append makes.
    next: Lsn,
    /// All records below are durable.
    committed: Lsn,
    empty: Vec<B>,
    filling: Option<Filling<B>>,
    /// Batches that are not committed, in the order of their records.
    line: VecDeque<Batch<B>>,
    /// How many of the line, from its front, have a place in a segment.
    placed: usize,
    /// Batches that are durable and wait to be polled.
    durable: VecDeque<Batch<B>>,
    segments: Segments,
    commit: Commit,
    /// A commit was asked for since the last one began.
    wanted: bool,
    /// When the commit of the oldest record that none covers must begin.
    deadline: Option<MonoTime>,
    /// How long a commit takes, of late.
    lead: Duration,
    /// How long the last commit took, until that is polled.
    took: Option<Duration>,
    /// A segment is not asked for before this.
    retry_at: Option<MonoTime>,
    outstanding: Vec<(Ticket, Task)>,
    next_ticket: u64,
    /// A write or sync failed: nothing new is issued until all that is in flight came back.
    draining: bool,
    /// Failures since the last commit that succeeded.
    failures: u32,
    /// There were too many of them: nothing is taken until a commit succeeds.
    failed: bool,
    /// The disk is not tried again before this.
    resting_until: Option<MonoTime>,
    /// How long it rested last.
    rest: Duration,
    events: VecDeque<Event>,
    events_lost: u64,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Writer<B> {
    /// A writer that goes on where `start` says, which is what recovery found.
    ///
    /// # Panics
    ///
    /// Where [`WriterConfig::check`] refuses `config`, or `start` contradicts itself.
    pub fn new(config: WriterConfig, start: Start) -> Self {
        assert_eq!(
            config.check(),
            Ok(()),
            "the settings were to be checked before"
        );
        assert!(
            start.checkpoint <= start.next,
            "the tracks cannot be ahead of the journal"
        );
        Self {
            key: record::Key::new(config.journal, start.next_segment),
            run: start.next,
            next: start.next,
            committed: start.next,
            empty: Vec::with_capacity(BLOCKS_MAX),
            filling: None,
            line: VecDeque::with_capacity(BLOCKS_MAX),
            placed: 0,
            durable: VecDeque::with_capacity(BLOCKS_MAX),
            segments: Segments::new(&config, &start),
            commit: Commit::Idle,
            wanted: false,
            deadline: None,
            lead: Duration::ZERO,
            took: None,
            retry_at: None,
            outstanding: Vec::with_capacity(BLOCKS_MAX + config.segments_max),
            next_ticket: 0,
            draining: false,
            failures: 0,
            failed: false,
            resting_until: None,
            rest: Duration::ZERO,
            events: VecDeque::with_capacity(EVENTS_MAX),
            events_lost: 0,
            config,
        }
    }

    /// Gives a block of [`WriterConfig::block_size`] bytes; its content does not matter.
    ///
    /// # Panics
    ///
    /// Where it is shorter, or the writer has [`BLOCKS_MAX`] already.
    pub fn offer_block(&mut self, block: B) {
        assert!(
            block.as_ref().len() >= self.config.block_size,
            "a block of another pool"
        );
        assert!(
            self.empty.len() < BLOCKS_MAX,
            "more blocks than a writer holds"
        );
        self.empty.push(block);
    }

    /// Appends a record whose payload is `parts`, one after the other, and returns its number.
    ///
    /// It is durable once [`Writer::committed`] has passed that number: about one commit interval
    /// from `now`, the time a commit takes included, unless the disk is slower than ever or fails.
    pub fn append(
        &mut self,
        now: MonoTime,
        record: &NewRecord,
        parts: &[&[u8]],
    ) -> Result<Lsn, Full> {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        if payload > PAYLOAD_MAX {
            return Err(Full {
                reason: FullReason::TooLarge,
            });
        }
        let size = record::encoded_size(payload);
        let capacity = self.config.block_size;
        if !self
            .filling
            .as_ref()
            .is_some_and(|filling| filling.fits(size, capacity))
        {
            self.begin_block()?;
        }
        let filling = self.filling.as_mut().expect("a block that has room");
        record::encode(self.key, self.next, record, parts, filling.room(size));
        if self.deadline.is_none() {
            self.deadline = Some(now + (self.config.commit_interval - self.lead));
        }
        let lsn = self.next;
        self.next = lsn.plus(1);
        Ok(lsn)
    }

    /// Commits all that was appended so far as soon as the disk can.
    pub fn request_commit(&mut self, now: MonoTime) {
        self.wanted = true;
        self.begin_commit(now);
    }

    /// All records below are durable.
    pub const fn committed(&self) -> Lsn {
        self.committed
    }

    /// The number that the next record gets.
    pub const fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Bytes of a block.
    pub const fn block_size(&self) -> usize {
        self.config.block_size
    }

    /// The next durable batch, in the order of its records. Its block belongs to the caller, who
    /// gives it back with [`Writer::offer_block`].
    pub fn poll_committed(&mut self) -> Option<Committed<B>> {
        self.durable.pop_front().map(Batch::into_committed)
    }

    /// All records below `lsn` are safe elsewhere: segments that hold nothing else may go.
    ///
    /// # Panics
    ///
    /// Where `lsn` is not committed.
    pub fn checkpoint(&mut self, lsn: Lsn) {
        assert!(
            lsn <= self.committed,
            "a checkpoint of records that are not durable"
        );
        self.segments.checkpoint(lsn);
    }

    /// What the shell has to do next; `None` until a completion, a time-out or an append.
    pub fn poll_output(&mut self) -> Option<Output<B>> {
        if self.resting_until.is_some() {
            return None;
        }
        self.next_delete()
            .or_else(|| self.next_open())
            .or_else(|| self.next_write())
            .or_else(|| self.next_sync())
    }

    /// What went wrong, in the order in which it did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many events were dropped because nobody polled them.
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// When [`Writer::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if let Some(at) = self.resting_until {
            let reason = TimerReason::RetryWrite;
            return Some(Deadline { at, reason });
        }
        let commit = self.deadline.map(|at| Deadline {
            at,
            reason: TimerReason::CommitInterval,
        });
        let retry = self.retry_at.map(|at| Deadline {
            at,
            reason: TimerReason::RetryOpen,
        });
        commit
            .into_iter()
            .chain(retry)
            .min_by_key(|deadline| deadline.at)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        if self.resting_until.is_some_and(|at| at <= now) {
            self.resting_until = None;
            self.begin_commit(now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.wanted = true;
            self.begin_commit(now);
        }
    }

    /// Reports the end of what was asked for under `ticket`. A finished write brings its block
    /// back, a failed one too; all else has none.
    ///
    /// # Panics
    ///
    /// Where the ticket is not outstanding, or a block is missing or too many.
    pub fn handle_completion(
        &mut self,
        now: MonoTime,
        ticket: Ticket,
        result: Result<Option<B>, Failure<B>>,
    ) {
        let at = self
            .outstanding
            .iter()
            .position(|(known, _)| *known == ticket);
        let (_, task) = self
            .outstanding
            .swap_remove(at.expect("a ticket that is outstanding"));
        let (block, error) = match result {
            Ok(block) => (block, None),
            Err(failure) => (failure.block, Some(failure.error)),
        };
        assert_eq!(
            block.is_some(),
            matches!(task, Task::Write { .. }),
            "blocks belong to writes"
        );
        match (task, error) {
            (Task::Open { number }, None) => self.segments.opened(number),
            (Task::Open { number }, Some(error)) => {
                self.segments.open_failed(number);
                self.retry_at = Some(now + RETRY_DELAY);
                self.report(Event::OpenFailed {
                    segment: number,
                    error,
                });
            }
            (Task::Write { segment, first }, error) => {
                let batch = self.line.iter_mut().find(|batch| batch.first == first);
                let batch = batch.expect("a batch stays in line until it is committed");
                assert_eq!(batch.state, BatchState::InFlight, "written once at a time");
                batch.block = block;
                batch.state = BatchState::Written;
                if let Some(error) = error {
                    self.segment_failed(now, segment, Operation::Write, error);
                }
            }
            (Task::Sync { .. }, None) => self.synced(now),
            (Task::Sync { segment }, Some(error)) => {
                self.segment_failed(now, segment, Operation::Sync, error);
            }
            (Task::Delete { number }, error) => {
                self.segments.deleted(number);
                if let Some(error) = error {
                    self.report(Event::DeleteFailed {
                        segment: number,
                        error,
                    });
                }
            }
        }
        self.end_drain();
        self.begin_commit(now);
    }

    /// Bytes of records that fit into the blocks that are empty now, but for what is left over at
    /// the end of each. None while the disk fails.
    pub fn room(&self) -> usize {
        if self.failed {
            return 0;
        }
        self.empty.len() * (self.config.block_size - HEADER_SIZE)
    }

    /// Whether the disk failed too often in a row, and no commit has succeeded since.
    pub const fn is_failed(&self) -> bool {
        self.failed
    }

    /// How long the last commit took, from its beginning until the disk had all of it; once each.
    pub const fn poll_commit(&mut self) -> Option<Duration> {
        self.took.take()
    }

    /// How full the journal is.
    pub fn occupancy(&self) -> Occupancy {
        let in_line: usize = self.line.iter().map(|batch| batch.length).sum();
        let filling = self.filling.as_ref().map_or(0, |filling| filling.length);
        Occupancy {
            uncommitted_bytes: (in_line + filling) as u64,
            uncommitted_records: self.next.since(self.committed),
            blocks_empty: self.empty.len(),
            ..self.segments.occupancy()
        }
    }

    /// Seals the block that fills, where there is one, and begins another.
    fn begin_block(&mut self) -> Result<(), Full> {
        self.seal_block();
        if self.failed {
            return Err(Full {
                reason: FullReason::Failed,
            });
        }
        let Some(block) = self.empty.pop() else {
            let reason = if self.is_blocked() {
                FullReason::NoSegment
            } else {
                FullReason::NoBlock
            };
            return Err(Full { reason });
        };
        let likely = self.segments.likely();
        self.key = self.key.of(likely);
        self.filling = Some(Filling::new(block, self.next, likely));
        Ok(())
    }

    fn seal_block(&mut self) {
        if let Some(filling) = self.filling.take() {
            self.line.push_back(filling.seal(self.next));
        }
    }

    /// Whether a batch waits for a segment to be opened.
    fn is_blocked(&self) -> bool {
        self.line
            .get(self.placed)
            .is_some_and(|batch| !self.segments.has_room(batch.size()))
    }

    fn next_delete(&mut self) -> Option<Output<B>> {
        let number = self.segments.next_delete(self.is_blocked())?;
        let ticket = self.issue(Task::Delete { number });
        Some(Output::DeleteSegment { ticket, number })
    }

    fn next_open(&mut self) -> Option<Output<B>> {
        if self.retry_at.is_some() {
            return None;
        }
        let (number, reuse) = self.segments.next_open(self.committed, self.is_blocked())?;
        let header = SegmentHeader {
            shard: self.config.shard,
            number,
            journal: self.config.journal,
            // After a failure any batch that is not committed may land in it.
            first: self.committed,
            run: self.run,
            checkpoint: self.segments.checkpoint_lsn(),
            size: self.config.segment_size,
        };
        let ticket = self.issue(Task::Open { number });
        Some(Output::OpenSegment {
            ticket,
            number,
            reuse,
            header,
        })
    }

    fn issue(&mut self, task: Task) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.outstanding.push((ticket, task));
        ticket
    }

    fn report(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.events_lost += 1;
        }
    }
}
