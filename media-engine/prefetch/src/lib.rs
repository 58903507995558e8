//! Asks the memory for what will be needed soon.
//!
//! Thousands of streams take turns, so what a packet needs of its own stream has left the caches since
//! the one before. A load that waits for memory holds up what comes behind it once the processor has as
//! much in flight as it can follow; a request that nobody waits for does not. Whoever knows what comes
//! next asks for it some steps ahead.
//!
//! What is asked for too late, too early or in vain costs time and changes nothing.

/// Asks for the cache line in which this begins.
#[inline(always)]
pub fn prefetch<T: ?Sized>(what: &T) {
    ask(std::ptr::from_ref(what).cast());
}

/// Asks for all cache lines that this lies in.
#[inline(always)]
pub fn prefetch_whole<T>(what: &T) {
    ask_all(std::ptr::from_ref(what).cast(), size_of::<T>());
}

/// Asks for the lines that the next octets will be appended in, as far as there is room for them.
#[inline(always)]
pub fn prefetch_end(bytes: &Vec<u8>, size: usize) {
    let end = bytes.as_ptr().wrapping_add(bytes.len());
    ask_all(end.cast(), size.min(bytes.capacity() - bytes.len()));
}

/// Asks for the octets of this range, as far as there are any.
#[inline(always)]
pub fn prefetch_octets(bytes: &[u8], from: usize, size: usize) {
    let (_, from) = bytes.split_at(from.min(bytes.len()));
    ask_all(from.as_ptr().cast(), size.min(from.len()));
}

/// Octets of a cache line.
const CACHE_LINE: usize = 64;

/// Asks for each line that so many octets from here on lie in.
#[inline(always)]
fn ask_all(begin: *const i8, size: usize) {
    let into_line = begin.addr() % CACHE_LINE;
    for offset in (0..into_line + size).step_by(CACHE_LINE) {
        ask(begin.wrapping_sub(into_line).wrapping_add(offset));
    }
}

#[inline(always)]
fn ask(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing that a program can see, at whatever address. SSE is part
    // of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_harmed_by_asking_for_what_is_not_there() {
        let bytes = vec![7; 200];
        prefetch(&bytes);
        prefetch_octets(&bytes, 100, 400);
        prefetch_octets(&bytes, 300, 1);
        prefetch_octets(&[], 0, 64);
        prefetch_whole(&[7_u64; 40]);
        prefetch_end(&bytes, 400);
        assert_eq!(bytes, vec![7; 200]);
    }
}
