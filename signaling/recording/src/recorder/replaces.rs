//! An INVITE that takes the place of a dialog (RFC 3891): the recording goes on, with another peer
//! socket, another node of the client, or another client of the same identity.
//!
//! It is an exchange of the call that it names, like a re-INVITE: the engine opens its ports beside
//! those there are, and only when it is answered 200 the old dialog gets its BYE. Whatever is refused
//! leaves the old dialog exactly as it was (RFC 3891 §3). The old ports stay open until the BYE is
//! answered, and a moment longer.

use std::sync::Arc;

use holdfast_manifest::{EndReason, FormerDialog, SipDialog};
use holdfast_sip::dialog::{DialogKey, Phase};
use holdfast_sip::endpoint::DialogId;
use holdfast_sip::message::Replaces;
use holdfast_sip::{Reply, Request, Status};
use holdfast_units::RecordingId;

use super::asking::Asking;
use super::call::Asked;
use super::call::{Exchange, InDialog, Stage};
use super::content::{self, Content};
use super::deadlines::Timer;
use super::describe;
use super::engine::Link;
use super::facts::Carrier;
use super::invite::{Head, keep, propose};
use super::marks::Marks;
use super::output::{Notice, RefusedBecause};
use super::session_timer::SessionTimer;
use super::{Now, Recorder, RecorderConfig, Refusal};
use crate::admission::Sender;
use crate::limits::REPLACED_LINGER;

/// What a call becomes when its dialog is replaced.
#[derive(Debug)]
pub(super) struct Takeover {
    sender: Sender,
    sip: SipDialog,
    knows_siprec: bool,
    asking: Asking,
    address: std::net::IpAddr,
}

/// Which call an INVITE goes on with that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSession {
    /// None: each INVITE is a call of its own. A client that records to two sessions at once gets two
    /// recordings.
    #[default]
    Off,
    /// The call of the same peer with a communication session of the same id, as with Replaces.
    Join,
    /// None, and the new recording says so.
    New,
}

impl Recorder {
    /// Goes on with the call that an INVITE names by Replaces.
    pub(super) fn replace(
        &mut self,
        now: Now,
        invite: &InDialog,
        marks: Marks,
        named: Option<Replaces>,
    ) -> Result<(), Refusal> {
        let named = named.filter(|_| !invite.request.headers().has("Join"));
        // RFC 3891 §3: "exactly one to-tag and one from-tag"; "contradictory" with Join.
        let named = named.ok_or_else(|| refused(Status::BAD_REQUEST, "a broken Replaces"))?;
        let found = self.find_replaced(&named);
        if let Err(refusal) = &found
            && refusal.reply.status == Status::NO_SUCH_DIALOG
            && self.search(invite, marks, &named)
        {
            return Ok(());
        }
        let (dialog, id) = found?;
        if !self.may_replace(id, dialog, invite) {
            return Err(refused(Status::FORBIDDEN, "the call is another peer's"));
        }
        if named.early_only {
            // RFC 3891 §3: "it returns a 486 Busy response".
            return Err(refused(busy(), "the dialog to be replaced is confirmed"));
        }
        self.take_over(now, invite, marks, id)
    }

    /// RFC 3891 §3: 481 where none matches, 603 where it has ended.
    fn find_replaced(&self, named: &Replaces) -> Result<(DialogId, RecordingId), Refusal> {
        let key = |remote_tag: &str| DialogKey {
            call_id: named.call_id.clone(),
            local_tag: named.to_tag.clone(),
            remote_tag: remote_tag.to_owned(),
        };
        let stated = key(&named.from_tag);
        // §3: a tag of 0 matches none.
        let found = self.endpoint.dialog_by_key(&stated).or_else(|| {
            let is_zero = named.from_tag == "0";
            is_zero.then(|| self.endpoint.dialog_by_key(&key("")))?
        });
        let has_ended = || refused(declined(), "the dialog to be replaced has ended");
        let Some(dialog) = found else {
            return Err(match self.endpoint.has_tombstone(&stated) {
                true => has_ended(),
                false => refused(Status::NO_SUCH_DIALOG, "no such dialog"),
            });
        };
        let is_over = |dialog: &holdfast_sip::dialog::Dialog| dialog.phase == Phase::Terminating;
        let call = self.call_of(dialog).and_then(|id| self.calls.get(&id));
        let call = call.filter(|call| call.is_active() && call.dialog == Some(dialog));
        if self.endpoint.dialog(dialog).is_none_or(is_over) {
            return Err(has_ended());
        }
        call.map(|call| (dialog, call.id)).ok_or_else(has_ended)
    }

    /// Whether the sender of an INVITE is who the call is with: the same profile and user, or, where no
    /// profile names it, the same address.
    fn may_replace(&self, id: RecordingId, dialog: DialogId, invite: &InDialog) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        if call.sender != self.sender {
            return false;
        }
        let known = self.endpoint.dialog(dialog).map(|dialog| dialog.peer.ip());
        let ip = invite.source.remote.ip();
        call.sender.peer.is_some()
            || known.is_some_and(|known| known.to_canonical() == ip.to_canonical())
    }

    /// The call that an INVITE without Replaces goes on with, where the operator wants that.
    pub(super) fn find_same(&self, invite: &InDialog, content: &Content) -> Option<RecordingId> {
        if self.config.same_session == SameSession::Off {
            return None;
        }
        let document = content.metadata.as_ref()?.document.as_ref()?;
        let is_same = |call: &&super::call::Call| {
            let mut sessions = document.sessions.iter();
            sessions.any(|session| call.facts.state.session(&session.id).is_some())
                && call.is_up()
                && call.sip.call_id != invite.request.call_id()
                && call
                    .dialog
                    .is_some_and(|dialog| self.may_replace(call.id, dialog, invite))
        };
        self.calls.values().find(is_same).map(|call| call.id)
    }

    /// Lets an INVITE take the place of a call's dialog, once the engine has its streams.
    pub(super) fn take_over(
        &mut self,
        now: Now,
        invite: &InDialog,
        marks: Marks,
        id: RecordingId,
    ) -> Result<(), Refusal> {
        let request: &Request = &invite.request;
        if !matches!(self.link, Link::Ready { .. }) {
            return Err(self.unavailable(RefusedBecause::EngineAway));
        }
        let config: Arc<RecorderConfig> = self.config_of(&self.sender);
        let content = content::read(&config, request)?;
        let timer = SessionTimer::asked(&self.config, request.headers())?;
        let (address, session) = {
            let address = self.media_address(&invite.source);
            (address, self.new_session(address, &invite.source))
        };
        let Some(call) = self.calls.get(&id) else {
            return Ok(());
        };
        if call.exchange().is_some() {
            return Err(refused(Status::REQUEST_PENDING, "the call is changing"));
        }
        if are_strangers(call, &content) {
            return Err(refused(
                Status::FORBIDDEN,
                "the metadata is of another session than the dialog to be replaced",
            ));
        }
        let (shard, made) = (call.shard, call.facts.streams_made());
        let mut facts = call.facts.clone();
        let is_paused = facts.session.is_paused();
        facts.begin_session(session);
        facts.session.set_paused(is_paused);
        let mut proposal = propose(&facts.session, &content)?;
        let is_found = self.find_ports(now, shard, address, made, &mut proposal);
        let Some(Ok(settled)) = is_found.then(|| proposal.settle()) else {
            self.return_ports(now, &proposal);
            return Err(self.unavailable(RefusedBecause::NoPorts));
        };
        let description = settled.description.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return Ok(());
        };
        call.sync.ports.extend(proposal.ports());
        let file = keep(&mut call.documents, request.head(), &content, Head::Always);
        let carrier = Carrier {
            method: "INVITE",
            file,
            arrival: now.wall,
            has_sdp: content.sdp.is_some(),
            is_in_dialog: false,
            call_id: request.call_id(),
            peer: call.sip.peer,
        };
        let facts = self.candidate(facts, &content, &carrier, Some((&proposal, settled)));
        let takeover = self.takeover(invite, marks, &content, address);
        let exchange = Exchange {
            request: Asked::Theirs(invite.clone()),
            facts,
            proposal,
            description,
            timer,
            revision: 0,
            takes_over: Some(Box::new(takeover)),
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = Stage::Up(Some(Box::new(exchange)));
            call.sync.is_dirty = true;
        }
        self.await_engine(now, id);
        self.push(id);
        Ok(())
    }

    fn takeover(
        &self,
        invite: &InDialog,
        marks: Marks,
        content: &Content,
        address: std::net::IpAddr,
    ) -> Takeover {
        let mut asking = Asking::new(invite.request.headers());
        if let Some(metadata) = &content.metadata {
            asking.note_metadata(&metadata.content_type, metadata.dialect());
        }
        Takeover {
            sender: self.sender.clone(),
            sip: self.known(describe::dialog_of(&invite.request, &invite.source)),
            knows_siprec: marks.knows_siprec(),
            asking,
            address,
        }
    }

    /// The 200 is on its way: the call is that of the new dialog, and the old one gets its BYE.
    pub(super) fn finish_takeover(&mut self, now: Now, id: RecordingId, takeover: Takeover) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let old = call.dialog;
        let waiting: Vec<_> = call.queue.drain(..).collect();
        let streams = call.desired_streams(&call.facts);
        call.lingering = streams
            .map(|(stream, encryption)| (stream, encryption.cloned()))
            .collect();
        let former = std::mem::replace(&mut call.sip, takeover.sip);
        call.formers.push(FormerDialog {
            sip: former,
            until: now.wall,
            end_reason: EndReason::Replaced,
        });
        call.sender = takeover.sender;
        call.knows_siprec = takeover.knows_siprec;
        call.asking = takeover.asking;
        call.address = takeover.address;
        if std::mem::take(&mut call.is_provisional) {
            self.keeping.note_adopted(id);
        }
        self.notice(Notice::CallReplaced { recording: id });
        for request in waiting {
            let reply = Reply::new(Status::NO_SUCH_DIALOG);
            let _ = self.endpoint.respond(now.mono, request.tx, &reply);
        }
        if let Some(old) = old {
            self.say_bye(now, old, "replaced");
        }
    }

    /// The old dialog of a replaced call is over: its ports are kept for what is still on its way.
    pub(super) fn note_replaced_gone(&mut self, now: Now, id: RecordingId) {
        self.deadlines
            .set(id, Timer::Lingering, now.mono + REPLACED_LINGER);
    }

    /// Nothing comes on the old ports any more.
    pub(super) fn end_lingering(&mut self, id: RecordingId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.lingering.clear();
            call.sync.is_dirty = true;
        }
        self.push(id);
    }
}

/// whether both speak of sessions, and of none in common.
fn are_strangers(call: &super::call::Call, content: &Content) -> bool {
    let document = content.metadata.as_ref();
    let document = document.and_then(|metadata| metadata.document.as_ref());
    let sessions = document.map_or(&[][..], |document| &document.sessions);
    let known = &call.facts.state;
    !sessions.is_empty()
        && !known.sessions().is_empty()
        && sessions
            .iter()
            .all(|session| known.session(&session.id).is_none())
}

pub(super) fn refused(status: Status, why: &'static str) -> Refusal {
    Refusal::new(Reply::new(status), RefusedBecause::Replaces(why))
}

pub(super) fn busy() -> Status {
    Status::new(486).unwrap_or(Status::FORBIDDEN)
}

pub(super) fn declined() -> Status {
    Status::new(603).unwrap_or(Status::FORBIDDEN)
}
