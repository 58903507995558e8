//! Identity, time and address newtypes that every crate shares.
//!
//! Two numbers of different meaning never share a type. Nothing here reads a clock or a random
//! source: values come from the shells.

mod id;
mod srtp;
mod time;

pub use id::{RecordingId, StreamId};
pub use srtp::SrtpSuite;
pub use time::{MonoTime, WallTime};
