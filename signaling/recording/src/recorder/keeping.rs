//! What a call is must be durable before its peer hears of it.
//!
//! Whatever is to be sent in a dialog waits until the state that it tells of is saved. So a process
//! that takes up a dialog knows all that its peer was told, at whatever moment the process before
//! died. While the store is away running calls go on without it, and are saved when it is back. While no
//! call changes the store is probed, so that whoever watches knows before the next call does.
//!
//! ```text
//!   Ready ──does not save, or not in time──▶ Away ──is back: all is saved anew──▶ Ready
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use holdfast_manifest::EndReason;
use holdfast_sip::Method;
use holdfast_sip::dialog::DialogKey;
use holdfast_sip::endpoint::{DialogId, Draft, Owner, ServerTx};
use holdfast_units::{MonoTime, RecordingId, WallTime};

use super::call::{Call, Stage};
use super::deadlines::Timer;
use super::output::{Notice, Output, RefusedBecause};
use super::saved::{self, RestoreError, SavedCall, Stored};
use super::{Now, Recorder, RecorderConfig};
use crate::admission::Sender;
use crate::limits::{RESTORED_GRACE, STORE_PROBE_INTERVAL};

/// What becomes of new calls while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStoreAway {
    /// They are recorded, and flagged: a restart of this process would end their dialogs.
    Accept,
    /// They get 503.
    Refuse,
}

/// One state of a call, for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saving {
    /// Rises by one with each; told back when it is durable.
    pub ticket: u64,
    /// The recording: a later state takes the place of an earlier one.
    pub recording: RecordingId,
    /// Its dialog, by which others find it.
    pub dialog: Option<DialogKey>,
    /// Whether it is taken from another node by this.
    pub is_adopted: bool,
    /// The state.
    pub bytes: Vec<u8>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Keeping {
    when_away: Option<WhenStoreAway>,
    /// How long the store may take before it is taken for away.
    answer_timeout: Duration,
    is_away: bool,
    /// Calls of which something changed or is to be sent.
    touched: BTreeSet<RecordingId>,
    /// What is to be sent in them, in order.
    held: BTreeMap<RecordingId, Vec<Output>>,
    /// INVITEs whose first answer is among it.
    first: BTreeMap<RecordingId, (ServerTx, DialogId)>,
    /// What waits for the store, in the order of its tickets.
    waiting: VecDeque<Waiting>,
    /// Taken from another node with their next state.
    adopted: BTreeSet<RecordingId>,
    /// Removed while the store was away.
    removed: BTreeSet<RecordingId>,
    ticket: u64,
    /// When the store said last that it saves.
    heard_at: MonoTime,
    /// A probe that is not answered: its ticket, and since when.
    probe: Option<(u64, MonoTime)>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    recording: RecordingId,
    since: MonoTime,
    outputs: Vec<Output>,
    first: Option<(ServerTx, DialogId)>,
}

impl Keeping {
    pub(super) const fn new(config: &RecorderConfig) -> Self {
        Self {
            when_away: config.when_store_away,
            answer_timeout: config.store_answer_timeout,
            is_away: false,
            touched: BTreeSet::new(),
            held: BTreeMap::new(),
            first: BTreeMap::new(),
            waiting: VecDeque::new(),
            adopted: BTreeSet::new(),
            removed: BTreeSet::new(),
            ticket: 0,
            heard_at: MonoTime::ZERO,
            probe: None,
        }
    }

    /// Whether new calls are refused for want of the store.
    pub(super) fn refuses(&self) -> bool {
        self.is_away && self.when_away == Some(WhenStoreAway::Refuse)
    }

    /// The state of a call has changed.
    pub(super) fn touch(&mut self, id: RecordingId) {
        if self.when_away.is_some() {
            self.touched.insert(id);
        }
    }

    /// An INVITE is being answered for the first time.
    pub(super) fn note_first(&mut self, id: RecordingId, tx: ServerTx, dialog: DialogId) {
        if self.when_away.is_some() {
            self.first.insert(id, (tx, dialog));
        }
    }

    /// Whether nothing waits for the store.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.touched.is_empty()
    }

    /// Whether calls are saved, and the store is not there.
    pub(super) const fn is_away(&self) -> bool {
        self.is_away
    }

    /// The next state of a call takes it from another node.
    pub(super) fn note_adopted(&mut self, id: RecordingId) {
        self.adopted.insert(id);
    }

    /// What was to be sent in a call is not sent.
    pub(super) fn drop_waiting(&mut self, id: RecordingId) {
        self.touched.remove(&id);
        self.held.remove(&id);
        for waiting in &mut self.waiting {
            if waiting.recording == id {
                waiting.outputs.clear();
            }
        }
    }

    /// When the store should have answered, or is to be probed.
    pub(super) fn poll_timeout(&self) -> Option<MonoTime> {
        if self.when_away.is_none() || self.is_away {
            return None;
        }
        let probe_at = self.heard_at + STORE_PROBE_INTERVAL;
        Some(self.answer_due().unwrap_or(probe_at))
    }

    /// When what was asked first of the store should have been answered.
    fn answer_due(&self) -> Option<MonoTime> {
        let oldest = self.waiting.front().map(|waiting| waiting.since);
        let probed = self.probe.map(|(_, since)| since);
        let since = oldest.into_iter().chain(probed).min()?;
        Some(since + self.answer_timeout)
    }
}

impl Recorder {
    /// Takes up a call of another process. Call it for each before the engine is there.
    ///
    /// # Errors
    ///
    /// It cannot be read; nothing has changed then.
    pub fn restore(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        stored: Stored<'_>,
    ) -> Result<RecordingId, RestoreError> {
        let now = Now { mono: now, wall };
        let saved = saved::read(stored.bytes)?;
        let (id, since) = (saved.id, stored.age.unwrap_or_else(|| saved.age(now)));
        self.take_up(now, saved, since);
        Ok(id)
    }

    /// The call with its dialog and its timers, as it was saved so long ago.
    pub(super) fn take_up(&mut self, now: Now, mut saved: SavedCall, since: Duration) {
        let id = saved.id;
        let sender = Sender {
            peer: saved
                .peer
                .as_deref()
                .and_then(|name| self.admission.place_of(name)),
            user: saved.user.clone(),
        };
        let mut dialog = saved.dialog.take();
        if since >= self.config.endpoint.timers.timeout()
            && let Some(dialog) = &mut dialog
        {
            // Whoever has not acknowledged by now has the answer, or is gone and will be found so.
            dialog.acknowledge();
        }
        let deadlines = saved.deadlines();
        let mut call = saved.into_call(now, sender);
        let is_active = call.is_active();
        let dialog = dialog.map(|kept| self.endpoint.restore_dialog(now.mono, kept, since));
        if let Some(dialog) = dialog {
            call.dialog = Some(dialog);
            self.call_by_dialog.insert(dialog, id);
            if !self.endpoint.awaits_ack(dialog) {
                // An offer of the process before has no answer any more.
                call.facts.session.cancel_offer();
            }
        }
        self.calls.insert(id, call);
        if is_active {
            for (timer, after) in deadlines {
                let least = match timer {
                    Timer::Expiry => RESTORED_GRACE,
                    _ => Duration::ZERO,
                };
                let left = after.saturating_sub(since).max(least);
                self.deadlines.set(id, timer, now.mono + left);
            }
            self.watch_restored(now, id);
        } else if let Some(dialog) = dialog {
            self.say_bye(now, dialog, "the recording has ended");
        }
    }

    /// Everything up to this ticket is durable.
    pub fn handle_saved(&mut self, now: MonoTime, wall: WallTime, ticket: u64) {
        let now = Now { mono: now, wall };
        self.keeping.heard_at = now.mono;
        self.keeping.probe.take_if(|(probe, _)| *probe <= ticket);
        while self
            .keeping
            .waiting
            .front()
            .is_some_and(|waiting| waiting.ticket <= ticket)
        {
            let waiting = self.keeping.waiting.pop_front();
            self.outputs
                .extend(waiting.into_iter().flat_map(|waiting| waiting.outputs));
        }
        if self.keeping.is_away && ticket >= self.keeping.ticket {
            // It was only slow.
            self.regain_store(now);
        }
        self.drain(now);
    }

    /// The store does not save: what was handed to it and not told to be durable may be lost.
    pub fn handle_store_away(&mut self, now: MonoTime, wall: WallTime) {
        let now = Now { mono: now, wall };
        self.lose_store(now);
        self.drain(now);
    }

    /// The store saves again.
    pub fn handle_store_back(&mut self, now: MonoTime, wall: WallTime) {
        let now = Now { mono: now, wall };
        self.regain_store(now);
        self.drain(now);
    }

    /// Lets go on what has waited for the store for too long; asks a store that was silent whether it saves.
    pub(super) fn judge_store(&mut self, now: Now) {
        let due = self.keeping.poll_timeout();
        if due.is_none_or(|due| due > now.mono) {
            return;
        }
        if self.keeping.answer_due().is_some() {
            self.lose_store(now);
            self.drain(now);
        } else {
            self.keeping.ticket += 1;
            self.keeping.probe = Some((self.keeping.ticket, now.mono));
            let probe = Output::ProbeStore(self.keeping.ticket);
            self.outputs.push_back(probe);
        }
    }

    fn lose_store(&mut self, now: Now) {
        if self.keeping.when_away.is_none() || std::mem::replace(&mut self.keeping.is_away, true) {
            return;
        }
        self.notice(Notice::StoreAway);
        self.keeping.probe = None;
        for waiting in std::mem::take(&mut self.keeping.waiting) {
            match waiting.first {
                Some((tx, dialog)) if self.keeping.refuses() => {
                    self.retract(now, waiting.recording, tx, dialog);
                }
                Some(_) | None => {
                    self.flag_unsaved(waiting.recording);
                    self.outputs.extend(waiting.outputs);
                }
            }
        }
    }

    /// All that is to be known is saved again: what was on its way may be lost.
    fn regain_store(&mut self, now: Now) {
        if !std::mem::replace(&mut self.keeping.is_away, false) {
            return;
        }
        self.keeping.heard_at = now.mono;
        for recording in std::mem::take(&mut self.keeping.removed) {
            self.outputs.push_back(Output::Unsave(recording));
        }
        let ids: Vec<RecordingId> = self.calls.keys().copied().collect();
        self.keeping.touched.extend(ids);
        self.notice(Notice::StoreBack);
        self.save_touched(now);
    }

    /// A call that the store does not have: its recording says so.
    pub(super) fn flag_unsaved(&mut self, id: RecordingId) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_saved) {
            call.facts.warn((
                "dialog_not_saved",
                "the store of dialogs was away when the call began",
            ));
        }
    }

    /// The first answer has not left: the INVITE is refused after all.
    fn retract(&mut self, now: Now, id: RecordingId, tx: ServerTx, dialog: DialogId) {
        let refusal = self.unavailable(RefusedBecause::StoreAway);
        self.endpoint.retract_invite(tx, dialog, &refusal.reply);
        self.call_by_dialog.remove(&dialog);
        if let Some(call) = self.calls.get_mut(&id) {
            call.dialog = None;
        }
        *self
            .statistics
            .refused
            .entry(refusal.reply.status.code())
            .or_default() += 1;
        self.end_call(now, id, EndReason::Failure);
    }

    /// Sends a message now, or once the call that it belongs to is saved.
    pub(super) fn send_or_hold(&mut self, output: Output, owner: Owner) {
        let call = self
            .keeping
            .when_away
            .and_then(|_| self.endpoint.dialog_of(owner))
            .and_then(|dialog| self.call_of(dialog));
        match call {
            Some(id) => {
                self.keeping.touched.insert(id);
                self.keeping.held.entry(id).or_default().push(output);
            }
            None => self.outputs.push_back(output),
        }
    }

    /// Saves the calls of which something changed.
    pub(super) fn save_touched(&mut self, now: Now) {
        while let Some(id) = self.keeping.touched.pop_first() {
            let outputs = self.keeping.held.remove(&id).unwrap_or_default();
            let first = self.keeping.first.remove(&id);
            let is_to_be_saved = self.calls.get(&id).is_some_and(is_to_be_saved);
            if !is_to_be_saved || self.keeping.is_away {
                if first.is_some() {
                    self.flag_unsaved(id);
                }
                self.outputs.extend(outputs);
                continue;
            }
            // It is there: it was just looked at.
            let Some(saving) = self.saving(now, id) else {
                self.outputs.extend(outputs);
                continue;
            };
            self.keeping.waiting.push_back(Waiting {
                ticket: saving.ticket,
                recording: id,
                since: now.mono,
                outputs,
                first,
            });
            self.outputs.push_back(Output::Save(saving));
        }
    }

    fn saving(&mut self, now: Now, id: RecordingId) -> Option<Saving> {
        let call = self.calls.get_mut(&id)?;
        call.is_saved = true;
        let call = self.calls.get(&id)?;
        let peer = self.admission.peer(&call.sender);
        let dialog = call
            .dialog
            .and_then(|dialog| self.endpoint.keep_dialog(now.mono, dialog));
        let key = dialog.as_ref().map(|kept| kept.dialog.key.clone());
        let peer = peer.map(|peer| peer.name.clone());
        let bytes =
            SavedCall::of(now, &self.config.node, call, peer, dialog, &self.deadlines).write();
        self.keeping.ticket += 1;
        Some(Saving {
            ticket: self.keeping.ticket,
            recording: id,
            dialog: key,
            is_adopted: self.keeping.adopted.remove(&id),
            bytes,
        })
    }

    /// A call that is no more needs no state.
    pub(super) fn unsave(&mut self, call: &Call) {
        self.keeping.touched.remove(&call.id);
        let held = self.keeping.held.remove(&call.id).unwrap_or_default();
        self.outputs.extend(held);
        if !call.is_saved {
            return;
        }
        match self.keeping.is_away {
            true => drop(self.keeping.removed.insert(call.id)),
            false => self.outputs.push_back(Output::Unsave(call.id)),
        }
    }

    /// Ends a dialog with a BYE (RFC 3326: with the reason, for whoever reads the trace).
    pub(super) fn say_bye(&mut self, now: Now, dialog: DialogId, why: &str) {
        let draft = Draft::new(Method::Bye).header("Reason", format!("SIP;text=\"{why}\""));
        let sent = self
            .endpoint
            .request(now.mono, dialog, draft, self.entropy.as_mut());
        if sent.is_err() {
            self.endpoint.release_dialog(now.mono, dialog);
        }
    }
}

/// A call that was answered: one that was not has no dialog that could outlive anything.
fn is_to_be_saved(call: &Call) -> bool {
    match call.stage {
        Stage::Opening(_) => false,
        Stage::Up(_) => !call.is_provisional,
        Stage::Ended { .. } => call.is_saved,
    }
}
