//! Calls that move between nodes: lost to another one, adopted from one that is dead, and found where
//! an INVITE names them (RFC 3891) that came here because their node does not answer.
//!
//! Whoever has lost a call says nothing more in it: its peer speaks with another node. What was
//! recorded here is published as a part of its own; who goes on makes the next one, under the same id.

use std::collections::BTreeMap;

use holdfast_manifest::{Continues, EndReason, PartCause};
use holdfast_sip::FlowInfo;
use holdfast_sip::dialog::DialogKey;
use holdfast_sip::endpoint::ServerTx;
use holdfast_sip::message::Replaces;
use holdfast_units::{MonoTime, RecordingId, WallTime};

use super::call::InDialog;
use super::engine::Link;
use super::marks::Marks;
use super::output::{Notice, Output};
use super::replaces::{busy, declined, refused};
use super::saved::{self, RestoreError, SavedCall, Stored};
use super::words::Word;
use super::{Now, Recorder, Refusal};
use crate::admission::Sender;
use crate::limits::SEARCHES_MAX;

/// INVITEs whose dialog is looked for elsewhere.
#[derive(Debug, Default)]
pub(super) struct Searches {
    last: u64,
    by_number: BTreeMap<u64, Search>,
}

#[derive(Debug)]
struct Search {
    invite: InDialog,
    marks: Marks,
    named: Replaces,
    sender: Sender,
}

impl Searches {
    /// The INVITE has been answered.
    pub(super) fn forget(&mut self, tx: ServerTx) {
        self.by_number.retain(|_, search| search.invite.tx != tx);
    }
}

impl Recorder {
    /// Another node has these calls: nothing more is said in them here.
    pub fn handle_taken(&mut self, now: MonoTime, wall: WallTime, recordings: &[RecordingId]) {
        let now = Now { mono: now, wall };
        for id in recordings {
            self.give_up(now, *id, EndReason::TakenOver);
        }
        self.drain(now);
    }

    /// Goes on with a call of a node that is dead: a new part of its recording begins.
    ///
    /// # Errors
    ///
    /// It cannot be read; nothing has changed then.
    pub fn adopt(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        stored: Stored<'_>,
    ) -> Result<RecordingId, RestoreError> {
        let now = Now { mono: now, wall };
        let saved = saved::read(stored.bytes)?;
        let (id, is_over) = (saved.id, saved.is_over());
        let before = continues(&saved, PartCause::NodeLost);
        if self.calls.contains_key(&id) {
            return Ok(id);
        }
        if is_over {
            // What there is of it, its own engine publishes.
            self.outputs.push_back(Output::Unsave(id));
            return Ok(id);
        }
        self.take_up(now, saved, stored.age.unwrap_or_default());
        self.begin_part(now, id, before);
        for port in self
            .calls
            .get(&id)
            .map(|call| call.sync.ports.clone())
            .unwrap_or_default()
        {
            self.ports.take(port);
        }
        self.notice(Notice::CallAdopted { recording: id });
        self.keeping.touch(id);
        self.push(id);
        self.drain(now);
        Ok(id)
    }

    /// The answer to [`Output::Find`]: the state of the call, if any node has it.
    pub fn handle_found(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        number: u64,
        found: Option<Stored<'_>>,
    ) {
        let now = Now { mono: now, wall };
        if let Some(search) = self.searches.by_number.remove(&number) {
            let invite = search.invite.clone();
            self.sender = search.sender.clone();
            if let Err(refusal) = self.go_on_elsewhere(now, search, found) {
                self.refuse_invite(now, &invite, refusal);
            }
        }
        self.drain(now);
    }

    /// Looks for a dialog that is not known here; `false` where no other node could know it.
    pub(super) fn search(&mut self, invite: &InDialog, marks: Marks, named: &Replaces) -> bool {
        let is_possible = self.config.shares_calls
            && !self.keeping.is_away()
            && self.searches.by_number.len() < SEARCHES_MAX
            && matches!(self.link, Link::Ready { .. });
        if !is_possible {
            return false;
        }
        self.searches.last += 1;
        let number = self.searches.last;
        let search = Search {
            invite: invite.clone(),
            marks,
            named: named.clone(),
            sender: self.sender.clone(),
        };
        self.searches.by_number.insert(number, search);
        self.outputs.push_back(Output::Find {
            number,
            dialog: DialogKey {
                call_id: named.call_id.clone(),
                local_tag: named.to_tag.clone(),
                remote_tag: named.from_tag.clone(),
            },
        });
        true
    }

    fn go_on_elsewhere(
        &mut self,
        now: Now,
        search: Search,
        found: Option<Stored<'_>>,
    ) -> Result<(), Refusal> {
        let unknown = || refused(holdfast_sip::Status::NO_SUCH_DIALOG, "no such dialog");
        let stored = found.ok_or_else(unknown)?;
        let saved = saved::read(stored.bytes).map_err(|_| unknown())?;
        if saved.is_over() {
            return Err(refused(declined(), "the dialog to be replaced has ended"));
        }
        if !self.may_replace_saved(&saved, &search.invite) {
            let status = holdfast_sip::Status::FORBIDDEN;
            return Err(refused(status, "the call is another peer's"));
        }
        if search.named.early_only {
            return Err(refused(busy(), "the dialog to be replaced is confirmed"));
        }
        let id = saved.id;
        if self.calls.contains_key(&id) {
            return Err(unknown());
        }
        let before = continues(&saved, PartCause::Replaced);
        self.take_up(now, saved, stored.age.unwrap_or_default());
        self.begin_part(now, id, before);
        self.strip(now, id, &search.invite.source);
        let taken = self.take_over(now, &search.invite, search.marks, id);
        if taken.is_err() {
            self.give_up(now, id, EndReason::Failure);
        } else {
            self.notice(Notice::CallAdopted { recording: id });
        }
        taken
    }

    fn may_replace_saved(&self, saved: &SavedCall, invite: &InDialog) -> bool {
        let own = self.admission.peer(&self.sender).map(|peer| &peer.name);
        let known = saved.dialog.as_ref().map(|kept| kept.dialog.peer.ip());
        let ip = invite.source.remote.ip().to_canonical();
        saved.peer.as_ref() == own
            && saved.user == self.sender.user
            && (own.is_some() || known.is_some_and(|known| known.to_canonical() == ip))
    }

    /// What is recorded here is a part of its own: it begins now, and the documents of the former part
    /// are there.
    fn begin_part(&mut self, now: Now, id: RecordingId, before: Continues) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.started = now.wall;
        call.continues = Some(before);
        call.sync.revision = 0;
        call.documents = super::documents::Documents::default();
        call.facts.documents.clear();
        call.facts.warn(ADOPTED);
    }

    /// The streams of the former part were received by another node, on ports of its own.
    fn strip(&mut self, now: Now, id: RecordingId, source: &FlowInfo) {
        let shard = self.ports.best_shard(now.mono, 1).unwrap_or(0);
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (address, is_paused) = (call.address, call.facts.session.is_paused());
        let mut empty = self.new_session(address, source);
        empty.set_paused(is_paused);
        if let Some(call) = self.calls.get_mut(&id) {
            call.shard = shard;
            call.sync.ports.clear();
            call.facts.begin_session(empty);
            call.is_provisional = true;
            call.is_saved = false;
        }
    }

    /// Lets go of a call without a word to its peer or to the store.
    pub(super) fn give_up(&mut self, now: Now, id: RecordingId, reason: EndReason) {
        self.keeping.drop_waiting(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.is_saved = false;
        let dialog = call.dialog.take();
        let (call_id, peer) = (call.sip.call_id.clone(), call.sip.peer);
        let revision = call.sync.revision;
        if let Some(dialog) = dialog {
            self.call_by_dialog.remove(&dialog);
            self.endpoint.disown_dialog(dialog);
        }
        self.end_call(now, id, reason);
        if reason == EndReason::TakenOver {
            self.notice(Notice::CallTaken {
                recording: id,
                call_id,
                peer,
            });
        } else if revision == 0 {
            drop(self.forget(now, id));
        }
    }
}

/// What is known here of the part before: when it ended, the other node alone will know.
fn continues(saved: &SavedCall, cause: PartCause) -> Continues {
    Continues {
        folder: None,
        node: Some(saved.node.clone()).filter(|node| !node.is_empty()),
        ended: None,
        gap_ms: None,
        cause,
    }
}

/// Another node recorded what came before.
const ADOPTED: Word = (
    "adopted",
    "another node recorded the call before: its part has the same id",
);
