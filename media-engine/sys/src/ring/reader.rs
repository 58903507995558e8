//! The order in which the blocks of a ring are read and given back.
//!
//! The kernel fills the blocks in turn. A reader that was there from the start follows it; one that
//! takes over begins with the lowest number among the blocks that are not the kernel's.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use super::geometry::RingGeometry;
use super::mapping::Mapping;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Reader {
    mapping: Mapping,
    /// The block that is read next; `None` until a reader that took over has found one.
    next: Option<usize>,
    /// Blocks that were read, oldest first, as the journal's number that ends each; they lie just
    /// before `next`.
    read: VecDeque<u64>,
    /// Blocks read behind those, whose position is not known yet.
    unplaced: usize,
}

/// Blocks that are never held, so that the kernel has one to fill and one to go on with.
const SPARE_BLOCKS: usize = 2;

impl Reader {
    /// Of a ring that was just made.
    pub fn of_new(socket: BorrowedFd<'_>, geometry: RingGeometry) -> io::Result<Self> {
        Self::new(socket, geometry, Some(0))
    }

    /// Of a ring that another process read.
    pub fn of_used(socket: BorrowedFd<'_>, geometry: RingGeometry) -> io::Result<Self> {
        Self::new(socket, geometry, None)
    }

    fn new(
        socket: BorrowedFd<'_>,
        geometry: RingGeometry,
        next: Option<usize>,
    ) -> io::Result<Self> {
        Ok(Self {
            mapping: Mapping::new(socket, geometry)?,
            next,
            read: VecDeque::with_capacity(geometry.block_count as usize),
            unplaced: 0,
        })
    }

    /// The next block and its number, if there is one and it may be held.
    pub fn next_block(&mut self) -> Option<(u64, &[u8])> {
        let count = self.mapping.block_count();
        if self.is_full() {
            return None;
        }
        let block = match self.next {
            Some(block) => block,
            None => self.oldest_filled()?,
        };
        self.next = Some(block);
        let number = self.mapping.sequence(block)?;
        self.next = Some((block + 1) % count);
        self.unplaced += 1;
        Some((number, self.mapping.filled(block)?))
    }

    /// Whether as many blocks are held as may be.
    pub fn is_full(&self) -> bool {
        self.held() + SPARE_BLOCKS >= self.mapping.block_count()
    }

    /// The block of this number, if the kernel has handed it over.
    pub fn find(&self, number: u64) -> Option<&[u8]> {
        let is_it = |&block: &usize| self.mapping.sequence(block) == Some(number);
        let block = (0..self.mapping.block_count()).find(is_it)?;
        self.mapping.filled(block)
    }

    /// All blocks that were read until now end below this number of the journal.
    pub fn handle_position(&mut self, next: u64) {
        for _ in 0..std::mem::take(&mut self.unplaced) {
            self.read.push_back(next);
        }
    }

    /// Gives back the blocks that end at or below this number.
    pub fn release(&mut self, committed: u64) {
        let Some(next) = self.next else { return };
        let count = self.mapping.block_count();
        while self.read.front().is_some_and(|&end| end <= committed) {
            let block = (next + count - self.held()) % count;
            self.mapping.release(block);
            self.read.pop_front();
        }
    }

    /// Whether a block waits that may not be read before others are given back.
    pub fn holds_back(&self) -> bool {
        let may_read = self.held() + SPARE_BLOCKS < self.mapping.block_count();
        !may_read
            && self
                .next
                .is_some_and(|next| self.mapping.filled(next).is_some())
    }

    /// Blocks there are.
    pub fn blocks(&self) -> usize {
        self.mapping.block_count()
    }

    /// Blocks that were read and not given back.
    pub fn held(&self) -> usize {
        self.read.len() + self.unplaced
    }

    /// The block that comes first in the kernel's order. The kernel goes on filling meanwhile, so a
    /// block that was not full when it was looked at may be by the end, and comes before.
    fn oldest_filled(&self) -> Option<usize> {
        let count = self.mapping.block_count();
        let number = |block| self.mapping.sequence(block);
        let filled = (0..count).filter_map(|block| Some((number(block)?, block)));
        let (mut lowest, mut oldest) = filled.min()?;
        loop {
            let before = (oldest + count - 1) % count;
            if number(before).map(|number| number.wrapping_add(1)) != Some(lowest) {
                return Some(oldest);
            }
            (lowest, oldest) = (lowest.wrapping_sub(1), before);
        }
    }
}
