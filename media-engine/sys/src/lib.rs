//! Sockets, packet rings and clocks of the media engine: beside `prefetch` the one crate that may contain `unsafe`.
//!
//! What it offers is safe to call, small, and free of policy: it neither knows what RTP is nor what
//! a stream is. A port, an address, octets and the kernel's time of arrival are all it speaks of.

pub mod clock;
pub mod file;
mod ingest;
#[cfg(feature = "inject")]
pub mod inject;
pub mod interfaces;
mod mapped;
pub mod memory;
mod recv_batch;
mod ring;
pub mod seqpacket;
mod shared_blocks;
mod udp;
mod words;

pub use ingest::{
    ARRIVALS_TOGETHER, Arrival, Drops, Ingest, IngestCounters, RingOccupancy, SharedSocket,
};
pub use ring::{
    PassedOver, PortSlice, RETIRE_AFTER, RetireGuard, RetiredRings, RingError, RingGeometry,
    RingIngest, RingInterface, RingSetup, SuspectBlock,
};
pub use shared_blocks::SharedBlock;
pub use udp::UdpIngest;
pub use words::SharedWords;
