//! Recordings of calls whose recorder was killed meanwhile: what is there, once, and what is missing.
//!
//! How such a recording ended says nothing, so it is not looked at. Every packet is: it is there sample
//! for sample, or it is lost; one that is lost is in a gap that the manifest gives to an outage, or it
//! is lost without a word. Files and metadata have to be what they are in any recording.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_manifest::{GapCause, Stream};

use crate::limits;
use crate::verify::{
    CallTruth, LegTruth, Library, Published, check_channel, check_evidence, check_metadata,
};
use crate::wav::Wav;

/// What became of the packets of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survivors {
    /// Calls of which there is a recording.
    pub recordings: u64,
    /// Packets that are there, each sample right.
    pub right: u64,
    /// Packets that are not there.
    pub lost: u64,
    /// The most that any leg lost.
    pub lost_max: u64,
    /// Those that are not in a gap by an outage.
    pub unmarked: u64,
    /// Packets that were recorded a second time, or would have been, had their numbers not shown it.
    pub twice: u64,
    /// Encrypted packets that did not authenticate, or whose key was not known.
    pub undecryptable: u64,
    /// Packets with other samples in their place, and sound where none may be.
    pub wrong: u64,
    /// Files that are not what the manifest says of them.
    pub altered: u64,
    /// Recordings whose metadata is not what was given.
    pub misdescribed: u64,
    /// All that is not as it should be, in words; the first few.
    pub problems: Vec<String>,
    /// How many there are in all.
    pub problem_count: u64,
}

impl Survivors {
    fn complain(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < limits::PROBLEMS_SHOWN_MAX {
            self.problems.push(problem);
        }
    }

    fn add(&mut self, published: &Published, truth: &CallTruth) {
        let mut problems = Vec::new();
        check_evidence(published, &mut problems);
        self.altered += problems.len() as u64;
        let altered = problems.len();
        if let Some(metadata) = &truth.metadata {
            check_metadata(published, metadata, &mut problems);
        }
        self.misdescribed += u64::from(problems.len() > altered);
        let (recording, call_id) = (published.name(), &truth.call_id);
        for problem in problems {
            self.complain(format!("recording {recording} of {call_id}: {problem}"));
        }
        let path = published.folder.join(holdfast_manifest::AUDIO_FILE);
        let wav = match Wav::open(&path) {
            Ok(wav) => wav,
            Err(error) => return self.complain(format!("{}: {error}", path.display())),
        };
        for (index, leg) in truth.legs.iter().enumerate() {
            let streams = &published.manifest.streams;
            let stream = streams
                .iter()
                .find(|it| it.label.as_ref() == Some(&leg.label));
            let (Some(samples), Some(stream)) = (wav.channels.get(index), stream) else {
                self.lose(&truth.call_id, leg);
                continue;
            };
            self.add_leg(&truth.call_id, leg, samples, stream);
        }
    }

    fn add_leg(&mut self, call_id: &str, leg: &LegTruth, samples: &[u8], stream: &Stream) {
        let channel = check_channel(samples, &leg.plan);
        let lost = u64::from(channel.missing);
        let gaps = stream
            .gaps
            .iter()
            .filter(|gap| gap.cause == GapCause::Outage);
        let marked: u64 = gaps.map(|gap| gap.packets).sum();
        let wrong = u64::from(channel.wrong + channel.invented);
        self.right += u64::from(channel.right);
        self.lost += lost;
        self.lost_max = self.lost_max.max(lost);
        self.unmarked += lost.saturating_sub(marked);
        let refused = |reason| stream.refused.get(reason).copied().unwrap_or_default();
        // What the engine offers itself again is refused there where it is encrypted, and is a
        // duplicate where it is not. The sender sends nothing twice.
        let twice = stream.duplicate + refused("srtp_replay");
        let undecryptable = [
            "srtp_authentication",
            "srtp_unknown_key",
            "srtp_key_expired",
        ];
        let undecryptable: u64 = undecryptable.into_iter().map(refused).sum();
        self.twice += twice;
        self.undecryptable += undecryptable;
        self.wrong += wrong;
        if lost + twice + wrong + undecryptable > 0 {
            let label = &leg.label;
            self.complain(format!(
                "{call_id}, label {label}: {lost} lost, {marked} marked, {twice} twice, {wrong} \
                 wrong, {undecryptable} undecryptable"
            ));
        }
    }

    fn lose(&mut self, call_id: &str, leg: &LegTruth) {
        let packets = leg.plan.counts().packets;
        self.lost += packets;
        self.lost_max = self.lost_max.max(packets);
        self.unmarked += packets;
        self.complain(format!("{call_id}, label {}: not there", leg.label));
    }
}

/// Checks the recording of every call, each as soon as it is published; waits at most `timeout`
/// after the last one that came. `progress` is told how many are checked.
pub fn check_survivors(
    recordings: &Path,
    truths: &[CallTruth],
    timeout: Duration,
    mut progress: impl FnMut(usize),
) -> io::Result<Survivors> {
    let mut library = Library::new(recordings);
    let mut survivors = Survivors::default();
    let mut open: Vec<&CallTruth> = truths.iter().collect();
    let mut last_news = Instant::now();
    while !open.is_empty() && last_news.elapsed() < timeout {
        library.refresh()?;
        let before = open.len();
        open.retain(|truth| {
            let Some(published) = library.recordings(&truth.call_id).first() else {
                return true;
            };
            survivors.recordings += 1;
            survivors.add(published, truth);
            false
        });
        if open.len() < before {
            last_news = Instant::now();
            progress(truths.len() - open.len());
        } else {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
    for truth in open {
        for leg in &truth.legs {
            survivors.lose(&truth.call_id, leg);
        }
    }
    for truth in truths {
        let count = library.recordings(&truth.call_id).len();
        if count > 1 {
            survivors.complain(format!("{}: {count} recordings", truth.call_id));
        }
    }
    Ok(survivors)
}

const LOOK_INTERVAL: Duration = Duration::from_millis(100);
