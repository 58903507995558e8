//! From a finished recording in progress to a published one.
//!
//! ```text
//! <recordings>/2026/11/22/<recording id>/      further parts: <recording id>.<part>/
//!   audio.wav            one channel per participant
//!   recording.json       the manifest
//!   metadata/0001.xml …  each document as received
//!   streams/<n>.track    the packets, where they are kept
//! ```
//!
//! The folder is completed within that of the recording in progress, where the documents are from the
//! beginning, synced, and renamed into place; it is never put in the place of another. A crash on the way
//! leaves what it was made of as it was, and the next start makes it anew. Where a folder of the recording is there already, its manifest names
//! the state that it was made of: the same state has been published, by a process that died after
//! the rename; another one is a further part of the recording, and gets a folder of its own.

mod audio_file;
mod files;
mod parts;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_control::{Life, Recording};
use holdfast_manifest::{AUDIO_FILE, Call, Manifest, Warning};
use holdfast_rtp::PayloadMap;
use holdfast_settings::{KeepPackets, Recordings, WhenCritical};
use holdfast_shard::{Published, ReadSavedError, SavedRecording};
use holdfast_track::{RecordingTime, RenderError, RenderPlan, TrackInput, TrackReport};
use holdfast_units::{RecordingId, WallTime};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use sha2::{Digest, Sha256};
use tracing::info;
use tracing::span::EnteredSpan;

use crate::control::disk_used_permille;
use crate::incoming::{CALL_DOCUMENT, Incoming, METADATA, is_beside, sync_folder_of};
use crate::troubles::Troubles;

use audio_file::AudioFile;
use files::{disk, hashed, hex, link, remove, sorted_names, sync};

/// Folder of the tracks that are kept.
const STREAMS: &str = "streams";

/// Makes published recordings. Cheap to clone, used by several threads.
#[derive(Clone, Debug)]
pub struct Publisher {
    incoming: Incoming,
    node: String,
    settings: Recordings,
    troubles: Troubles,
    /// The day's folder whose own entry, and those above it, are known to be on disk.
    durable_day: Arc<Mutex<PathBuf>>,
}

/// Why a recording could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk or its permissions.
    #[error("{path}")]
    Disk { path: PathBuf, source: io::Error },
    /// The state file does not read.
    #[error("{path}")]
    State {
        path: PathBuf,
        source: ReadSavedError,
    },
    /// It is still to be recorded.
    #[error("{path} says that the recording goes on")]
    Active { path: PathBuf },
    /// The audio could not be made.
    #[error("rendering")]
    Render(#[source] RenderError),
}

/// A track of the recording, and what is known of its stream.
struct Track {
    number: u32,
    path: PathBuf,
    stream: Option<holdfast_control::Stream>,
    /// When it was begun, of a further part.
    began: Option<WallTime>,
}

/// Whether the packets of a track stay with the recording.
enum Keep {
    Yes,
    No,
    /// They would, were there space for what is not needed.
    NoSpace,
}

/// Where a recording is published.
enum Place {
    /// It has been, here.
    Taken(Published),
    /// It is to be, here.
    Free { folder: PathBuf, part: u32 },
}

impl Publisher {
    pub fn new(
        incoming: Incoming,
        node: String,
        settings: &Recordings,
        troubles: Troubles,
    ) -> Self {
        Self {
            incoming,
            node,
            settings: settings.clone(),
            troubles,
            durable_day: Arc::default(),
        }
    }

    /// Lines of this thread bear the names of a recording's call until this is dropped.
    pub fn enter_call(&self, recording: RecordingId) -> EnteredSpan {
        self.incoming.enter_call(recording)
    }

    /// It could not be published; it will be tried again.
    pub fn note_trouble(&self, recording: RecordingId, failure: &PublishError) {
        let mut cause: &dyn std::error::Error = failure;
        while let Some(source) = cause.source() {
            cause = source;
        }
        self.troubles.note(recording, &cause.to_string());
    }

    /// Publishes a recording that has ended. Doing it again finds it done.
    pub fn publish(&self, id: RecordingId) -> Result<Published, PublishError> {
        let recording = self.read_state(id)?;
        let (folder, part) = match self.place(&recording)? {
            Place::Taken(published) => return Ok(published),
            Place::Free { folder, part } => (folder, part),
        };
        let made = self.incoming.to_publish(id);
        // An earlier try may have kept more.
        remove(&made.join(STREAMS))?;
        let manifest = self.make(&recording, part, &made)?;
        self.put_in_place(&made, &folder)?;
        let published = sum(&folder, &manifest);
        info!(recording = %id, folder = published.folder, duration_ms = manifest.duration_ms,
            packets = published.packets, lost = published.lost, "published");
        if part > 1 || manifest.call.continues.is_some() {
            self.join_parts(&manifest);
        }
        Ok(published)
    }

    fn read_state(&self, id: RecordingId) -> Result<Recording, PublishError> {
        let path = self.incoming.state(id);
        let bytes = fs::read(&path).map_err(disk(&path))?;
        match SavedRecording::decode(&bytes) {
            Ok(SavedRecording { recording }) if recording.life == Life::Active => {
                Err(PublishError::Active { path })
            }
            Ok(SavedRecording { recording }) => Ok(recording),
            Err(source) => Err(PublishError::State { path, source }),
        }
    }

    /// The folder that a recording is filed under.
    fn day(&self, recording: &Recording) -> PathBuf {
        let (year, month, day) = recording.started.utc_date();
        let day = format!("{year:04}/{month:02}/{day:02}");
        self.settings.dir.join(day)
    }

    /// The folder that this state of a recording has, or is to have: beside the former parts.
    fn place(&self, recording: &Recording) -> Result<Place, PublishError> {
        let day = self.day(recording);
        let state = state_sha256(recording);
        let mut part = 1;
        loop {
            let folder = day.join(holdfast_manifest::folder_name(recording.id, part));
            if !folder.try_exists().map_err(disk(&folder))? {
                return Ok(Place::Free { folder, part });
            }
            // A manifest was durable before its folder had this name. Where it does not read any
            // more nothing may be taken for published.
            let json = fs::read(folder.join(holdfast_manifest::FILE_NAME)).unwrap_or_default();
            match Manifest::from_json(&json) {
                Ok(manifest) if manifest.state_sha256 == state => {
                    return Ok(Place::Taken(sum(&folder, &manifest)));
                }
                Ok(_) | Err(_) => part += 1,
            }
        }
    }

    /// Completes the folder, durably.
    fn make(
        &self,
        recording: &Recording,
        part: u32,
        made: &Path,
    ) -> Result<Manifest, PublishError> {
        let mut call = self.call(recording.id)?;
        let mut files = documents(made)?;
        let tracks = self.tracks(recording, part)?;
        let time = times(recording, part, &tracks);
        call.continues = self.continues(recording, part, call.continues, time.started);
        let mut inputs: Vec<TrackInput<'_>> = tracks.iter().map(input).collect();
        let channels = call.channels.len().max(1) as u16;
        let plan =
            holdfast_track::plan(time, channels, &mut inputs).map_err(PublishError::Render)?;
        let path = made.join(AUDIO_FILE);
        if is_audible(&plan) {
            let mut audio = AudioFile::create(&path).map_err(disk(&path))?;
            plan.write(&mut inputs, &mut audio)
                .map_err(PublishError::Render)?;
            let (_, described) = audio.finish(AUDIO_FILE).map_err(disk(&path))?;
            files.push(described);
        } else {
            // An earlier try may have found some.
            remove(&path)?;
        }
        let mut flags = Vec::new();
        for (track, report) in tracks.iter().zip(plan.reports()) {
            match self.keeps(report) {
                Keep::Yes => {
                    let name = format!("{STREAMS}/{}.track", track.number);
                    link(&track.path, &made.join(&name))?;
                    files.push(hashed(made, &name)?);
                }
                Keep::NoSpace => flags = vec!["packets_not_kept".to_owned()],
                Keep::No => {}
            }
        }
        if let Some(error) = self.troubles.of(recording.id) {
            flags.push("disk_trouble".to_owned());
            call.warnings.push(Warning {
                code: "disk_trouble".to_owned(),
                text: format!("something could be written only when it was tried again: {error}"),
            });
        }
        for document in &mut call.metadata {
            if let Some(file) = files.iter().find(|file| file.name == document.file) {
                document.sha256.clone_from(&file.sha256);
            }
        }
        let manifest = self.manifest((recording, part), call, &plan, &tracks, (files, flags));
        let path = made.join(holdfast_manifest::FILE_NAME);
        fs::write(&path, manifest.to_json()).map_err(disk(&path))?;
        sync_folder(made, &manifest)?;
        Ok(manifest)
    }

    /// What signaling said of the call.
    fn call(&self, id: RecordingId) -> Result<Call, PublishError> {
        let path = self.incoming.document(id, CALL_DOCUMENT);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Call::default()),
            result => result.map_err(disk(&path))?,
        };
        match serde_json::from_slice(&bytes) {
            Ok(call) => Ok(call),
            Err(error) => {
                tracing::error!(recording = %id, %error, "the call's description does not read");
                Ok(Call::default())
            }
        }
    }

    /// The tracks in the order of their numbers.
    fn tracks(&self, recording: &Recording, part: u32) -> Result<Vec<Track>, PublishError> {
        let folder = self.incoming.streams(recording.id);
        let mut tracks = Vec::new();
        for name in sorted_names(&folder)? {
            let Some(number) = name.strip_suffix(".track").and_then(|n| n.parse().ok()) else {
                continue;
            };
            let path = folder.join(&name);
            let wanted = recording
                .streams
                .iter()
                .find(|s| u32::from(s.number) == number)
                .cloned();
            // Of most tracks nothing is asked that the recording does not say.
            let is_asked = part > 1 || wanted.is_none();
            let (began, described) = is_asked.then(|| header(&path)).flatten().unzip();
            tracks.push(Track {
                number,
                path,
                stream: wanted.or(described.flatten()),
                began,
            });
        }
        tracks.sort_unstable_by_key(|track| track.number);
        Ok(tracks)
    }

    fn keeps(&self, report: &TrackReport) -> Keep {
        // What the audio does not hold is in the packets only.
        let is_unrendered = report.not_rendered_reason.is_some() && report.packets > 0
            || report.unplaced > 0
            || report.hidden_samples > 0
            || !report.damage.is_empty();
        match self.settings.keep_packets {
            KeepPackets::Always if is_unrendered => Keep::Yes,
            KeepPackets::Always if self.is_short_of_space() => Keep::NoSpace,
            KeepPackets::Always => Keep::Yes,
            KeepPackets::Unrendered if is_unrendered => Keep::Yes,
            KeepPackets::Unrendered | KeepPackets::Never => Keep::No,
        }
    }

    /// Whether what is not needed has to make room for what is.
    fn is_short_of_space(&self) -> bool {
        self.settings.when_critical == WhenCritical::DropPacketsFirst && self.is_disk_critical()
    }

    fn is_disk_critical(&self) -> bool {
        let critical = u16::from(self.settings.disk_critical_watermark) * 10;
        disk_used_permille(&self.settings.dir).is_ok_and(|it| it >= critical)
    }

    fn manifest(
        &self,
        (recording, part): (&Recording, u32),
        mut call: Call,
        plan: &RenderPlan,
        tracks: &[Track],
        (files, mut flags): (Vec<holdfast_manifest::File>, Vec<String>),
    ) -> Manifest {
        let streams = tracks.iter().zip(plan.reports()).map(|(track, report)| {
            let header = report.header.as_ref();
            let id = header
                .map(|header| header.stream)
                .or(track.stream.as_ref().map(|s| s.id));
            let mut stream = holdfast_manifest::Stream::new(track.number, id.unwrap_or_default());
            if let Some(wanted) = &track.stream {
                stream.label.clone_from(&wanted.label);
                stream.m_line = Some(u32::from(wanted.media_line));
                stream.media.clone_from(&wanted.media);
                stream.codecs.clone_from(&wanted.codecs);
                stream.srtp = wanted.srtp.as_ref().map(|it| it.suite.name().to_owned());
            }
            report.fill(&mut stream);
            stream
        });
        let streams: Vec<holdfast_manifest::Stream> = streams.collect();
        call.warnings
            .extend(streams.iter().filter_map(not_authentic));
        let end_reason = match recording.life {
            Life::Ended { reason, .. } => reason,
            Life::Active => holdfast_manifest::EndReason::Failure,
        };
        if plan.reports().iter().any(|report| report.dropped > 0) {
            flags.push("packets_dropped".to_owned());
        }
        if plan.is_decoded() {
            flags.push("decoded".to_owned());
        }
        if !call.warnings.is_empty() {
            flags.push("warnings".to_owned());
        }
        Manifest {
            format: holdfast_manifest::FORMAT,
            id: recording.id,
            part,
            state_sha256: state_sha256(recording),
            node: self.node.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: plan.started(),
            ended: plan.ended(),
            end_reason,
            duration_ms: plan.duration_ms(),
            call,
            streams,
            files,
            parts: Vec::new(),
            flags,
        }
    }

    fn durable_day(&self) -> MutexGuard<'_, PathBuf> {
        // It is a path and nothing else: whoever panicked has left a whole one.
        let day = self.durable_day.lock();
        day.unwrap_or_else(PoisonError::into_inner)
    }

    /// Renames the folder to its place, durably, and never over another.
    fn put_in_place(&self, made: &Path, folder: &Path) -> Result<(), PublishError> {
        let day = folder.parent().unwrap_or(folder);
        fs::create_dir_all(day).map_err(disk(day))?;
        renameat2(
            AT_FDCWD,
            made,
            AT_FDCWD,
            folder,
            RenameFlags::RENAME_NOREPLACE,
        )
        .map_err(|error| disk(folder)(error.into()))?;
        sync_folder_of(folder).map_err(disk(folder))?;
        // The day's folder and those above it may be new.
        if self.durable_day().as_path() != day {
            for path in day.ancestors().take(3) {
                sync_folder_of(path).map_err(disk(path))?;
            }
            day.clone_into(&mut self.durable_day());
        }
        Ok(())
    }
}

/// The documents, which are where they are to be.
fn documents(made: &Path) -> Result<Vec<holdfast_manifest::File>, PublishError> {
    let folder = made.join(METADATA);
    fs::create_dir_all(&folder).map_err(disk(&folder))?;
    let mut files = Vec::new();
    for name in sorted_names(&folder)? {
        let path = folder.join(&name);
        if is_beside(&path) {
            remove(&path)?;
        } else {
            files.push(hashed(made, &format!("{METADATA}/{name}"))?);
        }
    }
    Ok(files)
}

/// Makes all of a folder durable. The manifest comes first: it was written last, so with a journaling
/// file system what is said of the others is on disk together with it, and they cost little.
fn sync_folder(made: &Path, manifest: &Manifest) -> Result<(), PublishError> {
    sync(&made.join(holdfast_manifest::FILE_NAME))?;
    for file in &manifest.files {
        sync(&made.join(&file.name))?;
    }
    for folder in [METADATA, STREAMS] {
        let folder = made.join(folder);
        if folder.try_exists().map_err(disk(&folder))? {
            sync(&folder)?;
        }
    }
    sync(made)
}

/// Whether there is a file to be written: where nothing at all was received it is silence of the
/// right length, where only what is not rendered was received there is none.
fn is_audible(plan: &RenderPlan) -> bool {
    plan.has_audio() || plan.reports().iter().all(|report| report.packets == 0)
}

/// The time that the audio is of. A further part begins where its tracks do: what was before is in
/// the former ones.
fn times(recording: &Recording, part: u32, tracks: &[Track]) -> RecordingTime {
    let ended = match recording.life {
        Life::Ended { at, .. } => at.max(recording.started),
        Life::Active => recording.started,
    };
    let started = match part {
        1 => recording.started,
        _ => tracks
            .iter()
            .filter_map(|track| track.began)
            .min()
            .unwrap_or(ended),
    };
    RecordingTime {
        started: started.clamp(recording.started, ended),
        ended,
    }
}

/// What is to be known of a stream with packets that did not authenticate.
fn not_authentic(stream: &holdfast_manifest::Stream) -> Option<Warning> {
    let count = |reason| stream.refused.get(reason).copied().unwrap_or_default();
    let failed = count("srtp_authentication") + count("srtp_unknown_key");
    if failed == 0 {
        return None;
    }
    let (number, suite) = (stream.number, stream.srtp.as_deref().unwrap_or_default());
    let text = match stream.packets {
        0 => format!(
            "stream {number}: none of {failed} packets is authentic: the sender uses another key or \
             suite than was agreed on ({suite})"
        ),
        _ => format!("stream {number}: {failed} packets are not authentic, and not in the audio"),
    };
    Some(Warning {
        code: "srtp_not_authentic".to_owned(),
        text,
    })
}

/// SHA-256 of the final state of a recording.
fn state_sha256(recording: &Recording) -> String {
    hex(&Sha256::digest(holdfast_shard::encode_recording(recording)))
}

fn input(track: &Track) -> TrackInput<'_> {
    TrackInput {
        channel: track.stream.as_ref().map(|stream| stream.channel),
        // The track says itself what is negotiated, first of all.
        codecs: PayloadMap::new(),
        open: Box::new(move || {
            let file = File::open(&track.path)?;
            Ok(Box::new(file) as Box<dyn Read>)
        }),
    }
}

/// When a track was begun, and what its first record says of its stream: all that is known of one
/// that ended before the recording.
fn header(path: &Path) -> Option<(WallTime, Option<holdfast_control::Stream>)> {
    let mut reader = holdfast_track::RecordReader::new(File::open(path).ok()?);
    let record = reader.next().ok()??;
    let header = holdfast_track::StreamHeader::decode(record.payload).ok();
    let described = header.and_then(|it| holdfast_shard::decode_stream(&it.description));
    Some((record.arrival, described))
}

fn sum(folder: &Path, manifest: &Manifest) -> Published {
    Published {
        folder: folder.display().to_string(),
        packets: manifest.streams.iter().map(|stream| stream.packets).sum(),
        lost: manifest.streams.iter().map(|stream| stream.lost).sum(),
    }
}

#[cfg(test)]
mod tests;
