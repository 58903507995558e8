//! Checks published recordings against what was sent.
//!
//! `channel` looks at samples alone, `recording` at one recording with its manifest and the SHA-256 of
//! its files, `metadata` at what is said of who took part, `kept` at packets that are not heard, `told` at keys and silences, `library` finds recordings by their Call-ID.
//! A recording passes only where every sample, every count and every word of these is what a perfect
//! recorder would have.

mod channel;
mod kept;
mod library;
mod metadata;
mod recording;
mod told;

pub use channel::{ChannelVerdict, check_channel, find};
pub use library::{Library, Published};
pub(crate) use metadata::check_metadata;
pub use metadata::{MetadataTruth, Speaker};
pub(crate) use recording::check_evidence;
pub use recording::{CallTruth, LegTruth, RecordingVerdict, check_recording};
