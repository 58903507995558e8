//! What a recording session's metadata says by now, and what it said before.
//!
//! Documents are applied in the order their requests were accepted; nothing that was ever said is
//! erased (RFC 7866 §9.1 asks for the current state, an archive for how it came about). The
//! merge rules are in `merge`. One value per recording session (SIP dialog).

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::change::{Kind, SnapshotNeed};
use super::history::History;
use super::id::Id;
use super::limits::STATE_BYTES_MAX;
use super::model::Extension;
use super::records::{
    ENTRY_BYTES, GroupRecord, Link, MediaLink, ParticipantRecord, SessionRecord, StreamRecord,
    Table, extensions_weight,
};

/// The metadata of one recording session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(super) groups: Table<GroupRecord>,
    pub(super) sessions: Table<SessionRecord>,
    pub(super) participants: Table<ParticipantRecord>,
    pub(super) streams: Table<StreamRecord>,
    /// `sessionrecordingassoc` by session.
    pub(super) recordings: BTreeMap<Id, Link>,
    /// `participantsessionassoc` by participant, then session.
    pub(super) memberships: BTreeMap<Id, BTreeMap<Id, Link>>,
    /// `participantstreamassoc` by participant, then stream.
    pub(super) media: BTreeMap<Id, BTreeMap<Id, MediaLink>>,
    /// Foreign elements that belong to no object.
    pub(super) extensions: Vec<Extension>,
    /// What each id was first bound to.
    pub(super) kinds: BTreeMap<Id, Kind>,
    pub(super) recording_id: Option<Id>,
    pub(super) has_base: bool,
    pub(super) has_baseless_partial: bool,
    /// Ids that partial documents since the last complete one referred to.
    pub(super) references: BTreeSet<(Kind, Id)>,
}

impl State {
    /// A state that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Identity that some dialects give the recording.
    pub fn recording_id(&self) -> Option<&Id> {
        self.recording_id.as_ref()
    }

    /// All groups that were ever named, in order.
    pub fn groups(&self) -> &[GroupRecord] {
        &self.groups.records
    }

    /// All sessions that were ever named, in order.
    pub fn sessions(&self) -> &[SessionRecord] {
        &self.sessions.records
    }

    /// All participants that were ever named, in the order of their elements.
    pub fn participants(&self) -> &[ParticipantRecord] {
        &self.participants.records
    }

    /// All streams that were ever named, in order.
    pub fn streams(&self) -> &[StreamRecord] {
        &self.streams.records
    }

    /// Foreign elements that belong to no object.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// A participant by id.
    pub fn participant(&self, id: &Id) -> Option<&ParticipantRecord> {
        self.participants.find(id)
    }

    /// A session by id.
    pub fn session(&self, id: &Id) -> Option<&SessionRecord> {
        self.sessions.find(id)
    }

    /// A stream by id.
    pub fn stream(&self, id: &Id) -> Option<&StreamRecord> {
        self.streams.find(id)
    }

    /// When a session was part of this recording, where a document said so.
    pub fn recording_of(&self, session: &Id) -> Option<&Link> {
        self.recordings.get(session)
    }

    /// The sessions a participant was ever in.
    pub fn memberships(&self, participant: &Id) -> impl Iterator<Item = (&Id, &Link)> {
        self.memberships.get(participant).into_iter().flatten()
    }

    /// The streams a participant ever sent or received.
    pub fn media(&self, participant: &Id) -> impl Iterator<Item = (&Id, &MediaLink)> {
        self.media.get(participant).into_iter().flatten()
    }

    /// Who ever sent a stream and when, in the order of the participants. Participants that
    /// only associations name come last.
    pub fn senders(&self, stream: &Id) -> Vec<(&Id, &History)> {
        let known = self.participants.records.iter().map(|record| &record.id);
        let unknown = self
            .media
            .keys()
            .filter(|id| self.participant(id).is_none());
        known
            .chain(unknown)
            .filter_map(|id| Some((id, &self.media.get(id)?.get(stream)?.sends)))
            .filter(|(_, sends)| !sends.intervals().is_empty())
            .collect()
    }

    /// The streams that go by a label, those that are there now first.
    pub fn streams_with_label(&self, label: &str) -> impl Iterator<Item = &StreamRecord> {
        let labelled = move |is_current: bool| {
            self.streams.records.iter().filter(move |stream| {
                stream.label.as_deref() == Some(label) && stream.presence.is_open() == is_current
            })
        };
        labelled(true).chain(labelled(false))
    }

    /// Reasons to ask for a snapshot: only what partial documents caused. A complete document
    /// that refers to unknown ids would do so again.
    pub fn snapshot_needs(&self) -> Vec<SnapshotNeed> {
        let base = self.has_baseless_partial.then_some(SnapshotNeed::NoBase);
        let undefined = self
            .references
            .iter()
            .filter(|(kind, id)| !self.is_defined(*kind, id));
        let undefined = undefined.map(|(kind, id)| SnapshotNeed::Undefined {
            kind: *kind,
            id: id.clone(),
        });
        base.into_iter().chain(undefined).collect()
    }

    pub(super) fn is_defined(&self, kind: Kind, id: &Id) -> bool {
        match kind {
            Kind::Group => self.groups.find(id).is_some(),
            Kind::Session => self.sessions.find(id).is_some(),
            Kind::Participant => self.participants.find(id).is_some(),
            Kind::Stream => self.streams.find(id).is_some(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.weight() > STATE_BYTES_MAX
    }

    /// Estimated octets.
    fn weight(&self) -> usize {
        let ids = |id: &Id| ENTRY_BYTES + id.as_str().len();
        let links = self.memberships.values().flatten().chain(&self.recordings);
        let media = self.media.values().flatten();
        self.groups.weight()
            + self.sessions.weight()
            + self.participants.weight()
            + self.streams.weight()
            + links
                .map(|(id, link)| ids(id) + link.weight())
                .sum::<usize>()
            + media
                .map(|(id, link)| ids(id) + link.weight())
                .sum::<usize>()
            + extensions_weight(&self.extensions)
            + self
                .memberships
                .keys()
                .chain(self.media.keys())
                .map(ids)
                .sum::<usize>()
            + self.kinds.keys().map(ids).sum::<usize>()
            + self.references.iter().map(|(_, id)| ids(id)).sum::<usize>()
    }
}
