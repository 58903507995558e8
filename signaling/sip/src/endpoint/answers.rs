//! Answers to requests of the peer: worded, sent, and what they mean for transaction and dialog.

use holdfast_units::MonoTime;

use super::Endpoint;
use super::event::{CancelCause, DialogId, Owner, RespondError, ServerTx};
use super::servers::{Machine, ServerEntry};
use crate::Bytes;
use crate::message::{Method, Reply, ResponseFrame, Status};
use crate::transaction::{ServerEffect, ServerInput, ServerInviteEffect, ServerInviteInput};

impl Endpoint {
    /// Answers a request: anything but a 2xx to an INVITE.
    pub fn respond(
        &mut self,
        now: MonoTime,
        tx: ServerTx,
        reply: &Reply,
    ) -> Result<(), RespondError> {
        let entry = self
            .servers
            .get(&tx)
            .ok_or(RespondError::UnknownTransaction)?;
        if !entry.is_proceeding() {
            return Err(RespondError::AlreadyAnswered);
        }
        let status = reply.status;
        if status.is_success() && entry.is_invite() {
            return Err(RespondError::NotThisWay);
        }
        if status.is_provisional() && status != Status::TRYING {
            // RFC 3262 §3: with Require: 100rel no provisional may go out unreliably. RFC 4320
            // §4.1: a non-INVITE gets none but 100.
            let request = entry.request.as_ref();
            let wants_reliable = request.is_none_or(|request| request.headers().requires("100rel"));
            if !entry.is_invite() || wants_reliable {
                return Err(RespondError::NoProvisional);
            }
            self.open_dialog(tx);
        }
        self.send_reply(now, tx, reply);
        Ok(())
    }

    /// Answers 100 at once instead of after 200 ms.
    pub fn trying(&mut self, now: MonoTime, tx: ServerTx) -> Result<(), RespondError> {
        self.respond(now, tx, &Reply::new(Status::TRYING))
    }

    /// Accepts an INVITE with a 2xx, which is repeated until its ACK comes: makes the dialog, or
    /// moves the remote target of the one it came in.
    pub fn accept_invite(
        &mut self,
        now: MonoTime,
        tx: ServerTx,
        reply: &Reply,
    ) -> Result<DialogId, RespondError> {
        let entry = self
            .servers
            .get(&tx)
            .ok_or(RespondError::UnknownTransaction)?;
        if !entry.is_invite() || !reply.status.is_success() {
            return Err(RespondError::NotThisWay);
        }
        if !entry.is_proceeding() {
            return Err(RespondError::AlreadyAnswered);
        }
        let bytes = self
            .word(entry, reply)
            .ok_or(RespondError::AlreadyAnswered)?;
        let route = entry.route;
        let dialog = self
            .open_dialog(tx)
            .ok_or(RespondError::UnknownTransaction)?;
        self.confirm_dialog(now, dialog, tx, bytes.clone());
        self.note_answer(now, tx, bytes.clone());
        if let Some(ServerEntry {
            machine: Machine::Invite(machine),
            ..
        }) = self.servers.get_mut(&tx)
        {
            machine.handle(now, ServerInviteInput::Success);
        }
        let target = self.reply_target(&route);
        self.transmit(target, bytes, Owner::Dialog(dialog));
        self.settle_server(tx);
        Ok(dialog)
    }

    pub(super) fn reject(&mut self, now: MonoTime, tx: ServerTx, status: Status) {
        self.send_reply(now, tx, &Reply::new(status));
    }

    /// Sends any response that is not a 2xx to an INVITE.
    pub(super) fn send_reply(&mut self, now: MonoTime, tx: ServerTx, reply: &Reply) {
        let Some(entry) = self.servers.get(&tx) else {
            return;
        };
        let Some(bytes) = self.word(entry, reply) else {
            return;
        };
        let (status, is_invite) = (reply.status, entry.is_invite());
        if !status.is_provisional() && status != Status::REQUEST_TIMEOUT {
            self.note_answer(now, tx, bytes.clone());
        }
        let Some(entry) = self.servers.get_mut(&tx) else {
            return;
        };
        match &mut entry.machine {
            Machine::Invite(machine) => {
                let input = match status.is_provisional() {
                    true => ServerInviteInput::Provisional(bytes),
                    false => ServerInviteInput::Failure(bytes),
                };
                let effect = machine.handle(now, input);
                self.apply_invite(now, tx, effect);
            }
            Machine::Other(machine) => {
                // RFC 4320 §4.2: "A transaction-stateful SIP element MUST NOT send a response
                // with Status-Code of 408 to a non-INVITE request."
                let effect = if status == Status::REQUEST_TIMEOUT {
                    machine.abandon();
                    ServerEffect::Nothing
                } else if status.is_provisional() {
                    machine.handle(now, ServerInput::Trying(bytes))
                } else {
                    machine.handle(now, ServerInput::Final(bytes))
                };
                self.apply_other(now, tx, effect);
            }
        }
        if !status.is_provisional() {
            self.finish_in_dialog(now, tx, status);
            if is_invite {
                self.decided(tx);
            }
            self.drop_request(tx);
        }
    }

    /// The response as it goes out, with what the layer above need not repeat; `None` once the request
    /// has had its last one.
    pub(super) fn word(&self, entry: &ServerEntry, reply: &Reply) -> Option<Bytes> {
        let request = entry.request.as_ref()?;
        let (status, method) = (reply.status, request.method());
        let mut reply = reply.clone();
        let makes_dialog = *method == Method::Invite && !status.is_failure();
        let refreshes = *method == Method::Update && status.is_success();
        if status != Status::TRYING && (makes_dialog || refreshes) {
            reply.default_header("Contact", || {
                let uri = self.config.contact_for(&entry.origin.1, request);
                format!("<{uri}>")
            });
        }
        let describes_us = matches!(method, Method::Invite | Method::Update | Method::Options);
        if status.is_success() && describes_us {
            reply.default_header("Allow", || self.config.allow_value());
            reply.default_header("Supported", || self.config.supported.join(", "));
            reply.default_header("Accept", || self.config.accept.join(", "));
        }
        if status.is_success() && *method == Method::Options {
            // RFC 3261 §11.2 wants both; no content coding is understood.
            reply.default_header("Accept-Encoding", || "identity".to_owned());
            reply.default_header("Accept-Language", || "en".to_owned());
        }
        if !self.config.server.is_empty() {
            reply.default_header("Server", || self.config.server.clone());
        }
        let frame = ResponseFrame {
            headers: request.headers(),
            top_via: Some(&entry.top_via),
            // RFC 3261 §8.2.6.2: a 100 may have a tag; without one it cannot make a dialog.
            to_tag: (status != Status::TRYING).then_some(entry.local_tag.as_str()),
            record_route: makes_dialog && status != Status::TRYING,
        };
        Some(frame.render(&reply))
    }

    pub(super) fn apply_invite(&mut self, now: MonoTime, tx: ServerTx, effect: ServerInviteEffect) {
        match effect {
            ServerInviteEffect::Send(bytes) => self.transmit_reply(tx, bytes),
            ServerInviteEffect::Trying => return self.reject(now, tx, Status::TRYING),
            ServerInviteEffect::Expired => return self.cancel(now, tx, CancelCause::Expired),
            ServerInviteEffect::Nothing
            | ServerInviteEffect::PassAck
            | ServerInviteEffect::Unacknowledged => {}
        }
        self.settle_server(tx);
    }

    pub(super) fn apply_other(&mut self, now: MonoTime, tx: ServerTx, effect: ServerEffect) {
        match effect {
            ServerEffect::Send(bytes) => self.transmit_reply(tx, bytes),
            ServerEffect::Trying => return self.reject(now, tx, Status::TRYING),
            // Nobody waits for the answer any more; for the dialog it is as good as given.
            ServerEffect::Expired => {
                self.finish_in_dialog(now, tx, Status::REQUEST_TIMEOUT);
            }
            ServerEffect::Nothing => {}
        }
        self.settle_server(tx);
    }
}
