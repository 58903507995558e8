//! The end of calls.

use holdfast_control::operator::Refusal;
use holdfast_manifest::EndReason;
use holdfast_sip::{Reply, Status};
use holdfast_units::RecordingId;

use super::call::{Asked, Call, Stage};
use super::output::{Notice, RefusedBecause};
use super::{Now, Recorder};

impl Recorder {
    /// Ends a call for the engine: its recording is published. The peer is told by the caller.
    pub(super) fn end_call(&mut self, now: Now, id: RecordingId, reason: EndReason) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
            return;
        };
        let ended = Stage::Ended {
            reason,
            at: now.wall,
        };
        let mut lost_callee = None;
        let mut unanswered: Vec<_> = call.queue.drain(..).map(|waiting| waiting.tx).collect();
        match std::mem::replace(&mut call.stage, ended) {
            // The engine knows these streams, not those of an empty session.
            Stage::Opening(exchange) => {
                match exchange.request {
                    Asked::Theirs(request) => {
                        self.call_by_tx.remove(&request.tx);
                        unanswered.push(request.tx);
                    }
                    Asked::Ours(_) if reason == EndReason::Failure => {
                        lost_callee = Some(Refusal::Unavailable);
                    }
                    Asked::Ours(_) => lost_callee = Some(Refusal::Ended),
                }
                call.facts = exchange.facts;
            }
            Stage::Up(exchange) => {
                unanswered.extend(exchange.and_then(|exchange| exchange.request.tx()));
            }
            Stage::Ended { .. } => {}
        }
        if !call.facts.state.snapshot_needs().is_empty() {
            let text = "partial metadata built on a document that never came";
            call.facts.warn(("metadata_incomplete", text));
        }
        call.facts.state.close(now.wall);
        call.sync.is_dirty = true;
        self.keeping.touch(id);
        let (call_id, peer) = (call.sip.call_id.clone(), call.sip.peer);
        self.deadlines.stop_all(id);
        if let Some(reason) = lost_callee {
            self.report(id, Err(reason));
        }
        for tx in unanswered {
            // Most have their answer already; nobody else gets one.
            let _ = self
                .endpoint
                .respond(now.mono, tx, &Reply::new(Status::REQUEST_TERMINATED));
        }
        self.notice(Notice::CallEnded {
            recording: id,
            call_id,
            peer,
            reason,
        });
        self.push_or_forget(now, id);
    }

    /// Ends a call and tells the peer.
    pub(super) fn hang_up(&mut self, now: Now, id: RecordingId, reason: EndReason, why: &str) {
        let dialog = self
            .calls
            .get(&id)
            .filter(|call| call.is_active())
            .and_then(|c| c.dialog);
        self.end_call(now, id, reason);
        if let Some(dialog) = dialog {
            self.say_bye(now, dialog, why);
        }
    }

    /// Ends all calls: the process is to stop.
    pub(super) fn end_all(&mut self, now: Now) {
        let active = self.calls.values().filter(|call| call.is_active());
        let ids: Vec<RecordingId> = active.map(|call| call.id).collect();
        self.withdraw_all(now);
        for id in ids {
            let is_opening = self
                .calls
                .get(&id)
                .is_some_and(|call| matches!(call.stage, Stage::Opening(_)));
            if is_opening {
                let refusal = self.unavailable(RefusedBecause::Stopping);
                self.refuse_opening(now, id, refusal, EndReason::Shutdown);
            } else {
                self.hang_up(
                    now,
                    id,
                    EndReason::Shutdown,
                    "the recorder is shutting down",
                );
            }
        }
    }

    /// A recording that the engine never heard of needs no end.
    fn push_or_forget(&mut self, now: Now, id: RecordingId) {
        match self.calls.get(&id) {
            Some(call) if call.sync.revision == 0 => drop(self.forget(now, id)),
            Some(_) => self.push(id),
            None => {}
        }
    }

    /// Forgets a recording and gives its ports back.
    pub(super) fn forget(&mut self, now: Now, id: RecordingId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.unsave(&call);
        self.deadlines.stop_all(id);
        for port in &call.sync.ports {
            self.ports.release(now.mono, *port);
        }
        Some(call)
    }
}
