//! Many records at a time, stream by stream.
//!
//! A commit brings a few packets of each of thousands of streams, one in turn. Taken in that order,
//! each finds that what it needs of its stream has left the cache since the one before. So the
//! records of a few blocks are sorted by stream first, and each stream is looked at once.
//!
//! What is said of a recording divides them: the records before it are taken before it, those after
//! it after it. Records of one stream keep their order, and a track knows no other.

use holdfast_journal::Committed;
use holdfast_units::WallTime;

use super::Assembly;
use crate::assembled::{AssembledStream, LiveCounts};
use crate::records;

/// Records that wait to be taken stream by stream.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By hint: the stream's first and last entry, or [`NONE`].
    chains: Vec<[u32; 2]>,
    /// Hints with a chain, in the order of their first entries.
    hints: Vec<u16>,
    entries: Vec<Entry>,
}

/// One record.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Index of its batch.
    batch: u32,
    /// Where in the batch it begins.
    offset: u32,
    /// The stream's next one, or [`NONE`].
    next: u32,
}

const NONE: u32 = u32::MAX;

impl Groups {
    fn push(&mut self, hint: u16, batch: usize, offset: usize) {
        let at = self.entries.len() as u32;
        self.entries.push(Entry {
            batch: batch as u32,
            offset: offset as u32,
            next: NONE,
        });
        let place = usize::from(hint);
        if place >= self.chains.len() {
            self.chains.resize(place + 1, [NONE; 2]);
        }
        let [first, last] = &mut self.chains[place];
        if *first == NONE {
            *first = at;
            self.hints.push(hint);
        } else {
            self.entries[*last as usize].next = at;
        }
        *last = at;
    }

    /// The entries of a chain, from its first one on.
    fn chain(&self, first: u32) -> impl Iterator<Item = Entry> {
        let entry = |at: u32| self.entries.get(at as usize).copied();
        std::iter::successors(entry(first), move |before| entry(before.next))
    }
}

impl Assembly {
    /// Takes the records of batches that follow one another. `live` gives what the receiving side
    /// counted for a stream; `arrived` is told the index of the batch and the arrival of each record.
    pub fn handle_batches<B: AsRef<[u8]>>(
        &mut self,
        batches: &[Committed<B>],
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
        mut arrived: impl FnMut(usize, WallTime),
    ) {
        let mut groups = std::mem::take(&mut self.groups);
        for (index, batch) in batches.iter().enumerate() {
            let mut records = batch.records();
            loop {
                let offset = records.offset();
                let Some(record) = records.next() else { break };
                arrived(index, record.arrival);
                if is_of_stream(record.kind) {
                    self.advance(record.lsn);
                    groups.push(record.source, index, offset);
                } else {
                    self.handle_groups(&mut groups, batches);
                    self.handle_record(&record, live);
                }
            }
        }
        self.handle_groups(&mut groups, batches);
        self.groups = groups;
    }

    fn handle_groups<B: AsRef<[u8]>>(&mut self, groups: &mut Groups, batches: &[Committed<B>]) {
        let mut hints = std::mem::take(&mut groups.hints);
        for hint in hints.drain(..) {
            let place = usize::from(hint);
            let [first, _] = std::mem::replace(&mut groups.chains[place], [NONE; 2]);
            self.touch(hint, groups.chain(first), batches);
            for Entry { batch, offset, .. } in groups.chain(first) {
                self.handle_stream_record(&batches[batch as usize].record_at(offset as usize));
            }
        }
        groups.hints = hints;
        groups.entries.clear();
    }

    /// Reads what a stream and its records will need. None of it waits for another, so the memory
    /// answers all of it in the time of one or two.
    fn touch<B: AsRef<[u8]>>(
        &self,
        hint: u16,
        entries: impl Iterator<Item = Entry>,
        batches: &[Committed<B>],
    ) {
        let index = self.index_by_hint.get(usize::from(hint));
        let stream = index.and_then(|&index| self.streams.get(index as usize)?.as_deref());
        let of_stream = stream.map_or(0, AssembledStream::touch);
        let of_records = entries.fold(0, |sum, entry| {
            sum ^ batches[entry.batch as usize].touch(entry.offset as usize)
        });
        std::hint::black_box(of_stream ^ of_records);
    }
}

const fn is_of_stream(kind: u8) -> bool {
    matches!(
        kind,
        records::RTP | records::RTCP | records::SOURCE | records::DROPS
    )
}
