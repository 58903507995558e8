//! From desired state to what receives: recordings and streams as signaling wants them.
//!
//! A revision takes effect as a whole: its new ports are opened, then it goes into the journal, and
//! when it is durable signaling is told. What cannot be had leaves what was there before as it was.

use std::collections::BTreeMap;

use holdfast_control::limits::{DOCUMENTS_MAX, STREAMS_MAX};
use holdfast_control::{
    Document, DocumentName, FromEngine, HeldDocument, HeldRecording, Life, PublishedRecording,
    Recording, RefusalReason, RefusedStream, Stream,
};
use holdfast_journal::{Full, Lsn, NewRecord};
use holdfast_manifest::EndReason;
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use crate::assembled::LiveCounts;
use crate::disk::Published;
use crate::live::LiveStream;
use crate::output::{Notice, Output, ShardEvent};
use crate::records;
use crate::shard::Shard;

/// A recording as signaling wants it.
#[derive(Debug)]
pub(crate) struct LiveRecording {
    pub(crate) desired: Recording,
    /// Size of each document.
    documents: BTreeMap<DocumentName, u32>,
    /// A document was not taken: the next revision must not be confirmed.
    is_spoiled: bool,
    /// Since when signaling does not claim it, or is away.
    unclaimed_since: Option<MonoTime>,
    /// Datagrams of its streams when that was last looked at.
    packets: u64,
}

/// A revision whose ports are being opened.
#[derive(Debug)]
pub(crate) struct Opening {
    desired: Recording,
    /// Streams whose ports are not open yet.
    waiting: Vec<StreamId>,
    refused: Vec<RefusedStream>,
}

impl LiveRecording {
    fn new(desired: Recording) -> Self {
        Self {
            desired,
            documents: BTreeMap::new(),
            is_spoiled: false,
            unclaimed_since: None,
            packets: 0,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.desired.life == Life::Active
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// Lists what the shard holds for a new signaling process.
    pub(crate) fn handle_connected(&mut self, now: MonoTime) {
        self.connected = true;
        let mut held = Vec::new();
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            recording.unclaimed_since = Some(now);
            let documents = recording
                .documents
                .iter()
                .map(|(name, &size)| HeldDocument {
                    name: name.clone(),
                    size,
                })
                .collect();
            let streams = recording.desired.streams.iter();
            held.push(HeldRecording {
                id: recording.desired.id,
                revision: recording.desired.revision,
                documents,
                ports: streams
                    .flat_map(|stream| [stream.rtp_port, stream.rtcp_port])
                    .collect(),
            });
        }
        for recording in held {
            self.tell(FromEngine::Held(recording));
        }
        self.outputs.push_back(Output::Event(ShardEvent::HeldDone));
    }

    /// Signaling is gone: recordings go on, as long as there is media.
    pub(crate) fn handle_disconnected(&mut self, now: MonoTime) {
        self.connected = false;
        self.start_unclaimed(now);
    }

    /// What signaling did not claim is an orphan, and stays for `orphan_timeout` from now on.
    pub(crate) fn handle_reconciled(&mut self, now: MonoTime) {
        for recording in self.recordings.values_mut() {
            if recording.unclaimed_since.is_some() {
                recording.unclaimed_since = Some(now);
            }
        }
    }

    fn start_unclaimed(&mut self, now: MonoTime) {
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            recording.unclaimed_since = Some(now);
        }
    }

    /// Goes on with what the assembly restored.
    pub(crate) fn resume_recordings(&mut self, now: MonoTime, wall: WallTime) {
        let active: Vec<Recording> = self.assembly.active().cloned().collect();
        for desired in active {
            for stream in &desired.streams {
                self.open(stream);
                self.insert_live(wall, desired.id, stream.clone());
            }
            let mut recording = LiveRecording::new(desired);
            recording.unclaimed_since = Some(now);
            self.recordings.insert(recording.desired.id, recording);
        }
        let finished: Vec<Recording> = self.assembly.recordings().cloned().collect();
        for desired in finished {
            self.recordings
                .entry(desired.id)
                .or_insert_with(|| LiveRecording::new(desired));
        }
    }

    /// Takes the desired state of a recording.
    pub(crate) fn handle_desired(&mut self, now: MonoTime, wall: WallTime, desired: Recording) {
        let (recording, revision) = (desired.id, desired.revision);
        if let Some(known) = self.recordings.get_mut(&recording) {
            known.unclaimed_since = None;
            if !known.is_active() || known.desired.revision >= revision {
                // Said again, or late: what is in force is confirmed once it is durable.
                self.confirm_later(recording, revision, Vec::new());
                return;
            }
        }
        if let Err(reason) = self.check(&desired) {
            self.tell(FromEngine::Refused {
                recording,
                revision,
                reason,
            });
            self.forget_if_new(now, wall, recording);
            return;
        }
        let mut waiting = Vec::new();
        for stream in &desired.streams {
            if desired.life == Life::Active && !self.receives(stream) {
                self.open(stream);
                waiting.push(stream.id);
            }
        }
        self.opening.insert(
            recording,
            Opening {
                desired,
                waiting,
                refused: Vec::new(),
            },
        );
        self.apply_if_open(now, wall, recording);
    }

    /// The ports of a stream receive, or not.
    pub fn handle_opened(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        stream: StreamId,
        result: Result<(), String>,
    ) {
        let found = self
            .opening
            .iter_mut()
            .find(|(_, opening)| opening.waiting.contains(&stream));
        let Some((&recording, opening)) = found else {
            self.handle_not_resumed(now, wall, stream, result);
            return;
        };
        opening.waiting.retain(|&waiting| waiting != stream);
        if let Err(reason) = result {
            opening.refused.push(RefusedStream { stream, reason });
            opening.desired.streams.retain(|wanted| wanted.id != stream);
        }
        self.apply_if_open(now, wall, recording);
    }

    /// A stream of before the restart cannot have its ports: the recording ends, with a reason.
    fn handle_not_resumed(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        stream: StreamId,
        result: Result<(), String>,
    ) {
        if result.is_ok() {
            return;
        }
        let holds = |r: &&LiveRecording| r.desired.streams.iter().any(|s| s.id == stream);
        if let Some(recording) = self.recordings.values().find(holds).map(|r| r.desired.id) {
            self.end(now, wall, recording, EndReason::EngineRecovered);
        }
    }

    fn check(&self, desired: &Recording) -> Result<(), RefusalReason> {
        let invalid = |text: String| Err(RefusalReason::Invalid(text));
        let is_new = !self.recordings.contains_key(&desired.id);
        if self.opening.contains_key(&desired.id) {
            return invalid("the former revision is not in force yet".into());
        }
        if desired.streams.len() > STREAMS_MAX {
            return invalid(format!("more than {STREAMS_MAX} streams"));
        }
        if let (true, Life::Active, Some(why)) = (is_new, desired.life, self.unwilling) {
            return Err(RefusalReason::Unwilling(why));
        }
        if self
            .recordings
            .get(&desired.id)
            .is_some_and(|known| known.is_spoiled)
        {
            return Err(RefusalReason::Journal);
        }
        for stream in &desired.streams {
            let (rtp, rtcp) = (stream.rtp_port, stream.rtcp_port);
            let slice = self.config.ports;
            let is_pair = rtp.is_multiple_of(2) && (rtcp == rtp || rtcp == rtp + 1);
            if !is_pair || rtp < slice.first || rtp >= slice.last {
                return invalid(format!(
                    "ports {rtp} and {rtcp} are not a pair of this shard"
                ));
            }
            let others = self.live[usize::from((rtp - slice.first) >> 1)].as_ref();
            if others.is_some_and(|live| live.desired.id != stream.id) {
                return invalid(format!("port {rtp} belongs to another stream"));
            }
        }
        Ok(())
    }

    fn receives(&self, stream: &Stream) -> bool {
        self.live_by_port(stream.rtp_port)
            .is_some_and(|live| live.desired.id == stream.id)
    }

    fn live_by_port(&self, port: u16) -> Option<&LiveStream> {
        let pair = usize::from(port.checked_sub(self.config.ports.first)? >> 1);
        self.live.get(pair)?.as_deref()
    }

    fn open(&mut self, stream: &Stream) {
        self.outputs.push_back(Output::Open {
            stream: stream.id,
            address: stream.address,
            rtp_port: stream.rtp_port,
            rtcp_port: stream.rtcp_port,
        });
    }

    fn close(&mut self, stream: &Stream) {
        self.outputs.push_back(Output::Close {
            port: stream.rtp_port,
        });
        if stream.rtcp_port != stream.rtp_port {
            self.outputs.push_back(Output::Close {
                port: stream.rtcp_port,
            });
        }
    }

    /// Puts a revision into force once its ports are open.
    fn apply_if_open(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId) {
        match self.opening.get(&recording) {
            Some(opening) if opening.waiting.is_empty() => {}
            Some(_) | None => return,
        }
        let Some(opening) = self.opening.remove(&recording) else {
            return;
        };
        let Opening {
            desired, refused, ..
        } = opening;
        let revision = desired.revision;
        if self.write_recording(now, wall, &desired).is_err() {
            let opened: Vec<Stream> = desired
                .streams
                .into_iter()
                .filter(|stream| !self.receives(stream))
                .collect();
            opened.iter().for_each(|stream| self.close(stream));
            let reason = RefusalReason::Journal;
            self.tell(FromEngine::Refused {
                recording,
                revision,
                reason,
            });
            self.forget_if_new(now, wall, recording);
            return;
        }
        self.put_into_force(wall, desired);
        self.confirm_later(recording, revision, refused);
        self.journal.request_commit(now);
    }

    fn put_into_force(&mut self, wall: WallTime, desired: Recording) {
        let id = desired.id;
        let former = self
            .recordings
            .get(&id)
            .map(|known| known.desired.streams.clone());
        let is_ended = matches!(desired.life, Life::Ended { .. });
        for stream in former.iter().flatten() {
            if is_ended || !desired.streams.iter().any(|wanted| wanted.id == stream.id) {
                self.remove_live(stream);
            }
        }
        if !is_ended {
            for stream in &desired.streams {
                match self.live_mut(stream) {
                    Some(live) => live.change(wall, stream.clone()),
                    None => self.insert_live(wall, id, stream.clone()),
                }
            }
        }
        match self.recordings.get_mut(&id) {
            Some(known) => known.desired = desired,
            None => {
                self.recordings.insert(id, LiveRecording::new(desired));
            }
        }
    }

    fn live_mut(&mut self, stream: &Stream) -> Option<&mut LiveStream> {
        let pair = usize::from(stream.rtp_port.checked_sub(self.config.ports.first)? >> 1);
        let live = self.live.get_mut(pair)?.as_deref_mut()?;
        (live.desired.id == stream.id).then_some(live)
    }

    fn insert_live(&mut self, wall: WallTime, recording: RecordingId, stream: Stream) {
        let pair = usize::from((stream.rtp_port - self.config.ports.first) >> 1);
        let random = [self.random.next_u32(), self.random.next_u32()];
        let mut live = LiveStream::new(wall, recording, stream, self.config.guard, random);
        if let Some(counts) = self.ended_counts.remove(&live.desired.id) {
            live.restore(counts.refused, counts.kernel_drops);
        }
        if let Some(place) = self.live.get_mut(pair) {
            *place = Some(Box::new(live));
        }
    }

    fn remove_live(&mut self, stream: &Stream) {
        let pair = usize::from(stream.rtp_port.wrapping_sub(self.config.ports.first) >> 1);
        if !self.receives(stream) {
            return;
        }
        self.send_goodbye(pair);
        if let Some(live) = self.live.get_mut(pair).and_then(Option::take) {
            let counts = LiveCounts {
                refused: *live.refused(),
                kernel_drops: live.kernel_drops,
            };
            self.ended_counts.insert(stream.id, counts);
        }
        self.close(stream);
    }

    fn write_recording(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        desired: &Recording,
    ) -> Result<Lsn, Full> {
        self.write(
            now,
            wall,
            records::RECORDING,
            &records::encode_recording(desired),
        )
    }

    fn write(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        kind: u8,
        payload: &[u8],
    ) -> Result<Lsn, Full> {
        let record = NewRecord {
            kind,
            flags: 0,
            source: 0,
            stream: StreamId(0),
            arrival: wall,
        };
        self.journal.append(now, &record, &[payload])
    }

    /// Confirms a revision when everything in the journal until now is durable.
    fn confirm_later(
        &mut self,
        recording: RecordingId,
        revision: u64,
        refused: Vec<RefusedStream>,
    ) {
        let applied = FromEngine::Applied {
            recording,
            revision,
            refused,
        };
        let last = Lsn(self.journal.next_lsn().0.saturating_sub(1));
        self.confirmations.push_back((last, applied));
        self.confirm();
    }

    /// Takes a piece of a document.
    pub(crate) fn handle_document(&mut self, now: MonoTime, wall: WallTime, document: Document) {
        let known = self.recordings.get_mut(&document.recording);
        let is_too_many = known
            .as_ref()
            .is_some_and(|r| r.documents.len() >= DOCUMENTS_MAX);
        let size = document.offset.saturating_add(document.bytes.len() as u32);
        if let Some(known) = known {
            known.documents.insert(document.name.clone(), size);
        }
        let bytes = postcard::to_stdvec(&document).expect("plain data serialises into memory");
        let is_written = !is_too_many && self.write(now, wall, records::DOCUMENT, &bytes).is_ok();
        if !is_written && let Some(known) = self.recordings.get_mut(&document.recording) {
            known.is_spoiled = true;
        }
    }

    /// A recording is published: it is told, written down, and what is left of it removed.
    pub(crate) fn handle_published(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        recording: RecordingId,
        published: Published,
    ) {
        let Published {
            folder,
            packets,
            lost,
        } = published;
        self.tell(FromEngine::Published(PublishedRecording {
            id: recording,
            folder,
            packets,
            lost,
        }));
        self.forget(now, wall, recording);
    }

    /// Removes documents that came before a recording that was refused.
    fn forget_if_new(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId) {
        if !self.recordings.contains_key(&recording) {
            self.forget(now, wall, recording);
        }
    }

    fn forget(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId) {
        if let Some(known) = self.recordings.remove(&recording) {
            for stream in known.desired.streams {
                self.ended_counts.remove(&stream.id);
            }
        }
        // Where the journal does not take it, the next start finds the recording published.
        let _ = self.write(now, wall, records::REMOVED, &recording.to_bytes());
    }

    /// Ends recordings that nobody claims: where signaling is back and did not name them, after
    /// `orphan_timeout`; while it is away, when also no media has come for as long.
    pub(crate) fn end_orphans(&mut self, now: MonoTime, wall: WallTime) {
        let mut orphans = Vec::new();
        let packets: BTreeMap<RecordingId, u64> = self.packets_by_recording();
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            let Some(since) = recording.unclaimed_since else {
                continue;
            };
            let packets = packets.get(&recording.desired.id).copied().unwrap_or(0);
            if !self.connected && packets != recording.packets {
                recording.packets = packets;
                recording.unclaimed_since = Some(now);
            } else if now.since(since) >= self.config.orphan_timeout {
                orphans.push(recording.desired.id);
            }
        }
        for recording in orphans {
            self.outputs
                .push_back(Output::Notice(Notice::Orphaned(recording)));
            self.end(now, wall, recording, EndReason::Orphaned);
        }
    }

    fn packets_by_recording(&self) -> BTreeMap<RecordingId, u64> {
        let mut packets = BTreeMap::new();
        for live in self.live.iter().flatten() {
            *packets.entry(live.recording).or_default() += live.packets;
        }
        packets
    }

    /// Ends a recording on the engine's own account.
    fn end(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId, reason: EndReason) {
        let Some(known) = self.recordings.get(&recording) else {
            return;
        };
        let life = Life::Ended { reason, at: wall };
        let revision = known.desired.revision + 1;
        let desired = Recording {
            life,
            revision,
            ..known.desired.clone()
        };
        // Where the journal does not take it, the next look at the orphans tries again.
        if self.write_recording(now, wall, &desired).is_ok() {
            self.put_into_force(wall, desired);
        }
    }
}
