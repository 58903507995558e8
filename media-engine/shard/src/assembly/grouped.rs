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
use crate::assembled::{AssembledStream, LiveCounts, Step};
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

/// So many streams before its turn a stream's own memory is asked for.
const AHEAD: usize = 10;

/// So many turns later what that leads to, and what that leads to.
const LATER: [usize; 2] = [5, 8];

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
        for turn in 0..hints.len() + AHEAD {
            self.prefetch(&hints, groups, turn, batches);
            let Some(&hint) = turn.checked_sub(AHEAD).and_then(|at| hints.get(at)) else {
                continue;
            };
            let place = usize::from(hint);
            let [first, _] = std::mem::replace(&mut groups.chains[place], [NONE; 2]);
            for Entry { batch, offset, .. } in groups.chain(first) {
                self.handle_stream_record(&batches[batch as usize].record_at(offset as usize));
            }
        }
        hints.clear();
        groups.hints = hints;
        groups.entries.clear();
    }

    /// Asks the memory for what the streams of the next turns will need: its address is known of each only when
    /// what leads to it has come.
    fn prefetch<B: AsRef<[u8]>>(
        &self,
        hints: &[u16],
        groups: &Groups,
        turn: usize,
        batches: &[Committed<B>],
    ) {
        let hint = |ago: usize| turn.checked_sub(ago).and_then(|at| hints.get(at).copied());
        let stream = |hint: u16| {
            let index = *self.index_by_hint.get(usize::from(hint))?;
            self.streams.get(index as usize)?.as_deref()
        };
        if let Some(stream) = hint(0).and_then(stream) {
            stream.prefetch(Step::Own);
        }
        if let Some(hint) = hint(LATER[0]) {
            stream(hint).inspect(|it| it.prefetch(Step::Next));
            let [first, _] = groups.chains[usize::from(hint)];
            for Entry { batch, offset, .. } in groups.chain(first) {
                batches[batch as usize].prefetch(offset as usize);
            }
        }
        if let Some(stream) = hint(LATER[1]).and_then(stream) {
            stream.prefetch(Step::Last);
        }
    }
}

const fn is_of_stream(kind: u8) -> bool {
    matches!(
        kind,
        records::RTP | records::RTCP | records::SOURCE | records::DROPS
    )
}
