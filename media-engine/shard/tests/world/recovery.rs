//! The start of a process on what an earlier one has left, as the engine does it.

use std::collections::{BTreeMap, VecDeque};

use holdfast_control::{Life, Recording};
use holdfast_journal::{JournalId, Lsn, RecordRef, Start, Writer, WriterConfig};
use holdfast_manifest::EndReason;
use holdfast_shard::{
    AssembledStream, Assembly, Checkpoint, DiskOrder, LiveCounts, SavedRecording, Shard,
    StreamCheckpoint,
};
use holdfast_units::{StreamId, WallTime};

use super::files;
use super::journal::JournalDisk;
use super::shell;
use super::{Process, World};

struct Recovered {
    assembly: Assembly,
    counts: BTreeMap<StreamId, LiveCounts>,
    start: Start,
    journal: JournalId,
}

impl World {
    pub(super) fn recover_and_start(&mut self) {
        let Some(recovered) = self.recover() else {
            return;
        };
        let config = WriterConfig {
            journal: recovered.journal,
            ..self.writer.clone()
        };
        let mut journal = Writer::new(config, recovered.start);
        for _ in 0..self.blocks {
            journal.offer_block(vec![0xee; self.writer.block_size]);
        }
        let config = self.config.clone();
        let (assembly, counts) = (recovered.assembly, recovered.counts);
        let shard = Shard::new(self.now, self.wall, config, journal, assembly, counts);
        self.process = Some(Process {
            shard,
            journal_ops: Vec::new(),
            orders: VecDeque::new(),
            syncs: VecDeque::new(),
            publishing: Vec::new(),
            results: VecDeque::new(),
            unwritten: Default::default(),
            ports: Default::default(),
        });
        self.carry_out();
    }

    /// `None` where the fuse has burnt down before the end.
    fn recover(&mut self) -> Option<Recovered> {
        let checkpoint = match self.files.read(files::CHECKPOINT) {
            Some(bytes) => match Checkpoint::decode(bytes) {
                Ok(checkpoint) => checkpoint,
                Err(_) if self.faults.lies > 0 => Checkpoint::default(),
                Err(error) => panic!("it was replaced durably: {error}"),
            },
            None => Checkpoint::default(),
        };
        // What an earlier process wrote last may not be durable; what is made of it must not
        // outlive it.
        self.burn().then_some(())?;
        self.journal.sync();
        let mut assembly = Assembly::new(Lsn(checkpoint.lsn), super::build::key_ring());
        for recording in self.states() {
            assembly.restore_recording(recording);
        }
        let mut counts = BTreeMap::new();
        self.restore_streams(&mut assembly, &checkpoint, &mut counts)?;
        let (mut start, journal) = self.replay(&mut assembly, &checkpoint, &counts)?;
        start.next = start.next.max(Lsn(checkpoint.lsn));
        self.settle(&mut assembly, &counts, start.next)?;
        let streams = self.flush(&mut assembly, &counts)?;
        self.sweep(&assembly)?;
        if assembly.has_failed() {
            // What could not be written is in the journal alone: it has to stay as it is.
            start.checkpoint = start.checkpoint.max(Lsn(checkpoint.lsn));
        } else {
            let checkpoint = Checkpoint {
                lsn: start.next.0,
                streams,
            };
            self.burn().then_some(())?;
            self.files.sync(self.files.changes());
            self.burn().then_some(())?;
            self.files
                .replace_durably(files::CHECKPOINT, checkpoint.encode());
            start.checkpoint = start.next;
        }
        self.unknown = assembly.unknown();
        let journal = journal.unwrap_or(self.writer.journal);
        Some(Recovered {
            assembly,
            counts,
            start,
            journal,
        })
    }

    fn states(&self) -> Vec<Recording> {
        let mut states = Vec::new();
        for recording in self.files.recordings() {
            let Some(bytes) = self.files.read(&files::state(recording)) else {
                continue;
            };
            // One that does not read was not durable: then the journal has it.
            states.extend(
                SavedRecording::decode(bytes)
                    .ok()
                    .map(|saved| saved.recording),
            );
        }
        states
    }

    fn restore_streams(
        &mut self,
        assembly: &mut Assembly,
        checkpoint: &Checkpoint,
        counts: &mut BTreeMap<StreamId, LiveCounts>,
    ) -> Option<()> {
        for saved in &checkpoint.streams {
            let path = files::track(saved.recording, saved.number);
            if self.files.read(&path).is_none() && !assembly.contains(saved.recording) {
                // Published and removed since.
                continue;
            }
            self.burn().then_some(())?;
            let size = self.files.cut(&path, saved.track_size);
            let is_published = self
                .files
                .below(&files::published(saved.recording))
                .next()
                .is_some();
            assert!(
                size == saved.track_size || is_published || self.faults.lies > 0,
                "{path} has {size} octets, the checkpoint says {}",
                saved.track_size
            );
            let (stream, live) = AssembledStream::resume(
                assembly.keys(),
                saved.recording,
                size,
                self.wall,
                &saved.assembly,
            )
            .expect("of this version");
            counts.insert(saved.stream, live);
            assembly.restore_stream(stream);
        }
        Some(())
    }

    fn replay(
        &mut self,
        assembly: &mut Assembly,
        checkpoint: &Checkpoint,
        counts: &BTreeMap<StreamId, LiveCounts>,
    ) -> Option<(Start, Option<JournalId>)> {
        let visible = self.journal.visible();
        let mut recovery = JournalDisk::recovery(&visible, None, self.writer.segment_size);
        let mut last_arrival = WallTime(0);
        while let Some(record) = recovery.next_record() {
            last_arrival = last_arrival.max(record.arrival);
            if record.lsn.0 >= checkpoint.lsn {
                assembly.handle_record(&record, &mut live_of(counts));
                self.write_all(assembly)?;
            }
        }
        let outcome = recovery.finish();
        for finding in outcome.findings {
            if !finding.kind.is_harmless() {
                self.findings.push(format!("{finding:?}"));
            }
        }
        Some((outcome.start, outcome.journal))
    }

    fn settle(
        &mut self,
        assembly: &mut Assembly,
        counts: &BTreeMap<StreamId, LiveCounts>,
        at: Lsn,
    ) -> Option<()> {
        assembly.finish_restoring();
        self.write_all(assembly)?;
        let slice = self.config.ports;
        let fits = |recording: &Recording| {
            let within = |port| (slice.first..=slice.last).contains(&port);
            recording.streams.iter().all(|s| within(s.rtp_port))
        };
        let lost: Vec<Recording> = assembly.active().filter(|r| !fits(r)).cloned().collect();
        for recording in lost {
            let life = Life::Ended {
                reason: EndReason::EngineRecovered,
                at: self.wall,
            };
            let ended = Recording {
                revision: recording.revision + 1,
                life,
                ..recording
            };
            assembly.end_recording(ended, at, self.wall, &mut live_of(counts));
            self.write_all_with(assembly, true)?;
        }
        let note = RecordRef {
            lsn: at,
            kind: 0,
            flags: 0,
            source: 0,
            stream: StreamId(0),
            arrival: self.wall,
            payload: &[],
        };
        assembly.handle_restart(&note);
        assembly.handle_outage(self.wall, self.wall, &note);
        Some(())
    }

    fn flush(
        &mut self,
        assembly: &mut Assembly,
        counts: &BTreeMap<StreamId, LiveCounts>,
    ) -> Option<Vec<StreamCheckpoint>> {
        let mut streams = Vec::new();
        for slot in 0..assembly.stream_slots() {
            streams.extend(assembly.checkpoint_stream(slot, &mut live_of(counts)));
            self.write_all(assembly)?;
        }
        Some(streams)
    }

    /// Removes what nobody knows of: documents of a recording that never came to be, and the rest
    /// of a folder that was being removed.
    fn sweep(&mut self, assembly: &Assembly) -> Option<()> {
        for recording in self.files.recordings() {
            if !assembly.contains(recording) {
                self.burn().then_some(())?;
                self.files.remove_below(&files::folder(recording));
            }
        }
        Some(())
    }

    fn write_all(&mut self, assembly: &mut Assembly) -> Option<()> {
        self.write_all_with(assembly, false)
    }

    /// Carries out what the assembly asks for; what the journal does not have, durably.
    fn write_all_with(&mut self, assembly: &mut Assembly, durably: bool) -> Option<()> {
        while let Some(order) = assembly.poll_order() {
            self.burn().then_some(())?;
            if let (true, DiskOrder::SaveState { recording, bytes }) = (durably, &order) {
                let path = files::state(*recording);
                self.files.replace_durably(&path, bytes.clone());
                continue;
            }
            if let DiskOrder::WriteTrack {
                recording,
                number,
                offset: 0,
                ..
            } = &order
            {
                // A track that begins anew: what an earlier try has left must not follow it.
                self.files.cut(&files::track(*recording, *number), 0);
            }
            if let Some(result) = shell::write(&mut self.files, &mut self.faults, order) {
                assembly.handle_result(result);
            }
        }
        Some(())
    }
}

fn live_of(
    counts: &BTreeMap<StreamId, LiveCounts>,
) -> impl FnMut(&AssembledStream) -> LiveCounts + '_ {
    |stream| counts.get(&stream.id()).copied().unwrap_or_default()
}
