//! What the manifests of parts say together.

use std::time::Duration;

use holdfast_manifest::{
    Call, Channel, Continues, EndReason, FORMAT, FormerDialog, JOINED, Manifest, Part as Listed,
    PartCause, Stream,
};

use crate::parts::{DOCUMENTS, Part};
use crate::timeline::{Source, Timeline};

/// The manifest of what is joined, but for its files.
pub(crate) fn manifest(parts: &[Part], timeline: &Timeline, writer: &str) -> Manifest {
    let (first, last) = match parts {
        [first, .., last] => (&first.manifest, &last.manifest),
        _ => unreachable!("two parts at least are joined"),
    };
    let end = parts
        .iter()
        .map(|part| part.manifest.recorded_until())
        .max();
    let mut manifest = Manifest {
        format: FORMAT,
        id: first.id,
        part: JOINED,
        state_sha256: String::new(),
        node: last.node.clone(),
        software_version: writer.to_owned(),
        started: first.started,
        ended: end.unwrap_or(last.ended),
        end_reason: last.end_reason,
        duration_ms: timeline.frames.div_ceil(FRAMES_PER_MS),
        call: call(parts, timeline),
        streams: Vec::new(),
        files: Vec::new(),
        parts: Vec::new(),
        flags: vec!["joined".to_owned()],
    };
    for (index, part) in parts.iter().enumerate() {
        let from_ms = timeline.offsets[index] / FRAMES_PER_MS;
        let begin = manifest.streams.len() as u32;
        let streams = &part.manifest.streams;
        manifest.streams.extend(
            streams
                .iter()
                .zip(begin + 1..)
                .map(|(one, number)| stream(one, number, from_ms, &timeline.channels[index])),
        );
        manifest.parts.push(Listed {
            number: index as u32 + 1,
            folder: part.name(),
            manifest_sha256: part.manifest_sha256.clone(),
            node: part.manifest.node.clone(),
            started: part.manifest.started,
            ended: part.manifest.ended,
            end_reason: part.manifest.end_reason,
            from_ms,
            to_ms: from_ms + length_ms(&part.manifest),
            streams: (begin + 1..=begin + streams.len() as u32).collect(),
            continues: index.checked_sub(1).map(|before| {
                let before = &parts[before];
                let continues = continues(&before.manifest, &part.manifest);
                Continues {
                    folder: Some(before.name()),
                    ..continues
                }
            }),
        });
        for flag in &part.manifest.flags {
            add_new(&mut manifest.flags, flag);
        }
    }
    manifest
}

fn length_ms(manifest: &Manifest) -> u64 {
    let length = manifest.recorded_until().since(manifest.started);
    manifest.duration_ms.min(length.as_millis() as u64)
}

/// The cause is what the part itself says, else it follows from how the one before ended.
fn continues(before: &Manifest, part: &Manifest) -> Continues {
    let stated = part.call.continues.as_ref().map(|it| it.cause);
    let cause = stated.unwrap_or(match before.end_reason {
        EndReason::TakenOver => PartCause::NodeLost,
        _ => PartCause::Restart,
    });
    Continues::from_part(before, cause, part.started)
}

fn stream(stream: &Stream, number: u32, from_ms: u64, channels: &[u16]) -> Stream {
    let mut stream = stream.clone();
    stream.number = number;
    stream.channel = stream
        .channel
        .and_then(|channel| channels.get(usize::from(channel)).copied());
    for gap in &mut stream.gaps {
        gap.from_ms += from_ms;
        gap.to_ms += from_ms;
    }
    for mark in &mut stream.marks {
        mark.at_ms += from_ms;
    }
    stream
}

/// The last part knows the call best; what only earlier ones know is added.
fn call(parts: &[Part], timeline: &Timeline) -> Call {
    let calls = || parts.iter().map(|part| &part.manifest.call);
    let mut merged = calls().next_back().cloned().unwrap_or_default();
    for call in calls() {
        add_by(&mut merged.groups, &call.groups, |it| &it.id);
        add_by(&mut merged.sessions, &call.sessions, |it| &it.id);
        add_by(&mut merged.participants, &call.participants, |it| &it.id);
        for one in &call.extensions {
            add_new(&mut merged.extensions, one);
        }
        for one in &call.correlations {
            add_new(&mut merged.correlations, one);
        }
        for one in &call.warnings {
            add_new(&mut merged.warnings, one);
        }
        for one in &call.pauses {
            // A later part may know how a pause ended that an earlier one has open.
            if !merged.pauses.iter().any(|it| it.from == one.from) {
                merged.pauses.push(*one);
            }
        }
    }
    merged.pauses.sort_by_key(|pause| pause.from);
    merged.continues = calls().next().and_then(|first| first.continues.clone());
    merged.formers = formers(parts);
    merged.channels = channels(parts, timeline);
    merged.metadata = (1..)
        .zip(calls())
        .flat_map(|(number, call)| {
            call.metadata.iter().map(move |document| {
                let mut document = document.clone();
                document.file = document_name(number, &document.file);
                document
            })
        })
        .collect();
    merged
}

/// Dialogs that the call had, of the parts before the last one too.
fn formers(parts: &[Part]) -> Vec<FormerDialog> {
    let mut formers: Vec<FormerDialog> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let manifest = &part.manifest;
        for former in &manifest.call.formers {
            let is_known = |it: &FormerDialog| it.sip.call_id == former.sip.call_id;
            match formers.iter_mut().find(|it| is_known(it)) {
                Some(known) => known.clone_from(former),
                None => formers.push(former.clone()),
            }
        }
        let next = parts.get(index + 1).map(|next| &next.manifest.call.sip);
        let is_other = next.is_some_and(|next| next.call_id != manifest.call.sip.call_id);
        let is_named = formers
            .iter()
            .any(|it| it.sip.call_id == manifest.call.sip.call_id);
        if is_other && !is_named {
            formers.push(FormerDialog {
                sip: manifest.call.sip.clone(),
                until: manifest.ended,
                end_reason: manifest.end_reason,
            });
        }
    }
    formers
}

/// Name of a part's document in what is joined: `metadata/2/0001.xml`.
pub(crate) fn document_name(part: u32, name: &str) -> String {
    let name = name.strip_prefix(DOCUMENTS).unwrap_or(name);
    format!("{DOCUMENTS}{part}/{name}")
}

/// Which channel each channel of each part is: that of the same participant, else that with the same
/// label, else, where nothing is known of either, that with the same number.
pub(crate) fn map_channels(manifests: &[&Manifest], sources: &[Source]) -> Vec<Vec<u16>> {
    let mut known: Vec<Channel> = Vec::new();
    let mut maps = Vec::new();
    for (manifest, source) in manifests.iter().zip(sources) {
        let described = &manifest.call.channels;
        let count = source.channels.max(described.len() as u16);
        let mut map: Vec<u16> = Vec::new();
        for number in 0..count {
            let own = described.iter().find(|it| it.channel == number);
            let own = own.cloned().unwrap_or_default();
            let free = |at: &usize| !map.contains(&(*at as u16));
            let same = |is_same: &dyn Fn(&Channel) -> bool| {
                let found = known.iter().enumerate().filter(|(_, it)| is_same(it));
                found.map(|(at, _)| at).find(free)
            };
            let found = match (&own.participant, own.labels.first()) {
                (Some(participant), _) => same(&|it| it.participant.as_ref() == Some(participant)),
                (None, Some(label)) => {
                    same(&|it| it.participant.is_none() && it.labels.contains(label))
                }
                (None, None) => Some(usize::from(number)).filter(|at| {
                    free(at)
                        && known
                            .get(*at)
                            .is_some_and(|it| it.participant.is_none() && it.labels.is_empty())
                }),
            };
            let at = found.unwrap_or(known.len());
            if at == known.len() {
                known.push(own);
            }
            map.push(at as u16);
        }
        maps.push(map);
    }
    maps
}

fn channels(parts: &[Part], timeline: &Timeline) -> Vec<Channel> {
    let mut merged: Vec<Channel> = (0..timeline.pieces.len() as u16)
        .map(|channel| Channel {
            channel,
            ..Channel::default()
        })
        .collect();
    for (part, map) in parts.iter().zip(&timeline.channels) {
        for own in &part.manifest.call.channels {
            let at = map.get(usize::from(own.channel)).copied();
            let Some(channel) = at.and_then(|at| merged.get_mut(usize::from(at))) else {
                continue;
            };
            channel.participant = channel.participant.take().or(own.participant.clone());
            for label in &own.labels {
                add_new(&mut channel.labels, label);
            }
        }
    }
    let is_known = |it: &Channel| it.participant.is_some() || !it.labels.is_empty();
    merged.retain(is_known);
    merged
}

fn add_new<T: Clone + PartialEq>(list: &mut Vec<T>, one: &T) {
    if !list.contains(one) {
        list.push(one.clone());
    }
}

fn add_by<T: Clone>(list: &mut Vec<T>, others: &[T], id: impl Fn(&T) -> &String) {
    for other in others {
        if !list.iter().any(|it| id(it) == id(other)) {
            list.push(other.clone());
        }
    }
}

const FRAMES_PER_MS: u64 =
    holdfast_track::wav::SAMPLE_RATE as u64 / Duration::from_secs(1).as_millis() as u64;
