//! The stages of a packet's way through the media engine, each alone and fed without I/O.
//!
//! ```text
//!   datagram ─▶ demux_guard ─▶ append ─▶ track (sequence) ─▶ depacketise ─▶ render
//!              └────────────── shard ──────────────┘
//! ```
//!
//! Both ways of measuring use them: `benches/` takes the time (criterion), the program `stages`
//! is what `perf/instructions/run` counts instructions of. What a stage is fed is built once.
//!
//! The invariant that matters: a stage that does not take every packet panics, so that no figure
//! is ever that of a refusal.

mod disk;
mod feed;
mod stage;
mod stages;

pub use feed::{Feed, Packet};
pub use stage::{BATCH, NAMES, Running};
