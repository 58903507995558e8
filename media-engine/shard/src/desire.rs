//! From desired state to what receives: recordings and streams as signaling wants them.
//!
//! A revision takes effect as a whole: its new ports are opened, then it goes into the journal, and
//! when it is durable signaling is told. What cannot be had leaves what was there before as it was.

use std::collections::BTreeMap;

use holdfast_control::limits::STREAMS_MAX;
use holdfast_control::{FromEngine, Life, Recording, RefusalReason, RefusedStream, Stream};
use holdfast_journal::{Full, Lsn, NewRecord};
use holdfast_manifest::EndReason;
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use crate::disk::Published;
use crate::documents::Documents;
use crate::records;
use crate::shard::Shard;

/// A recording as signaling wants it.
#[derive(Debug)]
pub(crate) struct LiveRecording {
    pub(crate) desired: Recording,
    pub(crate) documents: Documents,
    /// Since when signaling does not claim it, or is away.
    pub(crate) unclaimed_since: Option<MonoTime>,
    /// Signs of life of its streams when that was last looked at.
    pub(crate) heard: u64,
    /// Numbers that its streams have, those that ended included.
    pub(crate) stream_by_number: BTreeMap<u16, StreamId>,
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
    pub(crate) fn new(desired: Recording, documents: Documents) -> Self {
        let mut recording = Self {
            desired,
            documents,
            unclaimed_since: None,
            heard: 0,
            stream_by_number: BTreeMap::new(),
        };
        recording.note_numbers();
        recording
    }

    pub(crate) fn is_active(&self) -> bool {
        self.desired.life == Life::Active
    }

    fn note_numbers(&mut self) {
        let streams = self.desired.streams.iter();
        self.stream_by_number
            .extend(streams.map(|stream| (stream.number, stream.id)));
    }

    /// Streams that are wanted and not had.
    fn missing(&self, wanted: &Recording) -> Vec<RefusedStream> {
        let has = |id| self.desired.streams.iter().any(|stream| stream.id == id);
        let missing = wanted.streams.iter().filter(|stream| !has(stream.id));
        let refused = missing.map(|stream| RefusedStream {
            stream: stream.id,
            reason: "it does not receive".into(),
        });
        refused.collect()
    }

    /// Whether a stream may be so, beside those that the recording has or had.
    fn check_stream(&self, wanted: &Stream) -> Result<(), String> {
        let (id, number) = (wanted.id, wanted.number);
        let other = self.stream_by_number.get(&number);
        if other.is_some_and(|&other| other != id) {
            return Err(format!("number {number} belongs to another stream"));
        }
        let known = self.desired.streams.iter().find(|known| known.id == id);
        if known.is_some_and(|known| {
            (known.number, known.address, known.rtp_port)
                != (number, wanted.address, wanted.rtp_port)
        }) {
            return Err(format!("stream {id} has another number, address or port"));
        }
        if known.is_none() && self.stream_by_number.values().any(|&ended| ended == id) {
            return Err(format!("stream {id} has ended"));
        }
        let is_new = other.is_none();
        if is_new && self.stream_by_number.len() >= STREAMS_MAX {
            return Err(format!("more than {STREAMS_MAX} streams"));
        }
        Ok(())
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// Takes the desired state of a recording.
    pub(crate) fn handle_desired(&mut self, now: MonoTime, wall: WallTime, desired: Recording) {
        let (recording, revision) = (desired.id, desired.revision);
        let is_end = desired.life != Life::Active;
        if let Some(known) = self.recordings.get_mut(&recording) {
            known.unclaimed_since = None;
            if !known.is_active() && !is_end {
                let reason = RefusalReason::Invalid("the recording has ended".into());
                return self.refuse(now, wall, &desired, reason);
            }
            if !known.is_active() {
                return self.confirm_later(now, recording, revision, Vec::new());
            }
        }
        if let Some(reason) = self.document_trouble(recording) {
            return self.refuse(now, wall, &desired, reason);
        }
        if let Some(known) = self.recordings.get(&recording)
            && known.desired.revision >= revision
        {
            // Said again, or late: what is in force is confirmed once it is durable.
            let refused = known.missing(&desired);
            return self.confirm_later(now, recording, revision, refused);
        }
        if let Err(reason) = self.check(&desired) {
            return self.refuse(now, wall, &desired, reason);
        }
        let mut waiting = Vec::new();
        for stream in desired.streams.iter().filter(|_| !is_end) {
            if self.open(stream) {
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
            return self.handle_not_resumed(now, wall, stream, result);
        };
        opening.waiting.retain(|&waiting| waiting != stream);
        if let Err(reason) = result {
            opening.refused.push(RefusedStream { stream, reason });
            let streams = &mut opening.desired.streams;
            let known = self.recordings.get(&recording);
            let former = known.and_then(|r| r.desired.streams.iter().find(|s| s.id == stream));
            match (former, streams.iter_mut().find(|s| s.id == stream)) {
                // It could not have its new port, and goes on as it was.
                (Some(former), Some(wanted)) => wanted.clone_from(former),
                (None, _) | (_, None) => streams.retain(|wanted| wanted.id != stream),
            }
        }
        self.apply_if_open(now, wall, recording);
    }

    fn check(&self, desired: &Recording) -> Result<(), RefusalReason> {
        let known = self.recordings.get(&desired.id);
        if let (None, Life::Active, Some(why)) = (known, desired.life, self.unwilling) {
            return Err(RefusalReason::Unwilling(why));
        }
        let valid = self.check_recording(desired).and_then(|()| {
            let mut streams = desired.streams.iter().enumerate();
            streams.try_for_each(|(index, stream)| {
                self.check_stream(desired, index, stream)?;
                // Where the node key is lost, its packets are kept as they come already.
                if !self.assembly.is_sealed(stream.id) {
                    let opened = self.assembly.keys().check(desired.id, stream);
                    opened.map_err(|error| error.to_string())?;
                }
                known.map_or(Ok(()), |known| known.check_stream(stream))
            })
        });
        valid.map_err(RefusalReason::Invalid)
    }

    fn check_recording(&self, desired: &Recording) -> Result<(), String> {
        let own = self.config.index;
        if desired.shard != own {
            return Err(format!("this is shard {own}"));
        }
        if self.opening.contains_key(&desired.id) {
            return Err("the former revision is not in force yet".into());
        }
        if desired.streams.len() > STREAMS_MAX {
            return Err(format!("more than {STREAMS_MAX} streams"));
        }
        Ok(())
    }

    fn check_stream(
        &self,
        desired: &Recording,
        index: usize,
        stream: &Stream,
    ) -> Result<(), String> {
        let (id, rtp, rtcp) = (stream.id, stream.rtp_port, stream.rtcp_port);
        let slice = self.config.ports;
        let is_pair = rtp.is_multiple_of(2) && (rtcp == rtp || rtcp == rtp + 1);
        if !is_pair || rtp < slice.first || rtp >= slice.last {
            return Err(format!(
                "ports {rtp} and {rtcp} are not a pair of this shard"
            ));
        }
        // Records of the recording itself have this one.
        if id == StreamId(0) {
            return Err(format!("{id} is no stream"));
        }
        let former = &desired.streams[..index];
        if former
            .iter()
            .any(|other| other.id == id || other.number == stream.number || other.rtp_port == rtp)
        {
            return Err(format!(
                "stream {id}, its number or its port is named twice"
            ));
        }
        let receiver = self.live.get(self.pair(rtp)).and_then(Option::as_ref);
        if receiver.is_some_and(|live| live.desired.id != id) {
            return Err(format!("port {rtp} belongs to another stream"));
        }
        let owner = self.assembly.owner(id);
        if owner.is_some_and(|owner| owner != desired.id) {
            return Err(format!("stream {id} belongs to another recording"));
        }
        Ok(())
    }

    /// Nothing of a revision takes effect.
    fn refuse(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        desired: &Recording,
        reason: RefusalReason,
    ) {
        let recording = desired.id;
        self.tell(FromEngine::Refused {
            recording,
            revision: desired.revision,
            reason,
        });
        if desired.life != Life::Active
            && let Some(known) = self.recordings.get_mut(&recording)
        {
            // Signaling is done with it: if it does not say so again, it ends as an orphan.
            known.unclaimed_since = Some(now);
        }
        if !self.recordings.contains_key(&recording) && !self.opening.contains_key(&recording) {
            // Documents came before it.
            self.forget(now, wall, recording);
        }
    }

    /// Puts a revision into force once its ports are open.
    fn apply_if_open(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId) {
        let Some(opening) = self.opening.get(&recording) else {
            return;
        };
        if !opening.waiting.is_empty() {
            return;
        }
        let Some(Opening {
            desired, refused, ..
        }) = self.opening.remove(&recording)
        else {
            return;
        };
        let revision = desired.revision;
        if self.write_recording(now, wall, &desired).is_err() {
            for stream in &desired.streams {
                self.close_unused(stream);
            }
            return self.refuse(now, wall, &desired, RefusalReason::Journal);
        }
        self.put_into_force(now, wall, desired);
        self.confirm_later(now, recording, revision, refused);
    }

    fn put_into_force(&mut self, now: MonoTime, wall: WallTime, desired: Recording) {
        let id = desired.id;
        let is_ended = desired.life != Life::Active;
        let former = self.recordings.get(&id);
        let former = former.map_or_else(Vec::new, |known| known.desired.streams.clone());
        for stream in &former {
            if is_ended || !desired.streams.iter().any(|wanted| wanted.id == stream.id) {
                self.remove_live(stream);
            }
        }
        for stream in desired.streams.iter().filter(|_| !is_ended) {
            self.receive(now, wall, id, stream);
        }
        match self.recordings.get_mut(&id) {
            Some(known) => {
                known.desired = desired;
                known.note_numbers();
            }
            None => {
                let mut documents = self.take_early(id);
                documents.first = None;
                let recording = LiveRecording::new(desired, documents);
                self.recordings.insert(id, recording);
            }
        }
    }

    fn write_recording(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        desired: &Recording,
    ) -> Result<Lsn, Full> {
        // What was lost of a stream belongs before its end.
        self.write_losses(now);
        let payload = records::encode_recording(desired);
        let known = self
            .recordings
            .get(&desired.id)
            .map(|known| &known.documents);
        let documents = known.or_else(|| self.early.get(&desired.id));
        let first = documents.and_then(|documents| documents.first);
        let back = first.map_or(0, |first| self.journal.next_lsn().since(first));
        let record = NewRecord {
            kind: records::RECORDING,
            flags: 0,
            source: u16::try_from(back).unwrap_or(u16::MAX),
            stream: StreamId(0),
            arrival: wall,
        };
        let lsn = self.journal.append(now, &record, &[&payload])?;
        if let Some(known) = self.recordings.get_mut(&desired.id) {
            known.documents.first = None;
        }
        Ok(lsn)
    }

    pub(crate) fn write(
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
        now: MonoTime,
        recording: RecordingId,
        revision: u64,
        refused: Vec<RefusedStream>,
    ) {
        let applied = FromEngine::Applied {
            recording,
            revision,
            refused,
        };
        self.confirmations
            .push_back((self.journal.next_lsn(), applied));
        self.journal.request_commit(now);
        self.confirm();
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
        self.tell(FromEngine::Published(
            holdfast_control::PublishedRecording {
                id: recording,
                folder,
                packets,
                lost,
            },
        ));
        self.forget(now, wall, recording);
    }

    /// Forgets a recording, and has the journal say so. Where that takes nothing it is tried again;
    /// after a crash the next start finds the recording published.
    pub(crate) fn forget(&mut self, now: MonoTime, wall: WallTime, recording: RecordingId) {
        self.recordings.remove(&recording);
        self.take_early(recording);
        let bytes = recording.to_bytes();
        if self.write(now, wall, records::REMOVED, &bytes).is_err() {
            self.unremoved.push(recording);
        }
    }

    /// Ends a recording on the engine's own account.
    pub(crate) fn end(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        recording: RecordingId,
        reason: EndReason,
    ) {
        let Some(known) = self.recordings.get(&recording).filter(|r| r.is_active()) else {
            return;
        };
        let desired = Recording {
            life: Life::Ended { reason, at: wall },
            revision: known.desired.revision + 1,
            ..known.desired.clone()
        };
        // Where the journal does not take it, the next look at the orphans tries again.
        if self.write_recording(now, wall, &desired).is_err() {
            return;
        }
        if let Some(opening) = self.opening.remove(&recording) {
            for stream in &opening.desired.streams {
                self.close_unused(stream);
            }
            self.tell(FromEngine::Refused {
                recording,
                revision: opening.desired.revision,
                reason: RefusalReason::Invalid("the recording has ended".into()),
            });
        }
        self.put_into_force(now, wall, desired);
    }
}
