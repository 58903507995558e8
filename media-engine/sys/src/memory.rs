//! The memory of the process.

/// Gives back to the kernel what the allocator holds and nobody uses. Whoever allocates meanwhile may have to
/// wait, for as long as that takes: some milliseconds for a hundred MiB. With another C library than glibc it
/// does nothing.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and touches memory that nobody was given.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Octets that the process has in memory.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[test]
    fn what_is_free_between_what_is_used_goes_back_to_the_kernel() {
        const SIZE: usize = 32 * 1024;
        let mut pieces: Vec<Vec<u8>> = (0..2_000).map(|_| vec![1; SIZE]).collect();
        // Every hundredth stays, so that nothing can be cut off as a whole.
        let mut at = 0;
        pieces.retain(|_| {
            at += 1;
            at % 100 == 0
        });
        let before = resident();
        give_back();
        let given = before.saturating_sub(resident());
        assert!(given > 1_000 * SIZE, "{given} octets");
        assert!(pieces.iter().all(|piece| piece[SIZE - 1] == 1));
    }
}
