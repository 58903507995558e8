//! Every bound of a shard, with its unit and its reason.

/// Streams that a shard can hold: one for each pair of ports that a slice can have.
pub const STREAMS_MAX: usize = 32 * 1024;

/// No stream: an entry of the port table that is free.
pub const NO_SLOT: u16 = u16::MAX;

/// Octets that a stream's track gathers before they are written: about 100 packets of G.711.
pub const TRACK_PIECE_SIZE: usize = 20 * 1024;

/// Pieces that may be on their way to the disk; beyond it assembly waits, and the journal holds
/// what is not assembled. At 20 KiB each this is 40 MiB.
pub const PIECES_IN_FLIGHT_MAX: usize = 2_048;

/// Pieces kept for use again.
pub const PIECES_KEPT_MAX: usize = 512;

/// Records that are assembled in one turn, so that a backlog does not keep the ring waiting.
pub const ASSEMBLE_BUDGET: usize = 4_096;

/// Streams whose track is flushed for a checkpoint in one turn, so that they do not all come due
/// in the same moment.
pub const CHECKPOINT_SLICE: usize = 32;

/// Sources that are told apart within a stream by number; later ones share the last number.
pub const SOURCES_MAX: usize = 250;

/// Octets of documents that are being received in pieces, per recording.
pub const PARTIAL_DOCUMENT_SIZE_MAX: usize = holdfast_control::limits::DOCUMENT_SIZE_MAX;

/// Outputs that may wait to be carried out between two turns of the shell.
pub const OUTPUTS_MAX: usize = 64 * 1024;

const _: () = assert!(STREAMS_MAX <= NO_SLOT as usize);
