//! The two clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_units::{MonoTime, WallTime};

/// Reads the clocks; its copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Time for deadlines.
    pub fn now(&self) -> MonoTime {
        MonoTime::ZERO + self.started.elapsed()
    }

    /// Time that is written down.
    pub fn wall(&self) -> WallTime {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        WallTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// When a deadline is, as the runtime counts.
    pub fn instant(&self, at: MonoTime) -> tokio::time::Instant {
        (self.started + Duration::from_nanos(at.0)).into()
    }
}
