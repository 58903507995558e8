//! How a document changes the state.
//!
//! A complete document names all that exists: what it leaves out is closed, not forgotten. A
//! partial one touches only the elements it holds: single values it states replace the old ones,
//! lists it states replace whole lists, and what it does not state stays (RFC 7865 §5). The one
//! exception is `participantstreamassoc`, always the participant's full new picture (§6.8.1).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_units::WallTime;

use super::change::{Change, Kind};
use super::history::{Context, EndCause, Moment};
use super::id::Id;
use super::model::{DataMode, Document, Extension, Participant, Session, Stream, Times};
use super::records::{Record, Table};
use super::state::State;

impl State {
    /// Applies a document that arrived at `arrival`, in the order the requests were accepted.
    ///
    /// A document whose end was not read (see [`Document::is_whole_picture`]) adds and changes,
    /// but closes nothing by leaving it out.
    pub fn apply(&mut self, document: &Document, arrival: WallTime) -> Vec<Change> {
        if self.is_full() {
            return vec![Change::HistoryFull];
        }
        let is_whole = document.is_whole_picture();
        let mut merge = Merge {
            state: self,
            arrival,
            is_whole,
            objects: BTreeSet::new(),
            memberships: BTreeSet::new(),
            media: BTreeSet::new(),
            recordings: BTreeSet::new(),
            changes: Vec::new(),
        };
        merge.data_mode(document.data_mode);
        merge.run(document);
        merge.changes
    }

    /// The recording session ended: everything still open ends with it.
    pub fn close(&mut self, at: WallTime) -> Vec<Change> {
        let mut merge = Merge {
            state: self,
            arrival: at,
            is_whole: true,
            objects: BTreeSet::new(),
            memberships: BTreeSet::new(),
            media: BTreeSet::new(),
            recordings: BTreeSet::new(),
            changes: Vec::new(),
        };
        merge.close_unmentioned(EndCause::RecordingEnded);
        merge.changes
    }
}

pub(super) struct Merge<'s> {
    pub(super) state: &'s mut State,
    pub(super) arrival: WallTime,
    pub(super) is_whole: bool,
    /// What the document mentions.
    pub(super) objects: BTreeSet<Id>,
    pub(super) memberships: BTreeSet<(Id, Id)>,
    pub(super) media: BTreeSet<Id>,
    pub(super) recordings: BTreeSet<Id>,
    pub(super) changes: Vec<Change>,
}

impl Merge<'_> {
    fn data_mode(&mut self, mode: DataMode) {
        match mode {
            DataMode::Complete => {
                // RFC 7866 §9.2: a snapshot re-bases; what partials left open is settled.
                self.state.has_base = true;
                self.state.has_baseless_partial = false;
                self.state.references.clear();
            }
            DataMode::Partial if !self.state.has_base => {
                self.state.has_baseless_partial = true;
                self.changes.push(Change::PartialBeforeComplete);
            }
            DataMode::Partial => {}
        }
    }

    fn run(&mut self, document: &Document) {
        if let Some(id) = &document.recording_id {
            self.state.recording_id.get_or_insert_with(|| id.clone());
        }
        self.groups(document);
        for session in &document.sessions {
            self.session(session);
        }
        for participant in &document.participants {
            self.participant(participant);
        }
        for stream in &document.streams {
            self.stream(stream);
        }
        for association in &document.session_recordings {
            let context = self.context(Some(&association.session));
            self.recordings.insert(association.session.clone());
            let link = self
                .state
                .recordings
                .entry(association.session.clone())
                .or_default();
            link.history.associate(&association.times, context);
            merge_extensions(&mut link.extensions, &association.extensions, self.is_whole);
        }
        for association in &document.participant_sessions {
            self.membership(association);
        }
        self.pictures(&document.participant_streams);
        self.extensions(&document.extensions);
        if self.is_whole {
            self.close_unmentioned(EndCause::Omitted);
        }
        self.stop_sessions();
        if document.data_mode == DataMode::Partial {
            self.note_references(document);
        }
    }

    fn groups(&mut self, document: &Document) {
        for group in &document.groups {
            let context = self.context(None);
            if !self.bind(Kind::Group, &group.id) {
                continue;
            }
            let is_whole = self.is_whole;
            self.update(
                Kind::Group,
                |state| &mut state.groups,
                &group.id,
                |record| {
                    // The times of a group are optional: without them only its presence counts.
                    if group.times != Times::default() {
                        record.association.associate(&group.times, context);
                    }
                    merge_extensions(&mut record.extensions, &group.extensions, is_whole);
                },
            );
        }
    }

    fn session(&mut self, session: &Session) {
        if !self.bind(Kind::Session, &session.id) {
            return;
        }
        let is_whole = self.is_whole;
        self.update(
            Kind::Session,
            |state| &mut state.sessions,
            &session.id,
            |record| {
                if is_whole {
                    (record.start, record.stop, record.group) = (None, None, None);
                }
                replace_list(
                    &mut record.sip_session_ids,
                    &session.sip_session_ids,
                    is_whole,
                );
                replace_list(&mut record.reasons, &session.reasons, is_whole);
                replace(&mut record.group, &session.group);
                replace(&mut record.start, &session.start);
                replace(&mut record.stop, &session.stop);
                merge_extensions(&mut record.extensions, &session.extensions, is_whole);
            },
        );
    }

    fn participant(&mut self, participant: &Participant) {
        if !self.bind(Kind::Participant, &participant.id) {
            return;
        }
        let is_whole = self.is_whole;
        self.update(
            Kind::Participant,
            |state| &mut state.participants,
            &participant.id,
            |record| {
                replace_list(&mut record.names, &participant.names, is_whole);
                merge_extensions(&mut record.extensions, &participant.extensions, is_whole);
            },
        );
    }

    fn stream(&mut self, stream: &Stream) {
        if !self.bind(Kind::Stream, &stream.id) {
            return;
        }
        let (is_whole, arrival) = (self.is_whole, self.arrival);
        let context = self.context(stream.session.as_ref());
        self.update(
            Kind::Stream,
            |state| &mut state.streams,
            &stream.id,
            |record| {
                if is_whole {
                    (record.label, record.mode) = (None, None);
                }
                replace(&mut record.label, &stream.label);
                replace(&mut record.mode, &stream.mode);
                if let Some(session) = &stream.session
                    && record.session() != Some(session)
                {
                    record.sessions.push((session.clone(), arrival));
                }
                if stream.times != Times::default() {
                    record.association.associate(&stream.times, context);
                }
                merge_extensions(&mut record.extensions, &stream.extensions, is_whole);
            },
        );
    }

    /// Foreign elements below the root: a dialect names the object they belong to.
    fn extensions(&mut self, extensions: &[Extension]) {
        let mut by_owner: BTreeMap<Option<&Id>, Vec<Extension>> = BTreeMap::new();
        for extension in extensions {
            let owner = extension.parent.as_ref();
            let owner = owner.filter(|id| self.state.kinds.contains_key(*id));
            by_owner.entry(owner).or_default().push(extension.clone());
        }
        if self.is_whole {
            self.state.extensions.clear();
        }
        for (owner, extensions) in by_owner {
            let kind = owner.and_then(|id| self.state.kinds.get(id));
            let list = match owner.zip(kind) {
                None => Some(&mut self.state.extensions),
                Some((id, Kind::Group)) => self
                    .state
                    .groups
                    .find_mut(id)
                    .map(|record| &mut record.extensions),
                Some((id, Kind::Session)) => self
                    .state
                    .sessions
                    .find_mut(id)
                    .map(|record| &mut record.extensions),
                Some((id, Kind::Participant)) => self
                    .state
                    .participants
                    .find_mut(id)
                    .map(|record| &mut record.extensions),
                Some((id, Kind::Stream)) => self
                    .state
                    .streams
                    .find_mut(id)
                    .map(|record| &mut record.extensions),
            };
            let is_fresh = self.is_whole && owner.is_none_or(|id| self.objects.contains(id));
            match list {
                // What the object's own element holds was put there just now.
                Some(list) if is_fresh => list.extend(extensions),
                Some(list) => merge_extensions(list, &extensions, false),
                None => {}
            }
        }
    }

    /// Finds or makes the record, changes it, and reports what came of it.
    fn update<T: Record + Clone + PartialEq>(
        &mut self,
        kind: Kind,
        table: impl Fn(&mut State) -> &mut Table<T>,
        id: &Id,
        change: impl FnOnce(&mut T),
    ) {
        self.objects.insert(id.clone());
        let arrival = self.arrival;
        let record = table(self.state).entry(id);
        if !record.is_over() && !record.presence().is_open() {
            record.renew();
        }
        let before = record.clone();
        change(record);
        let is_updated = *record != before;
        let is_new = !record.is_over()
            && record.presence().open(Moment {
                source: None,
                arrival,
            });
        if is_new {
            self.changes.push(Change::Appeared {
                kind,
                id: id.clone(),
            });
        } else if is_updated {
            self.changes.push(Change::Updated {
                kind,
                id: id.clone(),
            });
        }
    }

    /// Binds an id to what it stands for; the first binding stays (RFC 7865 §6.10).
    fn bind(&mut self, kind: Kind, id: &Id) -> bool {
        self.state.kinds.entry(id.clone()).or_insert(kind);
        self.stands_for(kind, id)
    }

    /// Whether a reference may mean this: it does unless the id stands for something else.
    pub(super) fn stands_for(&mut self, kind: Kind, id: &Id) -> bool {
        match self.state.kinds.get(id) {
            Some(&bound) if bound != kind => {
                self.changes.push(Change::IdConflict {
                    id: id.clone(),
                    bound,
                    ignored: kind,
                });
                false
            }
            Some(_) | None => true,
        }
    }

    pub(super) fn context(&self, session: Option<&Id>) -> Context {
        let session = session.and_then(|id| self.state.session(id));
        let is_stopped = session.is_some_and(|session| session.stop.is_some());
        Context {
            arrival: self.arrival,
            is_whole: self.is_whole,
            is_stopped,
        }
    }

    /// What a partial document refers to has to be defined somewhere.
    fn note_references(&mut self, document: &Document) {
        let sessions = document
            .streams
            .iter()
            .filter_map(|stream| stream.session.as_ref());
        let sessions = sessions
            .chain(
                document
                    .participant_sessions
                    .iter()
                    .map(|link| &link.session),
            )
            .chain(document.session_recordings.iter().map(|link| &link.session));
        let participants = document
            .participant_sessions
            .iter()
            .map(|link| &link.participant);
        let participants = participants.chain(
            document
                .participant_streams
                .iter()
                .map(|link| &link.participant),
        );
        let streams = document.participant_streams.iter();
        let streams = streams.flat_map(|link| link.sends.iter().chain(&link.receives));
        let groups = document
            .sessions
            .iter()
            .filter_map(|session| session.group.as_ref());
        let named = sessions
            .map(|id| (Kind::Session, id))
            .chain(participants.map(|id| (Kind::Participant, id)))
            .chain(streams.map(|id| (Kind::Stream, id)))
            .chain(groups.map(|id| (Kind::Group, id)));
        for (kind, id) in named {
            if !self.state.is_defined(kind, id) {
                self.state.references.insert((kind, id.clone()));
            }
        }
    }
}

/// A single value that is stated replaces the old one.
fn replace<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        old.clone_from(new);
    }
}

/// A list that is stated replaces the old one whole; a complete document always states it.
pub(super) fn replace_list<T: Clone>(old: &mut Vec<T>, new: &[T], is_whole: bool) {
    if is_whole || !new.is_empty() {
        *old = new.to_vec();
    }
}

/// Fragments of the same name are replaced, others stay unless the document is complete.
pub(super) fn merge_extensions(old: &mut Vec<Extension>, new: &[Extension], is_whole: bool) {
    let names: BTreeSet<_> = new
        .iter()
        .map(|one| (one.namespace.clone(), &one.name))
        .collect();
    old.retain(|one| !is_whole && !names.contains(&(one.namespace.clone(), &one.name)));
    old.extend_from_slice(new);
}
