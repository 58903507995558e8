//! Waits for the recordings of a run and sums up how right they are.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;
use crate::verify::{CallTruth, Library, Published, RecordingVerdict, check_recording};

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

    fn add(&mut self, published: &Published, verdict: &RecordingVerdict, truth: &CallTruth) {
        let (recording, call_id) = (published.name(), &truth.call_id);
        for problem in &verdict.problems {
            self.complain(format!("recording {recording} of {call_id}: {problem}"));
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
    progress: impl FnMut(usize),
) -> io::Result<Audit> {
    let mut auditor = Auditor::new(recordings, false);
    for truth in truths {
        auditor.expect(truth.clone());
    }
    auditor.finish(timeout, progress)
}

/// Checks recordings while more are made.
#[derive(Debug)]
pub struct Auditor {
    library: Library,
    removes: bool,
    audit: Audit,
    open: Vec<CallTruth>,
    /// The Call-IDs of all.
    expected: Vec<String>,
}

impl Auditor {
    /// Of the recordings in this folder. Where it `removes`, each that is perfect is deleted: a run may
    /// make more than a disk holds.
    pub fn new(recordings: &Path, removes: bool) -> Self {
        Self {
            library: Library::new(recordings),
            removes,
            audit: Audit::default(),
            open: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// There will be a recording of this call.
    pub fn expect(&mut self, truth: CallTruth) {
        self.expected.push(truth.call_id.clone());
        self.open.push(truth);
    }

    /// How many are checked.
    pub const fn checked(&self) -> usize {
        self.expected.len() - self.open.len()
    }

    /// Checks what was published since; answers how many these were.
    pub fn look(&mut self) -> io::Result<usize> {
        self.library.refresh()?;
        let before = self.open.len();
        let mut result = Ok(());
        let (library, audit, removes) = (&self.library, &mut self.audit, self.removes);
        self.open.retain(|truth| {
            let Some(published) = library.recordings(&truth.call_id).first() else {
                return true;
            };
            audit.recordings += 1;
            let verdict = check_recording(published, truth);
            audit.add(published, &verdict, truth);
            if removes && verdict.is_perfect() && result.is_ok() {
                result = std::fs::remove_dir_all(&published.folder);
            }
            false
        });
        result.map(|()| before - self.open.len())
    }

    /// Waits for the rest, at most `timeout` after the last one that came.
    pub fn finish(
        mut self,
        timeout: Duration,
        mut progress: impl FnMut(usize),
    ) -> io::Result<Audit> {
        let mut last_news = Instant::now();
        while !self.open.is_empty() && last_news.elapsed() < timeout {
            if self.look()? > 0 {
                last_news = Instant::now();
                progress(self.checked());
            } else {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        let mut audit = self.audit;
        for truth in self.open {
            audit.complain(format!("{}: no recording", truth.call_id));
            for leg in &truth.legs {
                audit.packets_missing += leg.plan.counts().packets;
            }
        }
        for call_id in &self.expected {
            let count = self.library.recordings(call_id).len();
            if count > 1 {
                audit.complain(format!("{call_id}: {count} recordings"));
            }
        }
        for (folder, reason) in self.library.unreadable() {
            audit.complain(format!("{}: {reason}", folder.display()));
        }
        Ok(audit)
    }
}

/// How often the folder is looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);
