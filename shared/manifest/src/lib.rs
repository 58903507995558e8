//! What a finished recording says about itself: the model of `recording.json`.
//!
//! It holds facts only, nothing is computed here and no file is opened. [`Call`] and what is
//! inside it also travel in the control protocol (postcard), so none of these types uses a serde
//! feature that a format which does not describe itself lacks: no `untagged`, no `flatten`, no
//! internal tags, no skipped fields. Text (JSON) writes times as RFC 3339, binary as nanoseconds.

mod call;
mod folder;
mod privacy;
mod stream;
pub mod time;

pub use call::{
    Call, Channel, Correlation, Extension, FormerDialog, Group, Interval, MetadataDocument,
    Participant, Pause, PausedBy, Presence, Session, SipDialog, Warning,
};
pub use folder::{JOINED, folder_name, parse_ending, parse_folder_name};
pub use stream::{
    Aligned, Codec, Direction, DirectionChange, Gap, GapCause, JitterMs, Mark, MarkKind,
    SharedClock, SsrcSeen, Stream,
};

use holdfast_units::{RecordingId, WallTime};
use serde::{Deserialize, Serialize};

/// Version of `recording.json` that this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Name of the manifest in the folder of a recording.
pub const FILE_NAME: &str = "recording.json";

/// Name of the audio there.
pub const AUDIO_FILE: &str = "audio.wav";

/// All that `recording.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format, see [`FORMAT`].
    pub format: u32,
    /// Identity of the recording; also the name of its folder, see [`folder_name`].
    pub id: RecordingId,
    /// Which part of the recording this is, from 1, or [`JOINED`]. A further one begins where a call
    /// goes on whose recording had been published: its `started` is where the part begins.
    #[serde(default = "first_part")]
    pub part: u32,
    /// SHA-256 of the final state that this was published of: the same state published again is
    /// recognised by it, and is no further part.
    #[serde(default)]
    pub state_sha256: String,
    /// Name of the node that published it.
    pub node: String,
    /// Version of the software that wrote it.
    pub software_version: String,
    /// When the recording began: zero of its timeline.
    #[serde(with = "time")]
    pub started: WallTime,
    /// When it ended.
    #[serde(with = "time")]
    pub ended: WallTime,
    /// Why it ended.
    pub end_reason: EndReason,
    /// Length of the timeline, and of the audio where there is any.
    pub duration_ms: u64,
    /// The call as signaling knew it.
    pub call: Call,
    /// One entry for each media stream, in the order of their numbers.
    #[serde(default)]
    pub streams: Vec<Stream>,
    /// Every other file of the recording.
    #[serde(default)]
    pub files: Vec<File>,
    /// The parts it was joined from, where more than one node or process recorded it.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What a reader should know at a glance, as stable snake_case words.
    #[serde(default)]
    pub flags: Vec<String>,
}

fn first_part() -> u32 {
    1
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The SRC sent BYE.
    Bye,
    /// The dialog timed out: no ACK, or the session timer ran out (RFC 4028 §10).
    SipTimeout,
    /// The SRC cancelled the INVITE.
    Cancel,
    /// Another dialog took this one's place (RFC 3891).
    Replaced,
    /// The recorder was told to stop.
    Shutdown,
    /// An operator ended it.
    Operator,
    /// Signaling did not claim the streams again in time.
    Orphaned,
    /// The engine found it unfinished when it started, and nobody went on with it.
    EngineRecovered,
    /// The disk or the system failed.
    Failure,
    /// Another node goes on with the call, in a part of its own.
    TakenOver,
}

/// One file of the recording, by its name relative to the recording's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative name with `/` between the parts.
    pub name: String,
    /// Size in octets.
    pub bytes: u64,
    /// SHA-256 as 64 lower-case hex digits.
    pub sha256: String,
}

/// What one node or process contributed to a recording that was joined. It is left as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Counts from 1, in the order of time.
    pub number: u32,
    /// Name of its folder: two nodes may each have one of the same name.
    #[serde(default)]
    pub folder: String,
    /// SHA-256 of its `recording.json`, which has those of its files.
    #[serde(default)]
    pub manifest_sha256: String,
    /// Name of the node.
    pub node: String,
    /// When the part began.
    #[serde(with = "time")]
    pub started: WallTime,
    /// When it ended.
    #[serde(with = "time")]
    pub ended: WallTime,
    /// Why it ended.
    pub end_reason: EndReason,
    /// Where it lies on the timeline of the joined recording.
    #[serde(default)]
    pub from_ms: u64,
    /// Where it ends there.
    #[serde(default)]
    pub to_ms: u64,
    /// Numbers of its streams in the joined recording.
    #[serde(default)]
    pub streams: Vec<u32>,
    /// What it goes on from; `None` for the first one.
    #[serde(default)]
    pub continues: Option<Continues>,
}

/// What a part goes on from, and how long nothing was recorded between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continues {
    /// Name of the folder of the part before, where it is known.
    #[serde(default)]
    pub folder: Option<String>,
    /// Name of the node that recorded it, where it is known.
    #[serde(default)]
    pub node: Option<String>,
    /// When it ended; where nobody said so, its last packet. `None` where it lies at another node: the
    /// joined recording has it.
    #[serde(with = "time::option", default)]
    pub ended: Option<WallTime>,
    /// Milliseconds from there to where this part begins; negative where both recorded for a while.
    #[serde(default)]
    pub gap_ms: Option<i64>,
    /// Why the call goes on in a part of its own.
    pub cause: PartCause,
}

/// Why a call goes on in a further part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartCause {
    /// The node that recorded it said no more that it lives, and another one went on.
    NodeLost,
    /// The client went on at another node, by an INVITE with Replaces (RFC 3891).
    Replaced,
    /// A process was away so long that what there was had been published.
    Restart,
}

impl Continues {
    /// The part before, which is known: what lies between is counted from its end.
    pub fn from_part(before: &Manifest, cause: PartCause, started: WallTime) -> Self {
        let ended = before.recorded_until();
        let gap = i128::from(started.0) - i128::from(ended.0);
        Self {
            folder: Some(folder_name(before.id, before.part)),
            node: Some(before.node.clone()),
            ended: Some(ended),
            gap_ms: i64::try_from(gap / 1_000_000).ok(),
            cause,
        }
    }
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadManifestError {
    /// Written by a newer version of the software.
    #[error("recording.json has format {found}, this build reads up to {supported}")]
    TooNew {
        /// What the file says.
        found: u32,
        /// [`FORMAT`].
        supported: u32,
    },
    /// Not JSON, or not of this shape.
    #[error("recording.json does not read")]
    Malformed(#[source] serde_json::Error),
}

impl Manifest {
    /// Until when something was recorded: where nobody said that the recording is over, `ended` is when
    /// that was found, maybe long after its last packet.
    pub fn recorded_until(&self) -> WallTime {
        match self.end_reason {
            EndReason::Orphaned
            | EndReason::EngineRecovered
            | EndReason::Failure
            | EndReason::TakenOver => {
                let sources = self.streams.iter().flat_map(|stream| &stream.ssrcs);
                let last = sources.map(|source| source.last_seen).max();
                last.unwrap_or(self.started)
                    .clamp(self.started, self.ended.max(self.started))
            }
            EndReason::Bye
            | EndReason::SipTimeout
            | EndReason::Cancel
            | EndReason::Replaced
            | EndReason::Shutdown
            | EndReason::Operator => self.ended,
        }
    }

    /// The octets of `recording.json`: indented JSON with a final line break.
    pub fn to_json(&self) -> Vec<u8> {
        // Only a map with keys that are not text, or a failing `Serialize`, could make this fail;
        // the model has neither.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        assert!(!json.is_empty(), "the manifest model serialises");
        json.push(b'\n');
        json
    }

    /// Reads `recording.json`. The version is looked at first: a newer file is refused as such.
    pub fn from_json(json: &[u8]) -> Result<Self, ReadManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format: found } =
            serde_json::from_slice(json).map_err(ReadManifestError::Malformed)?;
        if found > FORMAT {
            return Err(ReadManifestError::TooNew {
                found,
                supported: FORMAT,
            });
        }
        serde_json::from_slice(json).map_err(ReadManifestError::Malformed)
    }
}
