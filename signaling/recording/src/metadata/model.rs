//! One metadata document as values (RFC 7865 §6), whatever dialect it was written in.
//!
//! Elements keep the order of the document. An absent child is `None` or empty: only the state
//! decides what absence means. Nothing here is resolved against other documents.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::id::Id;
use super::time::SourceTime;

/// A `recording` document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Whether it replaces what is known or changes it.
    pub data_mode: DataMode,
    /// Namespace of the root element.
    pub namespace: Option<String>,
    /// Identity that some dialects give the recording itself.
    pub recording_id: Option<Id>,
    /// CS-Groups (RFC 7865 §6.2).
    pub groups: Vec<Group>,
    /// Communication sessions (RFC 7865 §6.3).
    pub sessions: Vec<Session>,
    /// Participants (RFC 7865 §6.5), in the order of their elements.
    pub participants: Vec<Participant>,
    /// Media streams (RFC 7865 §6.7).
    pub streams: Vec<Stream>,
    /// Which session was recorded when (`sessionrecordingassoc`, RFC 7865 §6.4).
    pub session_recordings: Vec<SessionRecording>,
    /// Who was in which session when (`participantsessionassoc`, RFC 7865 §6.6).
    pub participant_sessions: Vec<ParticipantSession>,
    /// Who sent and received what when (`participantstreamassoc`, RFC 7865 §6.8).
    pub participant_streams: Vec<ParticipantStream>,
    /// Foreign elements directly below the root.
    pub extensions: Vec<Extension>,
    /// What was unlike RFC 7865 in it.
    pub flags: BTreeSet<Flag>,
}

/// `datamode` (RFC 7865 §5.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataMode {
    /// The whole state; also where nothing is said.
    #[default]
    Complete,
    /// Only what changed.
    Partial,
}

/// A `group` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `group_id`.
    pub id: Id,
    /// When its sessions were associated and dissociated.
    pub times: Times,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `session` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `session_id`.
    pub id: Id,
    /// `sipSessionID` elements, white space removed (RFC 7989).
    pub sip_session_ids: Vec<String>,
    /// Why it ended.
    pub reasons: Vec<Reason>,
    /// The group it belongs to.
    pub group: Option<Id>,
    /// `start-time`; a dialect writes `associate-time`.
    pub start: Option<SourceTime>,
    /// `stop-time`; a dialect writes `disassociate-time`.
    pub stop: Option<SourceTime>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `reason` element (RFC 7865 §6.3.1, RFC 3326 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `SIP` where nothing is said, else `Q.850` and others.
    pub protocol: String,
    /// The cause, where it is a number.
    pub cause: Option<i32>,
    /// The text.
    pub text: String,
}

/// A `participant` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// `participant_id`.
    pub id: Id,
    /// Addresses of record with their names.
    pub names: Vec<NameId>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `nameID` element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameId {
    /// The address of record, verbatim: sip, sips or tel URI, or whatever the client wrote.
    pub aor: String,
    /// The display name, where it is more than white space.
    pub name: Option<String>,
    /// Language of the name (`xml:lang`).
    pub language: Option<String>,
}

/// A `stream` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `stream_id`.
    pub id: Id,
    /// The session it belongs to.
    pub session: Option<Id>,
    /// The SDP label that it goes by; only valid with the SDP of the same message.
    pub label: Option<String>,
    /// `mode` of a pre-RFC dialect: `separate` or `mixed`.
    pub mode: Option<String>,
    /// Times that a dialect writes into the stream.
    pub times: Times,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `sessionrecordingassoc` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecording {
    /// The session.
    pub session: Id,
    /// From when to when.
    pub times: Times,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `participantsessionassoc` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantSession {
    /// Who.
    pub participant: Id,
    /// In which session.
    pub session: Id,
    /// From when to when.
    pub times: Times,
    /// Capabilities (RFC 3840) as name and value.
    pub params: Vec<(String, String)>,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// A `participantstreamassoc` element: the participant's whole new picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantStream {
    /// Who.
    pub participant: Id,
    /// Streams sent.
    pub sends: Vec<Id>,
    /// Streams received.
    pub receives: Vec<Id>,
    /// From when to when.
    pub times: Times,
    /// Foreign elements inside.
    pub extensions: Vec<Extension>,
}

/// `associate-time` and `disassociate-time`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it began.
    pub associate: Option<SourceTime>,
    /// When it ended.
    pub disassociate: Option<SourceTime>,
}

/// An element that is not RFC 7865's, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// Its local name.
    pub name: String,
    /// The object it says it belongs to (`extensiondata parent=`).
    pub parent: Option<Id>,
    /// The element as sent, verbatim; prefixes may be declared outside of it.
    pub xml: String,
    /// Texts of the elements and attributes in it, by path: `ucid`, `header[Call-ID]/value`,
    /// `broadWorksRecordingMetadata@version`. Where it has none inside, its own under its name.
    pub values: Vec<(String, String)>,
}

/// Something in a document that RFC 7865 would have otherwise. None of it costs a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The root's namespace is not `urn:ietf:params:xml:ns:recording:1`.
    OtherNamespace,
    /// The root is `recording_metadata`.
    RecordingMetadataRoot,
    /// A known element in other letters: `dataMode`.
    ElementSpelling,
    /// `id` instead of `session_id` and the like.
    PlainIds,
    /// `session` or `group` attributes instead of `session_id` or `group-ref`.
    PlainReferences,
    /// `send`, `recv` or times inside `participant`.
    NestedAssociations,
    /// `aor` or `name` as children of `participant` or `aor` as child of `nameID`.
    AorElements,
    /// `mode` or times inside `stream`.
    StreamDetails,
    /// `associate-time` as the start of a session.
    SessionAssociateTime,
    /// `extensiondata` of the drafts.
    ExtensionData,
    /// Participants, streams or associations inside `session`, `group` or `recording`.
    NestedObjects,
    /// A `datamode` that is neither `complete` nor `partial`: taken as complete.
    UnknownDataMode,
    /// An id that is not base64 of 16 octets.
    OpaqueId,
    /// An element without an id: one was made for it.
    MissingId,
    /// A reference that names nothing: dropped.
    EmptyReference,
    /// Two elements of one kind with one id: the first was kept.
    RepeatedId,
    /// A time without a zone.
    TimeWithoutZone,
    /// A time nearly right: `+0300`.
    LooseTime,
    /// A time that can't be read.
    UnreadableTime,
    /// A participant without any address of record.
    NamelessParticipant,
    /// Text where only elements belong: the tags may have been lost.
    StrayText,
    /// A text longer than the limit, cut.
    TextCut,
    /// The encoding named is not known here; UTF-8 was tried.
    UnknownCharset,
    /// Octets that the encoding does not allow, replaced by U+FFFD.
    BrokenCharset,
    /// Not well-formed; read on after the damage.
    IllFormed,
    /// The end was not reached, or a limit ended the reading: elements may be missing.
    CutShort,
}

impl Flag {
    /// A stable name for manifests and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OtherNamespace => "other-namespace",
            Self::RecordingMetadataRoot => "recording-metadata-root",
            Self::ElementSpelling => "element-spelling",
            Self::PlainIds => "plain-ids",
            Self::PlainReferences => "plain-references",
            Self::NestedAssociations => "nested-associations",
            Self::AorElements => "aor-elements",
            Self::StreamDetails => "stream-details",
            Self::SessionAssociateTime => "session-associate-time",
            Self::ExtensionData => "extension-data",
            Self::NestedObjects => "nested-objects",
            Self::UnknownDataMode => "unknown-data-mode",
            Self::OpaqueId => "opaque-id",
            Self::MissingId => "missing-id",
            Self::EmptyReference => "empty-reference",
            Self::RepeatedId => "repeated-id",
            Self::TimeWithoutZone => "time-without-zone",
            Self::LooseTime => "loose-time",
            Self::UnreadableTime => "unreadable-time",
            Self::NamelessParticipant => "nameless-participant",
            Self::StrayText => "stray-text",
            Self::TextCut => "text-cut",
            Self::UnknownCharset => "unknown-charset",
            Self::BrokenCharset => "broken-charset",
            Self::IllFormed => "ill-formed",
            Self::CutShort => "cut-short",
        }
    }
}

impl Document {
    /// Whether the document must be trusted to name everything that exists: a complete one whose
    /// end was read.
    pub fn is_whole_picture(&self) -> bool {
        self.data_mode == DataMode::Complete && !self.flags.contains(&Flag::CutShort)
    }
}

impl NameId {
    /// The user part of the address: what stands before the host, or a telephone number.
    ///
    /// `None` where the address has none (`sip:host`) or hides it (RFC 3323 §4.1 `anonymous`).
    pub fn user(&self) -> Option<&str> {
        let aor = self
            .aor
            .trim()
            .trim_start_matches('<')
            .trim_end_matches('>');
        let (scheme, rest) = match aor.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, aor),
        };
        let user = match rest.split_once('@') {
            Some((user, _)) => user.split_once(':').map_or(user, |(user, _password)| user),
            None if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("tel")) => {
                return None;
            }
            None => rest,
        };
        let user = user.split(';').next().unwrap_or_default();
        // Without a scheme and an at sign only a number is surely no host name.
        let is_number = user.starts_with(['+', '*', '#']) || !user.contains(['.', ':']);
        let is_hidden = user.is_empty() || user.eq_ignore_ascii_case("anonymous");
        (!is_hidden && (rest.contains('@') || scheme.is_some() || is_number)).then_some(user)
    }
}

fn is_scheme(text: &str) -> bool {
    ["sip", "sips", "tel"]
        .iter()
        .any(|scheme| text.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_part_of_every_kind_of_address() {
        for (aor, user) in [
            ("sip:alice@example.com", Some("alice")),
            (
                "SIPS:alice:secret@example.com:5061;transport=tls",
                Some("alice"),
            ),
            ("tel:+1-555-0100;ext=7", Some("+1-555-0100")),
            (
                "sip:+15550100;npdi;rn=1@example.com;user=phone",
                Some("+15550100"),
            ),
            ("ext-7@example.com", Some("ext-7")),
            ("2249888500", Some("2249888500")),
            ("<sip:bob@192.0.2.1>", Some("bob")),
            ("sip:example.com", None),
            ("sip:192.0.2.1:5060", None),
            ("example.com", None),
            ("192.0.2.1", None),
            ("sip:anonymous@anonymous.invalid", None),
            ("unknown", Some("unknown")),
            ("", None),
            ("sip:", None),
            ("tel:", None),
            ("@", None),
        ] {
            let name = NameId {
                aor: aor.to_owned(),
                name: None,
                language: None,
            };
            assert_eq!(name.user(), user, "{aor}");
        }
    }
}
