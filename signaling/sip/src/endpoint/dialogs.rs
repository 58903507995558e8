//! The dialogs of an endpoint: made, confirmed, ended.

use std::collections::{BTreeSet, VecDeque};

use holdfast_units::MonoTime;

use super::clients::DeferredBye;
use super::event::{CancelCause, ClientTx, DialogId, Event, GoneCause, Owner, ServerTx};
use super::kept::Answered;
use super::{Endpoint, ReplyRoute, TimerKey};
use crate::Bytes;
use crate::dialog::{Dialog, DialogKey, Phase, Unconfirmed, UnconfirmedEffect, refresh_of};
use crate::message::Request;

/// A dialog and what is under way in it.
#[derive(Debug)]
pub(super) struct DialogEntry {
    pub(super) dialog: Dialog,
    /// 2xx responses without their ACK.
    pub(super) unconfirmed: Vec<Unconfirmed>,
    /// The last INVITE that was accepted, until its ACK.
    pub(super) accepted: Option<ServerTx>,
    /// How these travel.
    pub(super) route: Option<ReplyRoute>,
    /// Requests of the peer that the layer above has not answered.
    pub(super) pending: BTreeSet<ServerTx>,
    /// Requests of ours without a final answer.
    pub(super) clients: BTreeSet<ClientTx>,
    /// Our INVITE without a final answer.
    pub(super) invite_client: Option<ClientTx>,
    /// Our INVITE or UPDATE with an offer and without a final answer.
    pub(super) offer_client: Option<ClientTx>,
    /// Our BYE, waiting for an ACK (RFC 3261 §15).
    pub(super) deferred_bye: Option<DeferredBye>,
    /// The last final answers, in the order they were given.
    pub(super) answers: VecDeque<Answered>,
}

impl DialogEntry {
    const fn new(dialog: Dialog) -> Self {
        Self {
            dialog,
            unconfirmed: Vec::new(),
            accepted: None,
            route: None,
            pending: BTreeSet::new(),
            clients: BTreeSet::new(),
            invite_client: None,
            offer_client: None,
            deferred_bye: None,
            answers: VecDeque::new(),
        }
    }
}

impl Endpoint {
    /// Takes up a dialog that another process has set up. Its `local_cseq` must be at least what
    /// the other process used last. Replaces nothing: an existing one of the same identity stays
    /// and is returned.
    pub fn adopt_dialog(&mut self, dialog: Dialog) -> DialogId {
        if let Some(id) = self.dialog_by_key(&dialog.key) {
            return id;
        }
        self.tombstones.remove(&dialog.key);
        self.insert_dialog(dialog)
    }

    /// Whether a 2xx of ours in it waits for its ACK: until then the peer may not have it.
    pub fn awaits_ack(&self, id: DialogId) -> bool {
        self.dialogs
            .get(&id)
            .is_some_and(|entry| !entry.unconfirmed.is_empty())
    }

    /// Lets go of a dialog without a word to the peer.
    pub fn release_dialog(&mut self, now: MonoTime, id: DialogId) {
        self.remove_dialog(now, id, GoneCause::Released);
    }

    pub(super) fn insert_dialog(&mut self, dialog: Dialog) -> DialogId {
        let id = DialogId(self.number());
        self.dialog_by_key.insert(dialog.key.clone(), id);
        self.dialogs.insert(id, DialogEntry::new(dialog));
        id
    }

    /// The dialog of an INVITE that gets an answer with a tag: the one it came in, or a new early
    /// one (RFC 3261 §12.1).
    pub(super) fn open_dialog(&mut self, tx: ServerTx) -> Option<DialogId> {
        let server = self.servers.get(&tx)?;
        if let Some(id) = server.dialog {
            return Some(id);
        }
        let (flow, source) = server.origin;
        let dialog = Dialog::uas(server.request.as_ref()?, &server.local_tag, flow, &source);
        let id = match self.dialog_by_key(&dialog.key) {
            Some(id) => id,
            None => self.insert_dialog(dialog),
        };
        self.pend(tx, id);
        self.decided(tx);
        Some(id)
    }

    /// A 2xx goes out: the dialog is confirmed, the target moves, the ACK is awaited.
    pub(super) fn confirm_dialog(
        &mut self,
        now: MonoTime,
        id: DialogId,
        tx: ServerTx,
        response: Bytes,
    ) {
        let Some(server) = self.servers.get(&tx) else {
            return;
        };
        let Some(request) = server.request.clone() else {
            return;
        };
        let route = server.route;
        let cseq = request.cseq().number;
        let timers = self.config.timers;
        if let Some(entry) = self.dialogs.get_mut(&id) {
            if entry.dialog.phase == Phase::Early {
                entry.dialog.phase = Phase::Confirmed;
            }
            entry.route = Some(route);
            entry.accepted = Some(tx);
            entry
                .unconfirmed
                .push(Unconfirmed::new(now, &timers, cseq, response));
        }
        self.refresh_by(id, &request);
        self.release_pending(id, tx);
        self.settle_dialog(id);
    }

    /// RFC 6141 §4.3: an accepted request moves the remote target.
    pub(super) fn refresh_by(&mut self, id: DialogId, request: &Request) {
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        if let Some(contact) = refresh_of(request) {
            entry.dialog.refresh_target(contact);
        }
    }

    /// Notes a request that the layer above is to answer.
    pub(super) fn pend(&mut self, tx: ServerTx, id: DialogId) {
        if let Some(server) = self.servers.get_mut(&tx) {
            server.dialog = Some(id);
        }
        if let Some(entry) = self.dialogs.get_mut(&id) {
            entry.pending.insert(tx);
        }
    }

    pub(super) fn release_pending(&mut self, id: DialogId, tx: ServerTx) {
        if let Some(entry) = self.dialogs.get_mut(&id) {
            entry.pending.remove(&tx);
        }
    }

    pub(super) fn expire_dialog(&mut self, now: MonoTime, id: DialogId) {
        let timers = self.config.timers;
        let Some(entry) = self.dialogs.get_mut(&id) else {
            return;
        };
        let route = entry.route;
        let mut lost = Vec::new();
        let mut copies = Vec::new();
        entry
            .unconfirmed
            .retain_mut(|waiting| match waiting.handle_timeout(now, &timers) {
                UnconfirmedEffect::Nothing => true,
                UnconfirmedEffect::Send(bytes) => {
                    copies.push(bytes);
                    true
                }
                UnconfirmedEffect::TimedOut => {
                    lost.push(waiting.cseq());
                    false
                }
            });
        for bytes in copies {
            if let Some(route) = route {
                let target = self.reply_target(&route);
                self.transmit(target, bytes, Owner::Dialog(id));
            }
        }
        self.settle_dialog(id);
        for cseq in lost {
            self.emit(Event::AckTimeout { dialog: id, cseq });
        }
        self.send_deferred_bye(now, id);
    }

    pub(super) fn settle_dialog(&mut self, id: DialogId) {
        let Some(entry) = self.dialogs.get(&id) else {
            return;
        };
        let deadline = entry
            .unconfirmed
            .iter()
            .map(Unconfirmed::poll_timeout)
            .min();
        self.deadlines.set(TimerKey::Dialog(id), deadline);
    }

    /// Ends a dialog and everything in it.
    pub(super) fn remove_dialog(&mut self, now: MonoTime, id: DialogId, cause: GoneCause) {
        let Some(entry) = self.dialogs.remove(&id) else {
            return;
        };
        self.deadlines.set(TimerKey::Dialog(id), None);
        let key = entry.dialog.key;
        self.dialog_by_key.remove(&key);
        for tx in entry.pending {
            self.cancel(now, tx, CancelCause::DialogEnded);
        }
        for client in entry.clients {
            self.forget_client(client);
        }
        self.bury(now, key);
        self.emit(Event::DialogGone { dialog: id, cause });
    }

    /// The same without a word, for one that nobody has heard of.
    pub(super) fn forget_dialog(&mut self, id: DialogId) {
        if let Some(entry) = self.dialogs.remove(&id) {
            self.deadlines.set(TimerKey::Dialog(id), None);
            self.dialog_by_key.remove(&entry.dialog.key);
            for client in entry.clients {
                self.forget_client(client);
            }
        }
    }

    fn bury(&mut self, now: MonoTime, key: DialogKey) {
        // More than a server full of dialogs within 64*T1: the oldest go first.
        if self.tombstones_by_age.len() >= self.config.limits.dialogs_max.max(1) {
            self.forget_oldest_tombstone();
        }
        let until = now + self.config.timers.timeout();
        self.tombstones.insert(key.clone(), until);
        self.tombstones_by_age.push_back((until, key));
    }

    pub(super) fn forget_tombstones(&mut self, now: MonoTime) {
        while self
            .tombstones_by_age
            .front()
            .is_some_and(|(until, _)| *until <= now)
        {
            self.forget_oldest_tombstone();
        }
    }

    fn forget_oldest_tombstone(&mut self) {
        if let Some((until, key)) = self.tombstones_by_age.pop_front()
            && self.tombstones.get(&key) == Some(&until)
        {
            self.tombstones.remove(&key);
        }
    }
}
