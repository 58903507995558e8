//! What a shard does in each turn beside receiving: losses are written down, committed records
//! assembled, checkpoints made, reports sent.
//!
//! Nothing here looks at all streams in one turn, but for the statistics, once a second.

use std::ops::Range;

use holdfast_control::{FromEngine, Stage};
use holdfast_journal::NewRecord;
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use super::{Overflow, Shard};
use crate::assembled::{AssembledStream, Authentic, LiveCounts};
use crate::disk::DiskOrder;
use crate::limits::{
    ASSEMBLE_BATCHES_MAX, CHECKPOINT_PIECES_MAX, CHECKPOINT_SLICE, PIECES_IN_FLIGHT_MAX,
    REPORT_ROUND,
};
use crate::live::{LiveStream, Unwritten};
use crate::output::{Notice, Output, ShardEvent};
use crate::records;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// A datagram that passed the guard was not taken by the journal.
    #[cold]
    pub(super) fn handle_unwritten(&mut self, pair: u16, arrival: WallTime) {
        self.statistics.unwritten += 1;
        self.journal_failing = true;
        self.note_loss(pair, 1, arrival..arrival);
    }

    pub(super) fn note_loss(&mut self, pair: u16, count: u32, within: Range<WallTime>) {
        if let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) {
            let lost = &mut stream.unwritten;
            if lost.count == 0 {
                (lost.from, lost.to) = (within.start, within.end);
                self.unwritten.push(pair);
            }
            lost.from = lost.from.min(within.start);
            lost.to = lost.to.max(within.end);
            lost.count = lost.count.saturating_add(count);
        }
    }

    /// Writes down what could not be kept, as soon as the journal takes records again.
    pub(crate) fn write_losses(&mut self, now: MonoTime) {
        if let Some(Overflow { within, count }) = &self.overflow {
            let record = NewRecord {
                kind: records::OVERFLOW,
                flags: 0,
                source: 0,
                stream: StreamId(0),
                arrival: within.end,
            };
            let parts: [&[u8]; 2] = [&within.start.0.to_le_bytes(), &count.to_le_bytes()];
            if self.journal.append(now, &record, &parts).is_err() {
                return;
            }
            self.overflow = None;
        }
        while let Some(&pair) = self.unwritten.last() {
            if let Some(Some(stream)) = self.live.get_mut(usize::from(pair)) {
                let lost = stream.unwritten;
                let record = NewRecord {
                    kind: records::DROPS,
                    flags: 0,
                    source: pair,
                    stream: stream.desired.id,
                    arrival: lost.to,
                };
                let parts: [&[u8]; 2] = [&lost.count.to_le_bytes(), &lost.from.0.to_le_bytes()];
                if self.journal.append(now, &record, &parts).is_err() {
                    return;
                }
                stream.unwritten = Unwritten::default();
                self.outputs.push_back(Output::Notice(Notice::Dropped {
                    recording: stream.recording,
                    stream: stream.desired.id,
                    count: lost.count,
                }));
            }
            self.unwritten.pop();
        }
        self.journal_failing = false;
    }

    /// What has become durable waits to be assembled from now on.
    pub(super) fn take_committed(&mut self, now: MonoTime) {
        let wall = self.wall(now);
        while let Some(batch) = self.journal.poll_committed() {
            self.committed.push_back(batch);
            self.committed_at.push_back(wall);
        }
    }

    /// Takes committed records into the tracks, some batches together, unless the disk is behind.
    pub(super) fn assemble(&mut self, wall: WallTime) {
        if self.committed.is_empty() || self.assembly.pieces_in_flight() >= PIECES_IN_FLIGHT_MAX {
            return;
        }
        let together = self.committed.len().min(ASSEMBLE_BATCHES_MAX);
        let batches = &self.committed.make_contiguous()[..together];
        let (live, ended, first) = (&self.live, &mut self.ended_counts, self.config.ports.first);
        // Asked for at a stream's end, and never again.
        let mut counts = |stream: &AssembledStream| {
            let ended = ended.remove(&stream.id());
            counts_of(live, ended, first, stream)
        };
        // Told here, where the records are read anyway: once more through all of them costs more
        // than all other histograms.
        let (committed_at, latencies) = (&self.committed_at, &mut self.latencies);
        let arrived = |index: usize, arrival| {
            let after = committed_at[index].since(arrival);
            latencies.record(Stage::Durable, after);
        };
        self.assembly.handle_batches(batches, &mut counts, arrived);
        while let Some(mute) = self.assembly.poll_mute() {
            self.statistics.mute_streams += 1;
            self.outputs.push_back(Output::Notice(Notice::Mute(mute)));
        }
        while let Some(authentic) = self.assembly.poll_authentic() {
            let Authentic {
                stream,
                rtp_port,
                source,
                ssrc,
                at,
            } = authentic;
            let pair = usize::from(rtp_port.wrapping_sub(self.config.ports.first) >> 1);
            if let Some(Some(live)) = self.live.get_mut(pair)
                && live.desired.id == stream
                && live.is_protected()
                && live.latch_authentic(at, source, ssrc)
            {
                let recording = live.recording;
                self.outputs.push_back(Output::Notice(Notice::Latched {
                    recording,
                    stream,
                    source,
                }));
            }
        }
        for batch in batches {
            if let Some(first) = batch.records().next() {
                let count = batch.range().end.since(batch.range().first) as u32;
                let after = wall.since(first.arrival);
                self.latencies.record_many(Stage::Assembled, after, count);
            }
        }
        self.committed_at.drain(..together);
        for batch in self.committed.drain(..together) {
            self.journal.offer_block(batch.into_block());
        }
    }

    pub(super) fn advance_checkpoint(&mut self, now: MonoTime) {
        if self.assembly.has_failed() {
            return;
        }
        if self.checkpointer.is_due(now) {
            let settled = self.assembly.settled_position();
            self.checkpointer.begin_if_due(now, settled);
        }
        let slots = self.assembly.stream_slots();
        for count in 0..self.checkpointer.share(now, slots) {
            let is_behind = self.assembly.pieces_in_flight() >= CHECKPOINT_PIECES_MAX;
            if is_behind && count >= CHECKPOINT_SLICE {
                break;
            }
            let Some(slot) = self.checkpointer.next_slot(slots) else {
                break;
            };
            let (live, ended, first) = (&self.live, &self.ended_counts, self.config.ports.first);
            let mut counts = |stream: &AssembledStream| {
                let ended = ended.get(&stream.id()).copied();
                counts_of(live, ended, first, stream)
            };
            if let Some(stream) = self.assembly.checkpoint_stream(slot, &mut counts) {
                self.checkpointer.handle_flushed(stream);
            }
        }
        if self.checkpointer.begin_sync(slots) {
            // After all that was ordered until now.
            while let Some(order) = self.assembly.poll_order() {
                self.outputs.push_back(Output::Disk(order));
            }
            self.outputs.push_back(Output::Disk(DiskOrder::Sync));
        }
    }

    /// Looks at a share of the streams for reports that are due: all of them within
    /// [`REPORT_ROUND`].
    pub(super) fn send_reports(&mut self, now: MonoTime) {
        let streams = self.live.len();
        let since = now.since(self.reported_at).min(REPORT_ROUND);
        let share = streams as u128 * since.as_nanos() / REPORT_ROUND.as_nanos();
        if share == 0 {
            return;
        }
        self.reported_at = now;
        for _ in 0..share {
            let pair = self.report_cursor;
            self.report_cursor = (pair + 1) % streams;
            self.report(now, pair);
        }
    }

    pub(super) fn tell_latencies(&mut self) {
        for stage in Stage::ALL {
            let latency = self.latencies.tell(self.config.index, stage);
            self.tell(FromEngine::Latency(latency));
        }
    }

    /// Tells how long nothing has come for a recording.
    pub(super) fn tell_media(&mut self, now: MonoTime, recording: RecordingId) {
        let (live, first) = (&mut self.live, self.config.ports.first);
        let known = self.recordings.get(&recording);
        let streams = known.into_iter().flat_map(|known| &known.desired.streams);
        let silent_for = streams
            .filter_map(|stream| {
                let pair = usize::from(stream.rtp_port.wrapping_sub(first) >> 1);
                let live = live.get_mut(pair)?.as_mut()?;
                (live.id() == stream.id).then(|| live.silent_for(now))
            })
            .min();
        self.tell(FromEngine::Media {
            recording,
            silent_for,
        });
    }

    /// Tells how the shard is, and looks which streams are heard.
    pub(super) fn tell_statistics(&mut self, now: MonoTime) {
        self.statistics.journal = self.journal.occupancy();
        let mut refused = self.refused_before;
        let mut streams = 0;
        for stream in self.live.iter_mut().flatten() {
            stream.silent_for(now);
            streams += 1;
            refused.add(stream.refused());
        }
        self.statistics.streams = streams;
        self.statistics.refused = refused;
        let (duplicates, late) = self.assembly.repeated();
        (self.statistics.duplicates, self.statistics.late) = (duplicates, late);
        self.statistics.recordings = self.recordings.len() as u64;
        self.statistics.journal_failing =
            self.journal_failing || self.is_held_back || self.journal.is_failed();
        self.outputs
            .push_back(Output::Event(ShardEvent::Statistics(Box::new(
                self.statistics,
            ))));
    }
}

/// What the receiving side counted for a stream, while it lives and after.
fn counts_of(
    live: &[Option<Box<LiveStream>>],
    ended: Option<LiveCounts>,
    first_port: u16,
    stream: &AssembledStream,
) -> LiveCounts {
    let pair = usize::from(stream.desired.rtp_port.wrapping_sub(first_port) >> 1);
    match live.get(pair).and_then(Option::as_ref) {
        Some(live) if live.desired.id == stream.id() => LiveCounts {
            refused: *live.refused(),
            kernel_drops: live.kernel_drops,
        },
        _ => ended.unwrap_or_default(),
    }
}
