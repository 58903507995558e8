//! Recovery: what a journal still holds after whatever happened to it.
//!
//! It goes over the segments twice. The *survey* reads headers only: which files are of this
//! journal, how far the checkpoint came, what was known to be durable. The *replay* then yields
//! every intact record from the checkpoint on, once and in order, and says of everything else what
//! it is and where. It holds one window of one file at a time, whatever the files say.
//!
//! It changes nothing on the disk. The invariant that matters: a record is yielded only where its
//! own checksum, seeded with the journal's id, and its number are right.

mod finding;
mod memory;
mod regions;
mod replay;
mod survey;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;

use crate::format::record::{self, RecordRef};
use crate::format::segment::VERSION;
use crate::ids::{JournalId, Lsn, LsnRange, SegmentNumber, Shard};
use crate::limits::FINDINGS_MAX;
use crate::writer::{OldSegment, Start};

pub use finding::{Finding, FindingKind, ForeignReason};
pub use memory::records_in_memory;

use replay::Place;
use window::Window;

/// A file that can be read at any place, as the shell opened it.
pub trait ReadAt {
    /// Bytes of the file.
    fn size(&self) -> u64;

    /// Reads from `offset` as much as there is, up to the length of `into`; 0 at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// One file of the journal's folder.
#[derive(Clone, Debug)]
pub struct SegmentFile<R> {
    /// Its name, without the folder.
    pub name: String,
    /// How to read it.
    pub content: R,
}

/// Which journal to recover.
#[derive(Clone, Debug)]
pub struct RecoverySettings {
    /// Whose journal it is.
    pub shard: Shard,
    /// Its identity, where it is known. Else the one that most segments have.
    pub journal: Option<JournalId>,
    /// Bytes of a segment file, for those that do not say.
    pub segment_size: u64,
}

/// Why a journal must not be recovered by this build.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The operator must upgrade: reading on would lose what a newer build has written.
    #[error("{file} has format version {found}, this build reads up to {supported}")]
    TooNew {
        /// The name of the file.
        file: String,
        /// Its version.
        found: u32,
        /// The highest that this build reads.
        supported: u32,
    },
}

impl RecoveryError {
    fn too_new(file: &str, found: u32) -> Self {
        Self::TooNew {
            file: file.to_owned(),
            found,
            supported: VERSION,
        }
    }
}

/// All that recovery found out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where the next writer begins.
    pub start: Start,
    /// The identity of the journal; `None` where there is no journal yet.
    pub journal: Option<JournalId>,
    /// How many records were yielded.
    pub records: u64,
    /// What is damaged, missing, or does not belong here.
    pub findings: Vec<Finding>,
    /// How many findings more there were.
    pub findings_lost: u64,
}

/// A journal that is being read.
#[derive(Debug)]
pub struct Recovery<R> {
    settings: RecoverySettings,
    journal: Option<JournalId>,
    /// Names of all files that were given; segments refer to them by index.
    names: Vec<String>,
    /// The segments of this journal in the order of their numbers.
    segments: Vec<Segment<R>>,
    window: Window,
    /// All records below are safe in the tracks.
    checkpoint: Lsn,
    /// By run: all records below were durable in it.
    committed_by_run: BTreeMap<Lsn, Lsn>,
    next_segment: SegmentNumber,
    /// Records below are dealt with: yielded, lost, or below the checkpoint.
    expected: Lsn,
    place: Place,
    records: u64,
    findings: Vec<Finding>,
    findings_lost: u64,
}

/// One segment file of this journal.
#[derive(Debug)]
struct Segment<R> {
    /// Index of its name.
    file: usize,
    name_number: SegmentNumber,
    /// The number that its batches carry: of its header, else of its name.
    number: SegmentNumber,
    key: record::Key,
    content: R,
    /// Bytes there are, and bytes there should be.
    size: u64,
    declared_size: u64,
    /// From its header; `None` where that is damaged.
    opened: Option<Opened>,
    /// First record of the writer that opened it, taken from a neighbour where it does not say.
    run: Lsn,
    /// Lowest and highest record by its batches, and where the last batch ends.
    first: Option<Lsn>,
    end: Lsn,
    tail: u64,
    /// By its batches: all records below were durable.
    durable: Lsn,
    /// Records from here on are in later segments, or were not there when their numbers were given
    /// again: what this segment has of them does not count.
    cap: Lsn,
    /// Nothing says that the medium is at fault.
    sound: bool,
    truncation_reported: bool,
}

/// What the header of a segment says about the moment it was opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    run: Lsn,
    first: Lsn,
    checkpoint: Lsn,
}

impl<R: ReadAt> Recovery<R> {
    /// Looks over the files of a journal's folder.
    pub fn open(
        settings: RecoverySettings,
        files: Vec<SegmentFile<R>>,
    ) -> Result<Self, RecoveryError> {
        let mut recovery = Self {
            journal: settings.journal,
            settings,
            names: Vec::with_capacity(files.len()),
            segments: Vec::new(),
            window: Window::new(),
            checkpoint: Lsn::ZERO,
            committed_by_run: BTreeMap::new(),
            next_segment: SegmentNumber(1),
            expected: Lsn::ZERO,
            place: Place::Enter { index: 0 },
            records: 0,
            findings: Vec::new(),
            findings_lost: 0,
        };
        recovery.survey(files)?;
        recovery.expected = recovery.checkpoint;
        Ok(recovery)
    }

    /// All records below are safe in the tracks, and are not yielded.
    pub const fn checkpoint(&self) -> Lsn {
        self.checkpoint
    }

    /// The identity of the journal; `None` where there is no journal yet.
    pub const fn journal(&self) -> Option<JournalId> {
        self.journal
    }

    /// The segments that a block may have been filled for whose writer died.
    pub fn segments_written_last(&self) -> RangeInclusive<SegmentNumber> {
        let oldest = self.segments.first().map(|segment| segment.number);
        let first = oldest.unwrap_or(self.next_segment);
        first..=SegmentNumber(self.next_segment.0.saturating_add(SEGMENTS_AHEAD))
    }

    /// The next intact record; `None` after the last.
    pub fn next_record(&mut self) -> Option<RecordRef<'_>> {
        let found = self.advance()?;
        self.records += 1;
        let bytes = self.read(found.index, found.offset, found.size);
        record::view(bytes, found.lsn)
    }

    /// Reads what is left, and says what was found.
    pub fn finish(mut self) -> Outcome {
        while self.advance().is_some() {
            self.records += 1;
        }
        for (file, offset, error) in self.window.take_faults() {
            self.report(file, offset, FindingKind::Unreadable { error }, None);
        }
        for index in 0..self.segments.len() {
            let segment = &self.segments[index];
            if segment.size < segment.declared_size && !segment.truncation_reported {
                let kind = self.truncated(index);
                self.report(
                    self.segments[index].file,
                    self.segments[index].size,
                    kind,
                    None,
                );
            }
        }
        let start = self.start();
        Outcome {
            start,
            journal: self.journal,
            records: self.records,
            findings: self.findings,
            findings_lost: self.findings_lost,
        }
    }

    fn start(&self) -> Start {
        let durable = self.committed_by_run.values().copied();
        let next = durable.fold(self.expected, Lsn::max);
        let mut start = Start {
            next,
            checkpoint: self.checkpoint,
            next_segment: self.next_segment,
            segments: Vec::with_capacity(self.segments.len()),
        };
        for segment in &self.segments {
            let sound = segment.sound && segment.size >= segment.declared_size;
            start.segments.push(OldSegment {
                number: segment.name_number,
                // What a damaged one may hold is not known, so it stays for all there is.
                end: if sound { segment.end } else { next },
                known: segment
                    .opened
                    .map_or(segment.end, |opened| opened.first.max(segment.end)),
                sound,
                bytes: segment.size,
            });
        }
        start
    }

    /// Up to `len` bytes of a segment; fewer where the file ends. What cannot be read is zero.
    fn read(&mut self, index: usize, offset: u64, len: usize) -> &[u8] {
        let segment = &self.segments[index];
        self.window
            .read(segment.file, &segment.content, segment.size, offset, len)
    }

    fn truncated(&self, index: usize) -> FindingKind {
        let segment = &self.segments[index];
        FindingKind::Truncated {
            expected: segment.declared_size,
            found: segment.size,
        }
    }

    fn report(&mut self, file: usize, offset: u64, kind: FindingKind, lost: Option<LsnRange>) {
        self.push(Finding {
            file: self.names[file].clone(),
            offset,
            kind,
            lost,
        });
    }

    /// Keeps a finding; a loss that goes on where the last one ended belongs to it.
    fn push(&mut self, finding: Finding) {
        if let (Some(last), Some(more)) = (self.findings.last_mut(), finding.lost) {
            let is_same = (&last.file, last.offset, &last.kind)
                == (&finding.file, finding.offset, &finding.kind);
            if let Some(lost) = last
                .lost
                .as_mut()
                .filter(|lost| is_same && lost.end == more.first)
            {
                lost.end = more.end;
                return;
            }
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_lost += 1;
        }
    }
}

/// Segments beyond those that are there which a writer may have filled blocks for.
const SEGMENTS_AHEAD: u64 = 8;
