//! How association elements change the state: who is in which session, who sends what to whom.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Kind};
use super::history::{EndCause, Steps};
use super::id::Id;
use super::merge::{Merge, merge_extensions, replace_list};
use super::model::{ParticipantSession, ParticipantStream, Times};

impl Merge<'_> {
    pub(super) fn membership(&mut self, association: &ParticipantSession) {
        let ParticipantSession {
            participant,
            session,
            times,
            params,
            extensions,
        } = association;
        if !self.stands_for(Kind::Participant, participant)
            || !self.stands_for(Kind::Session, session)
        {
            return;
        }
        let context = self.context(Some(session));
        let is_first = self
            .memberships
            .insert((participant.clone(), session.clone()));
        let of = self
            .state
            .memberships
            .entry(participant.clone())
            .or_default();
        let link = of.entry(session.clone()).or_default();
        let before = (link.params.clone(), link.extensions.clone());
        let steps = link.history.associate(times, context);
        // A second element for the same pair in one document only adds an interval.
        replace_list(&mut link.params, params, self.is_whole && is_first);
        merge_extensions(&mut link.extensions, extensions, self.is_whole && is_first);
        let is_updated =
            steps.is_changed || before != (link.params.clone(), link.extensions.clone());
        let (participant, session) = (participant.clone(), session.clone());
        let pair = || (participant.clone(), session.clone());
        if steps.is_stray {
            let (participant, session) = pair();
            self.changes.push(Change::StrayDisassociation {
                participant,
                session,
            });
        }
        if steps.is_opened {
            let (participant, session) = pair();
            self.changes.push(Change::Joined {
                participant,
                session,
            });
        }
        if steps.is_closed {
            let (participant, session) = pair();
            self.changes.push(Change::Left {
                participant,
                session,
                cause: EndCause::Stated,
            });
        }
        if is_updated {
            self.changes.push(Change::MembershipUpdated {
                participant,
                session,
            });
        }
    }

    /// Media associations, all elements of one participant taken together.
    pub(super) fn pictures(&mut self, associations: &[ParticipantStream]) {
        let mut of_participant: BTreeMap<&Id, Vec<&ParticipantStream>> = BTreeMap::new();
        for association in associations {
            of_participant
                .entry(&association.participant)
                .or_default()
                .push(association);
        }
        for (participant, elements) in of_participant {
            if self.stands_for(Kind::Participant, participant) {
                self.picture(participant, &elements);
            }
        }
    }

    fn picture(&mut self, participant: &Id, elements: &[&ParticipantStream]) {
        self.media.insert(participant.clone());
        // An empty picture says something too: this participant neither sends nor receives.
        self.state.media.entry(participant.clone()).or_default();
        let mut sent: BTreeMap<&Id, &Times> = BTreeMap::new();
        let mut received: BTreeMap<&Id, &Times> = BTreeMap::new();
        for element in elements {
            sent.extend(element.sends.iter().map(|stream| (stream, &element.times)));
            received.extend(
                element
                    .receives
                    .iter()
                    .map(|stream| (stream, &element.times)),
            );
        }
        let known = self
            .state
            .media
            .get(participant)
            .into_iter()
            .flat_map(BTreeMap::keys);
        let listed = sent.keys().chain(received.keys()).copied();
        let streams: BTreeSet<Id> = known.chain(listed).cloned().collect();
        let silent = Times::default();
        let other = elements.last().map_or(&silent, |element| &element.times);
        for stream in streams {
            if !self.stands_for(Kind::Stream, &stream) {
                continue;
            }
            let session = self
                .state
                .stream(&stream)
                .and_then(|stream| stream.session())
                .cloned();
            let context = self.context(session.as_ref());
            let of = self.state.media.entry(participant.clone()).or_default();
            let link = of.entry(stream.clone()).or_default();
            let times = sent.get(&stream).copied();
            let sends = link
                .sends
                .picture(times.is_some(), times.unwrap_or(other), context);
            let times = received.get(&stream).copied();
            let receives = link
                .receives
                .picture(times.is_some(), times.unwrap_or(other), context);
            self.report_media(participant, &stream, sends, receives);
        }
        if let Some(record) = self.state.participants.find_mut(participant) {
            let extensions = elements
                .iter()
                .flat_map(|element| element.extensions.clone());
            let extensions: Vec<_> = extensions.collect();
            merge_extensions(&mut record.media_extensions, &extensions, self.is_whole);
        }
    }

    fn report_media(&mut self, participant: &Id, stream: &Id, sends: Steps, receives: Steps) {
        let cause = EndCause::Stated;
        let pair = || (participant.clone(), stream.clone());
        if sends.is_opened {
            let (participant, stream) = pair();
            self.changes.push(Change::SendingStarted {
                participant,
                stream,
            });
        }
        if sends.is_closed {
            let (participant, stream) = pair();
            self.changes.push(Change::SendingEnded {
                participant,
                stream,
                cause,
            });
        }
        if receives.is_opened {
            let (participant, stream) = pair();
            self.changes.push(Change::ReceivingStarted {
                participant,
                stream,
            });
        }
        if receives.is_closed {
            let (participant, stream) = pair();
            self.changes.push(Change::ReceivingEnded {
                participant,
                stream,
                cause,
            });
        }
    }
}
