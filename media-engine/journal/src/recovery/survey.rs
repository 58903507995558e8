//! The first pass: headers only.

use std::collections::BTreeMap;

use super::finding::{FindingKind, ForeignReason};
use super::regions::{Region, after, decode_at};
use super::{Opened, ReadAt, Recovery, RecoveryError, Segment, SegmentFile};
use crate::format::batch::HEADER_SIZE;
use crate::format::name::parse_segment_name;
use crate::format::record;
use crate::format::segment::{SegmentHeader, SegmentHeaderError};
use crate::ids::{JournalId, Lsn, SegmentNumber};
use crate::limits::PAGE_SIZE;

/// A file whose name is right.
struct Candidate<R> {
    file: usize,
    name_number: SegmentNumber,
    content: R,
    size: u64,
    header: Result<SegmentHeader, SegmentHeaderError>,
}

impl<R: ReadAt> Recovery<R> {
    pub(super) fn survey(&mut self, files: Vec<SegmentFile<R>>) -> Result<(), RecoveryError> {
        let candidates = self.read_headers(files)?;
        if self.journal.is_none() {
            self.journal = self.likely_journal(&candidates);
        }
        for candidate in candidates {
            self.admit(candidate);
        }
        self.drop_duplicates();
        for index in 0..self.segments.len() {
            self.survey_batches(index);
        }
        self.settle_runs();
        self.settle_marks();
        Ok(())
    }

    /// Reads the first page of every file that has the name of a segment of this shard.
    fn read_headers(
        &mut self,
        files: Vec<SegmentFile<R>>,
    ) -> Result<Vec<Candidate<R>>, RecoveryError> {
        let mut candidates = Vec::with_capacity(files.len());
        for SegmentFile { name, content } in files {
            let file = self.names.len();
            let parsed = parse_segment_name(&name);
            self.names.push(name);
            let reason = match parsed {
                None => ForeignReason::Name,
                Some((shard, _)) if shard != self.settings.shard => {
                    ForeignReason::OtherShard(shard)
                }
                Some((_, name_number)) => {
                    self.next_segment = self.next_segment.max(name_number.next());
                    let size = content.size();
                    let page = self.window.read(file, &content, size, 0, PAGE_SIZE);
                    let header = SegmentHeader::decode(page);
                    if let Err(SegmentHeaderError::TooNew { found }) = header {
                        return Err(RecoveryError::too_new(&self.names[file], found));
                    }
                    candidates.push(Candidate {
                        file,
                        name_number,
                        content,
                        size,
                        header,
                    });
                    continue;
                }
            };
            self.report(file, 0, FindingKind::Foreign(reason), None);
        }
        Ok(candidates)
    }

    /// The journal that most headers name, the one of the latest segment where there are two;
    /// without a header, the one that batches name.
    fn likely_journal(&mut self, candidates: &[Candidate<R>]) -> Option<JournalId> {
        let mut seen: BTreeMap<JournalId, (usize, SegmentNumber)> = BTreeMap::new();
        let headers = candidates
            .iter()
            .filter_map(|candidate| candidate.header.ok());
        for header in headers.filter(|header| header.shard == self.settings.shard) {
            let (count, last) = seen.entry(header.journal).or_default();
            *count += 1;
            *last = header.number.max(*last);
        }
        let likely = seen.into_iter().max_by_key(|&(_, weight)| weight);
        likely.map(|(journal, _)| journal).or_else(|| {
            candidates
                .iter()
                .find_map(|candidate| self.journal_by_batches(candidate))
        })
    }

    fn journal_by_batches(&mut self, candidate: &Candidate<R>) -> Option<JournalId> {
        let Candidate {
            file,
            content,
            size,
            ..
        } = candidate;
        let pages = (PAGE_SIZE as u64..*size).step_by(PAGE_SIZE);
        pages.into_iter().find_map(|offset| {
            let bytes = self.window.read(*file, content, *size, offset, HEADER_SIZE);
            decode_at(bytes, candidate.name_number, offset).map(|header| header.journal)
        })
    }

    /// Takes a file among the segments of this journal, or says why not.
    fn admit(&mut self, candidate: Candidate<R>) {
        let has_batches = candidate.header.is_err()
            && self.journal.is_some()
            && self.journal_by_batches(&candidate) == self.journal;
        let (file, header) = (candidate.file, candidate.header);
        let (opened, damage) = match header {
            Ok(header) if header.shard != self.settings.shard => {
                let reason = ForeignReason::OtherShard(header.shard);
                return self.report(file, 0, FindingKind::Foreign(reason), None);
            }
            Ok(header) if Some(header.journal) != self.journal => {
                let reason = ForeignReason::OtherJournal;
                return self.report(file, 0, FindingKind::Foreign(reason), None);
            }
            Ok(header) => (Some(header), None),
            Err(_) if has_batches => (None, Some(FindingKind::BitFlip)),
            // Made, or made anew, and not finished when the power went.
            Err(SegmentHeaderError::Blank) => (None, None),
            Err(SegmentHeaderError::Checksum) => (None, Some(FindingKind::Torn)),
            // That it is too short is said with its size.
            Err(SegmentHeaderError::Short) => (None, None),
            Err(
                SegmentHeaderError::NotASegment
                | SegmentHeaderError::Implausible
                | SegmentHeaderError::TooNew { .. },
            ) => {
                let reason = ForeignReason::NotASegment;
                return self.report(file, 0, FindingKind::Foreign(reason), None);
            }
        };
        let sound = damage != Some(FindingKind::BitFlip);
        if let Some(kind) = damage {
            self.report(file, 0, kind, None);
        }
        self.add_segment(candidate, opened, sound);
    }

    fn add_segment(&mut self, candidate: Candidate<R>, opened: Option<SegmentHeader>, sound: bool) {
        let Candidate {
            file,
            name_number,
            content,
            size,
            ..
        } = candidate;
        let number = opened.map_or(name_number, |header| header.number);
        self.next_segment = self.next_segment.max(number.next());
        self.segments.push(Segment {
            file,
            name_number,
            number,
            key: record::Key::new(self.journal.unwrap_or(JournalId([0; 16])), number),
            content,
            size,
            declared_size: opened.map_or(self.settings.segment_size, |header| header.size),
            opened: opened.map(
                |SegmentHeader {
                     run,
                     first,
                     checkpoint,
                     ..
                 }| {
                    Opened {
                        run,
                        first,
                        checkpoint,
                    }
                },
            ),
            run: Lsn::ZERO,
            first: None,
            end: Lsn::ZERO,
            tail: PAGE_SIZE as u64,
            durable: Lsn::ZERO,
            cap: Lsn::MAX,
            sound,
            truncation_reported: false,
        });
    }

    /// Sorts the segments. Of two with one number the one with that name stays: a file is renamed
    /// before it gets its new header, so the other is a copy.
    fn drop_duplicates(&mut self) {
        self.segments
            .sort_by_key(|s| (s.number, s.name_number != s.number, s.file));
        let mut last = None;
        let mut copies = Vec::new();
        self.segments.retain(|segment| {
            let is_copy = last.replace(segment.number) == Some(segment.number);
            if is_copy {
                copies.push((segment.file, segment.number));
            }
            !is_copy
        });
        for (file, number) in copies {
            let reason = ForeignReason::Duplicate(number);
            self.report(file, 0, FindingKind::Foreign(reason), None);
        }
    }

    fn survey_batches(&mut self, index: usize) {
        let mut offset = PAGE_SIZE as u64;
        while let Some(region) = self.region(index, offset) {
            match region {
                Region::Batch(header) => {
                    let end = after(offset, &header);
                    let segment = &mut self.segments[index];
                    segment.first.get_or_insert(header.first);
                    segment.end = segment.end.max(header.end());
                    segment.durable = segment.durable.max(header.committed());
                    segment.tail = end.min(segment.size);
                    self.checkpoint = self.checkpoint.max(header.checkpoint);
                    offset = end;
                }
                Region::Hole {
                    end, next: Some(_), ..
                } => offset = end,
                Region::Hole { next: None, .. } => break,
            }
        }
    }

    /// A segment whose header is damaged is of the run of the one before it, else after it.
    fn settle_runs(&mut self) {
        let stated = |segment: &Segment<R>| segment.opened.map(|opened| opened.run);
        let mut run = self.segments.iter().find_map(stated).unwrap_or(Lsn::ZERO);
        for segment in &mut self.segments {
            run = stated(segment).unwrap_or(run);
            segment.run = run;
        }
    }

    /// What is safe, what is durable, and from where on a later segment counts.
    fn settle_marks(&mut self) {
        let mut later_first = Lsn::MAX;
        let mut later_run = Lsn::MAX;
        for index in (0..self.segments.len()).rev() {
            if let Some(after) = self.segments.get(index + 1) {
                later_first = after
                    .first
                    .map_or(later_first, |first| first.min(later_first));
                if after.run != self.segments[index].run {
                    later_run = after.run.min(later_run);
                }
            }
            let segment = &mut self.segments[index];
            segment.cap = later_first.min(later_run);
            let mut durable = segment.durable;
            if let Some(opened) = segment.opened {
                self.checkpoint = self.checkpoint.max(opened.checkpoint);
                durable = durable.max(opened.first);
            }
            let mark = self.committed_by_run.entry(segment.run).or_default();
            *mark = durable.max(*mark);
        }
    }
}
