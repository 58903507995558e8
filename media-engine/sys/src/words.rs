//! Numbers in memory that outlives the process: another process keeps its descriptor.
//!
//! It is anonymous memory (`man 2 memfd_create`), so to write a number costs a store, and neither a
//! kill nor a crash takes it back; a power cut does. Its size is sealed: nobody can cut it off under a
//! process that has it mapped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

use crate::mapped::Mapped;

/// See the module's documentation.
#[derive(Debug)]
pub struct SharedWords {
    mapped: Mapped,
    count: usize,
    descriptor: OwnedFd,
}

// SAFETY: the memory is accessed by atomic operations alone.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// So many words, all 0.
    ///
    /// # Errors
    ///
    /// The system has no memory or descriptor for them.
    pub fn create(count: usize) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let descriptor = memfd_create("holdfast", flags)?;
        let size = i64::try_from(size_of_words(count)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        ftruncate(&descriptor, size)?;
        fcntl(&descriptor, FcntlArg::F_ADD_SEALS(size_seals()))?;
        Self::map(descriptor, count)
    }

    /// The words that another process made.
    ///
    /// # Errors
    ///
    /// The descriptor is not that of exactly so many words.
    pub fn adopt(descriptor: OwnedFd, count: usize) -> io::Result<Self> {
        let seals = fcntl(&descriptor, FcntlArg::F_GET_SEALS)?;
        let is_sealed = SealFlag::from_bits_retain(seals).contains(size_seals());
        let size = fstat(&descriptor)?.st_size;
        if !is_sealed || usize::try_from(size).ok() != Some(size_of_words(count)) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(descriptor, count)
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: this is the beginning of a mapping of `count` words that lives as long as `self`,
        // is aligned to pages, and cannot be cut off, because the size is sealed. All access, by
        // whichever process, is atomic.
        unsafe { std::slice::from_raw_parts(self.mapped.base().cast(), self.count) }
    }

    /// What keeps them alive.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    fn map(descriptor: OwnedFd, count: usize) -> io::Result<Self> {
        assert!(count > 0, "no words need no memory");
        let mapped = Mapped::new(descriptor.as_fd(), size_of_words(count))?;
        Ok(Self {
            mapped,
            count,
            descriptor,
        })
    }
}

const fn size_of_words(count: usize) -> usize {
    count * size_of::<AtomicU64>()
}

fn size_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn who_adopts_the_words_reads_what_was_written() {
        let words = SharedWords::create(3).unwrap();
        words.words()[2].store(7, Ordering::Relaxed);
        let kept = words.descriptor().try_clone_to_owned().unwrap();
        drop(words);
        let words = SharedWords::adopt(kept, 3).unwrap();
        let values: Vec<u64> = words
            .words()
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        assert_eq!(values, [0, 0, 7]);
    }

    #[test]
    fn memory_of_another_size_or_that_may_shrink_is_refused() {
        let words = SharedWords::create(3).unwrap();
        let clone = || words.descriptor().try_clone_to_owned().unwrap();
        assert!(SharedWords::adopt(clone(), 4).is_err());
        assert!(ftruncate(words.descriptor(), 8).is_err(), "it is sealed");
        let open = memfd_create("open", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&open, 24).unwrap();
        assert!(SharedWords::adopt(open, 3).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(SharedWords::adopt(file.into(), 3).is_err());
    }
}
