//! Signaling comes and goes: what it is told, what it claims, and what nobody claims.

use std::collections::BTreeMap;

use holdfast_control::{FromEngine, HeldRecording, Recording};
use holdfast_manifest::EndReason;
use holdfast_units::{MonoTime, RecordingId, StreamId, WallTime};

use crate::desire::LiveRecording;
use crate::documents::Documents;
use crate::output::{Notice, Output, ShardEvent};
use crate::shard::Shard;

/// Whether there is a signaling process, and whether it has named its recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// There is none: recordings go on as long as there is media.
    Away,
    /// It has not yet named all that it knows.
    Reconciling,
    /// What it did not name is an orphan.
    Reconciled,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// Lists what the shard holds for a new signaling process.
    pub(crate) fn handle_connected(&mut self, now: MonoTime, wall: WallTime) {
        self.peer = Peer::Reconciling;
        self.abandon_documents(now, wall);
        let mut held = Vec::new();
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            recording.unclaimed_since = Some(now);
            let streams = recording.desired.streams.iter();
            held.push(HeldRecording {
                id: recording.desired.id,
                revision: recording.desired.revision,
                documents: recording.documents.held(),
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
    pub(crate) fn handle_disconnected(&mut self, now: MonoTime, wall: WallTime) {
        self.peer = Peer::Away;
        self.abandon_documents(now, wall);
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            recording.unclaimed_since = Some(now);
        }
    }

    /// What signaling did not claim is an orphan, and stays for `orphan_timeout` from now on.
    pub(crate) fn handle_reconciled(&mut self, now: MonoTime) {
        self.peer = Peer::Reconciled;
        for recording in self.recordings.values_mut() {
            if recording.unclaimed_since.is_some() {
                recording.unclaimed_since = Some(now);
            }
        }
    }

    /// Goes on with what the assembly restored.
    pub(crate) fn resume_recordings(&mut self, now: MonoTime, wall: WallTime) {
        let active: Vec<Recording> = self.assembly.active().cloned().collect();
        for desired in active {
            for stream in &desired.streams {
                self.open(stream);
                self.insert_live(now, wall, desired.id, stream.clone());
            }
            let id = desired.id;
            let mut recording = LiveRecording::new(desired, Documents::default());
            let numbers = self.assembly.stream_numbers(id);
            recording.stream_by_number.extend(numbers);
            recording.unclaimed_since = Some(now);
            self.recordings.insert(id, recording);
        }
        let finished: Vec<Recording> = self.assembly.recordings().cloned().collect();
        for desired in finished {
            self.recordings
                .entry(desired.id)
                .or_insert_with(|| LiveRecording::new(desired, Documents::default()));
        }
        // The others have ended, and their tracks have their counts.
        self.ended_counts.clear();
    }

    /// A stream of before the restart cannot have its ports: the recording ends, with a reason.
    pub(crate) fn handle_not_resumed(
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

    /// Ends recordings that nobody claims: where signaling is back and did not name them, after
    /// `orphan_timeout`; while it is away, when also nothing has come for as long.
    pub(crate) fn end_orphans(&mut self, now: MonoTime, wall: WallTime) {
        let is_unclaimed = |r: &LiveRecording| r.is_active() && r.unclaimed_since.is_some();
        if !self.recordings.values().any(is_unclaimed) {
            return;
        }
        let mut orphans = Vec::new();
        let heard = self.heard_by_recording();
        for recording in self.recordings.values_mut().filter(|r| r.is_active()) {
            let Some(since) = recording.unclaimed_since else {
                continue;
            };
            let heard = heard.get(&recording.desired.id).copied().unwrap_or(0);
            if self.peer != Peer::Reconciled && heard != recording.heard {
                recording.heard = heard;
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

    fn heard_by_recording(&self) -> BTreeMap<RecordingId, u64> {
        let mut heard = BTreeMap::new();
        for live in self.live.iter().flatten() {
            *heard.entry(live.recording).or_default() += live.signs_of_life();
        }
        heard
    }
}
