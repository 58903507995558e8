//! At start: from what the former process left to where the shards go on.
//!
//! 1. Each track is cut to the length that the checkpoint gives for it.
//! 2. The journal's records from the checkpoint on are assembled again, by the same code that
//!    assembles while recording.
//! 3. Everything is made durable, and a new checkpoint says so; the segments are free again.
//!
//! What a killed process had written and not synced counts as recovered too, so it is synced first:
//! nothing that is made of it may outlive it.
//!
//! A crash in the middle of it changes nothing: the next start begins at step 1.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use holdfast_control::{Life, Recording, ShardPorts};
use holdfast_journal::{
    JournalId, Lsn, RecordRef, Recovery, RecoveryError, RecoverySettings, SegmentNumber, Shard,
    Start,
};
use holdfast_manifest::EndReason;
use holdfast_shard::{
    AssembledStream, Assembly, Checkpoint, DiskError, DiskOrder, DiskResult, Finished, KeyRing,
    LiveCounts, ReadSavedError, SavedRecording,
};
use holdfast_sys::clock;
use holdfast_units::{RecordingId, StreamId, WallTime};
use tracing::{error, info, warn};

use crate::incoming::{self, Incoming, replace_durably};
use crate::ingest::Leftover;
use crate::kept_blocks::{self, KeptBlocks};
use crate::known::KnownPackets;
use crate::segment_files::{list_segments, open_segment};

/// Where one shard goes on.
pub struct Recovered {
    pub assembly: Assembly,
    pub counts: BTreeMap<StreamId, LiveCounts>,
    pub start: Start,
    pub journal: JournalId,
    /// What the journal has of packets that the rings may offer again.
    pub known: KnownPackets,
}

/// What there is to recover from, and for whom.
pub struct Settings<'a> {
    pub journal_dir: &'a Path,
    pub incoming: &'a Incoming,
    pub segment_size: u64,
    /// What opens the keys of streams.
    pub keys: &'a KeyRing,
    /// The node's keys may be lost: packets that nobody can read are kept as they came.
    pub without_lost_keys: bool,
    pub slices: &'a [ShardPorts],
    /// For each shard, what a dead engine left in rings that go on.
    pub leftovers: &'a [Option<Leftover>],
    /// What dead engines had in memory that is not on disk.
    pub kept_blocks: &'a [KeptBlocks],
    /// Whether a shard's rings have lost packets for want of room.
    pub has_lost: &'a dyn Fn(usize) -> bool,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Written by a newer version.
    #[error("the journal in {dir} must be read by the version that wrote it")]
    TooNew { dir: PathBuf, source: RecoveryError },
    /// Written by a newer version.
    #[error("{path} must be read by the version that wrote it")]
    SavedTooNew {
        path: PathBuf,
        source: ReadSavedError,
    },
    /// The node's key file is another one, or a new one, than when the packets came.
    #[error(
        "node.key_file does not have the key that the keys of recording {recording} were sealed \
         with: put that key back, below the others; nothing is changed until then. If it is lost, \
         start once with --without-lost-keys: what can't be read is kept as it came"
    )]
    Sealed {
        /// The first one of them.
        recording: RecordingId,
    },
    /// Another process holds it.
    #[error("{path} is locked by another process")]
    Locked { path: PathBuf },
    /// The disk or its permissions.
    #[error("recovering {path}")]
    Disk { path: PathBuf, source: io::Error },
}

/// The file that holds a shard's checkpoint.
pub fn checkpoint_path(journal_dir: &Path, shard: u16) -> PathBuf {
    journal_dir.join(format!("checkpoint-{shard}"))
}

/// Recovers every shard that has left something, and gives each configured shard its start.
pub fn recover(settings: &Settings<'_>) -> Result<Vec<Recovered>, RecoverError> {
    let incoming = settings.incoming;
    incoming
        .remove_rest()
        .map_err(|source| RecoverError::Disk {
            path: incoming.dir().to_owned(),
            source,
        })?;
    let mut saved = read_states(incoming)?;
    let mut files = list_segments(settings.journal_dir)?;
    let configured = settings.slices.len() as u16;
    let others = files
        .keys()
        .chain(saved.keys())
        .copied()
        .filter(|shard| *shard >= configured);
    let others: BTreeSet<u16> = others.collect();
    let mut recovered = Vec::new();
    // Recordings of a shard that is no more, of which something could not be written.
    let mut left = BTreeSet::new();
    for shard in (0..configured).chain(others) {
        let saved = saved.remove(&shard).unwrap_or_default();
        let files = files.remove(&shard).unwrap_or_default();
        let slice = settings.slices.get(usize::from(shard)).copied();
        let one = recover_shard(settings, shard, slice, saved, files)?;
        if slice.is_some() {
            recovered.push(one);
        } else if one.assembly.has_failed() {
            // Its journal stays as it is, and with it all that a next start needs.
            error!(
                shard,
                "no longer configured, and not all of it could be written: the next start tries again"
            );
            left.extend(one.assembly.recordings().map(|recording| recording.id));
        } else if let Some(first) = recovered.first_mut() {
            // No shard has its number any more: what it recorded has ended and is published.
            first.assembly.adopt(one.assembly);
        }
    }
    sweep(incoming, &recovered, &left)?;
    Ok(recovered)
}

/// Removes what nobody knows of: documents of a recording that never came to be, and the rest of a
/// folder that was being removed. What has a track is never removed, whoever knows it.
fn sweep(
    incoming: &Incoming,
    recovered: &[Recovered],
    left: &BTreeSet<RecordingId>,
) -> Result<(), RecoverError> {
    let disk = |source| RecoverError::Disk {
        path: incoming.dir().to_owned(),
        source,
    };
    for recording in incoming.list().map_err(disk)? {
        let is_known = |shard: &Recovered| shard.assembly.contains(recording);
        if left.contains(&recording) || recovered.iter().any(is_known) {
            continue;
        }
        let _call = incoming.enter_call(recording);
        if incoming.has_tracks(recording).map_err(disk)? {
            let folder = incoming
                .set_aside(recording)
                .map_err(disk)?
                .unwrap_or_default();
            error!(%recording, folder = %folder.display(),
                "a recording in progress whose state is lost: its tracks are set aside");
        } else if let Err(error) = incoming.remove(recording) {
            warn!(%recording, %error, "what is left of a recording stays");
        }
    }
    Ok(())
}

fn recover_shard(
    settings: &Settings<'_>,
    shard: u16,
    slice: Option<ShardPorts>,
    saved: Vec<Recording>,
    files: Vec<(SegmentNumber, PathBuf)>,
) -> Result<Recovered, RecoverError> {
    let path = checkpoint_path(settings.journal_dir, shard);
    let checkpoint = read_checkpoint(&path)?;
    let mut assembly = Assembly::new(Lsn(checkpoint.lsn), settings.keys.clone());
    for recording in saved {
        assembly.restore_recording(recording);
    }
    let index = usize::from(shard);
    let leftover = settings.leftovers.get(index).copied().flatten();
    let mut replay = Replay {
        incoming: settings.incoming,
        counts: BTreeMap::new(),
        last_arrival: WallTime(0),
        known_from: leftover.map(|it| it.known_from),
        known: KnownPackets::new(leftover.map_or(0, |it| it.first_port)),
    };
    replay.restore_streams(&mut assembly, &checkpoint)?;
    let (mut start, journal) = replay.run(settings, shard, &mut assembly, &checkpoint, files)?;
    if let Some((recording, stream)) = assembly.sealed() {
        // Only tracks were written until now, and the next start cuts them again.
        if !settings.without_lost_keys {
            return Err(RecoverError::Sealed { recording });
        }
        let _call = settings.incoming.enter_call(recording);
        error!(%recording, %stream, "without the keys of the node its packets are kept as they came");
    }
    let is_received_on = leftover.is_some() && !(settings.has_lost)(index);
    replay.settle(&mut assembly, slice, start.next, is_received_on);
    let streams = replay.flush(&mut assembly);
    if assembly.has_failed() {
        error!(
            shard,
            "what could not be written stays in the journal, and is tried again"
        );
        start.checkpoint = start.checkpoint.max(Lsn(checkpoint.lsn));
    } else {
        let disk = |source| RecoverError::Disk {
            path: path.clone(),
            source,
        };
        settings.incoming.sync().map_err(disk)?;
        let checkpoint = Checkpoint {
            lsn: start.next.0,
            streams,
        };
        replace_durably(&path, &checkpoint.encode()).map_err(disk)?;
        // Everything is in the tracks: no segment holds anything that is still needed.
        start.checkpoint = start.next;
    }
    if let Some(known_from) = replay.known_from {
        // But by the next one, should this process die before the rings are read.
        start.checkpoint = start.checkpoint.min(known_from);
        let packets = replay.known.len();
        info!(
            shard,
            packets, "the journal has packets that the rings may offer again"
        );
    }
    Ok(Recovered {
        assembly,
        counts: replay.counts,
        start,
        journal,
        known: replay.known,
    })
}

struct Replay<'a> {
    incoming: &'a Incoming,
    counts: BTreeMap<StreamId, LiveCounts>,
    last_arrival: WallTime,
    known_from: Option<Lsn>,
    known: KnownPackets,
}

impl Replay<'_> {
    fn restore_streams(
        &mut self,
        assembly: &mut Assembly,
        checkpoint: &Checkpoint,
    ) -> Result<(), RecoverError> {
        for saved in &checkpoint.streams {
            let path = self.incoming.track(saved.recording, saved.number);
            if !assembly.contains(saved.recording) && !path.exists() {
                // Published, or refused, since the checkpoint.
                continue;
            }
            let size = cut(&path, saved.track_size).map_err(|source| RecoverError::Disk {
                path: path.clone(),
                source,
            })?;
            if size < saved.track_size {
                error!(path = %path.display(), size, expected = saved.track_size,
                    "a track is shorter than it was; what is missing is lost");
            }
            let now = clock::wall();
            let resumed = AssembledStream::resume(
                assembly.keys(),
                saved.recording,
                size,
                now,
                &saved.assembly,
            );
            match resumed {
                Ok((stream, counts)) => {
                    self.counts.insert(saved.stream, counts);
                    assembly.restore_stream(stream);
                }
                Err(error) => {
                    error!(path = %path.display(), %error, "the state of a stream does not read");
                }
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        settings: &Settings<'_>,
        shard: u16,
        assembly: &mut Assembly,
        checkpoint: &Checkpoint,
        files: Vec<(SegmentNumber, PathBuf)>,
    ) -> Result<(Start, JournalId), RecoverError> {
        let mut segments = Vec::new();
        for (_, path) in files {
            segments.push(open_segment(path)?);
        }
        let recovery = RecoverySettings {
            shard: Shard(shard),
            journal: None,
            segment_size: settings.segment_size,
        };
        let mut recovery =
            Recovery::open(recovery, segments).map_err(|source| RecoverError::TooNew {
                dir: settings.journal_dir.to_owned(),
                source,
            })?;
        let (journal, segments) = (recovery.journal(), recovery.segments_written_last());
        let near = recovery.checkpoint().max(Lsn(checkpoint.lsn));
        let unwritten = KeptBlocks::records(settings.kept_blocks, shard, journal, segments, near);
        let mut unwritten = unwritten.into_iter().peekable();
        let (mut from_memory, mut next) = (0, Lsn(checkpoint.lsn));
        while let Some(record) = recovery.next_record() {
            while let Some(before) = unwritten.next_if(|it| it.lsn < record.lsn) {
                from_memory += self.replay(assembly, &before, &mut next);
            }
            self.replay(assembly, &record, &mut next);
        }
        for record in unwritten {
            from_memory += self.replay(assembly, &record, &mut next);
        }
        kept_blocks::tell(shard, from_memory);
        let outcome = recovery.finish();
        for finding in &outcome.findings {
            if finding.kind.is_harmless() {
                info!(file = finding.file, offset = finding.offset, kind = ?finding.kind, "journal");
            } else {
                error!(file = finding.file, offset = finding.offset, kind = ?finding.kind,
                    lost = ?finding.lost, "the journal is damaged");
            }
        }
        if outcome.records > 0 {
            info!(shard, records = outcome.records, "the journal was replayed");
        }
        let mut start = outcome.start;
        // The checkpoint may know of records whose segments are gone, memory of some that had none.
        start.next = start.next.max(next);
        let journal = outcome
            .journal
            .unwrap_or_else(|| JournalId(crate::random_bytes()));
        Ok((start, journal))
    }

    /// Assembles a record, if it is not in the tracks and comes behind all that were; answers how many
    /// that were.
    fn replay(&mut self, assembly: &mut Assembly, record: &RecordRef<'_>, next: &mut Lsn) -> u64 {
        self.last_arrival = self.last_arrival.max(record.arrival);
        if self.known_from.is_some_and(|from| record.lsn >= from) {
            self.known.insert(record);
        }
        if record.lsn < *next {
            return 0;
        }
        *next = record.lsn.plus(1);
        let counts = &self.counts;
        let mut live = |stream: &AssembledStream| live_of(counts, stream);
        assembly.handle_record(record, &mut live);
        self.carry_out(assembly);
        1
    }

    /// Decides what becomes of each recording now that the journal has been replayed.
    fn settle(
        &mut self,
        assembly: &mut Assembly,
        slice: Option<ShardPorts>,
        at: Lsn,
        is_received_on: bool,
    ) {
        assembly.finish_restoring();
        self.carry_out(assembly);
        let now = clock::wall();
        let fits = |recording: &Recording| {
            slice.is_some_and(|slice| {
                let within = |port| (slice.first..=slice.last).contains(&port);
                recording
                    .streams
                    .iter()
                    .all(|s| within(s.rtp_port) && within(s.rtcp_port))
            })
        };
        let lost: Vec<Recording> = assembly
            .active()
            .filter(|recording| !fits(recording))
            .cloned()
            .collect();
        for recording in lost {
            let _call = self.incoming.enter_call(recording.id);
            warn!(recording = %recording.id, "its ports are no longer configured: it ends here");
            let life = Life::Ended {
                reason: EndReason::EngineRecovered,
                at: now,
            };
            let ended = Recording {
                revision: recording.revision + 1,
                life,
                ..recording
            };
            let counts = &self.counts;
            let mut live = |stream: &AssembledStream| live_of(counts, stream);
            assembly.end_recording(ended, at, now, &mut live);
            // The journal does not know of it: the state file alone does.
            self.carry_out_with(assembly, replace_durably);
        }
        let from = if self.last_arrival == WallTime(0) {
            now
        } else {
            self.last_arrival
        };
        let note = note(at, now);
        assembly.handle_restart(&note);
        if !is_received_on {
            assembly.handle_outage(from, now, &note);
        }
        for recording in assembly.active() {
            let _call = self.incoming.enter_call(recording.id);
            info!(recording = %recording.id, "goes on");
        }
    }

    fn flush(&self, assembly: &mut Assembly) -> Vec<holdfast_shard::StreamCheckpoint> {
        let counts = &self.counts;
        let mut live = |stream: &AssembledStream| live_of(counts, stream);
        let mut streams = Vec::new();
        for slot in 0..assembly.stream_slots() {
            streams.extend(assembly.checkpoint_stream(slot, &mut live));
            self.carry_out(assembly);
        }
        streams
    }

    /// Carries out what the assembly asks for.
    fn carry_out(&self, assembly: &mut Assembly) {
        self.carry_out_with(assembly, incoming::replace);
    }

    fn carry_out_with(
        &self,
        assembly: &mut Assembly,
        save_state: fn(&Path, &[u8]) -> io::Result<()>,
    ) {
        while let Some(order) = assembly.poll_order() {
            let Some(result) = self.carry_out_one(order, save_state) else {
                continue;
            };
            if let Some(Finished::Failed(recording, error)) = assembly.handle_result(result) {
                let _call = self.incoming.enter_call(recording);
                error!(%recording, %error, "a file of a recording could not be written");
            }
        }
    }

    fn carry_out_one(
        &self,
        order: DiskOrder,
        save_state: fn(&Path, &[u8]) -> io::Result<()>,
    ) -> Option<DiskResult> {
        match order {
            DiskOrder::SaveState { recording, bytes } => {
                let saved = save_state(&self.incoming.state(recording), &bytes);
                let error = told(&saved.err()?);
                Some(DiskResult::WriteFailed { recording, error })
            }
            DiskOrder::WriteDocument {
                recording,
                name,
                bytes,
            } => {
                let written = self.incoming.write_document(recording, &name, &bytes);
                let error = told(&written.err()?);
                Some(DiskResult::DocumentFailed {
                    recording,
                    name,
                    bytes,
                    error,
                })
            }
            DiskOrder::WriteTrack {
                recording,
                number,
                slot,
                offset,
                bytes,
            } => {
                // A track that begins anew: what an earlier try has left must not follow it.
                let begun = if offset == 0 {
                    cut(&self.incoming.track(recording, number), 0).map(|_| ())
                } else {
                    Ok(())
                };
                let write = |()| self.incoming.write_track(recording, number, offset, &bytes);
                let result = begun.and_then(write).map_err(|error| told(&error));
                Some(DiskResult::TrackWritten {
                    slot,
                    recording,
                    offset,
                    bytes,
                    result,
                })
            }
            DiskOrder::Remove { recording } => {
                let _call = self.incoming.enter_call(recording);
                if let Err(error) = self.incoming.remove(recording) {
                    warn!(%recording, %error, "what is left of a recording stays");
                }
                None
            }
            // Publishing waits for its threads; the recovery itself syncs and makes the checkpoint.
            DiskOrder::Publish { .. } | DiskOrder::Sync | DiskOrder::SaveCheckpoint { .. } => None,
        }
    }
}

fn live_of(counts: &BTreeMap<StreamId, LiveCounts>, stream: &AssembledStream) -> LiveCounts {
    counts.get(&stream.id()).copied().unwrap_or_default()
}

/// A record that is not in the journal.
fn note(lsn: Lsn, arrival: WallTime) -> RecordRef<'static> {
    RecordRef {
        lsn,
        kind: 0,
        flags: 0,
        source: 0,
        stream: StreamId(0),
        arrival,
        payload: &[],
    }
}

fn told(error: &io::Error) -> DiskError {
    DiskError(error.to_string())
}

/// Cuts a file to this size, where it is longer; answers its size.
fn cut(path: &Path, size: u64) -> io::Result<u64> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => {
            let found = file.metadata()?.len();
            if found > size {
                file.set_len(size)?;
            }
            Ok(found.min(size))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn read_states(incoming: &Incoming) -> Result<BTreeMap<u16, Vec<Recording>>, RecoverError> {
    let disk = |path: PathBuf| move |source| RecoverError::Disk { path, source };
    let mut states: BTreeMap<u16, Vec<Recording>> = BTreeMap::new();
    for recording in incoming.list().map_err(disk(incoming.dir().to_owned()))? {
        let path = incoming.state(recording);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // It began after the last checkpoint: the journal has it all.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(disk(path)(error)),
        };
        match SavedRecording::decode(&bytes) {
            Ok(SavedRecording { recording }) => {
                states.entry(recording.shard).or_default().push(recording);
            }
            Err(source @ ReadSavedError::TooNew { .. }) => {
                return Err(RecoverError::SavedTooNew { path, source });
            }
            // A power cut may have left it half written; the journal then has it.
            Err(error) => {
                let _call = incoming.enter_call(recording);
                warn!(%recording, path = %path.display(), %error, "a state file does not read");
            }
        }
    }
    Ok(states)
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, RecoverError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
        Err(source) => {
            return Err(RecoverError::Disk {
                path: path.to_owned(),
                source,
            });
        }
    };
    match Checkpoint::decode(&bytes) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(source @ ReadSavedError::TooNew { .. }) => Err(RecoverError::SavedTooNew {
            path: path.to_owned(),
            source,
        }),
        Err(error) => {
            error!(path = %path.display(), %error, "the checkpoint does not read");
            Ok(Checkpoint::default())
        }
    }
}
