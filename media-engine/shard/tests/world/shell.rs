//! The shell of the world: carries out what the shard asks for.

use holdfast_control::Life;
use holdfast_journal::Failure;
use holdfast_shard::{
    DiskError, DiskOrder, DiskResult, Output, Published, SavedRecording, ShardEvent,
};
use holdfast_units::RecordingId;

use super::files::{self, Files};
use super::journal::Op;
use super::tracks::Track;
use super::{Crash, Process, Sent, SyncJob, World};

fn failed<T>(faults: &mut u32, done: T) -> Result<T, DiskError> {
    if *faults > 0 {
        *faults -= 1;
        return Err(DiskError("no space left on device".into()));
    }
    Ok(done)
}

impl World {
    /// Carries out what the shard asks for, until it asks for nothing more.
    pub fn carry_out(&mut self) {
        while !self.is_burnt() {
            let Some(process) = &mut self.process else {
                return;
            };
            let Some(output) = process.shard.poll_output() else {
                return;
            };
            self.burn();
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output<Vec<u8>>) {
        let (now, wall) = (self.now, self.wall);
        let process = self.process.as_mut().expect("it has just asked");
        match output {
            Output::Journal(output) => process.journal_ops.push(self.journal.op(output)),
            Output::Disk(order) => process.orders.push_back(order),
            Output::Open {
                stream,
                rtp_port,
                rtcp_port,
                ..
            } => {
                let ports = if rtp_port == rtcp_port {
                    vec![rtp_port]
                } else {
                    vec![rtp_port, rtcp_port]
                };
                let is_taken =
                    |port: &u16| self.taken_ports.contains(port) || process.ports.contains(port);
                let result = match ports.iter().find(|port| is_taken(port)) {
                    Some(port) => Err(format!("port {port}: address in use")),
                    None => {
                        process.ports.extend(ports);
                        Ok(())
                    }
                };
                process.shard.handle_opened(now, wall, stream, result);
            }
            Output::Close { port } => {
                process.ports.remove(&port);
            }
            Output::Send {
                from_port,
                to,
                bytes,
            } => {
                if process.ports.contains(&from_port) {
                    self.sent.push(Sent {
                        at: now,
                        from_port,
                        to,
                        bytes,
                    });
                }
            }
            Output::Event(ShardEvent::Tell(message)) => self.told.push(message),
            Output::Event(ShardEvent::HeldDone) => self.held_done += 1,
            Output::Event(ShardEvent::Statistics(statistics)) => self.statistics = *statistics,
            Output::Notice(notice) => self.notices.push(notice),
        }
    }

    /// Does all that the disks are asked for, as far as they are not stalled.
    pub fn work_all(&mut self) {
        while self.work_one() {}
    }

    /// Does one thing of what the disks are asked for, by chance.
    pub fn work_one(&mut self) -> bool {
        if self.is_burnt() {
            return false;
        }
        let faults = &self.faults;
        let Some(process) = &self.process else {
            return false;
        };
        let journal = if faults.journal_stalls {
            0
        } else {
            process.journal_ops.len()
        };
        let orders = usize::from(!faults.disk_stalls && !process.orders.is_empty());
        let syncs = usize::from(!faults.syncs_stall && !process.syncs.is_empty());
        let publishing = process.publishing.len();
        let total = journal + orders + syncs + publishing;
        if total == 0 {
            return false;
        }
        self.burn();
        let pick = self.rng.index(total);
        if pick < journal {
            self.complete_journal(pick);
        } else if pick < journal + orders {
            self.carry_out_order();
        } else if pick < journal + orders + syncs {
            self.carry_out_sync();
        } else {
            self.carry_out_publish(pick - journal - orders - syncs);
        }
        true
    }

    pub fn complete_journal(&mut self, index: usize) {
        let process = self.process.as_mut().expect("it is up");
        let (ticket, op) = process.journal_ops.swap_remove(index);
        let fails = matches!(op, Op::Write { .. }) && self.faults.journal_writes > 0;
        let lies = self.faults.lies;
        let is_lie = matches!(op, Op::Sync { .. }) && lies > 0 && self.rng.chance(lies);
        let result = if is_lie {
            Ok(None)
        } else if fails {
            self.faults.journal_writes -= 1;
            let block = self.journal.interrupt(op, &mut self.rng);
            let error = std::io::ErrorKind::StorageFull;
            Err(Failure { block, error })
        } else {
            Ok(self.journal.perform(op))
        };
        process.shard.handle_journal(self.now, ticket, result);
        self.carry_out();
    }

    fn carry_out_order(&mut self) {
        let process = self.process.as_mut().expect("it is up");
        let Some(order) = process.orders.pop_front() else {
            return;
        };
        match order {
            DiskOrder::Publish { recording } if process.unwritten.remove(&recording) => {
                let result = Err(DiskError("a file of it could not be written".into()));
                process
                    .results
                    .push_back(DiskResult::Published { recording, result });
            }
            DiskOrder::Publish { recording } => process.publishing.push(recording),
            DiskOrder::Sync => {
                let covered = self.files.changes();
                process.syncs.push_back(SyncJob::Sync { covered });
            }
            DiskOrder::SaveCheckpoint { bytes } => {
                process.syncs.push_back(SyncJob::SaveCheckpoint(bytes));
            }
            order => {
                let result = write(&mut self.files, &mut self.faults, order);
                process
                    .unwritten
                    .extend(result.as_ref().and_then(failed_of));
                process.results.extend(result);
            }
        }
    }

    fn carry_out_sync(&mut self) {
        let lies = self.faults.lies;
        let is_lie = lies > 0 && self.rng.chance(lies);
        let process = self.process.as_mut().expect("it is up");
        let result = match process.syncs.pop_front() {
            Some(SyncJob::Sync { covered }) => {
                let result = failed(&mut self.faults.syncs, ());
                if result.is_ok() && !is_lie {
                    self.files.sync(covered);
                }
                DiskResult::Synced(result)
            }
            Some(SyncJob::SaveCheckpoint(bytes)) => {
                let result = failed(&mut self.faults.checkpoints, ());
                if result.is_ok() && is_lie {
                    self.files.replace(files::CHECKPOINT, bytes);
                } else if result.is_ok() {
                    self.files.replace_durably(files::CHECKPOINT, bytes);
                }
                DiskResult::CheckpointSaved(result)
            }
            None => return,
        };
        process.results.push_back(result);
    }

    fn carry_out_publish(&mut self, index: usize) {
        let process = self.process.as_mut().expect("it is up");
        let recording = process.publishing.swap_remove(index);
        let result = failed(&mut self.faults.publishes, ()).and_then(|()| self.publish(recording));
        let process = self.process.as_mut().expect("it is up");
        process
            .results
            .push_back(DiskResult::Published { recording, result });
    }

    /// Makes a published recording, durably, unless there is one.
    fn publish(&mut self, recording: RecordingId) -> Result<Published, DiskError> {
        let told = |text: &str| DiskError(text.to_owned());
        if self.faults.unpublishable == Some(recording) {
            return Err(told("it cannot be rendered"));
        }
        let folder = files::published(recording);
        let is_new = self.files.below(&folder).next().is_none();
        if is_new {
            let state = self.files.read(&files::state(recording));
            let state = SavedRecording::decode(state.ok_or(told("no state"))?)
                .map_err(|error| told(&error.to_string()))?;
            if state.recording.life == Life::Active {
                return Err(told("its state says that it goes on"));
            }
            let from = files::folder(recording);
            let copies: Vec<_> = self
                .files
                .below(&from)
                .map(|(name, bytes)| (format!("{folder}{name}"), bytes.clone()))
                .collect();
            for (path, bytes) in copies {
                self.files.replace_durably(&path, bytes);
            }
            *self.published.entry(recording).or_default() += 1;
        }
        let tracks = self.files.below(&folder);
        let packets = tracks
            .filter(|(name, _)| name.ends_with(".track"))
            .map(|(_, bytes)| Track::read_damaged(bytes).0.packets.len() as u64)
            .sum();
        Ok(Published {
            folder,
            packets,
            lost: 0,
        })
    }

    /// What the end of a process makes of what was on its way.
    pub(super) fn interrupt(&mut self, mut process: Process, crash: Crash) {
        for (_, op) in process.journal_ops {
            let is_done = self.rng.chance(30);
            if is_done && crash == Crash::Kill {
                self.journal.perform(op);
            } else {
                self.journal.interrupt(op, &mut self.rng);
            }
        }
        // Each thread may have been in the middle of one job.
        if self.rng.chance(50)
            && let Some(order) = process.orders.pop_front()
        {
            if let DiskOrder::Remove { recording } = order {
                self.remove_some(recording);
            } else {
                let order = torn(order, &mut self.rng);
                write(&mut self.files, &mut super::Faults::default(), order);
            }
        }
        if self.rng.chance(50)
            && let Some(SyncJob::SaveCheckpoint(bytes)) = process.syncs.pop_front()
        {
            self.files.replace_durably(files::CHECKPOINT, bytes);
        }
        for recording in process.publishing {
            if self.rng.chance(30) {
                // Where it fails, the next start tries again.
                let _ = self.publish(recording);
            }
        }
    }

    /// A folder that was being removed.
    fn remove_some(&mut self, recording: RecordingId) {
        let folder = files::folder(recording);
        let names: Vec<String> = self
            .files
            .below(&folder)
            .map(|(name, _)| format!("{folder}{name}"))
            .collect();
        for path in names {
            if self.rng.chance(50) {
                self.files.remove_below(&path);
            }
        }
    }
}

/// The recording that a failure concerns.
fn failed_of(result: &DiskResult) -> Option<RecordingId> {
    match result {
        DiskResult::WriteFailed { recording, .. }
        | DiskResult::DocumentFailed { recording, .. }
        | DiskResult::TrackWritten {
            recording,
            result: Err(_),
            ..
        } => Some(*recording),
        DiskResult::TrackWritten { .. }
        | DiskResult::Published { .. }
        | DiskResult::Synced(_)
        | DiskResult::CheckpointSaved(_) => None,
    }
}

/// A write that the process's end cut short.
fn torn(order: DiskOrder, rng: &mut super::rng::Rng) -> DiskOrder {
    match order {
        DiskOrder::WriteTrack {
            recording,
            number,
            slot,
            offset,
            mut bytes,
        } => {
            bytes.truncate(rng.index(bytes.len() + 1));
            DiskOrder::WriteTrack {
                recording,
                number,
                slot,
                offset,
                bytes,
            }
        }
        order => order,
    }
}

/// Carries out an order that writes. Answers what the shard is told of it, if anything.
pub fn write(
    files: &mut Files,
    faults: &mut super::Faults,
    order: DiskOrder,
) -> Option<DiskResult> {
    match order {
        DiskOrder::SaveState { recording, bytes } => match failed(&mut faults.states, ()) {
            Ok(()) => {
                files.replace(&files::state(recording), bytes);
                None
            }
            Err(error) => Some(DiskResult::WriteFailed { recording, error }),
        },
        DiskOrder::WriteDocument {
            recording,
            name,
            bytes,
        } => match failed(&mut faults.documents, ()) {
            Ok(()) => {
                files.replace(&files::document(recording, name.as_str()), bytes);
                None
            }
            Err(error) => Some(DiskResult::DocumentFailed {
                recording,
                name,
                bytes,
                error,
            }),
        },
        DiskOrder::WriteTrack {
            recording,
            number,
            slot,
            offset,
            bytes,
        } => {
            let result = failed(&mut faults.tracks, ());
            if result.is_ok() {
                files.write(&files::track(recording, number), offset, bytes.clone());
            }
            Some(DiskResult::TrackWritten {
                slot,
                recording,
                offset,
                bytes,
                result,
            })
        }
        DiskOrder::Remove { recording } => {
            files.remove_below(&files::folder(recording));
            None
        }
        DiskOrder::Publish { .. } | DiskOrder::Sync | DiskOrder::SaveCheckpoint { .. } => None,
    }
}
