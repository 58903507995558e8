//! What the standard library and glommio do not offer for files.

use std::io;
use std::os::fd::AsRawFd;

/// Locks a file for as long as it is open, by whichever descriptor of it; requests to the kernel
/// that are in flight when a process is killed count as one.
///
/// # Errors
///
/// `WouldBlock` where another open file has the lock.
pub fn lock(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: flock takes a descriptor by number and no memory; `file` keeps it open meanwhile.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
