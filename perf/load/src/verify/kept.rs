//! The packets of a leg that is not heard in the audio file: each of them has to be in its track, octet for
//! octet and in the order in which they were sent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

use holdfast_manifest::{GapCause, Stream};
use holdfast_track::{Kind, RecordReader};

use super::channel::ChannelVerdict;
use super::library::{Published, chain};
use super::recording::LegTruth;
use crate::media::{DATAGRAM, LegPlan};
use crate::pattern::StreamStart;
use crate::{pattern, srtp};

/// Compares the track of a leg with what was sent.
pub(super) fn check_kept(
    published: &Published,
    leg: &LegTruth,
    problems: &mut Vec<String>,
) -> ChannelVerdict {
    let label = &leg.label;
    let mut verdict = ChannelVerdict::default();
    let streams = &published.manifest.streams;
    let Some(stream) = streams.iter().find(|it| it.label.as_ref() == Some(label)) else {
        // That has been told already.
        verdict.missing = leg.plan.counts().packets as u32;
        return verdict;
    };
    let begin = stream
        .gaps
        .iter()
        .find(|gap| gap.cause == GapCause::NotStarted);
    verdict.first_sample = Some(begin.map_or(0, |gap| gap.to_ms as i64 * 8));
    let found = kept(published, stream).unwrap_or_else(|reason| {
        problems.push(format!("label {label}: {reason}"));
        Vec::new()
    });
    let starts = [
        pattern::stream_start(leg.plan.key),
        srtp::stream_start(leg.plan.key, leg.plan.slots),
    ];
    // The one that an encrypted leg has, or that of a plain one.
    let sent = starts.map(|start| sent(&leg.plan, start));
    let sent = sent.iter().find(|it| it.first() == found.first());
    let plain = self::sent(&leg.plan, starts[0]);
    let sent = sent.unwrap_or(&plain);
    let (wanted, there): (BTreeSet<_>, BTreeSet<_>) =
        (sent.iter().collect(), found.iter().collect());
    verdict.right = wanted.intersection(&there).count() as u32;
    verdict.missing = wanted.difference(&there).count() as u32;
    verdict.wrong = there.difference(&wanted).count() as u32;
    let (missing, wrong) = (verdict.missing, verdict.wrong);
    if missing + wrong > 0 {
        problems.push(format!(
            "label {label}: of the packets kept {missing} are missing, {wrong} were not sent"
        ));
    } else if found != *sent {
        problems.push(format!(
            "label {label}: its packets are kept in another order"
        ));
    }
    verdict
}

/// Each packet in the order of its first sending.
fn sent(plan: &LegPlan, start: StreamStart) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let fresh = plan.walk().filter(|packet| seen.insert(packet.sequence));
    let write = |packet| {
        let mut datagram = [0; DATAGRAM];
        let length = plan.write(start, packet, &mut datagram);
        datagram[..length].to_vec()
    };
    fresh.map(write).collect()
}

/// The packets in the track of a stream.
fn kept(published: &Published, stream: &Stream) -> Result<Vec<Vec<u8>>, String> {
    let name = format!("streams/{}.track", stream.number);
    let named = published.manifest.files.iter().any(|it| it.name == name);
    if !named {
        return Err(format!("{name} is not listed"));
    }
    let file =
        File::open(published.folder.join(&name)).map_err(|error| format!("{name}: {error}"))?;
    let mut reader = RecordReader::new(BufReader::new(file));
    let mut packets = Vec::new();
    while let Some(record) = reader
        .next()
        .map_err(|error| format!("{name}: {}", chain(&error)))?
    {
        if record.kind == Kind::Packet {
            packets.push(record.payload.to_vec());
        }
    }
    match reader.damage_count() {
        0 => Ok(packets),
        count => Err(format!("{name}: {count} damaged places")),
    }
}
