//! How much a shard takes from its ingest in one turn: no more than its journal has room for.
//!
//! What is not taken stays in the ring, or in the buffers of the sockets: they are what rides out a
//! disk that stalls. Only when these are full too does the kernel drop, and tells how many.

use std::time::Duration;

use holdfast_units::MonoTime;

use crate::shard_loop::BLOCK_SIZE;

/// Datagrams taken in one turn, at most: the rest waits in the kernel for the next.
const POLL_BUDGET: usize = 16 * 1024;

/// Room in the journal that is left to desired states, documents and marks, and to the rest of a
/// ring's block (a mebibyte at most) that was begun.
const RESERVE: usize = 6 * BLOCK_SIZE;

/// What the journal adds to a datagram, generously.
const OVERHEAD: usize = 64;

/// A shorter hold is no reason to refuse calls.
const HELD_LONG: Duration = Duration::from_millis(500);

/// See the module's documentation.
#[derive(Debug)]
pub struct Intake {
    datagram_size_max: usize,
    /// All that had arrived until then has been taken.
    drained_at: MonoTime,
    held_since: Option<MonoTime>,
}

impl Intake {
    pub fn new(now: MonoTime, packet_size_max: usize) -> Self {
        Self {
            datagram_size_max: packet_size_max + OVERHEAD,
            drained_at: now,
            held_since: None,
        }
    }

    /// Datagrams that may be taken while the journal has so much room.
    pub fn budget(&self, room: usize) -> usize {
        (room.saturating_sub(RESERVE) / self.datagram_size_max).min(POLL_BUDGET)
    }

    /// So many were taken of those that the budget allowed for; `holds_back` where the ingest has
    /// more that it could not give.
    pub fn handle_polled(&mut self, now: MonoTime, budget: usize, taken: usize, holds_back: bool) {
        let is_spent = taken >= budget;
        if !is_spent && !holds_back {
            self.drained_at = now;
        }
        if holds_back || (is_spent && budget < POLL_BUDGET) {
            self.held_since.get_or_insert(now);
        } else {
            self.held_since = None;
        }
    }

    /// All that had arrived until this moment has been taken: what was said until then may be done.
    pub fn drained_at(&self) -> MonoTime {
        self.drained_at
    }

    /// Whether datagrams are left where they are, for want of room.
    pub fn is_holding(&self) -> bool {
        self.held_since.is_some()
    }

    /// Whether they have been for a while.
    pub fn is_held_back(&self, now: MonoTime) -> bool {
        self.held_since
            .is_some_and(|since| now.since(since) >= HELD_LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MonoTime = MonoTime(1_000_000_000);

    #[test]
    fn what_is_taken_fits_into_the_journal_with_the_reserve_left() {
        let intake = Intake::new(T0, 2_048);
        for room in (0..70).map(|blocks| blocks * BLOCK_SIZE) {
            let budget = intake.budget(room);
            assert!(budget <= POLL_BUDGET);
            assert!(budget == 0 || budget * 2_112 + RESERVE <= room, "{room}");
        }
        assert_eq!(intake.budget(RESERVE), 0);
        assert_eq!(intake.budget(64 * BLOCK_SIZE), POLL_BUDGET);
    }

    #[test]
    fn an_end_waits_until_what_came_before_it_has_been_taken() {
        let mut intake = Intake::new(T0, 2_048);
        let later = |ms| T0 + Duration::from_millis(ms);
        for (ms, budget, taken, holds_back, drained) in [
            (10, 100, 99, false, 10),
            (20, 100, 100, false, 10),
            (30, 0, 0, false, 10),
            (40, 100, 7, true, 10),
            (50, 100, 0, false, 50),
        ] {
            intake.handle_polled(later(ms), budget, taken, holds_back);
            assert_eq!(intake.drained_at(), later(drained), "at {ms} ms");
        }
    }

    #[test]
    fn a_hold_counts_once_it_lasts_and_a_mere_flood_is_none() {
        let mut intake = Intake::new(T0, 2_048);
        let later = |ms| T0 + Duration::from_millis(ms);
        intake.handle_polled(T0, POLL_BUDGET, POLL_BUDGET, false);
        assert!(!intake.is_held_back(later(10_000)));
        intake.handle_polled(T0, 0, 0, false);
        assert!(!intake.is_held_back(later(499)));
        intake.handle_polled(later(200), 50, 50, false);
        assert!(intake.is_held_back(later(500)));
        intake.handle_polled(later(600), 50, 49, false);
        assert!(!intake.is_held_back(later(5_000)));
    }
}
