//! Responses to requests of ours, or the lack of them.

use std::sync::Arc;

use holdfast_units::MonoTime;

use super::clients::Machine;
use super::event::{ClientTx, DialogId, Event, FailureCause, GoneCause, Owner};
use super::{Endpoint, Origin, TimerKey};
use crate::Bytes;
use crate::dialog::contact_of;
use crate::message::{Method, Response, Status};
use crate::transaction::{ClientEffect, ClientInput, ClientInviteEffect, ClientInviteInput};

impl Endpoint {
    pub(super) fn handle_response(&mut self, now: MonoTime, origin: Origin, response: Response) {
        // RFC 3261 §17.1.3: the branch, and the method of the CSeq.
        let key = response
            .via()
            .branch()
            .map(|branch| (branch.to_owned(), response.cseq().method.clone()));
        let Some(client) = key.and_then(|key| self.client_by_branch.get(&key).copied()) else {
            return; // A stray response is dropped.
        };
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        let status = response.status();
        let dialog = entry.dialog;
        let entry_is_cancel = entry.sent.method == Method::Cancel;
        let response = Arc::new(response);
        let is_delivered = match &mut entry.machine {
            Machine::Invite(machine) => {
                let input = if status.is_provisional() {
                    ClientInviteInput::Provisional
                } else if status.is_success() {
                    ClientInviteInput::Success
                } else {
                    ClientInviteInput::Failure(entry.sent.ack_of_failure(&response))
                };
                let effect = machine.handle(now, input);
                if effect == ClientInviteEffect::Accept {
                    self.confirm_by_response(client, dialog, &response, origin);
                }
                if effect == ClientInviteEffect::AcceptAgain {
                    return self.accept_again(client, &response, origin);
                }
                self.apply_invite_client(client, effect)
            }
            Machine::Other(machine) => {
                let input = match status.is_provisional() {
                    true => ClientInput::Provisional,
                    false => ClientInput::Final,
                };
                let is_delivered = machine.handle(now, input) == ClientEffect::Deliver;
                if is_delivered && status.is_success() && entry.sent.method == Method::Update {
                    self.refresh_by_response(dialog, &response, origin);
                }
                is_delivered
            }
        };
        if is_delivered && entry_is_cancel {
            // What becomes of the INVITE says all.
            self.release_client(dialog, client);
        } else if is_delivered && status != Status::TRYING {
            self.emit(Event::Response {
                client,
                dialog,
                response,
            });
            self.finish_client(now, client, status);
        }
        if status.is_provisional() {
            self.withdraw_now(now, client);
        }
        self.settle_client(client);
    }

    /// A 2xx to an INVITE or UPDATE of ours moves the remote target (§12.2.1.2).
    pub(super) fn refresh_by_response(
        &mut self,
        id: DialogId,
        response: &Response,
        origin: Origin,
    ) {
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        entry.dialog.follow(origin.0, &origin.1);
        if let Some(contact) = contact_of(response.headers().contacts()) {
            entry.dialog.refresh_target(contact);
        }
    }

    /// Whether the response goes up.
    fn apply_invite_client(&mut self, client: ClientTx, effect: ClientInviteEffect) -> bool {
        match effect {
            ClientInviteEffect::Deliver => true,
            ClientInviteEffect::DeliverAndSend(ack) => {
                self.transmit_client(client, ack);
                true
            }
            ClientInviteEffect::Send(bytes) => {
                self.transmit_client(client, bytes);
                false
            }
            ClientInviteEffect::Accept => {
                let entry = self.clients.get(&client);
                if let Some(entry) = entry.filter(|entry| entry.acks_alone) {
                    let dialog = entry.dialog;
                    self.send_ack(client, dialog, None);
                }
                true
            }
            ClientInviteEffect::AcceptAgain
            | ClientInviteEffect::Nothing
            | ClientInviteEffect::TimedOut
            | ClientInviteEffect::Failed => false,
        }
    }

    fn transmit_client(&mut self, client: ClientTx, bytes: Bytes) {
        let Some(entry) = self.clients.get(&client) else {
            return;
        };
        self.transmit(entry.sent.target, bytes, Owner::Client(client));
    }

    /// What the answer to a request of ours means for its dialog.
    fn finish_client(&mut self, now: MonoTime, client: ClientTx, status: Status) {
        if status.is_provisional() {
            return;
        }
        let Some(entry) = self.clients.get(&client) else {
            return;
        };
        let (id, is_bye) = (entry.dialog, entry.sent.method == Method::Bye);
        self.release_client(id, client);
        if is_bye {
            // RFC 3261 §15.1.1: the session ends with the BYE, whatever the answer.
            self.remove_dialog(now, id, GoneCause::ByeAnswered);
        } else if self.is_unanswered_invitation(id) {
            self.remove_dialog(now, id, GoneCause::NotAccepted);
        } else if status == Status::NO_SUCH_DIALOG {
            self.remove_dialog(now, id, GoneCause::UnknownToPeer);
        }
    }

    fn release_client(&mut self, id: DialogId, client: ClientTx) {
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        entry.clients.remove(&client);
        for slot in [&mut entry.invite_client, &mut entry.offer_client] {
            if *slot == Some(client) {
                *slot = None;
            }
        }
    }

    pub(super) fn expire_client(&mut self, now: MonoTime, client: ClientTx) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        match &mut entry.machine {
            Machine::Invite(machine) => match machine.handle_timeout(now) {
                ClientInviteEffect::TimedOut => {
                    self.lose_client(now, client, FailureCause::TimedOut);
                }
                effect => {
                    self.apply_invite_client(client, effect);
                }
            },
            Machine::Other(machine) => match machine.handle_timeout(now) {
                ClientEffect::TimedOut => self.lose_client(now, client, FailureCause::TimedOut),
                ClientEffect::Send(bytes) => self.transmit_client(client, bytes),
                ClientEffect::Nothing | ClientEffect::Deliver | ClientEffect::Failed => {}
            },
        }
        self.settle_client(client);
    }

    pub(super) fn fail_client(&mut self, now: MonoTime, client: ClientTx) {
        if self.move_client(client) {
            return;
        }
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        let has_failed = match &mut entry.machine {
            Machine::Invite(machine) => {
                machine.handle(now, ClientInviteInput::TransportError) == ClientInviteEffect::Failed
            }
            Machine::Other(machine) => {
                machine.handle(now, ClientInput::TransportError) == ClientEffect::Failed
            }
        };
        if has_failed {
            self.lose_client(now, client, FailureCause::Transport);
        }
        self.settle_client(client);
    }

    fn lose_client(&mut self, now: MonoTime, client: ClientTx, cause: FailureCause) {
        let Some(entry) = self.clients.get(&client) else {
            return;
        };
        let (dialog, method) = (entry.dialog, entry.sent.method.clone());
        self.release_client(dialog, client);
        if method == Method::Cancel {
            return; // The INVITE has a deadline of its own.
        }
        let is_bye = method == Method::Bye;
        self.emit(Event::RequestFailed {
            client,
            dialog,
            method,
            cause,
        });
        if is_bye {
            self.remove_dialog(now, dialog, GoneCause::ByeUnanswered);
        } else if self.is_unanswered_invitation(dialog) {
            self.remove_dialog(now, dialog, GoneCause::NotAccepted);
        }
    }

    /// Sets the deadline of a transaction, or forgets it.
    pub(super) fn settle_client(&mut self, client: ClientTx) {
        let Some(entry) = self.clients.get(&client) else {
            return;
        };
        let (deadline, is_over) = match &entry.machine {
            Machine::Invite(machine) => (machine.poll_timeout(), machine.is_terminated()),
            Machine::Other(machine) => (machine.poll_timeout(), machine.is_terminated()),
        };
        self.deadlines.set(TimerKey::Client(client), deadline);
        if is_over {
            self.forget_client(client);
        }
    }

    pub(super) fn forget_client(&mut self, client: ClientTx) {
        self.deadlines.set(TimerKey::Client(client), None);
        if let Some(entry) = self.clients.remove(&client) {
            let key = (entry.sent.branch, entry.sent.method);
            self.client_by_branch.remove(&key);
        }
    }
}
