//! Checkpoints: when the tracks have what the journal holds, the journal may forget it.
//!
//! ```text
//!   Idle ──interval──▶ Flushing ──all slots──▶ Syncing ──durable──▶ Saving ──durable──▶ Idle
//!    ▲                    │ given up              │ given up            │
//!    ├────────────────────┘                       ▼                     ▼
//!    └───────────────────── its answer came ── GivenUp ◀────────────────┘
//! ```
//!
//! The streams are flushed a few at a time, so each has a position of its own in the journal; the
//! checkpoint's is where the first of them began. How many at a time follows the clock, not the turns: a
//! shard that is behind takes few and long ones, and what the journal has to keep meanwhile grows. A
//! failure anywhere only puts it off: the journal keeps what it holds. One that is given up while the
//! disk owes an answer waits for that answer, which says nothing about the next one.

use std::time::Duration;

use holdfast_journal::Lsn;
use holdfast_units::MonoTime;

use crate::limits::{CHECKPOINT_ROUND, CHECKPOINT_SLICE};
use crate::saved::{CheckpointWriter, StreamCheckpoint};

/// Where the making of a checkpoint stands.
#[derive(Debug)]
pub struct Checkpointer {
    interval: Duration,
    next_at: MonoTime,
    saved: Lsn,
    /// Octets of the last one, a guess at those of the next.
    size: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Waiting for the next one to be due.
    Idle,
    /// Flushing streams, from this slot on.
    Flushing {
        next_slot: usize,
        /// Up to this moment slots were taken for their share of time.
        since: MonoTime,
        checkpoint: CheckpointWriter,
    },
    /// Waiting for the disk to have everything that was ordered.
    Syncing { checkpoint: CheckpointWriter },
    /// Waiting for the checkpoint itself to be durable.
    Saving { lsn: Lsn },
    /// Waiting for the answer to a sync or a save that means nothing any more.
    GivenUp,
}

impl Checkpointer {
    /// The journal holds nothing that the tracks do not have, below this.
    pub fn new(now: MonoTime, interval: Duration, saved: Lsn) -> Self {
        Self {
            interval,
            next_at: now + interval,
            saved,
            size: 4096,
            phase: Phase::Idle,
        }
    }

    /// Whether it is time to begin one.
    pub fn is_due(&self, now: MonoTime) -> bool {
        matches!(self.phase, Phase::Idle) && self.next_at <= now
    }

    /// Begins one if it is due and there is something new.
    pub fn begin_if_due(&mut self, now: MonoTime, settled: Lsn) {
        if self.is_due(now) && settled > self.saved {
            self.next_at = now + self.interval;
            self.phase = Phase::Flushing {
                next_slot: 0,
                since: now,
                checkpoint: CheckpointWriter::new(settled, self.size + self.size / 4),
            };
        }
    }

    /// How many slots to flush now, so that all of them are within [`CHECKPOINT_ROUND`] however long a
    /// turn takes.
    pub fn share(&mut self, now: MonoTime, slots: usize) -> usize {
        let Phase::Flushing { since, .. } = &mut self.phase else {
            return 0;
        };
        let passed = now.since(*since).min(CHECKPOINT_ROUND);
        *since = now;
        let share = slots as u128 * passed.as_nanos() / CHECKPOINT_ROUND.as_nanos();
        CHECKPOINT_SLICE.max(share as usize)
    }

    /// The slot to be flushed next, if any.
    pub fn next_slot(&mut self, slots: usize) -> Option<usize> {
        let Phase::Flushing { next_slot, .. } = &mut self.phase else {
            return None;
        };
        let slot = *next_slot;
        *next_slot += 1;
        (slot < slots).then_some(slot)
    }

    /// A slot has been flushed.
    pub fn handle_flushed(&mut self, stream: StreamCheckpoint) {
        if let Phase::Flushing { checkpoint, .. } = &mut self.phase {
            checkpoint.push(&stream);
        }
    }

    /// All slots have been flushed: whether the caller orders the sync now.
    pub fn begin_sync(&mut self, slots: usize) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Flushing {
                next_slot,
                checkpoint,
                ..
            } if next_slot >= slots => {
                self.phase = Phase::Syncing { checkpoint };
                true
            }
            phase => {
                self.phase = phase;
                false
            }
        }
    }

    /// Everything that was ordered is durable, or not. Gives the octets to be saved.
    pub fn handle_synced(&mut self, is_durable: bool) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Syncing { checkpoint } if is_durable => {
                self.phase = Phase::Saving {
                    lsn: checkpoint.lsn(),
                };
                let bytes = checkpoint.finish();
                self.size = bytes.len();
                Some(bytes)
            }
            Phase::Syncing { .. } | Phase::GivenUp => None,
            phase @ (Phase::Idle | Phase::Flushing { .. } | Phase::Saving { .. }) => {
                self.phase = phase;
                None
            }
        }
    }

    /// The checkpoint is durable, or not. Gives the position that the journal is to be told.
    pub fn handle_saved(&mut self, is_durable: bool) -> Option<Lsn> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Saving { lsn } if is_durable => {
                self.saved = lsn;
                Some(lsn)
            }
            Phase::Saving { .. } | Phase::GivenUp => None,
            phase @ (Phase::Idle | Phase::Flushing { .. } | Phase::Syncing { .. }) => {
                self.phase = phase;
                None
            }
        }
    }

    /// Gives up the one that is being made: something that it covers could not be written. One
    /// that is being saved stands: the failure came after its sync.
    pub fn give_up(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle | Phase::Flushing { .. } => Phase::Idle,
            Phase::Syncing { .. } | Phase::GivenUp => Phase::GivenUp,
            saving @ Phase::Saving { .. } => saving,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MonoTime = MonoTime(0);
    const INTERVAL: Duration = Duration::from_secs(2);

    fn flushed(slots: usize) -> Checkpointer {
        let mut checkpointer = Checkpointer::new(T0, INTERVAL, Lsn(0));
        checkpointer.begin_if_due(T0 + INTERVAL, Lsn(100));
        while checkpointer.next_slot(slots).is_some() {}
        checkpointer
    }

    #[test]
    fn the_journal_is_told_only_after_sync_and_save() {
        let mut checkpointer = flushed(3);
        assert!(checkpointer.begin_sync(3));
        assert_eq!(
            checkpointer.handle_saved(true),
            None,
            "nothing is being saved yet"
        );
        let mut checkpointer = flushed(3);
        assert!(checkpointer.begin_sync(3));
        assert!(checkpointer.handle_synced(true).is_some());
        assert_eq!(checkpointer.handle_saved(true), Some(Lsn(100)));
    }

    #[test]
    fn a_failed_step_gives_the_journal_nothing_and_the_next_one_is_made() {
        let mut checkpointer = flushed(0);
        assert!(checkpointer.begin_sync(0));
        assert_eq!(checkpointer.handle_synced(false), None);
        assert_eq!(checkpointer.handle_saved(true), None);
        checkpointer.begin_if_due(T0 + 2 * INTERVAL, Lsn(100));
        assert_eq!(checkpointer.next_slot(1), Some(0));
    }

    #[test]
    fn the_answer_to_a_sync_that_was_given_up_does_not_speak_for_the_next_one() {
        let mut checkpointer = flushed(0);
        assert!(checkpointer.begin_sync(0));
        checkpointer.give_up();
        checkpointer.begin_if_due(T0 + 2 * INTERVAL, Lsn(200));
        assert_eq!(
            checkpointer.next_slot(1),
            None,
            "none begins before the answer"
        );
        assert_eq!(checkpointer.handle_synced(true), None);
        checkpointer.begin_if_due(T0 + 2 * INTERVAL, Lsn(200));
        assert_eq!(checkpointer.next_slot(1), Some(0));
        assert_eq!(checkpointer.handle_synced(true), None, "nothing is synced");
    }

    #[test]
    fn one_that_is_being_saved_outlives_a_later_failure() {
        let mut checkpointer = flushed(0);
        assert!(checkpointer.begin_sync(0));
        assert!(checkpointer.handle_synced(true).is_some());
        checkpointer.give_up();
        assert_eq!(checkpointer.handle_saved(true), Some(Lsn(100)));
    }

    #[test]
    fn none_is_made_before_its_time_or_without_anything_new() {
        let mut checkpointer = Checkpointer::new(T0, INTERVAL, Lsn(7));
        checkpointer.begin_if_due(T0, Lsn(9));
        assert_eq!(checkpointer.next_slot(1), None);
        checkpointer.begin_if_due(T0 + INTERVAL, Lsn(7));
        assert_eq!(checkpointer.next_slot(1), None);
    }

    #[test]
    fn no_sync_while_slots_are_left() {
        let mut checkpointer = Checkpointer::new(T0, INTERVAL, Lsn(0));
        checkpointer.begin_if_due(T0 + INTERVAL, Lsn(1));
        assert_eq!(checkpointer.next_slot(2), Some(0));
        assert!(!checkpointer.begin_sync(2));
        assert_eq!(checkpointer.next_slot(2), Some(1));
        assert!(checkpointer.begin_sync(2));
    }

    #[test]
    fn all_slots_are_flushed_within_the_round_however_long_a_turn_takes() {
        const SLOTS: usize = 16_000;
        for turn in [1, 2, 10, 100, 700].map(Duration::from_millis) {
            let mut checkpointer = Checkpointer::new(T0, INTERVAL, Lsn(0));
            let begin = T0 + INTERVAL;
            checkpointer.begin_if_due(begin, Lsn(1));
            let mut now = begin;
            while !checkpointer.begin_sync(SLOTS) {
                now = now + turn;
                let share = checkpointer.share(now, SLOTS);
                let even =
                    SLOTS * turn.as_millis() as usize / CHECKPOINT_ROUND.as_millis() as usize;
                assert!(share <= even.max(CHECKPOINT_SLICE), "{share} in {turn:?}");
                for _ in 0..share {
                    checkpointer.next_slot(SLOTS);
                }
            }
            assert!(now.since(begin) <= CHECKPOINT_ROUND + turn, "{turn:?}");
        }
    }
}
