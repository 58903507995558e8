//! What a shard asks of the disk beside its journal.
//!
//! The orders of one shard are carried out one after the other, in the order they were given, by a
//! thread that may block; the shard never waits. What they write is in the page cache until a
//! [`DiskOrder::Sync`], which covers all orders before it, says otherwise: until then the journal
//! is what makes it durable.

use holdfast_control::DocumentName;
use holdfast_units::RecordingId;

/// An order to the disk.
#[derive(Debug)]
pub enum DiskOrder {
    /// Writes the state of a recording in progress, whole; makes its folder where there is none.
    SaveState {
        /// Which recording.
        recording: RecordingId,
        /// Encoded [`crate::SavedRecording`].
        bytes: Vec<u8>,
    },
    /// Writes a document of a recording, whole, in place of a former one of that name.
    WriteDocument {
        /// Which recording.
        recording: RecordingId,
        /// Name of the file.
        name: DocumentName,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Writes a piece of a track.
    WriteTrack {
        /// Which recording.
        recording: RecordingId,
        /// Number of the stream in it.
        number: u16,
        /// Given back with the result.
        slot: u32,
        /// Offset in the track file.
        offset: u64,
        /// The piece; given back to be used again.
        bytes: Vec<u8>,
    },
    /// Makes all of a recording's orders before this one a published recording. Fails where one of
    /// them has failed since the last such order: that one comes again, and then this one.
    Publish {
        /// Which recording.
        recording: RecordingId,
    },
    /// Removes what is left of a recording in progress. Like any order it is carried out before the
    /// next: a recording that was refused may come again under its id.
    Remove {
        /// Which recording.
        recording: RecordingId,
    },
    /// Makes everything before it durable.
    Sync,
    /// Writes the checkpoint, durably, in place of the former one.
    SaveCheckpoint {
        /// Encoded [`crate::Checkpoint`].
        bytes: Vec<u8>,
    },
}

/// What became of an order.
#[derive(Debug)]
pub enum DiskResult {
    /// Of a [`DiskOrder::WriteTrack`].
    TrackWritten {
        /// Which stream.
        slot: u32,
        /// Which recording.
        recording: RecordingId,
        /// Offset in the track file.
        offset: u64,
        /// The piece, to be used again or written once more.
        bytes: Vec<u8>,
        /// Whether it was.
        result: Result<(), DiskError>,
    },
    /// Of a [`DiskOrder::SaveState`] that failed.
    WriteFailed {
        /// Which recording.
        recording: RecordingId,
        /// Why.
        error: DiskError,
    },
    /// Of a [`DiskOrder::WriteDocument`] that failed.
    DocumentFailed {
        /// Which recording.
        recording: RecordingId,
        /// Name of the file.
        name: DocumentName,
        /// Its content, to be written once more.
        bytes: Vec<u8>,
        /// Why.
        error: DiskError,
    },
    /// Of a [`DiskOrder::Publish`].
    Published {
        /// Which recording.
        recording: RecordingId,
        /// What came of it.
        result: Result<Published, DiskError>,
    },
    /// Of a [`DiskOrder::Sync`].
    Synced(Result<(), DiskError>),
    /// Of a [`DiskOrder::SaveCheckpoint`].
    CheckpointSaved(Result<(), DiskError>),
}

/// A published recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its folder.
    pub folder: String,
    /// Packets in its tracks.
    pub packets: u64,
    /// Packets that the sequence numbers say are missing.
    pub lost: u64,
}

/// Why an order failed: what the system said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DiskError(pub String);
