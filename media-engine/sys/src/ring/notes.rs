//! What the rings' reader writes down for the process that reads them after it.
//!
//! ```text
//!   word 0: version; then for each shard:
//!   | floor | for each of its rings: | begun | suspect | passed over |
//! ```
//!
//! * *floor*: all records of the journal below this number are of packets in blocks that were given
//!   back. Of what is at or above it, packets may still be in a block.
//! * *begun*: twice the number of the block that was begun last, counted from 1; one more while it is
//!   in hand, which is while its packets are offered.
//! * *suspect*: the block that was in hand when the process before died, counted from 1; 0: none.
//! * *passed over*: the block that is never offered, counted from 1; 0: none.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::words::SharedWords;

/// Version of the words.
const VERSION: u64 = 1;

const RING_WORDS: usize = 3;

/// The notes of all shards.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    words: Arc<SharedWords>,
    rings_per_shard: usize,
}

/// The notes of one ring.
#[derive(Debug)]
pub(super) struct RingNotes {
    words: Arc<SharedWords>,
    at: usize,
}

/// What the process before has left of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftover {
    /// The block that it had begun last.
    pub begun: Option<u64>,
    /// A block that was in hand at the last two deaths.
    pub poisoned: Option<u64>,
    /// A block that is never offered.
    pub passed_over: Option<u64>,
}

impl Notes {
    pub fn create(shards: usize, rings_per_shard: usize) -> io::Result<Self> {
        let words = SharedWords::create(count(shards, rings_per_shard))?;
        words.words()[0].store(VERSION, Ordering::Relaxed);
        Ok(Self {
            words: Arc::new(words),
            rings_per_shard,
        })
    }

    pub fn adopt(descriptor: OwnedFd, shards: usize, rings_per_shard: usize) -> io::Result<Self> {
        let words = SharedWords::adopt(descriptor, count(shards, rings_per_shard))?;
        if words.words()[0].load(Ordering::Relaxed) != VERSION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            words: Arc::new(words),
            rings_per_shard,
        })
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.words.descriptor()
    }

    pub fn floor(&self, shard: usize) -> u64 {
        self.floor_word(shard).load(Ordering::Acquire)
    }

    pub fn set_floor(&self, shard: usize, floor: u64) {
        self.floor_word(shard).store(floor, Ordering::Release);
    }

    pub fn ring(&self, shard: usize, ring: usize) -> RingNotes {
        assert!(ring < self.rings_per_shard, "a ring of this shard");
        RingNotes {
            words: self.words.clone(),
            at: self.shard_at(shard) + 1 + ring * RING_WORDS,
        }
    }

    fn floor_word(&self, shard: usize) -> &AtomicU64 {
        &self.words.words()[self.shard_at(shard)]
    }

    const fn shard_at(&self, shard: usize) -> usize {
        1 + shard * (1 + self.rings_per_shard * RING_WORDS)
    }
}

impl RingNotes {
    /// Says that the packets of a block are being offered.
    pub fn begin(&self, block: u64) {
        self.word(0)
            .store(block.wrapping_add(1) << 1 | 1, Ordering::Release);
    }

    /// Says that they have been.
    pub fn end(&self, block: u64) {
        self.word(0)
            .store(block.wrapping_add(1) << 1, Ordering::Release);
    }

    /// Says that a block is never to be offered.
    pub fn pass_over(&self, block: u64) {
        self.word(2).store(block.wrapping_add(1), Ordering::Release);
    }

    /// Takes over what a dead process has noted. A death before the first block is begun finds nothing
    /// in hand, so the suspicion ends there: it is for two deaths in a row.
    pub fn take_over(&self) -> Leftover {
        let begun = self.word(0).load(Ordering::Acquire);
        let suspect = self.word(1).load(Ordering::Acquire);
        let in_hand = if begun & 1 == 1 { begun >> 1 } else { 0 };
        self.word(0).store(begun & !1, Ordering::Release);
        self.word(1).store(in_hand, Ordering::Release);
        let number = |word: u64| word.checked_sub(1);
        Leftover {
            begun: number(begun >> 1),
            poisoned: number(in_hand).filter(|_| in_hand == suspect),
            passed_over: number(self.word(2).load(Ordering::Acquire)),
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words.words()[self.at + index]
    }
}

const fn count(shards: usize, rings_per_shard: usize) -> usize {
    1 + shards * (1 + rings_per_shard * RING_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_in_hand_at_two_deaths_in_a_row_is_poisoned() {
        let notes = Notes::create(2, 2).unwrap();
        let ring = notes.ring(1, 1);
        assert_eq!(ring.take_over(), Leftover::default());
        ring.begin(0);
        let first = ring.take_over();
        assert_eq!((first.begun, first.poisoned), (Some(0), None));
        ring.begin(0);
        assert_eq!(ring.take_over().poisoned, Some(0));
        // Another block the second time.
        ring.begin(7);
        assert_eq!(ring.take_over().poisoned, None);
        ring.begin(7);
        ring.end(7);
        ring.begin(8);
        assert_eq!(ring.take_over().poisoned, None);
        // A death in between at which nothing was in hand.
        assert_eq!(ring.take_over().poisoned, None);
        ring.begin(8);
        assert_eq!(ring.take_over().poisoned, None);
    }

    #[test]
    fn what_was_begun_and_what_is_passed_over_stays_known() {
        let notes = Notes::create(1, 1).unwrap();
        let ring = notes.ring(0, 0);
        ring.begin(41);
        ring.end(41);
        ring.pass_over(40);
        for _ in 0..2 {
            let expected = Leftover {
                begun: Some(41),
                poisoned: None,
                passed_over: Some(40),
            };
            assert_eq!(ring.take_over(), expected);
        }
        let kept = notes.descriptor().try_clone_to_owned().unwrap();
        notes.set_floor(0, 99);
        drop((notes, ring));
        let notes = Notes::adopt(kept, 1, 1).unwrap();
        assert_eq!(notes.floor(0), 99);
    }

    #[test]
    fn notes_of_another_shape_are_refused() {
        let notes = Notes::create(2, 1).unwrap();
        let kept = || notes.descriptor().try_clone_to_owned().unwrap();
        assert!(Notes::adopt(kept(), 1, 1).is_err());
        assert!(Notes::adopt(kept(), 2, 2).is_err());
        notes.words.words()[0].store(VERSION + 1, Ordering::Relaxed);
        assert!(Notes::adopt(kept(), 2, 1).is_err());
    }
}
