//! The memory of a ring, mapped: the one place that knows its address.
//!
//! A block belongs to the kernel or to us, as its status word says, and only its owner touches it. The
//! octets of a block are lent as a shared slice; giving the block back needs the mapping exclusively,
//! so no slice is left by then.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::block::{SEQUENCE_OFFSET, STATUS_KERNEL, STATUS_OFFSET, STATUS_USER};
use super::geometry::RingGeometry;
use crate::mapped::Mapped;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Mapping {
    mapped: Mapped,
    geometry: RingGeometry,
}

impl Mapping {
    /// Maps the ring of a packet socket. It stays mapped when the descriptor is closed.
    ///
    /// No other reader may use a mapping of the same ring at the same time: both would give back the
    /// same blocks.
    ///
    /// # Errors
    ///
    /// The socket has no ring of exactly this size.
    pub fn new(socket: BorrowedFd<'_>, geometry: RingGeometry) -> io::Result<Self> {
        let mapped = Mapped::new(socket, geometry.size())?;
        Ok(Self { mapped, geometry })
    }

    /// The octets of a block, if the kernel has handed it over.
    pub fn filled(&self, block: usize) -> Option<&[u8]> {
        if self.status(block).load(Ordering::Acquire) & STATUS_USER == 0 {
            return None;
        }
        // SAFETY: `place` is the beginning of a block within the mapping, which is `block_size` long,
        // readable, and lives as long as `self`. The kernel has handed it over (acquired above) and
        // does not write to it until `release`, which takes `self` exclusively.
        Some(unsafe { std::slice::from_raw_parts(self.place(block), self.block_size()) })
    }

    /// The number of a block that the kernel has handed over, counted since the ring was made.
    pub fn sequence(&self, block: usize) -> Option<u64> {
        let sequence = self.filled(block)?.get(SEQUENCE_OFFSET..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*sequence))
    }

    /// Gives a block back to the kernel.
    pub fn release(&mut self, block: usize) {
        self.status(block).store(STATUS_KERNEL, Ordering::Release);
    }

    /// Blocks of the ring.
    pub const fn block_count(&self) -> usize {
        self.geometry.block_count as usize
    }

    fn status(&self, block: usize) -> &AtomicU32 {
        // SAFETY: the word is within the block, aligned to 4 octets (blocks are to pages), mapped for
        // as long as `self`, and accessed by atomic operations alone, by the kernel too.
        unsafe { AtomicU32::from_ptr(self.place(block).add(STATUS_OFFSET).cast()) }
    }

    /// The address of a block.
    fn place(&self, block: usize) -> *mut u8 {
        assert!(block < self.block_count(), "a block of this ring");
        // SAFETY: `block` is less than the count, so the sum is within the one mapped object.
        unsafe { self.mapped.base().add(block * self.block_size()) }
    }

    const fn block_size(&self) -> usize {
        self.geometry.block_size as usize
    }
}
