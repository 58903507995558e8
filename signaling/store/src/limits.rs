//! Every bound of this crate.

use std::time::Duration;

/// Changes in one commit: what waits beyond it goes into the next one.
pub const BATCH_MAX: usize = 4_096;

/// Changes in one script of a Redis server, which does nothing else meanwhile.
pub const COMMIT_CHANGES_MAX: usize = 256;

/// States read or adopted with one script.
pub const LOAD_COUNT: usize = 256;

/// How long a Redis server may take to be reached or to answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long it is remembered that an adopted call is over: longer than a node may be cut off.
pub const GONE_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the thread sleeps that has nothing to tend.
pub const IDLE: Duration = Duration::from_secs(3_600);

/// Pause between two attempts to reach a home that does not save.
pub const RETRY: Duration = Duration::from_millis(500);

/// How long another connection to the database may be in the way: an operator's, who looks into it.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Pages of the write-ahead log after which it is taken over into the database: 16 MiB.
pub const CHECKPOINT_PAGES: u32 = 4_096;
