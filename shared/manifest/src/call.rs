//! The call: SIP dialog, who took part, channels, warnings, metadata documents.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_units::WallTime;
use serde::{Deserialize, Serialize};

use crate::{Continues, EndReason, time};

/// The call as signaling knew it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The recording session's SIP dialog.
    pub sip: SipDialog,
    /// Communication session groups (RFC 7865 §6.2).
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Communication sessions (RFC 7865 §6.3).
    #[serde(default)]
    pub sessions: Vec<Session>,
    /// Participants (RFC 7865 §6.5), in the metadata's order.
    #[serde(default)]
    pub participants: Vec<Participant>,
    /// What each channel of the audio holds, channel 0 first.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// What vendors say in the metadata beyond RFC 7865, in its order; as sent it stands in the
    /// documents.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// Identifiers by which other systems know the call, from headers and metadata, each once.
    #[serde(default)]
    pub correlations: Vec<Correlation>,
    /// When the recorder itself kept nothing of the call, in order.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Dialogs whose place another one took, the first one first.
    #[serde(default)]
    pub formers: Vec<FormerDialog>,
    /// What this part goes on from, where it is not where the call began.
    #[serde(default)]
    pub continues: Option<Continues>,
    /// What was odd about the signaling, and tolerated.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Each metadata document as it was received.
    #[serde(default)]
    pub metadata: Vec<MetadataDocument>,
}

/// The SIP dialog of the recording session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipDialog {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The SRC's tag.
    pub remote_tag: String,
    /// From of the INVITE, as it was sent.
    pub from: String,
    /// To of the INVITE, as it was sent.
    pub to: String,
    /// Where the INVITE came from.
    pub peer: Option<SocketAddr>,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// User-Agent of the SRC.
    pub user_agent: Option<String>,
    /// The `[[peer]]` of the settings that the SRC was found to be.
    #[serde(default)]
    pub profile: Option<String>,
    /// The user that it authenticated as.
    #[serde(default)]
    pub user: Option<String>,
    /// Who is behind the SRC, as URIs, where a `[[peer]]` that is trusted asserts it (RFC 3325 §9.1).
    /// None of the participants: those are whom the metadata names.
    #[serde(default)]
    pub asserted: Vec<String>,
    /// Whether whoever that is wants to be named within the network alone (`Privacy: id`, RFC 3325 §9.3).
    #[serde(default)]
    pub is_private: bool,
    /// Header fields kept to find the call again elsewhere (for example Session-ID), by name.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<String>>,
}

/// A dialog of the recording session whose place another one took (RFC 3891).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerDialog {
    /// The dialog.
    pub sip: SipDialog,
    /// Until when it was the call's.
    #[serde(with = "time")]
    pub until: WallTime,
    /// Why it is no more.
    pub end_reason: EndReason,
}

/// A span of time that may still be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// When it began.
    #[serde(with = "time::option", default)]
    pub from: Option<WallTime>,
    /// When it ended.
    #[serde(with = "time::option", default)]
    pub to: Option<WallTime>,
}

/// An element of a vendor's in the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// What it belongs to: `recording`, `group`, `session`, `participant` or `stream`.
    pub of: String,
    /// The id of that; `None` for the recording.
    pub id: Option<String>,
    /// Namespace of the vendor's elements.
    pub namespace: Option<String>,
    /// Local name of the element.
    pub name: String,
    /// Texts of the elements and attributes in it by their path: `ucid`, `header[Call-ID]/value`,
    /// `broadWorksRecordingMetadata@version`.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<String>>,
}

/// An identifier by which another system knows the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correlation {
    /// Whose it is: `oracle`, `cisco`, `avaya`, `audiocodes`, `ribbon`, `broadworks`, `metaswitch`,
    /// `genesys`, `nice` and others; `sip` where it is nobody's own.
    pub vendor: String,
    /// What it is, as a stable word: `ucid`, `guid`, `session_id`, `call_id`, …
    pub kind: String,
    /// The identifier.
    pub value: String,
    /// The header field or the metadata element that said so.
    pub source: String,
}

/// A time in which the recorder itself kept nothing of the call. That the client paused its streams
/// is said by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    #[serde(with = "time")]
    pub from: WallTime,
    /// When it ended; `None` where the recording ended first.
    #[serde(with = "time::option", default)]
    pub to: Option<WallTime>,
    /// Who wanted it.
    pub by: PausedBy,
}

/// Who wanted the recorder to keep nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// An operator.
    Operator,
    /// The settings: calls wait for an operator to begin their recording.
    Settings,
}

impl Pause {
    /// One that begins.
    pub const fn new(from: WallTime, by: PausedBy) -> Self {
        Self { from, to: None, by }
    }
}

/// A group of communication sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// group_id.
    pub id: String,
    /// Associate and disassociate time, as the SRC gave them.
    #[serde(default)]
    pub intervals: Vec<Interval>,
}

/// A communication session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// session_id.
    pub id: String,
    /// sipSessionID (RFC 7989) values.
    #[serde(default)]
    pub sip_session_ids: Vec<String>,
    /// group-ref.
    pub group: Option<String>,
    /// start-time and stop-time, as the SRC gave them.
    #[serde(default)]
    pub time: Interval,
    /// Reasons (RFC 7865 §6.3.1), as text.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// A participant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// participant_id.
    pub id: String,
    /// Names, in the metadata's order.
    #[serde(default)]
    pub names: Vec<String>,
    /// Addresses of record, in the metadata's order.
    #[serde(default)]
    pub aors: Vec<String>,
    /// When the participant was in which session.
    #[serde(default)]
    pub intervals: Vec<Presence>,
}

/// When a participant was in a session or sent a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// session_id, where the interval is one of a session.
    pub session: Option<String>,
    /// Label of the stream that was sent, where the interval is one of a stream.
    pub label: Option<String>,
    /// When.
    pub interval: Interval,
}

/// What a channel of the audio holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Counts from 0.
    pub channel: u16,
    /// participant_id of who is heard.
    pub participant: Option<String>,
    /// Labels of the streams that were put there (RFC 4574).
    #[serde(default)]
    pub labels: Vec<String>,
}

/// Something odd that was tolerated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable snake_case word.
    pub code: String,
    /// For a reader.
    pub text: String,
}

/// One metadata document as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataDocument {
    /// Name relative to the recording's folder: `metadata/0001.xml`.
    pub file: String,
    /// SHA-256 as 64 lower-case hex digits.
    pub sha256: String,
    /// When it arrived.
    #[serde(with = "time")]
    pub received_at: WallTime,
    /// Method of the request that carried it, or `200 INVITE` for a response.
    pub carried_by: String,
    /// Content-Type of the part.
    pub content_type: String,
    /// What was odd about it, as stable snake_case words.
    #[serde(default)]
    pub flags: Vec<String>,
}
