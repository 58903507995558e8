//! Requests of the peer, from their arrival to their answer.

use std::sync::Arc;
use std::time::Duration;

use holdfast_units::MonoTime;

use super::event::{CancelCause, DialogId, Event, GoneCause, Owner, ServerTx};
use super::gate::{Gate, Verdict};
use super::keys::{MergeKey, ServerKey};
use super::{Endpoint, Origin, ReplyRoute, TimerKey};
use crate::Bytes;
use crate::dialog::{DialogKey, Phase};
use crate::entropy::{Entropy, token};
use crate::limits::INVITE_UNANSWERED_MAX;
use crate::message::{Method, Reply, Request, Status};
use crate::transaction::{
    Reliability, Server, ServerInput, ServerInvite, ServerInviteEffect, ServerInviteInput,
};

/// A request of the peer and what became of it.
#[derive(Debug)]
pub(super) struct ServerEntry {
    pub(super) key: ServerKey,
    merge: Option<MergeKey>,
    pub(super) machine: Machine,
    /// As long as an answer may be made of it: with thousands of transactions that only wait for copies,
    /// it would be most of what they take.
    pub(super) request: Option<Arc<Request>>,
    pub(super) origin: Origin,
    /// Our tag, the same in all responses (RFC 3261 §8.2.6.2).
    pub(super) local_tag: String,
    pub(super) top_via: String,
    pub(super) route: ReplyRoute,
    pub(super) dialog: Option<DialogId>,
    /// An INVITE outside of a dialog that the layer above has to decide on.
    is_undecided: bool,
}

#[derive(Debug)]
pub(super) enum Machine {
    Invite(ServerInvite),
    Other(Server),
}

impl ServerEntry {
    pub(super) const fn is_proceeding(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_proceeding(),
            Machine::Other(machine) => machine.is_proceeding(),
        }
    }

    pub(super) const fn is_invite(&self) -> bool {
        matches!(self.machine, Machine::Invite(_))
    }
}

impl Endpoint {
    /// Steps 2 to 8 of the order of processing (RFC 3261 §8.2). Who sent it is asked before anything
    /// of it is kept.
    pub(super) fn handle_request(
        &mut self,
        now: MonoTime,
        origin: Origin,
        request: Request,
        rng: &mut dyn Entropy,
        gate: &mut dyn Gate,
    ) {
        let key = ServerKey::of(&request);
        if let Some(tx) = self.server_by_key.get(&key).copied() {
            self.handle_copy(now, tx, request);
            return;
        }
        // The ACK of a peer that predates branches looks like its INVITE.
        if *request.method() != Method::Ack && self.answer_again(now, origin, &key, &request) {
            return;
        }
        let (flow, source) = origin;
        let dialog = DialogKey::of_request(&request).and_then(|key| self.dialog_by_key(&key));
        match gate.judge(now, flow, &source, &request, dialog) {
            Verdict::Pass => {}
            Verdict::Answer(reply) => {
                return self.reply_statelessly(origin, request.headers(), None, *reply);
            }
            Verdict::Ignore => return,
        }
        match request.method() {
            // An ACK that no transaction knows is that of a 2xx, or a stray one.
            Method::Ack => return self.handle_ack(now, request),
            Method::Cancel => return self.handle_cancel(now, origin, &request),
            _ => {}
        }
        if self.is_full() {
            self.refuse_overload(origin, request.headers());
            return;
        }
        let tx = self.open_server(now, origin, request, rng);
        let Some(request) = self.servers.get(&tx).and_then(|it| it.request.clone()) else {
            return;
        };
        if let Some(key) = DialogKey::of_request(&request) {
            match self.dialog_by_key(&key) {
                Some(dialog) => self.handle_in_dialog(now, tx, dialog, &request, rng),
                None => self.reject(now, tx, Status::NO_SUCH_DIALOG),
            }
        } else {
            self.handle_outside(now, tx, &request, origin);
        }
    }

    fn open_server(
        &mut self,
        now: MonoTime,
        origin: Origin,
        request: Request,
        rng: &mut dyn Entropy,
    ) -> ServerTx {
        let (flow, source) = origin;
        let tx = ServerTx(self.number());
        let timers = self.config.timers;
        let reliability = match source.transport.is_reliable() {
            true => Reliability::Reliable,
            false => Reliability::Unreliable,
        };
        let machine = if *request.method() == Method::Invite {
            let expires = request.headers().expires().filter(|seconds| *seconds > 0);
            let expires = expires.map(|seconds| Duration::from_secs(u64::from(seconds)));
            let patience = expires
                .unwrap_or(INVITE_UNANSWERED_MAX)
                .min(INVITE_UNANSWERED_MAX);
            Machine::Invite(ServerInvite::new(now, timers, reliability, now + patience))
        } else {
            Machine::Other(Server::new(now, timers, reliability))
        };
        let key = ServerKey::of(&request);
        let via = request.via();
        let address = via.response_address(source.transport, source.remote);
        let entry = ServerEntry {
            merge: None,
            machine,
            origin,
            local_tag: request
                .to()
                .tag()
                .map_or_else(|| token::<8>(rng), str::to_owned),
            top_via: via.stamped(source.remote),
            route: ReplyRoute {
                flow,
                transport: source.transport,
                address,
                local: source.local,
            },
            dialog: None,
            is_undecided: false,
            key: key.clone(),
            request: Some(Arc::new(request)),
        };
        self.server_by_key.insert(key, tx);
        self.servers.insert(tx, entry);
        self.settle_server(tx);
        tx
    }

    fn handle_outside(
        &mut self,
        now: MonoTime,
        tx: ServerTx,
        request: &Arc<Request>,
        origin: Origin,
    ) {
        if let Some(refusal) = self.refusal(request) {
            self.send_reply(now, tx, &refusal);
            return;
        }
        // RFC 3261 §8.2.2.2: the same request by another way.
        let merge = MergeKey::of(request);
        if merge
            .as_ref()
            .is_some_and(|merge| self.server_by_merge.contains_key(merge))
        {
            self.reject(now, tx, Status::LOOP_DETECTED);
            return;
        }
        if let Some(merge) = merge {
            self.server_by_merge.insert(merge.clone(), tx);
            if let Some(entry) = self.servers.get_mut(&tx) {
                entry.merge = Some(merge);
            }
        }
        let (request, source) = (request.clone(), origin.1);
        match request.method() {
            Method::Invite => {
                if self.dialogs.len() + self.undecided >= self.config.limits.dialogs_max {
                    let reply = self.unavailable();
                    self.send_reply(now, tx, &reply);
                    return;
                }
                if let Some(entry) = self.servers.get_mut(&tx) {
                    entry.is_undecided = true;
                    self.undecided += 1;
                }
                self.emit(Event::Invite {
                    tx,
                    request,
                    source,
                });
            }
            Method::Options => {
                self.emit(Event::Options {
                    tx,
                    dialog: None,
                    request,
                    source,
                });
            }
            // All others only mean something in a dialog.
            _ => self.reject(now, tx, Status::NO_SUCH_DIALOG),
        }
    }

    /// Why a request is refused before anybody looks at what it is about: method, Request-URI,
    /// Require (RFC 3261 §8.2.1, §8.2.2.1, §8.2.2.3).
    pub(super) fn refusal(&self, request: &Request) -> Option<Reply> {
        let method = request.method();
        if !self.config.allow.contains(method) {
            let status = match method.is_known() {
                true => Status::METHOD_NOT_ALLOWED,
                false => Status::NOT_IMPLEMENTED,
            };
            return Some(Reply::new(status).header("Allow", self.config.allow_value()));
        }
        if !request.uri().is_sip() && request.uri().scheme() != "tel" {
            return Some(Reply::new(Status::UNSUPPORTED_SCHEME));
        }
        let is_unknown = |tag: &&str| {
            !self
                .config
                .understood
                .iter()
                .any(|known| known.eq_ignore_ascii_case(tag))
        };
        let unknown: Vec<_> = request
            .headers()
            .list("Require")
            .filter(is_unknown)
            .collect();
        if unknown.is_empty() {
            return None;
        }
        Some(Reply::new(Status::BAD_EXTENSION).header("Unsupported", unknown.join(", ")))
    }

    fn handle_copy(&mut self, now: MonoTime, tx: ServerTx, request: Request) {
        let Some(entry) = self.servers.get_mut(&tx) else {
            return;
        };
        let is_ack = *request.method() == Method::Ack;
        match &mut entry.machine {
            Machine::Invite(machine) => {
                let input = if is_ack {
                    ServerInviteInput::Ack
                } else {
                    ServerInviteInput::Invite
                };
                let effect = machine.handle(now, input);
                let passes = effect == ServerInviteEffect::PassAck;
                self.apply_invite(now, tx, effect);
                if passes {
                    self.handle_ack(now, request);
                }
            }
            Machine::Other(machine) => {
                let effect = machine.handle(now, ServerInput::Request);
                self.apply_other(now, tx, effect);
            }
        }
    }

    /// RFC 3261 §9.2. The answer is always the same, so that nothing needs to be remembered.
    fn handle_cancel(&mut self, now: MonoTime, origin: Origin, request: &Request) {
        let Some(tx) = self
            .server_by_key
            .get(&ServerKey::of_cancelled(request))
            .copied()
        else {
            let reply = Reply::new(Status::NO_SUCH_DIALOG);
            return self.reply_statelessly(origin, request.headers(), None, reply);
        };
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let (tag, is_proceeding) = (entry.local_tag.clone(), entry.is_proceeding());
        let reply = Reply::new(Status::OK);
        self.reply_statelessly(origin, request.headers(), Some(&tag), reply);
        if is_proceeding {
            self.cancel(now, tx, CancelCause::Cancelled);
        }
    }

    /// Answers 487 in place of the layer above, and says so where that had an INVITE.
    pub(super) fn cancel(&mut self, now: MonoTime, tx: ServerTx, cause: CancelCause) {
        let is_invite = self.servers.get(&tx).is_some_and(ServerEntry::is_invite);
        self.reject(now, tx, Status::REQUEST_TERMINATED);
        if is_invite {
            self.emit(Event::Cancelled { tx, cause });
        }
    }

    pub(super) fn transmit_reply(&mut self, tx: ServerTx, bytes: Bytes) {
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let target = self.reply_target(&entry.route);
        self.transmit(target, bytes, Owner::Server(tx));
    }

    pub(super) fn expire_server(&mut self, now: MonoTime, tx: ServerTx) {
        let Some(entry) = self.servers.get_mut(&tx) else {
            return;
        };
        match &mut entry.machine {
            Machine::Invite(machine) => {
                let effect = machine.handle_timeout(now);
                self.apply_invite(now, tx, effect);
            }
            Machine::Other(machine) => {
                let effect = machine.handle_timeout(now);
                self.apply_other(now, tx, effect);
            }
        }
    }

    pub(super) fn fail_server(&mut self, now: MonoTime, tx: ServerTx) {
        let Some(entry) = self.servers.get_mut(&tx) else {
            return;
        };
        match &mut entry.machine {
            // RFC 6026 §7.1: the state stays, or a copy of the INVITE would be a new call.
            Machine::Invite(_) => {}
            Machine::Other(machine) => {
                let effect = machine.handle(now, ServerInput::TransportError);
                self.apply_other(now, tx, effect);
            }
        }
    }

    /// Sets the deadline of a transaction, or forgets it.
    pub(super) fn settle_server(&mut self, tx: ServerTx) {
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let (deadline, is_over) = match &entry.machine {
            Machine::Invite(machine) => (machine.poll_timeout(), machine.is_terminated()),
            Machine::Other(machine) => (machine.poll_timeout(), machine.is_terminated()),
        };
        self.deadlines.set(TimerKey::Server(tx), deadline);
        if is_over {
            self.forget_server(tx);
        }
    }

    pub(super) fn forget_server(&mut self, tx: ServerTx) {
        self.deadlines.set(TimerKey::Server(tx), None);
        if let Some(entry) = self.servers.remove(&tx) {
            self.server_by_key.remove(&entry.key);
            if let Some(merge) = entry.merge {
                self.server_by_merge.remove(&merge);
            }
            if entry.is_undecided {
                self.undecided = self.undecided.saturating_sub(1);
            }
        }
    }

    /// No further answer is made of a request.
    pub(super) fn drop_request(&mut self, tx: ServerTx) {
        if let Some(entry) = self.servers.get_mut(&tx) {
            entry.request = None;
        }
    }

    /// The INVITE no longer counts towards the dialogs to come.
    pub(super) fn decided(&mut self, tx: ServerTx) {
        if let Some(entry) = self.servers.get_mut(&tx).filter(|entry| entry.is_undecided) {
            entry.is_undecided = false;
            self.undecided = self.undecided.saturating_sub(1);
        }
    }

    /// What a final answer means for the dialog of the request.
    pub(super) fn finish_in_dialog(&mut self, now: MonoTime, tx: ServerTx, status: Status) {
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let Some(id) = entry.dialog else { return };
        let Some(request) = entry.request.clone() else {
            return;
        };
        let made_it = entry.is_invite() && request.to().tag().is_none();
        self.release_pending(id, tx);
        if *request.method() == Method::Bye {
            self.remove_dialog(now, id, GoneCause::ByeReceived);
        } else if made_it && status.is_failure() {
            // A BYE that the layer above has yet to answer ends the dialog instead.
            if self
                .dialog(id)
                .is_some_and(|dialog| dialog.phase == Phase::Early)
            {
                self.remove_dialog(now, id, GoneCause::NotAccepted);
            }
        } else if status.is_success() {
            self.refresh_by(id, &request);
        }
    }
}
