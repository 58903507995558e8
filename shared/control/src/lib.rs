//! The protocol between the signaling process and the media engine.
//!
//! The socket (SOCK_SEQPACKET) carries *desired state*, not events: signaling says which recordings
//! and streams should exist, the engine makes it so and says what it has. Every message about a
//! recording is whole, idempotent and carries a revision, so that sending it again changes nothing
//! and an older one is recognised. After either side has restarted, both say [`ToEngine::Hello`]
//! and [`FromEngine::Hello`], the engine lists what it holds, signaling sends all that it wants and
//! closes the list with [`ToEngine::ReconcileDone`]; what nobody claimed is an orphan.
//!
//! It refuses to be a place for calls or packets: what the engine does not need to receive and
//! store media travels as an opaque document.
//!
//! [`operator`] and [`status`] are a protocol of their own, between the signaling process and whoever
//! operates it.

pub mod frame;
pub mod fuzz;
mod latency;
pub mod limits;
mod message;
pub mod operator;
mod srtp;
pub mod statistics;
pub mod status;

pub use frame::{DecodeError, EncodeError, decode, encode};
pub use message::{
    Document, DocumentName, DocumentNameError, FromEngine, Health, HeldDocument, HeldRecording,
    Life, PublishedRecording, Recording, RefusalReason, RefusedStream, ShardPorts, Stage,
    StageLatency, Stream, StreamMode, ToEngine, Unwilling,
};
pub use srtp::{KeyOf, Sealed, Srtp, SrtpKey, seal_context};
pub use statistics::{EngineStatistics, ShardStatistics};
