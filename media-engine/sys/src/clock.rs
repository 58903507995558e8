//! The two clocks, read here and nowhere else in the engine.

use holdfast_units::{MonoTime, WallTime};
use nix::time::{ClockId, clock_gettime};

/// Monotonic time for deadlines.
///
/// # Panics
///
/// Where the kernel has no monotonic clock, which no supported one lacks.
pub fn monotonic() -> MonoTime {
    MonoTime(read(ClockId::CLOCK_MONOTONIC))
}

/// Wall-clock time for what is written down; the clock of the kernel's packet timestamps.
///
/// # Panics
///
/// Where the kernel has no real-time clock, which no supported one lacks.
pub fn wall() -> WallTime {
    WallTime(read(ClockId::CLOCK_REALTIME))
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("the kernel has this clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
