//! INVITEs of ours outside of any dialog (RFC 3261 §13.2): sent, accepted, forked, withdrawn.
//!
//! From the INVITE to its 2xx the dialog is there without the peer's tag, so that the request has an
//! owner; nothing that a peer sends can belong to it before.

use std::sync::Arc;

use holdfast_units::MonoTime;

use super::clients::{Accepted, Machine, Withdrawal};
use super::event::{ClientTx, DialogId, Draft, Event, Owner, RequestError};
use super::{Endpoint, Origin};
use crate::dialog::{Dialog, Phase, Role};
use crate::entropy::{Entropy, token};
use crate::limits::FORKS_MAX;
use crate::message::{COOKIE, Method, Response};
use crate::transport::FlowInfo;

impl Endpoint {
    /// Calls a peer. `uri` is the Request-URI, `way` how it is reached: where to, and the address of
    /// ours that it is to answer to. [`Event::Response`] and [`Event::RequestFailed`] say what became
    /// of it; a 2xx is to be acknowledged ([`Endpoint::acknowledge`]), after anything else
    /// `DialogGone` follows.
    ///
    /// # Errors
    ///
    /// The draft is no INVITE, or there are as many transactions or dialogs as there may be.
    pub fn invite(
        &mut self,
        now: MonoTime,
        uri: &str,
        way: &FlowInfo,
        draft: Draft,
        rng: &mut dyn Entropy,
    ) -> Result<(DialogId, ClientTx), RequestError> {
        if *draft.method() != Method::Invite {
            return Err(RequestError::Method);
        }
        if self.is_full() || self.dialogs.len() >= self.config.limits.dialogs_max {
            return Err(RequestError::Exhausted);
        }
        let sent_by = self.config.sent_by(way.transport, way.local);
        let identity = (token::<16>(rng), token::<8>(rng));
        let branch = format!("{COOKIE}{}", token::<16>(rng));
        let dialog = Dialog::calling(uri, format!("sip:holdfast@{sent_by}"), identity, way);
        let id = self.insert_dialog(dialog);
        let client = ClientTx(self.number());
        if let Some(entry) = self.dialogs.get_mut(&id) {
            entry.clients.insert(client);
        }
        match self.send_request(now, id, client, draft, branch) {
            Ok(()) => Ok((id, client)),
            Err(error) => {
                self.forget_dialog(id);
                Err(error)
            }
        }
    }

    /// Withdraws an INVITE without a final answer by CANCEL, once its peer has said anything. The
    /// answer that comes all the same is reported: 487 as a rule, a 2xx where it was quicker.
    pub fn withdraw(&mut self, now: MonoTime, client: ClientTx) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        if entry.withdrawal == Withdrawal::No {
            entry.withdrawal = Withdrawal::Wanted;
        }
        self.withdraw_now(now, client);
        self.settle_client(client);
    }

    /// Sends the CANCEL that is wanted, where it may be sent.
    pub(super) fn withdraw_now(&mut self, now: MonoTime, client: ClientTx) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        let Machine::Invite(machine) = &mut entry.machine else {
            return;
        };
        if entry.withdrawal == Withdrawal::No || !machine.is_proceeding() {
            return;
        }
        machine.handle_cancelled(now);
        if std::mem::replace(&mut entry.withdrawal, Withdrawal::Sent) == Withdrawal::Sent {
            return;
        }
        let (dialog, invite) = (entry.dialog, &entry.sent);
        // RFC 3261 §9.1: "The Request-URI, Call-ID, To, the numeric part of CSeq, and From header
        // fields in the CANCEL request MUST be identical to those in the request being cancelled";
        // so are the one Via and the Route.
        let sent = invite.cancelling();
        let Some(to) = self
            .dialogs
            .get(&dialog)
            .map(|it| it.dialog.remote_address())
        else {
            return;
        };
        let bytes = sent.render(&Method::Cancel, &to, &[], None);
        let transport = self.dialogs.get(&dialog).map(|it| it.dialog.transport);
        let cancel = ClientTx(self.number());
        if let Some(transport) = transport {
            self.open_client(now, dialog, cancel, sent, bytes, false, transport);
        }
    }

    /// Acknowledges the 2xx that made a dialog, also that of a further branch; `body` is the answer
    /// that it gets.
    ///
    /// # Errors
    ///
    /// The INVITE or the dialog is over.
    pub fn acknowledge_in(
        &mut self,
        client: ClientTx,
        dialog: DialogId,
        body: Option<(&str, &[u8])>,
    ) -> Result<(), RequestError> {
        let body = body.map(|(kind, octets)| (kind.to_owned(), octets.to_vec()));
        self.send_ack(client, dialog, body.as_ref())
            .ok_or(RequestError::UnknownDialog)
    }

    /// Whether a dialog is one to come, whose INVITE has no 2xx.
    pub(super) fn is_unanswered_invitation(&self, id: DialogId) -> bool {
        self.dialogs.get(&id).is_some_and(|entry| {
            (entry.dialog.role, entry.dialog.phase) == (Role::Uac, Phase::Early)
                && entry.invite_client.is_none()
        })
    }

    /// A 2xx to an INVITE of ours: it makes the dialog, or moves its target.
    pub(super) fn confirm_by_response(
        &mut self,
        client: ClientTx,
        id: DialogId,
        response: &Response,
        origin: Origin,
    ) {
        let tag = response.to().tag().unwrap_or_default().to_owned();
        if let Some(entry) = self.clients.get_mut(&client) {
            entry.accepted.push(Accepted { tag, ack: None });
        }
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        if (entry.dialog.role, entry.dialog.phase) == (Role::Uac, Phase::Early) {
            entry.dialog.phase = Phase::Confirmed;
            if let Some(made) = Dialog::uac(response, origin.0, &origin.1) {
                let former = std::mem::replace(&mut entry.dialog, made).key;
                let key = entry.dialog.key.clone();
                self.dialog_by_key.remove(&former);
                self.dialog_by_key.insert(key, id);
                return;
            }
        }
        self.refresh_by_response(id, response, origin);
    }

    /// A further 2xx: a copy is acknowledged again, one of another branch makes a dialog that nobody
    /// wanted.
    pub(super) fn accept_again(
        &mut self,
        client: ClientTx,
        response: &Arc<Response>,
        origin: Origin,
    ) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        let tag = response.to().tag().unwrap_or_default();
        if let Some(known) = entry.accepted.iter().find(|one| one.tag == tag) {
            // Without an ACK yet there is nothing to be said.
            if let Some((target, bytes)) = known.ack.clone() {
                self.transmit(target, bytes, Owner::Client(client));
            }
            return;
        }
        let is_full = entry.accepted.len() >= FORKS_MAX
            || self.dialogs.len() >= self.config.limits.dialogs_max;
        let Some(dialog) = Dialog::uac(response, origin.0, &origin.1).filter(|_| !is_full) else {
            return;
        };
        entry.accepted.push(Accepted {
            tag: tag.to_owned(),
            ack: None,
        });
        let dialog = self.adopt_dialog(dialog);
        self.emit(Event::Forked {
            client,
            dialog,
            response: response.clone(),
        });
    }
}
