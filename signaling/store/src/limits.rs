//! Every bound of this crate.

use std::time::Duration;

/// Changes in one commit: what waits beyond it goes into the next one.
pub const BATCH_MAX: usize = 4_096;

/// Pause between two attempts to reach a home that does not save.
pub const RETRY: Duration = Duration::from_millis(500);

/// How long another connection to the database may be in the way: an operator's, who looks into it.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Pages of the write-ahead log after which it is taken over into the database: 16 MiB.
pub const CHECKPOINT_PAGES: u32 = 4_096;
