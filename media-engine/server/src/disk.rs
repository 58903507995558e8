//! The threads that may block: one a shard carries out its orders to the disk in their order, one
//! more waits for the disk to have them, and a few publish.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use holdfast_control::DocumentName;
use holdfast_shard::{DiskError, DiskOrder, DiskResult};
use holdfast_units::RecordingId;
use tracing::{error, warn};

use crate::incoming::{Incoming, replace_durably};
use crate::publish::Publisher;
use crate::track_files::TrackFiles;
use crate::troubles::Troubles;

/// Orders that may wait: the shard bounds what it has given, this only keeps it from waiting.
const ORDERS_MAX: usize = 64 * 1024;

/// One part in so many of the process's descriptors is for open tracks: a stream has two sockets.
const TRACKS_PART: u64 = 4;

/// A shard's end of its disk threads.
pub struct Disk {
    pub orders: Sender<DiskOrder>,
    pub results: Receiver<DiskResult>,
}

/// What the publishing threads do.
pub enum PublishJob {
    Publish {
        recording: RecordingId,
        results: Sender<DiskResult>,
    },
    /// Deletes a folder that is no recording's any more.
    Delete { folder: PathBuf },
}

enum SyncJob {
    Sync,
    SaveCheckpoint(Vec<u8>),
}

/// Starts the two disk threads of a shard. They end when the shard drops its end.
pub fn start(
    shard: usize,
    shards: u64,
    incoming: &Incoming,
    checkpoint: PathBuf,
    publish: &Sender<PublishJob>,
    troubles: &Troubles,
) -> std::io::Result<Disk> {
    let (orders, order_queue) = bounded(ORDERS_MAX);
    // As many results as orders, so a bound on these bounds those.
    let (result_queue, results) = unbounded();
    let (sync, sync_queue) = bounded(4);
    let writer = Writer {
        incoming: incoming.clone(),
        tracks: RefCell::new(TrackFiles::new(incoming.clone(), TRACKS_PART * shards)),
        results: result_queue.clone(),
        sync,
        publish: publish.clone(),
        troubles: troubles.clone(),
        unwritten: RefCell::default(),
        unremoved: RefCell::default(),
    };
    let (incoming, troubles) = (incoming.clone(), troubles.clone());
    thread::Builder::new()
        .name(format!("disk-{shard}"))
        .spawn(move || order_queue.iter().for_each(|order| writer.carry_out(order)))?;
    thread::Builder::new()
        .name(format!("sync-{shard}"))
        .spawn(move || {
            for job in sync_queue {
                let result = match job {
                    SyncJob::Sync => {
                        let synced = told(incoming.sync());
                        if let Err(error) = &synced {
                            note_unsynced(&incoming, &troubles, error);
                        }
                        DiskResult::Synced(synced)
                    }
                    SyncJob::SaveCheckpoint(bytes) => {
                        DiskResult::CheckpointSaved(told(replace_durably(&checkpoint, &bytes)))
                    }
                };
                // The shard is gone only when the process ends.
                let _ = result_queue.send(result);
            }
        })?;
    Ok(Disk { orders, results })
}

/// The disk does not say which file it failed for, and may take what failed for written the next time.
/// So every recording in progress has to say it; where a track is damaged, its checksums tell.
fn note_unsynced(incoming: &Incoming, troubles: &Troubles, error: &DiskError) {
    // Where not even that can be read, the recordings' own writes fail too.
    for recording in incoming.list().unwrap_or_default() {
        troubles.note(recording, &error.0);
    }
}

/// Starts the publishing threads. They end when nobody can give them a job any more.
pub fn start_publishers(
    count: u32,
    publisher: &Publisher,
) -> std::io::Result<(Sender<PublishJob>, Vec<thread::JoinHandle<()>>)> {
    let (jobs, queue) = unbounded::<PublishJob>();
    let mut threads = Vec::new();
    for index in 0..count {
        let (queue, publisher) = (queue.clone(), publisher.clone());
        let body = move || queue.iter().for_each(|job| run(&publisher, job));
        threads.push(
            thread::Builder::new()
                .name(format!("publish-{index}"))
                .spawn(body)?,
        );
    }
    Ok((jobs, threads))
}

fn run(publisher: &Publisher, job: PublishJob) {
    match job {
        PublishJob::Publish { recording, results } => {
            let _call = publisher.enter_call(recording);
            let result = publisher.publish(recording).map_err(|failure| {
                error!(%recording, error = %chain(&failure), "a recording could not be published");
                publisher.note_trouble(recording, &failure);
                DiskError(chain(&failure))
            });
            // The shard is gone only when the process ends; the recording is found at the next start.
            let _ = results.send(DiskResult::Published { recording, result });
        }
        PublishJob::Delete { folder } => {
            if let Err(error) = fs::remove_dir_all(&folder) {
                warn!(folder = %folder.display(), %error, "it stays until the next start");
            }
        }
    }
}

struct Writer {
    incoming: Incoming,
    tracks: RefCell<TrackFiles>,
    results: Sender<DiskResult>,
    sync: Sender<SyncJob>,
    publish: Sender<PublishJob>,
    troubles: Troubles,
    /// What could not be written and was not ordered again since. Nothing is published without it.
    unwritten: RefCell<BTreeSet<(RecordingId, Part)>>,
    /// Recordings whose folder could not be moved away. One that comes under their id must not be
    /// mixed with it.
    unremoved: RefCell<BTreeSet<RecordingId>>,
}

/// What of a recording an order writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    State,
    Document(DocumentName),
    Track { number: u16, offset: u64 },
}

impl Writer {
    fn carry_out(&self, order: DiskOrder) {
        let result = match order {
            DiskOrder::SaveState { recording, bytes } => {
                let save = || self.incoming.save_state(recording, &bytes);
                let saved = self.write(recording, Part::State, save);
                saved
                    .err()
                    .map(|error| DiskResult::WriteFailed { recording, error })
            }
            DiskOrder::WriteDocument {
                recording,
                name,
                bytes,
            } => {
                let write = || self.incoming.write_document(recording, &name, &bytes);
                let written = self.write(recording, Part::Document(name.clone()), write);
                let failed = |error| DiskResult::DocumentFailed {
                    recording,
                    name,
                    bytes,
                    error,
                };
                written.err().map(failed)
            }
            DiskOrder::WriteTrack {
                recording,
                number,
                slot,
                offset,
                bytes,
            } => {
                let mut tracks = self.tracks.borrow_mut();
                let write = || tracks.write(recording, number, offset, &bytes);
                let result = self.write(recording, Part::Track { number, offset }, write);
                Some(DiskResult::TrackWritten {
                    slot,
                    recording,
                    offset,
                    bytes,
                    result,
                })
            }
            DiskOrder::Publish { recording } => self.publish(recording),
            DiskOrder::Remove { recording } => {
                self.troubles.forget(recording);
                self.tracks.borrow_mut().close(recording);
                self.unwritten
                    .borrow_mut()
                    .retain(|(of, _)| *of != recording);
                let _call = self.incoming.enter_call(recording);
                if let Err(error) = self.remove(recording) {
                    error!(%recording, %error, "what is left of a recording stays for now");
                }
                None
            }
            DiskOrder::Sync => return pass(&self.sync, SyncJob::Sync),
            DiskOrder::SaveCheckpoint { bytes } => {
                return pass(&self.sync, SyncJob::SaveCheckpoint(bytes));
            }
        };
        if let Some(result) = result {
            pass(&self.results, result);
        }
    }

    /// Writes something, and remembers whether it is still to be written.
    fn write(
        &self,
        recording: RecordingId,
        part: Part,
        write: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), DiskError> {
        let is_in_the_way = self.unremoved.borrow().contains(&recording);
        let cleared = if is_in_the_way {
            self.remove(recording)
        } else {
            Ok(())
        };
        let result = told(cleared.and_then(|()| write()));
        let mut unwritten = self.unwritten.borrow_mut();
        if let Err(error) = &result {
            self.troubles.note(recording, &error.0);
            unwritten.insert((recording, part));
        } else if !unwritten.is_empty() {
            unwritten.remove(&(recording, part));
        }
        result
    }

    fn publish(&self, recording: RecordingId) -> Option<DiskResult> {
        self.tracks.borrow_mut().close(recording);
        let unwritten = self.unwritten.borrow();
        if unwritten.iter().any(|(of, _)| *of == recording) {
            let error = DiskError("something of it could not be written yet".into());
            let result = Err(error);
            return Some(DiskResult::Published { recording, result });
        }
        let results = self.results.clone();
        pass(&self.publish, PublishJob::Publish { recording, results });
        None
    }

    /// Moves the folder of a recording away, at once and in the order of what is written; the
    /// deleting may wait behind a long rendering.
    fn remove(&self, recording: RecordingId) -> io::Result<()> {
        match self.incoming.move_away(recording) {
            Ok(moved) => {
                self.unremoved.borrow_mut().remove(&recording);
                if let Some(folder) = moved {
                    pass(&self.publish, PublishJob::Delete { folder });
                }
                Ok(())
            }
            Err(error) => {
                self.unremoved.borrow_mut().insert(recording);
                Err(error)
            }
        }
    }
}

/// Hands something on. Where nobody takes it the process is ending, and what is not written is in the
/// journal.
fn pass<T>(to: &Sender<T>, what: T) {
    let _ = to.send(what);
}

fn told<T>(result: std::io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|error| DiskError(error.to_string()))
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
