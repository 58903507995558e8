//! Waiting with an end.

use std::time::{Duration, Instant};

/// Longest that anything is waited for: only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
///
/// # Panics
/// When it has not after [`PATIENCE`].
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, look).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}

/// Waits until something is so.
///
/// # Panics
/// When it is not after [`PATIENCE`].
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Waits at most `limit` until `look` finds something.
pub fn wait_within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(10);
