//! Everything one core of the media engine owns, without I/O.
//!
//! ```text
//!   datagram ─▶ LiveStream (guard) ─▶ journal ─▶ committed ─▶ Assembly ─▶ tracks ─▶ publish
//!   desired state ─▶ desire ─────────▶ journal ─▶ committed ─▶ Assembly ─▶ state, documents
//! ```
//!
//! [`Shard`] is the whole; [`Assembly`] alone is what a recovery needs.

mod after_pause;
mod assembled;
mod assembly;
mod checkpoint;
mod decryption;
mod desire;
mod disk;
mod documents;
mod keys;
mod latency;
pub mod limits;
mod live;
mod output;
mod random;
mod receiving;
mod reconcile;
pub mod records;
mod reports;
mod saved;
mod shard;
mod track_writer;

pub use assembled::{AssembledStream, Authentic, LiveCounts};
pub use assembly::{Assembly, Finished};
pub use decryption::Mute;
pub use disk::{DiskError, DiskOrder, DiskResult, Published};
pub use keys::{KeyError, KeyRing};
pub use output::{Command, Datagram, IngestFigures, Notice, Output, ShardEvent, ShardStatistics};
pub use records::{decode_stream, encode_recording};
pub use saved::{Checkpoint, ReadSavedError, SavedRecording, StreamCheckpoint};
pub use shard::{Shard, ShardConfig};
