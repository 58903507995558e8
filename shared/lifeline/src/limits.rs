//! Every bound of the lifelines.

use std::time::Duration;

/// Most descriptors in one message: what the kernel takes (`SCM_MAX_FD`).
pub const BATCH_MAX: usize = 253;

/// Longest key in octets.
pub const KEY_SIZE_MAX: usize = 96;

/// Longest note in octets.
pub const NOTE_SIZE_MAX: usize = 16 * 1024;

/// Longest message in octets: a batch of the longest keys, or a note.
pub const MESSAGE_SIZE_MAX: usize = 64 * 1024;

/// Most descriptors that are kept: two for each port there is.
pub const DESCRIPTORS_MAX: usize = 2 * 65_536;

/// Most descriptors in systemd's store for one process, which its unit allows (`FileDescriptorStoreMax=`).
/// systemd compares a new one with each that it has, and names all of them in one variable of the next
/// life's environment.
pub const STORED_MAX: usize = 1_024;

/// How long things are kept for a process that is gone. Rings and buffers are full long before, and
/// whoever sends to a socket that nobody reads is to learn it some time.
pub const KEEP_MAX: Duration = Duration::from_secs(60);

/// How long the other process may take for one answer, or not read, before it is taken for hung.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two attempts to reach the other process: until then nothing is in its hands.
pub const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Longest variable of an environment (`MAX_ARG_STRLEN`, 32 pages): past it nothing can be started.
const VARIABLE_SIZE_MAX: usize = 128 * 1024;

const _: () = assert!(STORED_MAX * (KEY_SIZE_MAX + "/65535:".len()) < VARIABLE_SIZE_MAX);
const _: () = assert!(BATCH_MAX * (KEY_SIZE_MAX + 8) + NOTE_SIZE_MAX < MESSAGE_SIZE_MAX);
