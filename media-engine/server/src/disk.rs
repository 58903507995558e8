//! The threads that may block: one a shard carries out its orders to the disk in their order, one
//! more waits for the disk to have them, and a few publish.

use std::path::PathBuf;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use holdfast_shard::{DiskError, DiskOrder, DiskResult};
use holdfast_units::RecordingId;
use tracing::{error, warn};

use crate::incoming::{Incoming, replace_durably};
use crate::publish::Publisher;

/// Orders that may wait: the shard bounds what it has given, this only keeps it from waiting.
const ORDERS_MAX: usize = 64 * 1024;

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
    Remove {
        recording: RecordingId,
    },
}

enum SyncJob {
    Sync,
    SaveCheckpoint(Vec<u8>),
}

/// Starts the two disk threads of a shard. They end when the shard drops its end.
pub fn start(
    shard: usize,
    incoming: &Incoming,
    checkpoint: PathBuf,
    publish: &Sender<PublishJob>,
) -> std::io::Result<Disk> {
    let (orders, order_queue) = bounded(ORDERS_MAX);
    // As many results as orders, so a bound on these bounds those.
    let (result_queue, results) = unbounded();
    let (sync, sync_queue) = bounded(4);
    let writer = Writer {
        incoming: incoming.clone(),
        results: result_queue.clone(),
        sync,
        publish: publish.clone(),
    };
    let incoming = incoming.clone();
    thread::Builder::new()
        .name(format!("disk-{shard}"))
        .spawn(move || order_queue.iter().for_each(|order| writer.carry_out(order)))?;
    thread::Builder::new()
        .name(format!("sync-{shard}"))
        .spawn(move || {
            for job in sync_queue {
                let result = match job {
                    SyncJob::Sync => DiskResult::Synced(told(incoming.sync())),
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
            let result = publisher.publish(recording).map_err(|failure| {
                error!(%recording, error = %chain(&failure), "a recording could not be published");
                DiskError(chain(&failure))
            });
            // The shard is gone only when the process ends; the recording is found at the next start.
            let _ = results.send(DiskResult::Published { recording, result });
        }
        PublishJob::Remove { recording } => {
            if let Err(failure) = publisher.incoming().remove(recording) {
                warn!(%recording, error = %failure, "what is left of a recording stays");
            }
        }
    }
}

struct Writer {
    incoming: Incoming,
    results: Sender<DiskResult>,
    sync: Sender<SyncJob>,
    publish: Sender<PublishJob>,
}

impl Writer {
    fn carry_out(&self, order: DiskOrder) {
        let result = match order {
            DiskOrder::SaveState { recording, bytes } => {
                let saved = told(self.incoming.save_state(recording, &bytes));
                saved
                    .err()
                    .map(|error| DiskResult::WriteFailed { recording, error })
            }
            DiskOrder::WriteDocument {
                recording,
                name,
                bytes,
            } => {
                let written = told(self.incoming.write_document(recording, &name, &bytes));
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
                let result = told(self.incoming.write_track(recording, number, offset, &bytes));
                Some(DiskResult::TrackWritten {
                    slot,
                    recording,
                    offset,
                    bytes,
                    result,
                })
            }
            DiskOrder::Publish { recording } => {
                let results = self.results.clone();
                return pass(&self.publish, PublishJob::Publish { recording, results });
            }
            DiskOrder::Remove { recording } => {
                return pass(&self.publish, PublishJob::Remove { recording });
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
