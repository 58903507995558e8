//! What a recording says of who took part, against the metadata that its INVITE carried.

use std::fs;

use holdfast_manifest::{Channel, Manifest, Participant};

use super::library::Published;
use crate::invite::{self, Offer};

/// The metadata of a call as its client gave it: complete, in one session, each leg spoken by one
/// participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataTruth {
    /// The document that the INVITE carried, where it is known to the octet.
    pub document: Option<Vec<u8>>,
    /// group_id of the communication session group.
    pub group: String,
    /// session_id of the communication session.
    pub session: String,
    /// Its sipSessionID.
    pub sip_session: String,
    /// Who speaks on each leg, in their order.
    pub speakers: Vec<Speaker>,
}

/// A participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// participant_id.
    pub id: String,
    /// Address of record, and name.
    pub who: invite::Participant,
    /// Label of the stream that is sent.
    pub label: String,
}

impl MetadataTruth {
    /// What the body of an offer says.
    pub fn of(offer: &Offer) -> Self {
        let speakers = offer.legs.iter().enumerate().map(|(index, leg)| Speaker {
            id: offer.participant_id(index),
            who: leg.participant.clone(),
            label: leg.label.clone(),
        });
        Self {
            document: Some(offer.metadata().into_bytes()),
            group: offer.group_id(),
            session: offer.session_id(),
            sip_session: offer.sip_session_id(),
            speakers: speakers.collect(),
        }
    }
}

/// Compares ids, names, who was in which session and sent which stream, what each channel holds, and
/// the document itself.
pub(crate) fn check_metadata(
    published: &Published,
    truth: &MetadataTruth,
    problems: &mut Vec<String>,
) {
    let call = &published.manifest.call;
    let mut expect = |what: &str, found: &[&str], right: &[&str]| {
        if found != right {
            problems.push(format!("{what} {found:?}, not {right:?}"));
        }
    };
    let groups: Vec<&str> = call.groups.iter().map(|group| group.id.as_str()).collect();
    expect("groups", &groups, &[&truth.group]);
    let ids: Vec<&str> = call.sessions.iter().map(|one| one.id.as_str()).collect();
    expect("sessions", &ids, &[&truth.session]);
    for session in &call.sessions {
        expect(
            "sipSessionID",
            &texts(&session.sip_session_ids),
            &[&truth.sip_session],
        );
        let group: Vec<&str> = session.group.as_deref().into_iter().collect();
        expect("group of the session", &group, &[&truth.group]);
    }
    let ids: Vec<&str> = call
        .participants
        .iter()
        .map(|one| one.id.as_str())
        .collect();
    let right: Vec<&str> = truth.speakers.iter().map(|one| one.id.as_str()).collect();
    expect("participants", &ids, &right);
    for speaker in &truth.speakers {
        let participant = call.participants.iter().find(|one| one.id == speaker.id);
        if let Some(participant) = participant {
            check_participant(participant, speaker, &truth.session, problems);
        }
    }
    check_channels(&call.channels, truth, problems);
    check_document(published, truth, problems);
}

fn check_participant(
    found: &Participant,
    right: &Speaker,
    session: &str,
    problems: &mut Vec<String>,
) {
    let id = &found.id;
    if found.names != [right.who.name.as_str()] {
        let (names, name) = (&found.names, &right.who.name);
        problems.push(format!("participant {id}: names {names:?}, not {name:?}"));
    }
    if found.aors != [right.who.aor.as_str()] {
        let (aors, aor) = (&found.aors, &right.who.aor);
        problems.push(format!("participant {id}: addresses {aors:?}, not {aor:?}"));
    }
    let sessions: Vec<&str> = found
        .intervals
        .iter()
        .filter_map(|presence| presence.session.as_deref())
        .collect();
    if sessions != [session] {
        problems.push(format!(
            "participant {id}: in sessions {sessions:?}, not {session:?}"
        ));
    }
    let labels: Vec<&str> = found
        .intervals
        .iter()
        .filter_map(|presence| presence.label.as_deref())
        .collect();
    if labels != [right.label.as_str()] {
        let label = &right.label;
        problems.push(format!(
            "participant {id}: sent labels {labels:?}, not {label:?}"
        ));
    }
}

fn check_channels(found: &[Channel], truth: &MetadataTruth, problems: &mut Vec<String>) {
    let right = |(channel, speaker): (u16, &Speaker)| Channel {
        channel,
        participant: Some(speaker.id.clone()),
        labels: vec![speaker.label.clone()],
    };
    let right: Vec<Channel> = (0..).zip(&truth.speakers).map(right).collect();
    if found.len() != right.len() {
        let (count, wanted) = (found.len(), right.len());
        problems.push(format!("{count} channels are told, {wanted} were sent"));
    }
    for (found, right) in found.iter().zip(&right) {
        if found != right {
            problems.push(format!(
                "channel {} is told as {} of participant {:?} with labels {:?}, not of {:?} with {:?}",
                right.channel,
                found.channel,
                found.participant.as_deref().unwrap_or("none"),
                found.labels,
                right.participant.as_deref().unwrap_or("none"),
                right.labels,
            ));
        }
    }
}

/// The document of the INVITE is kept to the octet.
fn check_document(published: &Published, truth: &MetadataTruth, problems: &mut Vec<String>) {
    let (Some(right), Some(name)) = (&truth.document, document_of(&published.manifest)) else {
        return;
    };
    match fs::read(published.folder.join(name)) {
        Ok(found) if found == *right => {}
        Ok(_) => problems.push(format!("{name} is not what the INVITE carried")),
        Err(error) => problems.push(format!("{name}: {error}")),
    }
}

/// Name of the file with the metadata of the INVITE.
pub(super) fn document_of(manifest: &Manifest) -> Option<&str> {
    let documents = &manifest.call.metadata;
    let document = documents.iter().find(|one| one.carried_by == "INVITE")?;
    Some(&document.file)
}

fn texts(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}
