//! Every bound of the journal, with its unit and its reason.

use std::time::Duration;

/// Bytes of a page: batches begin on one, writes are whole ones. The largest block size of the
/// devices that direct I/O has to suit.
pub const PAGE_SIZE: usize = 4096;

/// Bytes that a disk writes wholly or not at all. Damage smaller than this is no torn write.
pub const SECTOR_SIZE: u64 = 512;

/// Bytes of payload in one record: twice the largest datagram, so that a state blob fits too.
pub const PAYLOAD_MAX: usize = 128 * 1024;

/// Bytes of a block, at least: a batch of one record of the largest size.
pub const BLOCK_SIZE_MIN: usize = 33 * PAGE_SIZE;

/// Bytes of a block, at most: what one write may ask of a disk.
pub const BLOCK_SIZE_MAX: usize = 64 * 1024 * 1024;

/// Blocks that a writer can hold: at 1 MiB each, two seconds of a stalled disk at 500 MB/s.
pub const BLOCKS_MAX: usize = 1024;

/// Bytes of a segment, at most: its pages are counted in 32 bits.
pub const SEGMENT_SIZE_MAX: u64 = 1 << 40;

/// Segment files, at least: one that fills, one open ahead of need, one waiting for the tracks.
pub const SEGMENTS_MIN: usize = 3;

/// Record and segment numbers stay below this, so that a sum of a few of them cannot overflow.
pub const NUMBER_MAX: u64 = 1 << 62;

/// Commits that may fail in a row, each in a fresh segment, before nothing more is taken.
pub const FAILURES_MAX: u32 = 4;

/// Wait after [`FAILURES_MAX`] failures before the disk is tried once more; each further failure
/// doubles it.
pub const REST_MIN: Duration = Duration::from_secs(1);

/// The longest such wait: what a disk that is back waits for, at most, until it is used again.
pub const REST_MAX: Duration = Duration::from_secs(16);

/// Each commit forgets one part in so many of what the slowest before it took.
pub const LEAD_DECAY: u32 = 16;

/// Wait before a segment is asked for again after it could not be opened: long enough not to
/// flood a full disk or the log, short against what a ring can hold.
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Events that wait to be polled; later ones only count.
pub const EVENTS_MAX: usize = 64;

/// Findings that recovery keeps; later ones only count.
pub const FINDINGS_MAX: usize = 4096;

/// Bytes that recovery holds of a segment at one time.
pub const WINDOW_SIZE: usize = 64 * PAGE_SIZE;

const _: () = assert!(crate::format::batch::HEADER_SIZE + 32 + PAYLOAD_MAX <= BLOCK_SIZE_MIN);
const _: () = assert!(REST_MIN.as_millis() <= REST_MAX.as_millis());
const _: () = assert!(WINDOW_SIZE >= PAGE_SIZE + 32 + PAYLOAD_MAX);
const _: () = assert!(PAYLOAD_MAX < 1 << 24);
const _: () = assert!(SEGMENT_SIZE_MAX / PAGE_SIZE as u64 <= u32::MAX as u64);
const _: () = assert!((PAGE_SIZE as u64).is_multiple_of(SECTOR_SIZE));
