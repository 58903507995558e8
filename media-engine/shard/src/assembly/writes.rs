//! The assembly's orders to the disk, and what became of them.
//!
//! What could not be written is kept and ordered again, until it is. A recording is published when
//! everything of it is written.

use std::collections::BTreeSet;

use holdfast_control::DocumentName;
use holdfast_units::RecordingId;

use super::{Assembly, Finished, Phase};
use crate::disk::{DiskError, DiskOrder, DiskResult};
use crate::limits::PIECES_IN_FLIGHT_MAX;
use crate::track_writer::Piece;

/// What could not be written and waits to be ordered again.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// Streams with a piece that could not be written.
    slots: Vec<u32>,
    states: BTreeSet<RecordingId>,
    documents: Vec<(RecordingId, DocumentName, Vec<u8>)>,
}

impl Failed {
    fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.states.is_empty() && self.documents.is_empty()
    }

    fn concerns(&self, recording: RecordingId) -> bool {
        self.states.contains(&recording) || self.documents.iter().any(|(of, ..)| *of == recording)
    }

    pub(super) fn forget(&mut self, recording: RecordingId) {
        self.states.remove(&recording);
        self.documents.retain(|(of, ..)| *of != recording);
    }
}

impl Assembly {
    /// Orders what has gathered of a stream to be written.
    pub(super) fn flush(&mut self, index: u32) {
        let Some(Some(stream)) = self.streams.get_mut(index as usize) else {
            return;
        };
        if stream.track.is_empty() {
            return;
        }
        let spare = self.spare_pieces.pop().unwrap_or_default();
        if let Some(piece) = stream.track.take(spare) {
            let (recording, number) = (stream.recording, stream.desired.number);
            self.order_piece(recording, number, index, piece);
        }
    }

    /// A checkpoint flushes every stream once. What a disk that stalled made more of is not kept, nor what
    /// streams had that are gone.
    pub(super) fn spare_pieces_max(&self) -> usize {
        PIECES_IN_FLIGHT_MAX.min(self.streams.len() - self.free.len())
    }

    fn order_piece(&mut self, recording: RecordingId, number: u16, slot: u32, piece: Piece) {
        let Piece { offset, bytes } = piece;
        self.pieces_in_flight += 1;
        self.orders.push_back(DiskOrder::WriteTrack {
            recording,
            number,
            slot,
            offset,
            bytes,
        });
    }

    /// Takes the end of an order.
    pub fn handle_result(&mut self, result: DiskResult) -> Option<Finished> {
        match result {
            DiskResult::TrackWritten {
                slot,
                recording,
                offset,
                bytes,
                result,
            } => self.handle_written(slot, recording, Piece { offset, bytes }, result),
            DiskResult::WriteFailed { recording, error } => {
                self.failed.states.insert(recording);
                Some(Finished::Failed(recording, error))
            }
            DiskResult::DocumentFailed {
                recording,
                name,
                bytes,
                error,
            } => {
                self.failed.documents.push((recording, name, bytes));
                Some(Finished::Failed(recording, error))
            }
            DiskResult::Published { recording, result } => {
                let known = self.recordings.get_mut(&recording)?;
                if known.phase != Phase::Publishing {
                    return None;
                }
                Some(match result {
                    Ok(published) => {
                        known.phase = Phase::Published;
                        Finished::Published(recording, published)
                    }
                    Err(error) => {
                        known.phase = Phase::PublishFailed;
                        Finished::Failed(recording, error)
                    }
                })
            }
            // The checkpoint's.
            DiskResult::Synced(_) | DiskResult::CheckpointSaved(_) => None,
        }
    }

    fn handle_written(
        &mut self,
        slot: u32,
        recording: RecordingId,
        mut piece: Piece,
        result: Result<(), DiskError>,
    ) -> Option<Finished> {
        self.pieces_in_flight -= 1;
        let stream = self.streams.get_mut(slot as usize)?.as_mut()?;
        match result {
            Ok(()) => {
                stream.track.handle_written();
                let is_last = stream.is_ended && stream.track.is_clean();
                if self.spare_pieces.len() < self.spare_pieces_max() {
                    piece.bytes.clear();
                    self.spare_pieces.push(piece.bytes);
                }
                if is_last {
                    self.finish_if_written(recording);
                }
                None
            }
            Err(error) => {
                stream.track.handle_failed(piece);
                self.failed.slots.push(slot);
                Some(Finished::Failed(recording, error))
            }
        }
    }

    /// Tries once more what failed.
    pub fn retry(&mut self) {
        let Failed {
            slots,
            states,
            documents,
        } = std::mem::take(&mut self.failed);
        let mut written: BTreeSet<RecordingId> = documents.iter().map(|(of, ..)| *of).collect();
        for (recording, name, bytes) in documents {
            if self.documents.is_newest(recording, &name, &bytes) {
                self.orders.push_back(DiskOrder::WriteDocument {
                    recording,
                    name,
                    bytes,
                });
            }
        }
        for &recording in &states {
            self.save_state(recording);
        }
        for slot in slots {
            let Some(Some(stream)) = self.streams.get_mut(slot as usize) else {
                continue;
            };
            let (recording, number) = (stream.recording, stream.desired.number);
            if let Some(piece) = stream.track.take_failed() {
                self.order_piece(recording, number, slot, piece);
            }
        }
        written.extend(states);
        for recording in written {
            self.finish_if_written(recording);
        }
        let again: Vec<RecordingId> = self.in_phase(Phase::PublishFailed).collect();
        for recording in again {
            self.publish(recording);
        }
    }

    /// Whether something could not be written and waits to be tried again: meanwhile only the
    /// journal has it.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(super) fn finish_if_written(&mut self, recording: RecordingId) {
        let Some(known) = self.recordings.get(&recording) else {
            return;
        };
        let is_written = !self.failed.concerns(recording)
            && self.streams_of(recording).all(|s| s.track.is_clean());
        if known.phase == Phase::Finishing && is_written {
            self.publish(recording);
        }
    }

    fn publish(&mut self, recording: RecordingId) {
        self.set_phase(recording, Phase::Publishing);
        self.orders.push_back(DiskOrder::Publish { recording });
    }

    /// Orders to be published what a recovery found to be published: it does not do so itself.
    pub fn resume_publishing(&mut self) {
        let publishing: Vec<RecordingId> = self.in_phase(Phase::Publishing).collect();
        for recording in publishing {
            self.publish(recording);
        }
    }
}
