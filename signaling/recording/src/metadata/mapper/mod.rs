//! From a tree of elements to the model, through every dialect met in the field.
//!
//! Known names are matched without regard to prefix, case, `-` and `_`. An element in a
//! namespace that is neither the root's nor one of SIPREC's is foreign, whatever it is called,
//! and is kept verbatim under its parent, as are unknown names (RFC 7865 §9: lax content).

mod fields;
mod people;
mod values;

use std::collections::BTreeSet;

use fields::{attribute, trim};
use people::Media;

use super::id::{Id, is_xml_space};
use super::model::{
    DataMode, Document, Flag, Group, ParticipantSession, ParticipantStream, Reason, Session,
    SessionRecording, Stream, Times,
};
use super::tree::Element;

/// Namespace of RFC 7865 §9.
pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:recording:1";

/// Whether an element of this folded name may be the root.
pub(super) fn is_recording(folded: &str) -> bool {
    matches!(folded, "recording" | "recordingmetadata")
}

/// Maps the root element.
pub(super) fn map(source: &str, root: &Element) -> Document {
    let namespace = root.namespace.as_deref().map(str::to_owned);
    let mut mapper = Mapper {
        source,
        namespace: namespace.clone(),
        document: Document {
            namespace,
            ..Document::default()
        },
        mode: None,
        place: 0,
    };
    mapper.root(root);
    mapper.document.data_mode = mapper.mode.unwrap_or_default();
    mapper.document
}

/// What surrounds an object that a dialect nests into another.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    group: Option<&'a Id>,
    session: Option<&'a Id>,
}

struct Mapper<'s> {
    source: &'s str,
    namespace: Option<String>,
    document: Document,
    mode: Option<DataMode>,
    /// Counts elements without an id, to tell them apart.
    place: usize,
}

impl Mapper<'_> {
    fn root(&mut self, root: &Element) {
        self.flag(
            self.namespace.as_deref() != Some(NAMESPACE),
            Flag::OtherNamespace,
        );
        self.flag(
            root.name == "recordingmetadata",
            Flag::RecordingMetadataRoot,
        );
        self.flag(root.is_cut, Flag::TextCut);
        self.document.recording_id = attribute(root, &["id", "recordingid"]).and_then(Id::read);
        self.stray_text(root);
        for child in &root.children {
            if !self.object(child, Around::default()) {
                let extension = self.extension(child);
                self.document.extensions.push(extension);
            }
        }
        self.drop_repetitions();
    }

    /// Maps an object or an association; `false` where the element is none.
    fn object(&mut self, element: &Element, around: Around<'_>) -> bool {
        if self.is_foreign(element) {
            return false;
        }
        match element.name.as_str() {
            "datamode" => self.data_mode(element),
            "group" => self.group(element),
            "session" => self.session(element, around),
            "participant" => self.participant(element, around),
            "stream" => self.stream(element, around),
            "sessionrecordingassoc" => self.session_recording(element, around),
            "participantsessionassoc" => self.participant_session(element, around),
            "participantstreamassoc" => self.participant_stream(element),
            "recording" => return self.nested_recording(element),
            _ => return false,
        }
        self.spelling(element);
        self.flag(element.is_cut, Flag::TextCut);
        true
    }

    /// An object inside another one.
    fn nested(&mut self, element: &Element, around: Around<'_>) -> bool {
        let is_object = element.name != "datamode" && self.object(element, around);
        self.flag(is_object, Flag::NestedObjects);
        is_object
    }

    /// `recording` below the root names the recording; a dialect puts everything into it.
    fn nested_recording(&mut self, element: &Element) -> bool {
        if self.document.recording_id.is_none() {
            self.document.recording_id =
                attribute(element, &["id", "recordingid"]).and_then(Id::read);
        }
        let has_objects = element
            .children
            .iter()
            .any(|child| OBJECTS.contains(&&*child.name));
        if has_objects {
            for child in &element.children {
                if !self.nested(child, Around::default()) {
                    let extension = self.extension(child);
                    self.document.extensions.push(extension);
                }
            }
        }
        has_objects
    }

    fn data_mode(&mut self, element: &Element) {
        let text = trim(&element.text).to_ascii_lowercase();
        let mode = match text.as_str() {
            "partial" => DataMode::Partial,
            _ => DataMode::Complete,
        };
        self.flag(
            mode == DataMode::Complete && text != "complete",
            Flag::UnknownDataMode,
        );
        self.mode.get_or_insert(mode);
    }

    fn group(&mut self, element: &Element) {
        let id = self.own_id(element, "groupid", "group", None);
        let mut group = Group {
            id,
            times: Times::default(),
            extensions: Vec::new(),
        };
        for child in &element.children {
            if self.times(child, &mut group.times) {
                continue;
            }
            let around = Around {
                group: Some(&group.id),
                session: None,
            };
            if !self.nested(child, around) {
                group.extensions.push(self.extension(child));
            }
        }
        self.document.groups.push(group);
    }

    fn session(&mut self, element: &Element, around: Around<'_>) {
        let id = self.own_id(element, "sessionid", "session", None);
        let mut session = Session {
            id,
            sip_session_ids: Vec::new(),
            reasons: Vec::new(),
            group: self.reference(element, &["groupref", "groupid", "group"]),
            start: None,
            stop: None,
            extensions: Vec::new(),
        };
        self.flag(session.group.is_some(), Flag::PlainReferences);
        if session.group.is_none() {
            session.group = around.group.cloned();
        }
        for child in &element.children {
            if self.is_foreign(child) {
                session.extensions.push(self.extension(child));
                continue;
            }
            self.session_child(child, &mut session);
        }
        self.document.sessions.push(session);
    }

    fn session_child(&mut self, child: &Element, session: &mut Session) {
        match child.name.as_str() {
            "sipsessionid" => {
                // RFC 7865 §6.3.1 with RFC 7989: may be folded before ";remote=".
                let text: String = child.text.chars().filter(|c| !is_xml_space(*c)).collect();
                if !text.is_empty() {
                    session.sip_session_ids.push(text);
                }
            }
            "reason" => session.reasons.push(Reason {
                protocol: attribute(child, &["protocol"])
                    .map_or("SIP", trim)
                    .to_owned(),
                cause: attribute(child, &["cause"]).and_then(|cause| trim(cause).parse().ok()),
                text: trim(&child.text).to_owned(),
            }),
            "groupref" => {
                let group = self.id_of(&child.text);
                self.flag(group.is_none(), Flag::EmptyReference);
                session.group = group.or(session.group.take());
            }
            "starttime" => session.start = self.time(child).or(session.start.take()),
            "stoptime" | "endtime" => session.stop = self.time(child).or(session.stop.take()),
            "associatetime" => {
                self.flag(true, Flag::SessionAssociateTime);
                session.start = session.start.take().or_else(|| self.time(child));
            }
            "disassociatetime" => {
                self.flag(true, Flag::SessionAssociateTime);
                session.stop = session.stop.take().or_else(|| self.time(child));
            }
            _ => {
                let around = Around {
                    group: None,
                    session: Some(&session.id),
                };
                if !self.nested(child, around) {
                    session.extensions.push(self.extension(child));
                }
                return;
            }
        }
        self.spelling(child);
    }

    fn stream(&mut self, element: &Element, around: Around<'_>) {
        let mut label = attribute(element, &["label"]).map(trim).map(str::to_owned);
        let (mut mode, mut times, mut extensions) = (None, Times::default(), Vec::new());
        for child in &element.children {
            match child.name.as_str() {
                _ if self.is_foreign(child) => extensions.push(self.extension(child)),
                "label" => {
                    self.spelling(child);
                    self.flag(child.is_cut, Flag::TextCut);
                    label.get_or_insert_with(|| trim(&child.text).to_owned());
                }
                "mode" => {
                    self.flag(true, Flag::StreamDetails);
                    mode = Some(trim(&child.text).to_owned());
                }
                _ if self.times(child, &mut times) => self.flag(true, Flag::StreamDetails),
                _ => extensions.push(self.extension(child)),
            }
        }
        let label = label.filter(|label| !label.is_empty());
        let id = self.own_id(element, "streamid", "stream", label.clone());
        let plain = self.reference(element, &["session"]);
        self.flag(plain.is_some(), Flag::PlainReferences);
        let session = self.reference(element, &["sessionid"]).or(plain);
        let session = session.or_else(|| around.session.cloned());
        self.document.streams.push(Stream {
            id,
            session,
            label,
            mode,
            times,
            extensions,
        });
    }

    fn session_recording(&mut self, element: &Element, around: Around<'_>) {
        let (mut times, mut extensions) = (Times::default(), Vec::new());
        for child in &element.children {
            if !self.times(child, &mut times) {
                extensions.push(self.extension(child));
            }
        }
        if let Some(session) = self.session_reference(element, around) {
            let association = SessionRecording {
                session,
                times,
                extensions,
            };
            self.document.session_recordings.push(association);
        }
    }

    fn participant_session(&mut self, element: &Element, around: Around<'_>) {
        let (mut times, mut params, mut extensions) = (Times::default(), Vec::new(), Vec::new());
        for child in &element.children {
            if self.times(child, &mut times) {
                continue;
            }
            match (attribute(child, &["pname"]), attribute(child, &["pval"])) {
                (Some(name), value) if child.name == "param" => {
                    params.push((name.to_owned(), value.unwrap_or_default().to_owned()));
                }
                _ => extensions.push(self.extension(child)),
            }
        }
        let participant = self.reference(element, &["participantid", "participant", "id"]);
        self.flag(participant.is_none(), Flag::EmptyReference);
        let session = self.session_reference(element, around);
        if let (Some(participant), Some(session)) = (participant, session) {
            self.document.participant_sessions.push(ParticipantSession {
                participant,
                session,
                times,
                params,
                extensions,
            });
        }
    }

    fn participant_stream(&mut self, element: &Element) {
        let (mut media, mut extensions) = (Media::default(), Vec::new());
        for child in &element.children {
            let is_known = self.media(child, &mut media) || self.times(child, &mut media.times);
            if !is_known {
                extensions.push(self.extension(child));
            }
        }
        let participant = self.reference(element, &["participantid", "participant", "id"]);
        self.flag(participant.is_none(), Flag::EmptyReference);
        if let Some(participant) = participant {
            self.document.participant_streams.push(ParticipantStream {
                participant,
                sends: unique(media.sends),
                receives: unique(media.receives),
                times: media.times,
                extensions,
            });
        }
    }

    fn stray_text(&mut self, root: &Element) {
        self.flag(!trim(&root.text).is_empty(), Flag::StrayText);
    }

    fn flag(&mut self, is_set: bool, flag: Flag) {
        if is_set {
            self.document.flags.insert(flag);
        }
    }

    /// One id for two elements of a kind in one document is an error (RFC 7865 §6.10): the first
    /// stays. Associations that a dialect wrote into the second were taken over already.
    fn drop_repetitions(&mut self) {
        let document = &mut self.document;
        let before = document.object_count();
        keep_first(&mut document.groups, |group| &group.id);
        keep_first(&mut document.sessions, |session| &session.id);
        keep_first(&mut document.participants, |participant| &participant.id);
        keep_first(&mut document.streams, |stream| &stream.id);
        self.flag(self.document.object_count() != before, Flag::RepeatedId);
    }
}

impl Document {
    fn object_count(&self) -> usize {
        self.groups.len() + self.sessions.len() + self.participants.len() + self.streams.len()
    }
}

fn keep_first<T>(list: &mut Vec<T>, id: impl Fn(&T) -> &Id) {
    let mut seen = BTreeSet::new();
    list.retain(|item| seen.insert(id(item).clone()));
}

fn unique(mut ids: Vec<Id>) -> Vec<Id> {
    keep_first(&mut ids, |id| id);
    ids
}

/// Folded names of what may hold information about a call.
const OBJECTS: &[&str] = &[
    "group",
    "session",
    "participant",
    "stream",
    "sessionrecordingassoc",
    "participantsessionassoc",
    "participantstreamassoc",
];
