//! From committed records to tracks: the recordings of a shard as its journal has them.
//!
//! The same code runs while recording and in a recovery, so that both make the same files. It asks
//! for writes through [`Assembly::poll_order`] and is told of their ends; it never waits.
//!
//! ```text
//!   RECORDING ─▶ Active ──ended──▶ Finishing ──all pieces written──▶ Publishing ─▶ (removed)
//! ```

use std::collections::{BTreeMap, VecDeque};

use holdfast_control::{Document, DocumentName, Life, Recording, Stream};
use holdfast_journal::{Lsn, RecordRef};
use holdfast_units::{RecordingId, StreamId, WallTime};

use crate::assembled::{AssembledStream, LiveCounts};
use crate::disk::{DiskError, DiskOrder, DiskResult, Published};
use crate::limits::{PARTIAL_DOCUMENT_SIZE_MAX, PIECES_KEPT_MAX};
use crate::records;
use crate::saved::{SavedRecording, StreamCheckpoint};
use crate::track_writer::Piece;

/// The recordings of a shard as its journal has them.
#[derive(Debug, Default)]
pub struct Assembly {
    streams: Vec<Option<Box<AssembledStream>>>,
    free: Vec<u32>,
    index_by_stream: BTreeMap<StreamId, u32>,
    /// Where the stream was found that last had this hint, see [`Self::find`].
    index_by_hint: Vec<u32>,
    recordings: BTreeMap<RecordingId, AssembledRecording>,
    partial: BTreeMap<(RecordingId, DocumentName), PartialDocument>,
    orders: VecDeque<DiskOrder>,
    pieces_in_flight: usize,
    spare_pieces: Vec<Vec<u8>>,
    /// Streams with a piece that could not be written.
    failed: Vec<u32>,
    /// The record after the last one that was assembled.
    position: Lsn,
    /// Records of streams that no recording has.
    unknown: u64,
}

#[derive(Debug)]
struct AssembledRecording {
    desired: Recording,
    phase: Phase,
    /// Where its streams are, those that ended included.
    slots: Vec<u32>,
    /// What its state file said, until the journal has been replayed over it.
    saved: Option<Box<Recording>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Packets are expected.
    Active,
    /// It has ended; waits for its last pieces.
    Finishing,
    /// Waits for the publisher.
    Publishing,
    /// Waits to be published again after a failure.
    PublishFailed,
}

#[derive(Debug)]
struct PartialDocument {
    first: Lsn,
    bytes: Vec<u8>,
}

impl AssembledRecording {
    fn new(desired: Recording) -> Self {
        Self {
            desired,
            phase: Phase::Active,
            slots: Vec::new(),
            saved: None,
        }
    }
}

/// What the shard learns from the end of an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// A recording is published.
    Published(RecordingId, Published),
    /// Something could not be written; it will be tried again where that makes sense.
    Failed(RecordingId, DiskError),
}

impl Assembly {
    /// An assembly that begins at this record.
    pub fn new(position: Lsn) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// The record after the last one that was assembled.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Below this, nothing is needed of the journal once all that was ordered is on disk and all
    /// tracks are flushed: the position, or the beginning of a document that is not complete.
    pub fn settled_position(&self) -> Lsn {
        let partial = self.partial.values().map(|document| document.first).min();
        partial.map_or(self.position, |first| first.min(self.position))
    }

    /// Records of streams that no recording has.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Pieces that are on their way to the disk.
    pub fn pieces_in_flight(&self) -> usize {
        self.pieces_in_flight
    }

    /// What the disk has to do next.
    pub fn poll_order(&mut self) -> Option<DiskOrder> {
        self.orders.pop_front()
    }

    /// Takes a record. `live` gives what the receiving side counted for a stream.
    pub fn handle_record(
        &mut self,
        record: &RecordRef<'_>,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
    ) {
        self.position = record.lsn.plus(1);
        match record.kind {
            records::RTP => self.with_stream(record, AssembledStream::handle_rtp),
            records::RTCP => self.with_stream(record, AssembledStream::handle_rtcp),
            records::SOURCE => self.with_stream(record, AssembledStream::handle_source),
            records::DROPS => self.with_stream(record, AssembledStream::handle_drops),
            records::RECORDING => {
                if let Ok(desired) = postcard::from_bytes(record.payload) {
                    self.handle_recording(desired, record, live);
                }
            }
            records::DOCUMENT => {
                if let Ok(document) = postcard::from_bytes(record.payload) {
                    self.handle_document(document, record.lsn);
                }
            }
            records::REMOVED => {
                if let Ok(id) = record.payload.try_into() {
                    self.remove(RecordingId::from_bytes(id));
                }
            }
            _ => self.unknown += 1,
        }
    }

    /// The stream of a record. Its `source` field is a hint: the same for all records of a stream.
    fn find(&mut self, record: &RecordRef<'_>) -> Option<u32> {
        let hint = usize::from(record.source);
        if let Some(&index) = self.index_by_hint.get(hint)
            && let Some(Some(stream)) = self.streams.get(index as usize)
            && stream.id() == record.stream
        {
            return Some(index);
        }
        let index = *self.index_by_stream.get(&record.stream)?;
        if hint >= self.index_by_hint.len() {
            self.index_by_hint.resize(hint + 1, u32::MAX);
        }
        self.index_by_hint[hint] = index;
        Some(index)
    }

    fn with_stream(
        &mut self,
        record: &RecordRef<'_>,
        handle: fn(&mut AssembledStream, &RecordRef<'_>),
    ) {
        let Some(index) = self.find(record) else {
            self.unknown += 1;
            return;
        };
        let Some(stream) = &mut self.streams[index as usize] else {
            return;
        };
        handle(stream, record);
        if stream.track.is_due() {
            self.flush(index);
        }
    }

    fn handle_recording(
        &mut self,
        desired: Recording,
        at: &RecordRef<'_>,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
    ) {
        let id = desired.id;
        if let Some(known) = self.recordings.get(&id)
            && (known.phase != Phase::Active || known.desired.revision >= desired.revision)
        {
            return;
        }
        let former = self.enter(&desired);
        let is_ended = matches!(desired.life, Life::Ended { .. });
        for stream in former {
            if is_ended || !desired.streams.iter().any(|still| still.id == stream.id) {
                self.end_stream(stream.id, live, at);
            }
        }
        if is_ended {
            self.end_all_streams(id, live, at);
        } else {
            for stream in &desired.streams {
                self.want_stream(id, stream, at);
            }
        }
        let bytes = SavedRecording { recording: desired }.encode();
        self.orders.push_back(DiskOrder::SaveState {
            recording: id,
            bytes,
        });
        if is_ended {
            self.set_phase(id, Phase::Finishing);
            self.finish_if_clean(id);
        }
    }

    /// Puts the desired state in the place of the former one, whose streams are given back.
    fn enter(&mut self, desired: &Recording) -> Vec<Stream> {
        match self.recordings.get_mut(&desired.id) {
            Some(known) => {
                known.saved = None;
                std::mem::replace(&mut known.desired, desired.clone()).streams
            }
            None => {
                self.recordings
                    .insert(desired.id, AssembledRecording::new(desired.clone()));
                Vec::new()
            }
        }
    }

    fn set_phase(&mut self, recording: RecordingId, phase: Phase) {
        if let Some(known) = self.recordings.get_mut(&recording) {
            known.phase = phase;
        }
    }

    fn want_stream(&mut self, recording: RecordingId, stream: &Stream, at: &RecordRef<'_>) {
        match self.index_by_stream.get(&stream.id) {
            Some(&index) => {
                if let Some(known) = &mut self.streams[index as usize] {
                    known.change(stream.clone(), at);
                }
            }
            None => self.insert_stream(AssembledStream::begin(recording, stream.clone(), at)),
        }
    }

    fn handle_document(&mut self, document: Document, lsn: Lsn) {
        let key = (document.recording, document.name);
        if document.offset == 0 {
            self.partial.insert(
                key.clone(),
                PartialDocument {
                    first: lsn,
                    bytes: Vec::new(),
                },
            );
        }
        let Some(partial) = self.partial.get_mut(&key) else {
            return;
        };
        let is_next = partial.bytes.len() == document.offset as usize;
        if !is_next || partial.bytes.len() + document.bytes.len() > PARTIAL_DOCUMENT_SIZE_MAX {
            self.partial.remove(&key);
            return;
        }
        partial.bytes.extend_from_slice(&document.bytes);
        if document.last
            && let Some(PartialDocument { bytes, .. }) = self.partial.remove(&key)
        {
            let (recording, name) = key;
            self.orders.push_back(DiskOrder::WriteDocument {
                recording,
                name,
                bytes,
            });
        }
    }

    fn insert_stream(&mut self, stream: AssembledStream) {
        let id = stream.id();
        let index = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() as u32 - 1
        });
        if let Some(recording) = self.recordings.get_mut(&stream.recording) {
            recording.slots.push(index);
        }
        self.streams[index as usize] = Some(Box::new(stream));
        self.index_by_stream.insert(id, index);
    }

    fn end_all_streams(
        &mut self,
        recording: RecordingId,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
        at: &RecordRef<'_>,
    ) {
        let ids: Vec<StreamId> = self
            .streams_of(recording)
            .map(AssembledStream::id)
            .collect();
        for id in ids {
            self.end_stream(id, live, at);
        }
    }

    fn end_stream(
        &mut self,
        id: StreamId,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
        at: &RecordRef<'_>,
    ) {
        let Some(&index) = self.index_by_stream.get(&id) else {
            return;
        };
        let Some(stream) = &mut self.streams[index as usize] else {
            return;
        };
        let counts = live(stream);
        stream.end(&counts, at);
        self.flush(index);
    }

    /// Orders what has gathered of a stream to be written.
    fn flush(&mut self, index: u32) {
        let Some(Some(stream)) = self.streams.get_mut(index as usize) else {
            return;
        };
        let spare = self.spare_pieces.pop().unwrap_or_default();
        if let Some(piece) = stream.track.take(spare) {
            let (recording, number) = (stream.recording, stream.desired.number);
            self.order_piece(recording, number, index, piece);
        }
    }

    fn order_piece(&mut self, recording: RecordingId, number: u16, slot: u32, piece: Piece) {
        let Piece { offset, bytes } = piece;
        self.pieces_in_flight += 1;
        self.orders.push_back(DiskOrder::WriteTrack {
            recording,
            number,
            slot,
            offset,
            bytes,
        });
    }

    /// Takes the end of an order.
    pub fn handle_result(&mut self, result: DiskResult) -> Option<Finished> {
        match result {
            DiskResult::TrackWritten {
                slot,
                recording,
                offset,
                bytes,
                result,
            } => self.handle_written(slot, recording, Piece { offset, bytes }, result),
            DiskResult::WriteFailed { recording, error } => {
                Some(Finished::Failed(recording, error))
            }
            DiskResult::Published {
                recording,
                result: Ok(published),
            } => Some(Finished::Published(recording, published)),
            DiskResult::Published {
                recording,
                result: Err(error),
            } => {
                if let Some(known) = self.recordings.get_mut(&recording) {
                    known.phase = Phase::PublishFailed;
                }
                Some(Finished::Failed(recording, error))
            }
            // The checkpoint's.
            DiskResult::Synced(_) | DiskResult::CheckpointSaved(_) => None,
        }
    }

    fn handle_written(
        &mut self,
        slot: u32,
        recording: RecordingId,
        mut piece: Piece,
        result: Result<(), DiskError>,
    ) -> Option<Finished> {
        self.pieces_in_flight -= 1;
        let stream = self.streams.get_mut(slot as usize)?.as_mut()?;
        match result {
            Ok(()) => {
                stream.track.handle_written();
                let is_last = stream.is_ended && stream.track.is_clean();
                if self.spare_pieces.len() < PIECES_KEPT_MAX {
                    piece.bytes.clear();
                    self.spare_pieces.push(piece.bytes);
                }
                if is_last {
                    self.finish_if_clean(recording);
                }
                None
            }
            Err(error) => {
                stream.track.handle_failed(piece);
                self.failed.push(slot);
                Some(Finished::Failed(recording, error))
            }
        }
    }

    /// Tries once more what failed.
    pub fn retry(&mut self) {
        for slot in std::mem::take(&mut self.failed) {
            let Some(Some(stream)) = self.streams.get_mut(slot as usize) else {
                continue;
            };
            let (recording, number) = (stream.recording, stream.desired.number);
            if let Some(piece) = stream.track.take_failed() {
                self.order_piece(recording, number, slot, piece);
            }
        }
        let again: Vec<RecordingId> = self.in_phase(Phase::PublishFailed).collect();
        for recording in again {
            self.publish(recording);
        }
    }

    /// Whether something failed that is to be tried again.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty() || self.in_phase(Phase::PublishFailed).next().is_some()
    }

    fn in_phase(&self, phase: Phase) -> impl Iterator<Item = RecordingId> {
        self.recordings
            .iter()
            .filter(move |(_, known)| known.phase == phase)
            .map(|(&recording, _)| recording)
    }

    fn finish_if_clean(&mut self, recording: RecordingId) {
        let Some(known) = self.recordings.get(&recording) else {
            return;
        };
        if known.phase == Phase::Finishing && self.streams_of(recording).all(|s| s.track.is_clean())
        {
            self.publish(recording);
        }
    }

    fn publish(&mut self, recording: RecordingId) {
        if let Some(known) = self.recordings.get_mut(&recording) {
            known.phase = Phase::Publishing;
            self.orders.push_back(DiskOrder::Publish { recording });
        }
    }

    fn streams_of(&self, recording: RecordingId) -> impl Iterator<Item = &AssembledStream> {
        let slots = self
            .recordings
            .get(&recording)
            .map_or(&[][..], |known| &known.slots);
        slots
            .iter()
            .filter_map(|&slot| self.streams[slot as usize].as_deref())
    }

    /// Forgets a recording and removes what is left of it in progress.
    fn remove(&mut self, recording: RecordingId) {
        let known = self.recordings.remove(&recording);
        for slot in known.into_iter().flat_map(|known| known.slots) {
            if let Some(stream) = self.streams[slot as usize].take() {
                self.index_by_stream.remove(&stream.id());
                self.free.push(slot);
            }
        }
        self.partial.retain(|(of, _), _| *of != recording);
        self.orders.push_back(DiskOrder::Remove { recording });
    }

    /// How many places for streams there are, some of them empty.
    pub fn stream_slots(&self) -> usize {
        self.streams.len()
    }

    /// Flushes a stream, and says what a checkpoint has to say of it.
    pub fn checkpoint_stream(
        &mut self,
        slot: usize,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
    ) -> Option<StreamCheckpoint> {
        self.flush(u32::try_from(slot).ok()?);
        let stream = self.streams.get(slot)?.as_ref()?;
        Some(StreamCheckpoint {
            recording: stream.recording,
            stream: stream.id(),
            number: stream.desired.number,
            lsn: self.position.0,
            track_size: stream.track.size(),
            assembly: stream.encode_state(&live(stream)),
        })
    }

    /// Begins to go on with a recording of an earlier process: its state file, which may already
    /// know what the replay of the journal is still to tell. So until the replay's end the recording
    /// counts as active and its revision as the oldest; what is repeated changes nothing.
    pub fn restore_recording(&mut self, saved: Recording) {
        let desired = Recording {
            revision: 0,
            life: Life::Active,
            ..saved.clone()
        };
        let mut restored = AssembledRecording::new(desired);
        restored.saved = Some(Box::new(saved));
        self.recordings.insert(restored.desired.id, restored);
    }

    /// Goes on with a stream of an earlier process, whose recording is restored.
    pub fn restore_stream(&mut self, stream: AssembledStream) {
        self.insert_stream(stream);
    }

    /// Ends the restoring: the journal has been replayed. What had ended is published.
    pub fn finish_restoring(&mut self) {
        for known in self.recordings.values_mut() {
            if let Some(saved) = known.saved.take() {
                if matches!(saved.life, Life::Ended { .. }) {
                    known.phase = Phase::Finishing;
                }
                known.desired = *saved;
            }
        }
        let ended: Vec<RecordingId> = self.in_phase(Phase::Finishing).collect();
        for recording in ended {
            self.finish_if_clean(recording);
        }
    }

    /// Takes over the recordings of a shard that is no more. All of them have ended.
    pub fn adopt(&mut self, other: Self) {
        for (id, mut recording) in other.recordings {
            recording.slots.clear();
            recording.phase = Phase::Finishing;
            self.recordings.insert(id, recording);
            self.finish_if_clean(id);
        }
    }

    /// Orders to be published again what was to be published before the recovery.
    pub fn resume_publishing(&mut self) {
        let publishing: Vec<RecordingId> = self.in_phase(Phase::Publishing).collect();
        for recording in publishing {
            self.publish(recording);
        }
    }

    /// The recordings that go on.
    pub fn active(&self) -> impl Iterator<Item = &Recording> {
        self.recordings
            .values()
            .filter(|r| r.phase == Phase::Active)
            .map(|r| &r.desired)
    }

    /// All recordings.
    pub fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.recordings.values().map(|r| &r.desired)
    }

    /// Whether a recording is known.
    pub fn contains(&self, recording: RecordingId) -> bool {
        self.recordings.contains_key(&recording)
    }

    /// The streams that are open, for a mark or a report.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut AssembledStream> {
        self.streams
            .iter_mut()
            .flatten()
            .map(Box::as_mut)
            .filter(|stream| !stream.is_ended)
    }

    /// One stream.
    pub fn stream_mut(&mut self, id: StreamId) -> Option<&mut AssembledStream> {
        let index = *self.index_by_stream.get(&id)?;
        self.streams[index as usize].as_deref_mut()
    }

    /// Marks in every open track that the engine was down.
    pub fn handle_outage(&mut self, from: WallTime, to: WallTime, at: &RecordRef<'_>) {
        for stream in self.streams_mut() {
            stream.handle_outage(from, to, at);
        }
    }
}
