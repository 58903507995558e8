//! The call: SIP dialog, who took part, channels, warnings, metadata documents.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_units::WallTime;
use serde::{Deserialize, Serialize};

use crate::time;

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
    /// Header fields kept to find the call again elsewhere (for example Session-ID), by name.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<String>>,
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
