//! What ends without being said: left out of a complete document, inside a stopped session, or
//! open when the recording session ends. All of it is marked as inferred.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Kind};
use super::history::{End, EndCause, Moment};
use super::id::Id;
use super::merge::Merge;
use super::records::{Link, MediaLink, Record, Table};

impl Merge<'_> {
    /// Closes everything that the document did not mention.
    pub(super) fn close_unmentioned(&mut self, cause: EndCause) {
        let end = End {
            moment: Moment {
                source: None,
                arrival: self.arrival,
            },
            cause,
        };
        let (objects, changes) = (&self.objects, &mut self.changes);
        let state = &mut *self.state;
        for group in &mut state.groups.records {
            if !objects.contains(&group.id) {
                group.association.close(&end);
            }
        }
        for stream in &mut state.streams.records {
            if !objects.contains(&stream.id) {
                stream.association.close(&end);
            }
        }
        close_objects(Kind::Group, &mut state.groups, objects, &end, changes);
        close_objects(Kind::Session, &mut state.sessions, objects, &end, changes);
        close_objects(
            Kind::Participant,
            &mut state.participants,
            objects,
            &end,
            changes,
        );
        close_objects(Kind::Stream, &mut state.streams, objects, &end, changes);
        for (session, link) in &mut state.recordings {
            if !self.recordings.contains(session) {
                link.history.close(&end);
            }
        }
        let end_of = |participant: &Id, session: &Id| {
            let pair = (participant.clone(), session.clone());
            (!self.memberships.contains(&pair)).then_some(&end)
        };
        close_memberships(&mut state.memberships, end_of, changes);
        let end_of = |participant: &Id, _: &Id| (!self.media.contains(participant)).then_some(&end);
        close_media(&mut state.media, end_of, changes);
    }

    /// A stop time ends all that goes on in its session.
    pub(super) fn stop_sessions(&mut self) {
        let mut ends = BTreeMap::new();
        for session in &mut self.state.sessions.records {
            let Some(stop) = &session.stop else { continue };
            let moment = Moment {
                source: Some(stop.clone()),
                arrival: self.arrival,
            };
            let end = End {
                moment,
                cause: EndCause::SessionStopped,
            };
            if session.presence.close(&end) {
                let (kind, id, cause) = (Kind::Session, session.id.clone(), end.cause);
                self.changes.push(Change::Closed { kind, id, cause });
            }
            ends.insert(session.id.clone(), end);
        }
        if ends.is_empty() {
            return;
        }
        let state = &mut *self.state;
        for (session, link) in &mut state.recordings {
            if let Some(end) = ends.get(session) {
                link.history.close(end);
            }
        }
        let end_of = |_: &Id, session: &Id| ends.get(session);
        close_memberships(&mut state.memberships, end_of, &mut self.changes);
        let streams = &state.streams;
        let end_of = |_: &Id, stream: &Id| ends.get(streams.find(stream)?.session()?);
        close_media(&mut state.media, end_of, &mut self.changes);
    }
}

fn close_objects<T: Record>(
    kind: Kind,
    table: &mut Table<T>,
    mentioned: &BTreeSet<Id>,
    end: &End,
    changes: &mut Vec<Change>,
) {
    for record in &mut table.records {
        if !mentioned.contains(record.id()) && record.presence().close(end) {
            changes.push(Change::Closed {
                kind,
                id: record.id().clone(),
                cause: end.cause,
            });
        }
    }
}

fn close_memberships<'e>(
    memberships: &mut BTreeMap<Id, BTreeMap<Id, Link>>,
    end_of: impl Fn(&Id, &Id) -> Option<&'e End>,
    changes: &mut Vec<Change>,
) {
    for (participant, of) in memberships {
        for (session, link) in of {
            let Some(end) = end_of(participant, session) else {
                continue;
            };
            if link.history.close(end) {
                changes.push(Change::Left {
                    participant: participant.clone(),
                    session: session.clone(),
                    cause: end.cause,
                });
            }
        }
    }
}

fn close_media<'e>(
    media: &mut BTreeMap<Id, BTreeMap<Id, MediaLink>>,
    end_of: impl Fn(&Id, &Id) -> Option<&'e End>,
    changes: &mut Vec<Change>,
) {
    for (participant, of) in media {
        for (stream, link) in of {
            let Some(end) = end_of(participant, stream) else {
                continue;
            };
            let pair = || (participant.clone(), stream.clone());
            if link.sends.close(end) {
                let (participant, stream) = pair();
                changes.push(Change::SendingEnded {
                    participant,
                    stream,
                    cause: end.cause,
                });
            }
            if link.receives.close(end) {
                let (participant, stream) = pair();
                changes.push(Change::ReceivingEnded {
                    participant,
                    stream,
                    cause: end.cause,
                });
            }
        }
    }
}
