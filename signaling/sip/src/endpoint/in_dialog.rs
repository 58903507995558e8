//! Requests of the peer in a dialog (RFC 3261 §12.2.2, §14.2, §15.1.2; RFC 3311 §5.2).

use std::sync::Arc;

use holdfast_units::MonoTime;

use super::Endpoint;
use super::event::{CancelCause, DialogId, Event, ServerTx};
use crate::dialog::{DialogKey, Phase};
use crate::entropy::{Entropy, up_to};
use crate::limits::{DIALOG_PENDING_MAX, UNCONFIRMED_MAX};
use crate::message::{Method, Reply, Request, Status};

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// One of the peer's own is unanswered: 500 and Retry-After.
    Theirs,
    /// One of ours is unanswered: 491.
    Ours,
}

impl Endpoint {
    pub(super) fn handle_in_dialog(
        &mut self,
        now: MonoTime,
        tx: ServerTx,
        id: DialogId,
        request: &Arc<Request>,
        rng: &mut dyn Entropy,
    ) {
        let Some(server) = self.servers.get_mut(&tx) else {
            return;
        };
        let (flow, source) = server.origin;
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        let method = request.method();
        if entry.dialog.phase == Phase::Terminating && *method != Method::Bye {
            return self.reject(now, tx, Status::NO_SUCH_DIALOG);
        }
        // RFC 3261 §12.2.2: "If the remote sequence number was not empty, but the sequence number
        // of the request is lower than the remote sequence number, the request is out of order
        // and MUST be rejected with a 500 (Server Internal Error) response."
        if entry.dialog.take_cseq(request.cseq().number).is_err() {
            return self.reject(now, tx, Status::SERVER_ERROR);
        }
        entry.dialog.follow(flow, &source);
        if *method == Method::Prack {
            // RFC 3262 §3: no provisional answer of ours was reliable, so this acknowledges none. "If
            // it does not match [...], the UAS MUST respond to the PRACK with a 481 response."
            return self.reject(now, tx, Status::NO_SUCH_DIALOG);
        }
        if let Some(refusal) = self.refusal(request) {
            return self.send_reply(now, tx, &refusal);
        }
        match self.overlap(id, request) {
            Some(Overlap::Theirs) => {
                let seconds = up_to(rng, 10);
                let reply =
                    Reply::new(Status::SERVER_ERROR).header("Retry-After", seconds.to_string());
                return self.send_reply(now, tx, &reply);
            }
            Some(Overlap::Ours) => return self.reject(now, tx, Status::REQUEST_PENDING),
            None => {}
        }
        let request = request.clone();
        let dialog = id;
        match request.method() {
            Method::Bye => {
                self.end_by_peer(now, id);
                self.pend(tx, id);
                self.emit(Event::Bye {
                    tx,
                    dialog,
                    request,
                    source,
                });
            }
            Method::Invite => {
                self.pend(tx, id);
                self.emit(Event::Reinvite {
                    tx,
                    dialog,
                    request,
                    source,
                });
            }
            Method::Update => {
                self.pend(tx, id);
                self.emit(Event::Update {
                    tx,
                    dialog,
                    request,
                    source,
                });
            }
            Method::Options => {
                self.pend(tx, id);
                self.emit(Event::Options {
                    tx,
                    dialog: Some(id),
                    request,
                    source,
                });
            }
            _ => {
                self.pend(tx, id);
                self.emit(Event::InDialogOther {
                    tx,
                    dialog,
                    request,
                    source,
                });
            }
        }
    }

    fn overlap(&self, id: DialogId, request: &Request) -> Option<Overlap> {
        let entry = self.dialogs.get(&id)?;
        let method = request.method();
        if *method == Method::Bye {
            return self
                .is_pending(id, &[Method::Bye])
                .then_some(Overlap::Theirs);
        }
        if entry.pending.len() >= DIALOG_PENDING_MAX {
            return Some(Overlap::Theirs);
        }
        if *method == Method::Invite {
            // §14.2: "A UAS that receives a second INVITE before it sends the final response to a
            // first INVITE with a lower CSeq sequence number on the same dialog MUST return a 500
            // (Server Internal Error) response to the second INVITE and MUST include a
            // Retry-After header field with a randomly chosen value of between 0 and 10 seconds."
            let is_crowded = entry.unconfirmed.len() >= UNCONFIRMED_MAX;
            if is_crowded || self.is_pending(id, &[Method::Invite]) {
                return Some(Overlap::Theirs);
            }
            // "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that
            // dialog is in progress MUST return a 491 (Request Pending) response".
            return entry.invite_client.map(|_| Overlap::Ours);
        }
        if *method == Method::Update {
            // RFC 3311 §5.2, with an offer or without.
            if self.is_pending(id, &[Method::Update]) {
                return Some(Overlap::Theirs);
            }
            if request.has_sdp() {
                if entry.offer_client.is_some() {
                    return Some(Overlap::Ours);
                }
                if self.is_pending(id, &[Method::Invite]) {
                    return Some(Overlap::Theirs);
                }
            }
        }
        None
    }

    fn is_pending(&self, id: DialogId, methods: &[Method]) -> bool {
        let Some(entry) = self.dialogs.get(&id) else {
            return false;
        };
        entry.pending.iter().any(|tx| {
            self.servers
                .get(tx)
                .and_then(|entry| entry.request.as_ref())
                .is_some_and(|request| methods.contains(request.method()))
        })
    }

    /// A BYE has come: RFC 3261 §15.1.2: "The UAS MUST still respond to any pending requests
    /// received for that dialog. It is RECOMMENDED that a 487 (Request Terminated) response be
    /// generated to those pending requests."
    fn end_by_peer(&mut self, now: MonoTime, id: DialogId) {
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        entry.dialog.phase = Phase::Terminating;
        // It has the 2xx, or does not want it any more; and our own BYE is not needed.
        entry.unconfirmed.clear();
        if let Some(deferred) = entry.deferred_bye.take() {
            entry.clients.remove(&deferred.client);
        }
        let pending: Vec<_> = entry.pending.iter().copied().collect();
        self.settle_dialog(id);
        for tx in pending {
            self.cancel(now, tx, CancelCause::DialogEnded);
        }
    }

    /// An ACK that is not that of a failure: stops the 2xx and may carry the answer.
    pub(super) fn handle_ack(&mut self, now: MonoTime, request: Request) {
        let Some(id) = DialogKey::of_request(&request).and_then(|key| self.dialog_by_key(&key))
        else {
            return; // RFC 3261 §17: a stray ACK is dropped.
        };
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        let cseq = request.cseq().number;
        let Some(at) = entry
            .unconfirmed
            .iter()
            .position(|waiting| waiting.cseq() == cseq)
        else {
            return; // A copy.
        };
        entry.unconfirmed.remove(at);
        if let Some(tx) = entry.accepted.take() {
            self.drop_request(tx);
        }
        self.settle_dialog(id);
        self.emit(Event::Ack {
            dialog: id,
            cseq,
            request: Arc::new(request),
        });
        self.send_deferred_bye(now, id);
    }
}
