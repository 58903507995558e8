//! How an assembly goes on with what an earlier process left.
//!
//! ```text
//!   restore_recording*, restore_stream* ─▶ handle_record* ─▶ finish_restoring
//!                                                             ─▶ end_recording* ─▶ handle_outage
//! ```
//!
//! A state file and a stream's checkpoint may already know what the replay is still to tell, and a
//! state file that was not durable may be missing or not read: then the journal has all that it
//! said.

use holdfast_control::{Life, Recording};
use holdfast_journal::{Lsn, RecordRef};
use holdfast_units::{StreamId, WallTime};

use super::{AssembledRecording, Assembly, Phase};
use crate::assembled::{AssembledStream, LiveCounts};
use crate::records;

impl Assembly {
    /// Begins to go on with a recording of an earlier process, by its state file.
    pub fn restore_recording(&mut self, saved: Recording) {
        let restored = AssembledRecording {
            desired: saved.clone(),
            phase: Phase::Restored,
            slots: Vec::new(),
            saved: Some(Box::new(saved)),
        };
        self.recordings.insert(restored.desired.id, restored);
    }

    /// Begins to go on with a stream of an earlier process. Its recording is restored before, or
    /// the journal has it; if neither, the stream is forgotten at the end.
    pub fn restore_stream(&mut self, stream: AssembledStream) {
        self.insert_stream(stream);
    }

    /// Ends the restoring: the journal has been replayed. What had ended is published.
    pub fn finish_restoring(&mut self) {
        self.documents.give_up();
        for slot in std::mem::take(&mut self.unowned) {
            self.free_slot(slot);
        }
        for known in self.recordings.values_mut() {
            if let Some(saved) = known.saved.take() {
                // Newer than the journal only where that has been damaged.
                if known.phase == Phase::Restored || saved.revision > known.desired.revision {
                    known.desired = *saved;
                    known.phase = match known.desired.life {
                        Life::Active => Phase::Active,
                        Life::Ended { .. } => Phase::Finishing,
                    };
                }
            }
            if known.phase == Phase::Active {
                // A stream that nothing is left of has to be begun anew, as another one.
                let streams = &self.index_by_stream;
                known
                    .desired
                    .streams
                    .retain(|s| streams.contains_key(&s.id));
            }
        }
        let ended: Vec<_> = self.in_phase(Phase::Finishing).collect();
        for recording in ended {
            self.finish_if_written(recording);
        }
    }

    /// Ends a recording that cannot go on here. The journal does not know it, so the state that is
    /// ordered to be saved must be replaced durably: were it torn, nothing would have the former.
    pub fn end_recording(
        &mut self,
        ended: Recording,
        at: Lsn,
        now: WallTime,
        live: &mut dyn FnMut(&AssembledStream) -> LiveCounts,
    ) {
        let note = RecordRef {
            lsn: at,
            kind: records::RECORDING,
            flags: 0,
            source: 0,
            stream: StreamId(0),
            arrival: now,
            payload: &[],
        };
        self.handle_recording(ended, &note, live);
    }

    /// Takes over the recordings of a shard that is no more. All of them have ended, and all of
    /// their tracks are written.
    pub fn adopt(&mut self, other: Self) {
        for (id, mut recording) in other.recordings {
            recording.slots.clear();
            recording.phase = Phase::Publishing;
            self.recordings.insert(id, recording);
        }
    }
}
