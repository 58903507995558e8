//! The write-ahead log of one shard: its bytes, its writer, its recovery.
//!
//! A shard appends every packet here before anything else happens to it. The log is a row of
//! preallocated segment files; what is appended between two syncs is one or more batches, each
//! with a checksum of its own, each record in them too. After a crash [`Recovery`] reads what is
//! there, says what is damaged and where, and yields every intact record exactly once and in
//! order.
//!
//! Nothing here opens a file, reads a clock or starts a thread: the [`Writer`] says what is to be
//! written and is told when it was, and [`Recovery`] reads through [`ReadAt`].
//!
//! The invariant that matters: [`Writer::committed`] never passes a record whose bytes are not on
//! the disk, and whatever it has passed is either recovered or below the checkpoint.
//!
//! # What the shell owes
//!
//! * `OpenSegment` completes once the file has its size, its new name, its header, and all of it
//!   is synced, the folder too.
//! * `Sync` is issued only when it is polled, and completes when all writes to that segment that
//!   had completed before it are durable.
//! * Before recovery reads, every segment file is synced: what is recovered counts as durable from
//!   then on, also where the process that wrote it died before its own sync.
//! * A write that a killed predecessor left in flight must not land in a file that is used again:
//!   hold a `flock` on every open segment and take it before recovery reads. A request in flight
//!   keeps the file description, and with it the lock.

mod format;
mod fuzz;
mod ids;
mod limits;
mod recovery;
mod writer;

pub use format::batch::{BatchHeader, HEADER_SIZE as BATCH_HEADER_SIZE};
pub use format::name::{parse_segment_name, segment_name};
pub use format::record::{
    HEADER_SIZE as RECORD_HEADER_SIZE, NewRecord, RecordRef, encoded_size as record_size,
};
pub use format::segment::{SegmentHeader, SegmentHeaderError, VERSION};
pub use fuzz::replay_any;
pub use ids::{JournalId, Lsn, LsnRange, SegmentNumber, Shard, Ticket};
pub use limits::{
    BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, BLOCKS_MAX, PAGE_SIZE, PAYLOAD_MAX, SEGMENT_SIZE_MAX,
    SEGMENTS_MIN,
};
pub use recovery::{
    Finding, FindingKind, ForeignReason, Outcome, ReadAt, Recovery, RecoveryError,
    RecoverySettings, SegmentFile, records_in_memory,
};
pub use writer::{
    Committed, ConfigError, Deadline, Event, Failure, Full, FullReason, Occupancy, OldSegment,
    Operation, Output, Records, Start, TimerReason, Writer, WriterConfig,
};
