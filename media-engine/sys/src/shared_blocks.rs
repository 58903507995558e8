//! Blocks of memory that outlive the process, if another keeps their descriptor: what is written to
//! them and not yet anywhere else can be read by the next one.
//!
//! Each block has one owner. Whoever reads the blocks of another process must know that it is dead.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use crate::mapped::Mapped;

/// One block.
#[derive(Debug)]
pub struct SharedBlock {
    mapping: Arc<Mapping>,
    index: usize,
}

#[derive(Debug)]
struct Mapping {
    mapped: Mapped,
    block_size: usize,
    count: usize,
}

// SAFETY: its parts are reached through their blocks alone, each of which has one owner.
unsafe impl Sync for Mapping {}

impl SharedBlock {
    /// So many blocks of this size, and what keeps them alive.
    ///
    /// # Errors
    ///
    /// The system has no memory or descriptor for them.
    pub fn create(block_size: usize, count: usize) -> io::Result<(Vec<Self>, OwnedFd)> {
        let size = block_size.checked_mul(count).filter(|&size| size > 0);
        let size = size.ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = memfd_create("holdfast", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(
            &descriptor,
            i64::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?,
        )?;
        let mapping = Arc::new(Mapping {
            mapped: Mapped::new(descriptor.as_fd(), size)?,
            block_size,
            count,
        });
        let block = |index| Self {
            mapping: mapping.clone(),
            index,
        };
        Ok(((0..count).map(block).collect(), descriptor))
    }

    /// What a dead process has left in its blocks, one after the other.
    ///
    /// # Errors
    ///
    /// What the system says; there is not so much to be read.
    pub fn read_all(descriptor: OwnedFd, block_size: usize, count: usize) -> io::Result<Vec<u8>> {
        let file = File::from(descriptor);
        let size = block_size.checked_mul(count);
        let size = size.filter(|&size| file.metadata().is_ok_and(|it| it.len() == size as u64));
        let mut octets = vec![0; size.ok_or(io::ErrorKind::InvalidData)?];
        file.read_exact_at(&mut octets, 0)?;
        Ok(octets)
    }

    fn begin(&self) -> *mut u8 {
        let Mapping {
            mapped,
            block_size,
            count,
        } = &*self.mapping;
        assert!(self.index < *count, "a block of this mapping");
        // SAFETY: the index is less than the count, so the sum is within the one mapped object.
        unsafe { mapped.base().add(self.index * block_size) }
    }
}

impl AsRef<[u8]> for SharedBlock {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the block lies within the mapping, which lives as long as `self`; it is written
        // through its one owner alone, which is borrowed here. Another process may hold the
        // descriptor, and does not write: it reads when this one is dead. The size is never changed.
        unsafe { std::slice::from_raw_parts(self.begin(), self.mapping.block_size) }
    }
}

impl AsMut<[u8]> for SharedBlock {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the owner is borrowed exclusively, and blocks do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.begin(), self.mapping.block_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_when_its_process_is_gone() {
        let (mut blocks, kept) = SharedBlock::create(8_192, 3).unwrap();
        blocks[0].as_mut().fill(1);
        blocks[2].as_mut()[8_191] = 3;
        assert_eq!(blocks[1].as_ref(), [0; 8_192]);
        drop(blocks);
        let octets = SharedBlock::read_all(kept, 8_192, 3).unwrap();
        assert_eq!(&octets[..8_192], [1; 8_192]);
        assert_eq!(octets[3 * 8_192 - 1], 3);
    }

    #[test]
    fn memory_of_another_size_is_refused() {
        let (_blocks, kept) = SharedBlock::create(4_096, 2).unwrap();
        assert!(SharedBlock::read_all(kept, 4_096, 3).is_err());
        let null = File::open("/dev/null").unwrap();
        assert!(SharedBlock::read_all(null.into(), 4_096, 1).is_err());
        assert!(SharedBlock::create(4_096, 0).is_err());
    }
}
