//! Track files and what is rendered from them: timeline, WAV, pcapng.
//!
//! A track is what one stream left on disk: its packets as they came, in the order of the shard's
//! log, with marks and counters between them. From tracks come the audio of a recording, the
//! account of what is missing in it, and a capture file. Nothing here opens a file, reads a clock
//! or changes a sample.
//!
//! ```text
//!   encode_record ─▶ track file ─▶ RecordReader ─▶ Timeline ─▶ plan ─▶ RenderPlan::write ─▶ WAV
//!                        │              │                        └──▶ TrackReport ─▶ manifest
//!                        └─ recover     └─▶ export ─▶ pcapng
//! ```

mod align;
mod format;
pub mod levels;
pub mod limits;
mod payload;
pub mod pcapng;
mod reader;
mod render;
mod report;
mod timeline;
pub mod wav;

pub use format::{
    ALIGNMENT, DecodeRecordError, Flags, HEADER_SIZE, Kind, Lsn, PayloadTooLong, Record, VERSION,
    decode_record, encode_record, record_size,
};
pub use payload::{
    CodecEntry, Counters, DecodePayloadError, SourceAddresses, SourceKey, StreamHeader, TrackMark,
};
pub use reader::{Damage, DamageKind, ReadTrackError, RecordReader, Tail, recover};
pub use render::{
    OpenTrack, RecordingTime, RenderError, RenderPlan, TrackInput, plan, plan_within, render,
};
pub use report::TrackReport;
pub use timeline::{Law, Placement, Sink, Timeline, payload_map};
