//! Memory that a descriptor stands for, mapped: shared with whoever else has the descriptor.
//!
//! Who may touch which of its octets, and when, is for those who map it to say.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// See the module's documentation. It stays mapped when the descriptor is closed.
#[derive(Debug)]
pub(crate) struct Mapped {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping is memory of the process, not of the thread that made it, and the address alone
// gives access to nothing.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Maps the first `size` octets, more than 0, for reading and writing.
    ///
    /// # Errors
    ///
    /// What the system says: there is not so much, or the descriptor cannot be mapped.
    pub fn new(descriptor: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        // SAFETY: the address is the kernel's choice, so nothing that is mapped already is replaced;
        // the result is checked before it is used.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, size })
    }

    /// Where it begins, aligned to a page: so many octets as were asked for, for as long as `self`.
    pub const fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; no reference into it outlives its owner, which is gone.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
        debug_assert_eq!(result, 0);
    }
}
