//! One published recording against the call it should hold.

use holdfast_catalogue::{Finding, check_files};
use holdfast_manifest::{AUDIO_FILE, EndReason, GapCause, Stream};

use super::channel::{ChannelVerdict, check_channel};
use super::kept::check_kept;
use super::library::{Published, chain};
use super::metadata::{MetadataTruth, check_metadata, document_of};
use super::told::check_told;
use crate::media::LegPlan;
use crate::wav::Wav;

/// A call as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTruth {
    /// Its Call-ID.
    pub call_id: String,
    /// Its legs; leg n belongs into channel n.
    pub legs: Vec<LegTruth>,
    /// What its metadata said, where that is to be looked at.
    pub metadata: Option<MetadataTruth>,
}

impl CallTruth {
    /// Whether there is an audio file of it.
    fn is_heard(&self) -> bool {
        self.legs.iter().any(|leg| leg.plan.codec.is_heard())
    }
}

/// A leg as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegTruth {
    /// Its label.
    pub label: String,
    /// What was sent.
    pub plan: LegPlan,
}

/// What is right and wrong with a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingVerdict {
    /// One per leg, in order.
    pub channels: Vec<ChannelVerdict>,
    /// All that is not as it should be, for a reader.
    pub problems: Vec<String>,
}

impl RecordingVerdict {
    /// Whether nothing is wrong.
    pub fn is_perfect(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks files, samples, counts, gaps and metadata of a recording that ended with the caller's BYE.
pub fn check_recording(published: &Published, truth: &CallTruth) -> RecordingVerdict {
    let mut verdict = RecordingVerdict::default();
    check_manifest(published, truth, &mut verdict.problems);
    check_evidence(published, &mut verdict.problems);
    if let Some(metadata) = &truth.metadata {
        check_metadata(published, metadata, &mut verdict.problems);
    }
    if !truth.is_heard() {
        for leg in &truth.legs {
            let channel = check_kept(published, leg, &mut verdict.problems);
            verdict.channels.push(channel);
            check_told(published, leg, channel.first_sample, &mut verdict.problems);
        }
        return verdict;
    }
    let path = published.folder.join(AUDIO_FILE);
    let wav = match Wav::open(&path) {
        Ok(wav) => wav,
        Err(error) => {
            verdict.problems.push(format!("{AUDIO_FILE}: {error}"));
            return verdict;
        }
    };
    if wav.channels.len() != truth.legs.len() || wav.rate != 8_000 {
        let (channels, rate) = (wav.channels.len(), wav.rate);
        verdict
            .problems
            .push(format!("{AUDIO_FILE} has {channels} channels at {rate} Hz"));
    }
    for (leg, samples) in truth.legs.iter().zip(&wav.channels) {
        let channel = check_channel(samples, &leg.plan);
        if wav.codec != leg.plan.codec {
            verdict
                .problems
                .push(format!("{AUDIO_FILE} is {}", wav.codec.name()));
        }
        if !channel.is_perfect() {
            verdict
                .problems
                .push(format!("label {}: {channel:?}", leg.label));
        }
        verdict.channels.push(channel);
        check_told(published, leg, channel.first_sample, &mut verdict.problems);
    }
    verdict
}

fn check_manifest(published: &Published, truth: &CallTruth, problems: &mut Vec<String>) {
    let manifest = &published.manifest;
    if manifest.end_reason != EndReason::Bye {
        problems.push(format!("it ended by {:?}", manifest.end_reason));
    }
    if manifest.streams.len() != truth.legs.len() {
        let count = manifest.streams.len();
        problems.push(format!("{count} streams, {} were sent", truth.legs.len()));
    }
    if document_of(manifest).is_none() {
        problems.push("the metadata of the INVITE is not kept".to_owned());
    }
    let is_listed = manifest.files.iter().any(|file| file.name == AUDIO_FILE);
    if is_listed != truth.is_heard() {
        let not = if is_listed { "" } else { "not " };
        problems.push(format!("{AUDIO_FILE} is {not}listed"));
    }
    for (channel, leg) in truth.legs.iter().enumerate() {
        let mut streams = manifest
            .streams
            .iter()
            .filter(|s| s.label.as_ref() == Some(&leg.label));
        match (streams.next(), streams.next()) {
            (Some(stream), None) => check_stream(stream, channel, leg, problems),
            (None, _) => problems.push(format!("label {}: no stream", leg.label)),
            (Some(_), Some(_)) => problems.push(format!("label {}: two streams", leg.label)),
        }
    }
}

/// Every file is there with the SHA-256 of the manifest, and none that it does not name: here nobody
/// but the recorder puts any there.
pub(crate) fn check_evidence(published: &Published, problems: &mut Vec<String>) {
    match check_files(&published.folder, &published.manifest) {
        Ok(findings) => {
            let faults = findings
                .into_iter()
                .filter(|(_, finding)| *finding != Finding::Good);
            problems.extend(faults.map(|(name, finding)| format!("{name}: {finding}")));
        }
        Err(error) => problems.push(chain(&error)),
    }
}

fn check_stream(stream: &Stream, channel: usize, leg: &LegTruth, problems: &mut Vec<String>) {
    let label = &leg.label;
    if stream.channel.map(usize::from) != Some(channel) {
        problems.push(format!(
            "label {label}: channel {:?}, not {channel}",
            stream.channel
        ));
    }
    let is_heard = leg.plan.codec.is_heard();
    let reason = &stream.not_rendered_reason;
    if (stream.rendered, reason.is_none()) != (is_heard, is_heard) {
        let rendered = stream.rendered;
        problems.push(format!("label {label}: rendered {rendered}, by {reason:?}"));
    }
    let counts = leg.plan.counts();
    let gap_packets = |cause| {
        stream
            .gaps
            .iter()
            .filter(|gap| gap.cause == cause)
            .map(|gap| gap.packets)
            .sum::<u64>()
    };
    let mut expected = vec![
        ("duplicate", stream.duplicate, counts.duplicate),
        ("late", stream.late, counts.late),
        ("refused", stream.refused.values().sum(), 0),
        ("kernel_drops", stream.kernel_drops, 0),
        ("unplaced", stream.unplaced, 0),
        (
            "packets lost in gaps",
            gap_packets(GapCause::Loss),
            counts.lost,
        ),
    ];
    // While it is paused a recorder keeps no packets, and may count them as it likes.
    if leg.plan.withheld.is_empty() {
        expected.push(("packets", stream.packets, counts.packets));
        expected.push(("lost", stream.lost, counts.lost));
    } else {
        expected.retain(|(what, ..)| *what != "refused");
    }
    for (what, found, right) in expected {
        if found != right {
            problems.push(format!("label {label}: {what} {found}, not {right}"));
        }
    }
    let harmless = [GapCause::NotStarted, GapCause::Ended, GapCause::Loss];
    let silent = !leg.plan.unsent.is_empty() || !leg.plan.withheld.is_empty();
    for gap in stream
        .gaps
        .iter()
        .filter(|gap| !harmless.contains(&gap.cause))
    {
        let explained = match gap.cause {
            GapCause::Dtx | GapCause::Paused => silent,
            GapCause::NotRendered => !is_heard,
            _ => false,
        };
        if !explained {
            let (from, to, cause) = (gap.from_ms, gap.to_ms, gap.cause);
            problems.push(format!("label {label}: gap {from}-{to} ms by {cause:?}"));
        }
    }
}
