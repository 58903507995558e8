//! Every bound of a shard, with its unit and its reason.

use std::time::Duration;

/// How long packets of an encrypted stream come without one that authenticates until that is told.
pub const MUTE_AFTER: Duration = Duration::from_secs(2);

/// Streams that a shard can hold: one for each pair of ports that a slice can have.
pub const STREAMS_MAX: usize = 32 * 1024;

/// Octets that a stream's track gathers before they are written: about 100 packets of G.711.
pub const TRACK_PIECE_SIZE: usize = 20 * 1024;

/// Pieces that may be on their way to the disk; beyond it assembly waits, and the journal's blocks
/// hold what is not assembled. At 20 KiB each this is 160 MiB, 0.8 s of 16,000 streams of G.711.
pub const PIECES_IN_FLIGHT_MAX: usize = 8_192;

/// Octets that a piece has room for before it grows: its own, and those of one usual packet more.
pub const TRACK_PIECE_ROOM: usize = TRACK_PIECE_SIZE + 2 * 1024;

/// Batches that are assembled in one turn, at most: enough for some packets of each stream, so that
/// a stream's state is looked up once for all of them, and few enough not to keep the ring waiting
/// for long against the two seconds that it holds. A batch is at most a block, a mebibyte, some 5,000 packets of G.711.
pub const ASSEMBLE_BATCHES_MAX: usize = 16;

/// Time within which the tracks of all streams are flushed for a checkpoint: long enough for them not
/// to come due in the same moment, and short against the interval, since the journal keeps all that
/// comes meanwhile.
pub const CHECKPOINT_ROUND: Duration = Duration::from_secs(1);

/// Pieces on their way to the disk beyond which a checkpoint flushes only [`CHECKPOINT_SLICE`] a turn:
/// what is assembled meanwhile has room beside them.
pub const CHECKPOINT_PIECES_MAX: usize = PIECES_IN_FLIGHT_MAX / 4;

/// Streams whose track is flushed for a checkpoint in one turn, at least.
pub const CHECKPOINT_SLICE: usize = 32;

/// Time within which every stream is looked at for a report that is due: little against the seconds
/// between two of its reports, and a look costs as much as a packet.
pub const REPORT_ROUND: Duration = Duration::from_millis(500);

/// Sources that are told apart within a stream by number; later ones share the last number.
pub const SOURCES_MAX: usize = 250;

/// Octets of a document that is being received in pieces.
pub const PARTIAL_DOCUMENT_SIZE_MAX: usize = holdfast_control::limits::DOCUMENT_SIZE_MAX;

/// Octets of all documents together that are being received in pieces.
pub const INCOMPLETE_SIZE_MAX: usize = 4 * PARTIAL_DOCUMENT_SIZE_MAX;

/// How long the next piece of a document may take. Signaling sends them one after the other; one
/// that is not complete keeps the journal from being used again.
pub const DOCUMENT_PIECE_WITHIN: Duration = Duration::from_secs(10);

/// Recordings of which documents came before the recording itself, at one time. Signaling sends
/// both in one breath.
pub const EARLY_DOCUMENTS_MAX: usize = 4_096;

/// Documents of a recording that are named to a new signaling process, so that they fit into one
/// message; it sends the others again.
pub const HELD_DOCUMENTS_MAX: usize = 1_000;

const _: () = assert!(STREAMS_MAX <= u16::MAX as usize);
const _: () = assert!(SOURCES_MAX < u8::MAX as usize);
const _: () = assert!(
    HELD_DOCUMENTS_MAX * (holdfast_control::limits::DOCUMENT_NAME_SIZE_MAX + 8)
        + 6 * holdfast_control::limits::STREAMS_MAX
        < holdfast_control::limits::MESSAGE_SIZE_MAX
);
