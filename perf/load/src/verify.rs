//! Checks published recordings against what was sent.
//!
//! `channel` looks at samples alone, `recording` at one recording with its manifest, `library` finds
//! recordings by their Call-ID. A recording passes only where every sample and every count is what
//! a perfect recorder would have.

mod channel;
mod library;
mod recording;

pub use channel::{ChannelVerdict, check_channel, find};
pub use library::{Library, Published};
pub use recording::{CallTruth, LegTruth, RecordingVerdict, check_recording};
