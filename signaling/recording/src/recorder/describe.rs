//! The call as the manifest describes it.

use std::collections::BTreeMap;

use holdfast_manifest::{
    Call as Described, Channel, Group, Interval, Participant, Presence, Session, SipDialog,
};
use holdfast_sip::message::{Headers, NameAddr};
use holdfast_sip::{FlowInfo, Request, Response};

use super::call::Call;
use super::correlation::{self, is_telling};
use super::facts::Facts;
use crate::limits::{ASSERTED_MAX, HEADER_CHARS_KEPT_MAX, HEADERS_KEPT_MAX};
use crate::metadata::{self, History, Moment, ParticipantRecord, SourceTime, State, UtcOffset};

/// The octets of `call.json`.
pub(super) fn json(call: &Call) -> Vec<u8> {
    // The model has neither maps with keys that are no text nor anything else that could fail.
    serde_json::to_vec(&describe(call)).unwrap_or_default()
}

fn describe(call: &Call) -> Described {
    let facts = call.wanted_facts();
    let state = &facts.state;
    let extensions = correlation::extensions(state);
    Described {
        sip: call.sip.clone(),
        groups: state.groups().iter().map(group).collect(),
        sessions: state.sessions().iter().map(session).collect(),
        participants: state
            .participants()
            .iter()
            .map(|one| participant(state, one))
            .collect(),
        channels: channels(facts),
        correlations: correlation::of(&call.sip, facts, &extensions),
        extensions,
        pauses: call.pauses.clone(),
        formers: call.formers.clone(),
        continues: call.continues.clone(),
        warnings: facts.warnings.clone(),
        metadata: facts.documents.clone(),
    }
}

/// What the INVITE says about its dialog. Our tag is known when it is answered.
pub(super) fn dialog_of(request: &Request, source: &FlowInfo) -> SipDialog {
    let tag = request.from().tag().unwrap_or_default();
    dialog_by(request.headers(), request.call_id(), tag, source)
}

/// What the 2xx to an INVITE of ours says about its dialog.
pub(super) fn dialog_with(response: &Response, way: &FlowInfo) -> SipDialog {
    let tag = response.to().tag().unwrap_or_default();
    dialog_by(response.headers(), response.call_id(), tag, way)
}

fn dialog_by(headers: &Headers, call_id: &str, remote_tag: &str, source: &FlowInfo) -> SipDialog {
    let text = |name: &str| headers.first(name).unwrap_or_default().to_owned();
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let telling = headers.iter().filter(|header| is_telling(header.name()));
    for header in telling.take(HEADERS_KEPT_MAX) {
        let value = header.value().chars().take(HEADER_CHARS_KEPT_MAX).collect();
        kept.entry(header.name().to_owned())
            .or_default()
            .push(value);
    }
    SipDialog {
        call_id: call_id.to_owned(),
        local_tag: String::new(),
        remote_tag: remote_tag.to_owned(),
        from: text("From"),
        to: text("To"),
        peer: Some(source.remote),
        transport: source.transport.to_string(),
        user_agent: headers.first("User-Agent").map(str::to_owned),
        profile: None,
        user: None,
        asserted: asserted(headers),
        is_private: is_private(headers),
        headers: kept,
    }
}

/// The URIs of P-Asserted-Identity (RFC 3325 §9.1), whoever sent it.
fn asserted(headers: &Headers) -> Vec<String> {
    let uri = |value| {
        let address = NameAddr::parse_lenient(value).ok()?;
        let uri = address.uri_text().chars().take(HEADER_CHARS_KEPT_MAX);
        Some(uri.collect())
    };
    let values = headers.list("P-Asserted-Identity");
    values.filter_map(uri).take(ASSERTED_MAX).collect()
}

/// Whether `id` is among the values of Privacy (RFC 3323 §4.2, RFC 3325 §9.3).
fn is_private(headers: &Headers) -> bool {
    let mut words = headers.list("Privacy").flat_map(|value| value.split(';'));
    words.any(|word| word.trim().eq_ignore_ascii_case("id"))
}

fn channels(facts: &Facts) -> Vec<Channel> {
    let (lines, owners) = facts.channels.to_parts();
    let label_of = |line: usize| {
        let stream = facts
            .streams()
            .find(|stream| usize::from(stream.slot.line) == line)?;
        facts.session.label_of(stream.slot.line, &stream.terms)
    };
    let mut channels: Vec<Channel> = owners
        .iter()
        .zip(0_u16..)
        .map(|(owners, channel)| {
            // A mix of several participants is nobody's.
            let participant = match owners.as_slice() {
                [only] => Some(only.as_str().to_owned()),
                _ => None,
            };
            Channel {
                channel,
                participant,
                labels: Vec::new(),
            }
        })
        .collect();
    for (line, number) in lines {
        if let (Some(channel), Some(label)) =
            (channels.get_mut(usize::from(number.0)), label_of(line))
        {
            channel.labels.push(label);
        }
    }
    channels
}

fn group(record: &metadata::GroupRecord) -> Group {
    let intervals = record.association.intervals();
    Group {
        id: record.id.as_str().to_owned(),
        intervals: intervals.iter().map(stated).collect(),
    }
}

fn session(record: &metadata::SessionRecord) -> Session {
    let reason = |reason: &metadata::Reason| match reason.cause {
        Some(cause) => format!("{} {cause} {}", reason.protocol, reason.text)
            .trim()
            .to_owned(),
        None => format!("{} {}", reason.protocol, reason.text)
            .trim()
            .to_owned(),
    };
    Session {
        id: record.id.as_str().to_owned(),
        sip_session_ids: record.sip_session_ids.clone(),
        group: record.group.as_ref().map(|group| group.as_str().to_owned()),
        time: Interval {
            from: record.start.as_ref().and_then(wall),
            to: record.stop.as_ref().and_then(wall),
        },
        reasons: record.reasons.iter().map(reason).collect(),
    }
}

fn participant(state: &State, record: &ParticipantRecord) -> Participant {
    let mut intervals = Vec::new();
    for (session, link) in state.memberships(&record.id) {
        let session = Some(session.as_str().to_owned());
        let presence = |interval| Presence {
            session: session.clone(),
            label: None,
            interval,
        };
        intervals.extend(seen(&link.history).map(presence));
    }
    for (stream, link) in state.media(&record.id) {
        let label = state.stream(stream).and_then(|stream| stream.label.clone());
        let label = Some(label.unwrap_or_else(|| stream.as_str().to_owned()));
        let presence = |interval| Presence {
            session: None,
            label: label.clone(),
            interval,
        };
        intervals.extend(seen(&link.sends).map(presence));
    }
    Participant {
        id: record.id.as_str().to_owned(),
        names: record
            .names
            .iter()
            .filter_map(|name| name.name.clone())
            .collect(),
        aors: record.names.iter().map(|name| name.aor.clone()).collect(),
        intervals,
    }
}

/// Intervals by the recording client's clock where it said so, else by ours.
fn seen(history: &History) -> impl Iterator<Item = Interval> {
    let at = |moment: &Moment| {
        moment
            .source
            .as_ref()
            .and_then(wall)
            .unwrap_or(moment.arrival)
    };
    history.intervals().iter().map(move |interval| Interval {
        from: interval.from.as_ref().map(at),
        to: interval.to.as_ref().map(|end| at(&end.moment)),
    })
}

/// An interval by the recording client's clock alone.
fn stated(interval: &metadata::Interval) -> Interval {
    let at = |moment: &Moment| moment.source.as_ref().and_then(wall);
    Interval {
        from: interval.from.as_ref().and_then(at),
        to: interval.to.as_ref().and_then(|end| at(&end.moment)),
    }
}

/// A time without a zone is taken for UTC.
fn wall(time: &SourceTime) -> Option<holdfast_units::WallTime> {
    time.wall(UtcOffset::default())
}
