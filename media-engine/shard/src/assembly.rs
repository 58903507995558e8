//! From committed records to tracks: the recordings of a shard as its journal has them.
//!
//! The same code runs while recording and in a recovery, so that both make the same files. It asks
//! for writes through [`Assembly::poll_order`] and is told of their ends; it never waits.
//!
//! ```text
//!   RECORDING ─▶ Active ──ended──▶ Finishing ──all written──▶ Publishing ──▶ Published ─REMOVED─▶
//!                                                               ▲   │ failed
//!                                                               └───┴─ PublishFailed
//! ```
//!
//! The invariant that matters: a record changes a stream once, whichever process assembles it; what
//! a stream's checkpoint covers is passed over when the journal is replayed.

mod documents;
mod grouped;
mod restore;
mod writes;

use std::collections::{BTreeMap, VecDeque};

use holdfast_control::{Life, Recording, Stream};
use holdfast_journal::{Lsn, RecordRef};
use holdfast_units::{RecordingId, StreamId, WallTime};

use crate::assembled::{AssembledStream, Authentic, LiveCounts};
use crate::decryption::Mute;
use crate::disk::{DiskError, DiskOrder, Published};
use crate::keys::KeyRing;
use crate::records;
use crate::saved::{SavedRecording, StreamCheckpoint};

use documents::DocumentsInPieces;
use grouped::Groups;
use writes::Failed;

/// The recordings of a shard as its journal has them.
#[derive(Debug, Default)]
pub struct Assembly {
    streams: Vec<Option<Box<AssembledStream>>>,
    free: Vec<u32>,
    index_by_stream: BTreeMap<StreamId, u32>,
    /// Where the stream was found that last had this hint, see [`Self::find`].
    index_by_hint: Vec<u32>,
    recordings: BTreeMap<RecordingId, AssembledRecording>,
    documents: DocumentsInPieces,
    groups: Groups,
    orders: VecDeque<DiskOrder>,
    pieces_in_flight: usize,
    spare_pieces: Vec<Vec<u8>>,
    failed: Failed,
    /// Restored streams whose recording has not been heard of.
    unowned: Vec<u32>,
    /// The record after the last one that was assembled.
    position: Lsn,
    /// The last record before which others are missing: only in a recovery there are such.
    gap: Lsn,
    /// Records of streams that no recording has.
    unknown: u64,
    /// Packets of streams that are gone which had come before, and which came late.
    repeated: (u64, u64),
    keys: KeyRing,
    /// Streams of which nothing authenticates, until somebody asks.
    mutes: VecDeque<Mute>,
    /// By stream: whose packets authenticate since lately, until somebody asks.
    authentic: BTreeMap<StreamId, Authentic>,
    /// The first stream that was to go on and whose keys do not open.
    sealed: Option<(RecordingId, StreamId)>,
    /// Room for a decrypted packet.
    plain: Vec<u8>,
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
    /// Restored from its state file; any record of it in the journal is taken.
    Restored,
    /// Packets are expected.
    Active,
    /// It has ended; waits for its last writes.
    Finishing,
    /// Waits for the publisher.
    Publishing,
    /// Waits to be published again after a failure.
    PublishFailed,
    /// Waits for the journal to say that it is to be removed.
    Published,
}

/// What the shard learns from the end of an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// A recording is published.
    Published(RecordingId, Published),
    /// Something could not be written; it will be tried again.
    Failed(RecordingId, DiskError),
}

impl Assembly {
    /// An assembly that begins at this record, and opens the keys of streams with these.
    pub fn new(position: Lsn, keys: KeyRing) -> Self {
        Self {
            position,
            keys,
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
        let first = self.documents.first();
        first.map_or(self.position, |first| first.min(self.position))
    }

    /// Pieces that are kept to be used again: not more than there are streams.
    pub fn spare_pieces(&self) -> usize {
        self.spare_pieces.len()
    }

    /// Records of streams that no recording has.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Packets which had come before, and which came late. Looks at all streams.
    pub fn repeated(&self) -> (u64, u64) {
        let streams = self.streams.iter().flatten();
        streams.fold(self.repeated, |sum, stream| stream.repeated_since(sum))
    }

    /// Pieces that are on their way to the disk.
    pub fn pieces_in_flight(&self) -> usize {
        self.pieces_in_flight
    }

    /// What opens the keys of streams.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// A stream of which nothing authenticates; each is told once.
    pub fn poll_mute(&mut self) -> Option<Mute> {
        self.mutes.pop_front()
    }

    /// A source of an encrypted stream of which packets authenticate, and of which none did just
    /// before. Of each stream the latest is told.
    pub fn poll_authentic(&mut self) -> Option<Authentic> {
        self.authentic.pop_first().map(|(_, authentic)| authentic)
    }

    /// A stream that goes on, or went on in the journal, and whose keys those of the node do not open:
    /// its packets can only be kept as they came.
    pub const fn sealed(&self) -> Option<(RecordingId, StreamId)> {
        self.sealed
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
        self.advance(record.lsn);
        match record.kind {
            records::OVERFLOW => self.handle_overflow(record),
            records::RECORDING => {
                if let Ok(desired) = postcard::from_bytes(record.payload)
                    && !self.lacks_documents(&desired, record)
                {
                    self.handle_recording(desired, record, live);
                }
            }
            records::DOCUMENT => {
                if let Ok(piece) = postcard::from_bytes(record.payload)
                    && let Some(document) = self.documents.take(piece, record.lsn)
                {
                    self.orders.push_back(document);
                }
            }
            records::REMOVED => {
                if let Ok(id) = record.payload.try_into() {
                    self.remove(RecordingId::from_bytes(id));
                }
            }
            _ => self.handle_stream_record(record),
        }
    }

    /// Takes what the journal has of a stream.
    fn handle_stream_record(&mut self, record: &RecordRef<'_>) {
        match record.kind {
            records::RTP => self.with_stream(record, AssembledStream::handle_rtp),
            records::RTCP => self.with_stream(record, AssembledStream::handle_rtcp),
            records::SOURCE => self.with_stream(record, AssembledStream::handle_source),
            records::DROPS => self.with_stream(record, AssembledStream::handle_drops),
            _ => self.unknown += 1,
        }
    }

    fn advance(&mut self, record: Lsn) {
        if record > self.position {
            self.gap = record;
        }
        self.position = record.plus(1);
    }

    /// Whether a recording would end without documents that were to be there. That was not durable
    /// and was confirmed to nobody: it counts as not said, and will be said again.
    fn lacks_documents(&self, desired: &Recording, record: &RecordRef<'_>) -> bool {
        let back = u64::from(record.source);
        matches!(desired.life, Life::Ended { .. }) && back > record.lsn.since(self.gap)
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
        handle: fn(&mut AssembledStream, &RecordRef<'_>, &mut Vec<u8>),
    ) {
        let Some(index) = self.find(record) else {
            self.unknown += 1;
            return;
        };
        let Some(stream) = &mut self.streams[index as usize] else {
            return;
        };
        if stream.has(record.lsn) {
            return;
        }
        if stream.is_ended {
            self.unknown += 1;
            return;
        }
        handle(stream, record, &mut self.plain);
        self.mutes.extend(stream.mute(record.arrival));
        if let Some(authentic) = stream.take_authentic() {
            self.authentic.insert(authentic.stream, authentic);
        }
        if stream.track.is_due() {
            self.flush(index);
        }
    }

    /// Marks in every open track that the ring was full.
    fn handle_overflow(&mut self, record: &RecordRef<'_>) {
        let (words, _) = record.payload.as_chunks::<8>();
        let [from, packets] = *words else { return };
        let from = WallTime(u64::from_le_bytes(from));
        let packets = u64::from_le_bytes(packets);
        for stream in self.streams_mut().filter(|it| !it.has(record.lsn)) {
            stream.handle_overflow(from, packets, record);
        }
    }

    fn handle_recording(
        &mut self,
        desired: Recording,
        at: &RecordRef<'_>,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
    ) {
        let id = desired.id;
        if let Some(known) = self.recordings.get(&id) {
            let is_new = match known.phase {
                Phase::Restored => true,
                Phase::Active => desired.revision > known.desired.revision,
                Phase::Finishing | Phase::Publishing | Phase::PublishFailed | Phase::Published => {
                    false
                }
            };
            if !is_new {
                return;
            }
        }
        let is_ended = matches!(desired.life, Life::Ended { .. });
        self.enter(&desired);
        let is_wanted = |id| !is_ended && desired.streams.iter().any(|wanted| wanted.id == id);
        let open: Vec<StreamId> = self
            .streams_of(id)
            .map(AssembledStream::id)
            .filter(|&stream| !is_wanted(stream))
            .collect();
        for stream in open {
            self.end_stream(stream, live, at);
        }
        if !is_ended {
            for stream in &desired.streams {
                self.want_stream(id, stream, at);
            }
        }
        self.save_state(id);
        if is_ended {
            self.set_phase(id, Phase::Finishing);
            self.finish_if_written(id);
        }
    }

    /// Puts the desired state in the place of the former one.
    fn enter(&mut self, desired: &Recording) {
        if let Some(known) = self.recordings.get_mut(&desired.id) {
            known.phase = Phase::Active;
            known.desired = desired.clone();
            return;
        }
        let mut recording = AssembledRecording {
            desired: desired.clone(),
            phase: Phase::Active,
            slots: Vec::new(),
            saved: None,
        };
        let streams = &self.streams;
        let is_of = |slot: &mut u32| {
            let stream = streams[*slot as usize].as_ref();
            stream.is_some_and(|stream| stream.recording == desired.id)
        };
        recording.slots.extend(self.unowned.extract_if(.., is_of));
        self.recordings.insert(desired.id, recording);
    }

    fn set_phase(&mut self, recording: RecordingId, phase: Phase) {
        if let Some(known) = self.recordings.get_mut(&recording) {
            known.phase = phase;
        }
    }

    fn want_stream(&mut self, recording: RecordingId, stream: &Stream, at: &RecordRef<'_>) {
        match self.index_by_stream.get(&stream.id) {
            Some(&index) => {
                if let Some(known) = &mut self.streams[index as usize]
                    && !known.has(at.lsn)
                {
                    known.change(&self.keys, stream.clone(), at);
                    if known.is_sealed() {
                        self.sealed.get_or_insert((recording, stream.id));
                    }
                }
            }
            None => {
                let begun = AssembledStream::begin(&self.keys, recording, stream.clone(), at);
                self.insert_stream(begun);
            }
        }
    }

    fn insert_stream(&mut self, stream: AssembledStream) {
        let id = stream.id();
        if stream.is_sealed() {
            self.sealed.get_or_insert((stream.recording, id));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() as u32 - 1
        });
        match self.recordings.get_mut(&stream.recording) {
            Some(recording) => recording.slots.push(index),
            None => self.unowned.push(index),
        }
        self.streams[index as usize] = Some(Box::new(stream));
        self.index_by_stream.insert(id, index);
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
        if stream.is_ended || stream.has(at.lsn) {
            return;
        }
        let counts = live(stream);
        stream.end(&counts, at);
        self.flush(index);
    }

    /// Orders the state to be saved. Only what the journal has above the checkpoint may be: a power
    /// cut may leave an empty file in the place of the former one.
    fn save_state(&mut self, recording: RecordingId) {
        let Some(known) = self.recordings.get(&recording) else {
            return;
        };
        // While the journal is replayed, the file may know what the journal never does: an end that
        // a recovery made.
        let is_newer = |saved: &Recording| saved.revision > known.desired.revision;
        if known.saved.as_deref().is_some_and(is_newer) {
            return;
        }
        let saved = SavedRecording {
            recording: known.desired.clone(),
        };
        let bytes = saved.encode();
        self.orders
            .push_back(DiskOrder::SaveState { recording, bytes });
    }

    /// Forgets a recording and removes what is left of it in progress.
    fn remove(&mut self, recording: RecordingId) {
        let known = self.recordings.remove(&recording);
        let mut slots = known.map_or_else(Vec::new, |known| known.slots);
        let streams = &self.streams;
        let is_of = |slot: &mut u32| {
            let stream = streams[*slot as usize].as_ref();
            stream.is_some_and(|stream| stream.recording == recording)
        };
        slots.extend(self.unowned.extract_if(.., is_of));
        for slot in slots {
            self.free_slot(slot);
        }
        self.documents.forget(recording);
        self.failed.forget(recording);
        self.orders.push_back(DiskOrder::Remove { recording });
    }

    fn free_slot(&mut self, slot: u32) {
        if let Some(stream) = self.streams[slot as usize].take() {
            self.repeated = stream.repeated_since(self.repeated);
            self.index_by_stream.remove(&stream.id());
            self.free.push(slot);
            self.spare_pieces.truncate(self.spare_pieces_max());
        }
    }

    fn in_phase(&self, phase: Phase) -> impl Iterator<Item = RecordingId> {
        self.recordings
            .iter()
            .filter(move |(_, known)| known.phase == phase)
            .map(|(&recording, _)| recording)
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
            assembly: stream.encode_state(self.position, &live(stream)),
        })
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

    /// The recording that a stream belongs to.
    pub(crate) fn owner(&self, stream: StreamId) -> Option<RecordingId> {
        let index = *self.index_by_stream.get(&stream)?;
        let stream = self.streams[index as usize].as_ref()?;
        Some(stream.recording)
    }

    /// Whether a stream goes on whose keys those of the node do not open.
    pub(crate) fn is_sealed(&self, stream: StreamId) -> bool {
        let index = self.index_by_stream.get(&stream);
        let stream = index.and_then(|&index| self.streams[index as usize].as_ref());
        stream.is_some_and(|stream| stream.is_sealed())
    }

    /// Number and identity of each stream that a recording ever had.
    pub(crate) fn stream_numbers(
        &self,
        recording: RecordingId,
    ) -> impl Iterator<Item = (u16, StreamId)> {
        self.streams_of(recording)
            .map(|stream| (stream.desired.number, stream.id()))
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

    /// Marks in every open track that the engine was started again.
    pub fn handle_restart(&mut self, at: &RecordRef<'_>) {
        for stream in self.streams_mut() {
            stream.handle_restart(at);
        }
    }

    /// Marks in every open track that nobody received.
    pub fn handle_outage(&mut self, from: WallTime, to: WallTime, at: &RecordRef<'_>) {
        for stream in self.streams_mut() {
            stream.handle_outage(from, to, at);
        }
    }
}
