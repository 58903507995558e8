//! The memory of the process.

/// Gives back to the kernel what the allocator holds and nobody uses. Whoever allocates meanwhile may have to
/// wait for as long as that takes. With another C library than glibc it does nothing.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and touches memory that nobody was given.
    unsafe {
        libc::malloc_trim(0);
    }
}
