//! Waits for the recordings of a run and sums up how right they are.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;
use crate::verify::{CallTruth, Library, RecordingVerdict, check_recording};

/// How right the recordings of a run are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Recordings that were found.
    pub recordings: u64,
    /// Packets that are there, each sample right.
    pub packets_right: u64,
    /// Packets that are not there.
    pub packets_missing: u64,
    /// Packets with other samples in their place, and sound where none may be.
    pub packets_wrong: u64,
    /// Everything that is not as it should be; the first few in words.
    pub problems: Vec<String>,
    /// How many there are in all.
    pub problem_count: u64,
}

impl Audit {
    /// Whether every recording is there and perfect.
    pub const fn is_perfect(&self) -> bool {
        self.problem_count == 0
    }

    fn complain(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < limits::PROBLEMS_SHOWN_MAX {
            self.problems.push(problem);
        }
    }

    fn add(&mut self, call_id: &str, verdict: &RecordingVerdict, truth: &CallTruth) {
        for problem in &verdict.problems {
            self.complain(format!("{call_id}: {problem}"));
        }
        for channel in &verdict.channels {
            self.packets_right += u64::from(channel.right);
            self.packets_missing += u64::from(channel.missing);
            self.packets_wrong += u64::from(channel.wrong + channel.invented);
        }
        // A channel that does not exist misses all its packets.
        for leg in truth.legs.iter().skip(verdict.channels.len()) {
            self.packets_missing += leg.plan.counts().packets;
        }
    }
}

/// Checks the recording of every call, each as soon as it is published; waits at most `timeout`
/// after the last one that came. `progress` is told how many are checked.
pub fn audit(
    recordings: &Path,
    truths: &[CallTruth],
    timeout: Duration,
    mut progress: impl FnMut(usize),
) -> io::Result<Audit> {
    let mut library = Library::new(recordings);
    let mut audit = Audit::default();
    let mut open: Vec<&CallTruth> = truths.iter().collect();
    let mut last_news = Instant::now();
    while !open.is_empty() && last_news.elapsed() < timeout {
        library.refresh()?;
        let before = open.len();
        open.retain(|truth| {
            let Some(published) = library.recordings(&truth.call_id).first() else {
                return true;
            };
            audit.recordings += 1;
            audit.add(&truth.call_id, &check_recording(published, truth), truth);
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
        audit.complain(format!("{}: no recording", truth.call_id));
        for leg in &truth.legs {
            audit.packets_missing += leg.plan.counts().packets;
        }
    }
    for truth in truths {
        let count = library.recordings(&truth.call_id).len();
        if count > 1 {
            audit.complain(format!("{}: {count} recordings", truth.call_id));
        }
    }
    for (folder, reason) in library.unreadable() {
        audit.complain(format!("{}: {reason}", folder.display()));
    }
    Ok(audit)
}

const LOOK_INTERVAL: Duration = Duration::from_millis(100);
