//! Requests in a call: re-INVITE, UPDATE, BYE, the ACK with an answer.

use std::net::SocketAddr;

use holdfast_manifest::EndReason;
use holdfast_sip::endpoint::{DialogId, GoneCause, ServerTx};
use holdfast_sip::{Method, Reply, Request, Response, Status};
use holdfast_units::RecordingId;

use super::call::{Asked, Exchange, InDialog, Stage};
use super::content::{self, Content};
use super::deadlines::Timer;
use super::engine::Link;
use super::facts::Carrier;
use super::invite::{Head, keep, propose};
use super::output::{Notice, RefusedBecause};
use super::proposal::Proposal;
use super::session_timer::SessionTimer;
use super::{Now, Recorder, Refusal};
use crate::limits::{HEADER_CHARS_KEPT_MAX, REASONS_MAX};
use crate::sdp::SessionDescription;

impl Recorder {
    pub(super) fn handle_in_dialog(&mut self, now: Now, dialog: DialogId, request: InDialog) {
        let id = self
            .call_of(dialog)
            .filter(|id| self.is_current(*id, dialog));
        match id
            .and_then(|id| self.calls.get_mut(&id))
            .filter(|call| call.is_active())
        {
            // RFC 3891 §3: Replaces means nothing within a dialog, and in no request but INVITE.
            Some(_) if request.request.headers().has("Replaces") => {
                let reply = Reply::new(Status::BAD_REQUEST);
                let _ = self.endpoint.respond(now.mono, request.tx, &reply);
            }
            Some(call) if call.exchange().is_some() => call.queue.push_back(request),
            Some(call) => {
                let id = call.id;
                self.process(now, id, &request);
            }
            None => {
                let reply = Reply::new(Status::NO_SUCH_DIALOG);
                let _ = self.endpoint.respond(now.mono, request.tx, &reply);
            }
        }
    }

    fn process(&mut self, now: Now, id: RecordingId, request: &InDialog) {
        if let Err(refusal) = self.change(now, id, request) {
            self.refuse_change(now, id, request, refusal);
        }
    }

    pub(super) fn refuse_change(
        &mut self,
        now: Now,
        id: RecordingId,
        request: &InDialog,
        refusal: Refusal,
    ) {
        let status = refusal.reply.status;
        let _ = self.endpoint.respond(now.mono, request.tx, &refusal.reply);
        self.notice(Notice::ChangeRefused {
            recording: id,
            status,
            cause: refusal.cause,
        });
    }

    /// Answers a request that changes nothing the engine must confirm, else hands the change to
    /// the engine.
    fn change(&mut self, now: Now, id: RecordingId, request: &InDialog) -> Result<(), Refusal> {
        let content = content::read(&self.config_of_call(id), &request.request)?;
        let timer = SessionTimer::asked(&self.config, request.request.headers())?;
        if let Some(call) = self.calls.get_mut(&id) {
            call.asking.note_request(request.request.headers());
        }
        if content.sdp.is_none() && !request.is_invite() {
            self.take_update(now, id, request, &content, timer);
            return Ok(());
        }
        let Some(call) = self.calls.get(&id) else {
            return Ok(());
        };
        let (shard, address, made) = (call.shard, call.address, call.facts.streams_made());
        let mut proposal = propose(&call.facts.session, &content)?;
        let has_new = !proposal.wanting(address).is_empty();
        if has_new && !matches!(self.link, Link::Ready { .. }) {
            return Err(self.unavailable(RefusedBecause::EngineAway));
        }
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
        let file = keep(
            &mut call.documents,
            request.request.head(),
            &content,
            Head::WithBody,
        );
        let carrier = carrier_of(now, &request.request, &content, file, call.sip.peer);
        let facts = call.facts.clone();
        let facts = self.candidate(facts, &content, &carrier, Some((&proposal, settled)));
        let exchange = Exchange {
            request: Asked::Theirs(request.clone()),
            facts,
            proposal,
            description,
            timer,
            revision: 0,
            takes_over: None,
        };
        self.begin_exchange(now, id, exchange, !content.is_empty());
        Ok(())
    }

    /// Answers at once where no stream changes, or where the engine is away and none is new: it is
    /// told when it is back.
    fn begin_exchange(&mut self, now: Now, id: RecordingId, exchange: Exchange, says: bool) {
        let is_ready = matches!(self.link, Link::Ready { .. });
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let is_same = call.is_same_media(&exchange.facts, &call.facts);
        if is_same || !is_ready {
            call.sync.is_dirty |= says || !is_same;
            self.conclude(now, id, exchange, false);
            self.push(id);
            return self.judge_metadata(now, id);
        }
        call.stage = Stage::Up(Some(Box::new(exchange)));
        call.sync.is_dirty = true;
        self.await_engine(now, id);
        self.push(id);
    }

    /// An UPDATE without a session description: metadata, or a refresh of the session. The 200 has
    /// no session description either (RFC 3311 §5.2).
    fn take_update(
        &mut self,
        now: Now,
        id: RecordingId,
        request: &InDialog,
        content: &Content,
        timer: Option<SessionTimer>,
    ) {
        let reply = self.ok(request, timer);
        if self.endpoint.respond(now.mono, request.tx, &reply).is_err() {
            return;
        }
        self.merge(now, id, &request.request, content);
        self.arm_session_timer(now, id, timer);
        self.push(id);
        self.judge_metadata(now, id);
    }

    /// Takes the metadata of a request that is answered 2xx, whatever else happens.
    fn merge(&mut self, now: Now, id: RecordingId, request: &Request, content: &Content) {
        let is_bye = *request.method() == Method::Bye;
        if content.is_empty() && !is_bye {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let wanted = if is_bye { Head::Always } else { Head::WithBody };
        let file = keep(&mut call.documents, request.head(), content, wanted);
        let carrier = carrier_of(now, request, content, file, call.sip.peer);
        self.merge_carried(id, content, &carrier);
    }

    /// Takes the metadata of an answer to a request of ours (P-55).
    pub(super) fn merge_answer(
        &mut self,
        now: Now,
        id: RecordingId,
        response: &Response,
        content: &Content,
    ) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|_| content.metadata.is_some())
        else {
            return;
        };
        let file = keep(
            &mut call.documents,
            response.head(),
            content,
            Head::WithBody,
        );
        let method = format!("200 {}", response.cseq().method.as_str());
        let carrier = Carrier {
            method: &method,
            file,
            arrival: now.wall,
            has_sdp: content.sdp.is_some(),
            is_in_dialog: true,
            call_id: response.call_id(),
            peer: call.sip.peer,
        };
        self.merge_carried(id, content, &carrier);
        self.push(id);
        self.judge_metadata(now, id);
    }

    fn merge_carried(&mut self, id: RecordingId, content: &Content, carrier: &Carrier<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let facts = call.facts.clone();
        let facts = self.candidate(facts, content, carrier, None);
        if let Some(call) = self.calls.get_mut(&id) {
            if let Some(metadata) = &content.metadata {
                call.asking
                    .note_metadata(&metadata.content_type, metadata.dialect());
            }
            call.facts = facts;
            call.sync.is_dirty = true;
        }
    }

    /// A 200 with all that ours have in common.
    fn ok(&self, request: &InDialog, timer: Option<SessionTimer>) -> Reply {
        let contact = self.contact(&request.request, &request.source);
        let reply = Reply::new(Status::OK).header("Contact", contact);
        match timer {
            Some(timer) => timer.write(reply),
            None => reply,
        }
    }

    /// Answers an exchange 200 and takes it into force. Where nobody waits for the answer any more,
    /// what was in force stays.
    pub(super) fn conclude(
        &mut self,
        now: Now,
        id: RecordingId,
        exchange: Exchange,
        is_first: bool,
    ) {
        let Exchange {
            request,
            facts,
            description,
            timer,
            takes_over,
            ..
        } = exchange;
        let answered = self.say_answer(now, id, &request, timer, &description);
        self.deadlines.stop(id, Timer::Engine);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.stage = Stage::Up(None);
        let Some(dialog) = answered else {
            call.sync.is_dirty = true;
            if is_first {
                // The engine knows these streams.
                call.facts = facts;
                if let Some(tx) = request.tx() {
                    self.call_by_tx.remove(&tx);
                }
                self.end_call(now, id, EndReason::Cancel);
            }
            return;
        };
        let streams = facts.streams().count();
        if let Some(takeover) = takes_over {
            self.finish_takeover(now, id, *takeover);
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.facts = facts;
        self.keeping.touch(id);
        if let Some(dialog) = dialog {
            call.dialog = Some(dialog);
            self.call_by_dialog.insert(dialog, id);
            if let Some(tx) = request.tx().filter(|_| is_first) {
                self.keeping.note_first(id, tx, dialog);
            }
        }
        self.arm_session_timer(now, id, timer);
        if is_first {
            self.note_answered(now, id, request.tx(), streams);
        } else {
            self.notice(Notice::CallChanged {
                recording: id,
                streams,
            });
        }
    }

    /// Sends the answer to an exchange; gives its dialog where an INVITE was answered, and nothing
    /// where nobody waits for the answer any more.
    fn say_answer(
        &mut self,
        now: Now,
        id: RecordingId,
        request: &Asked,
        timer: Option<SessionTimer>,
        description: &[u8],
    ) -> Option<Option<DialogId>> {
        let request = match request {
            Asked::Theirs(request) => request,
            Asked::Ours(client) => {
                let body = Some(("application/sdp", description));
                self.endpoint.acknowledge(*client, body).ok()?;
                return Some(self.calls.get(&id).and_then(|call| call.dialog));
            }
        };
        let reply = self.ok(request, timer).body("application/sdp", description);
        if request.is_invite() {
            let accepted = self.endpoint.accept_invite(now.mono, request.tx, &reply);
            return accepted.ok().map(Some);
        }
        let answered = self.endpoint.respond(now.mono, request.tx, &reply);
        answered.ok().map(|()| None)
    }

    fn note_answered(&mut self, now: Now, id: RecordingId, tx: Option<ServerTx>, streams: usize) {
        match tx {
            Some(tx) => {
                self.statistics.answered += 1;
                self.call_by_tx.remove(&tx);
            }
            None => {
                if self.keeping.is_away() {
                    self.flag_unsaved(id);
                }
                self.report(id, Ok(()));
            }
        }
        self.deadlines.set(
            id,
            Timer::Duration,
            now.mono + self.config.call_duration_max,
        );
        self.watch(now, id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let dialog = call.dialog.and_then(|dialog| self.endpoint.dialog(dialog));
        if let Some(dialog) = dialog {
            call.sip.local_tag.clone_from(&dialog.key.local_tag);
        }
        let (call_id, peer) = (call.sip.call_id.clone(), call.sip.peer);
        // The description now has both tags, which a process that goes on with the call needs.
        self.describe_again(id);
        self.notice(Notice::CallAnswered {
            recording: id,
            call_id,
            peer,
            streams,
        });
    }

    /// Undoes an exchange that was refused or cancelled: what was in force is told to the engine
    /// again, where it was told anything else.
    pub(super) fn roll_back(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(exchange) = call.take_exchange() else {
            return;
        };
        if exchange.revision == 0 {
            for port in exchange.proposal.ports() {
                call.sync.ports.remove(&port);
                self.ports.release(now.mono, port);
            }
        }
        call.sync.is_dirty = true;
        self.deadlines.stop(id, Timer::Engine);
        if call.is_provisional {
            // It stays with the node that has it.
            return self.give_up(now, id, EndReason::Failure);
        }
        self.push(id);
    }

    /// Goes on with the requests that waited.
    pub(super) fn go_on(&mut self, now: Now, id: RecordingId) {
        loop {
            let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
                return;
            };
            if call.exchange().is_some() {
                return;
            }
            let Some(request) = call.queue.pop_front() else {
                return self.judge_metadata(now, id);
            };
            self.process(now, id, &request);
        }
    }

    /// A BYE may carry the last metadata: it is merged before anything ends (P-55).
    pub(super) fn handle_bye(
        &mut self,
        now: Now,
        tx: ServerTx,
        dialog: DialogId,
        request: &Request,
    ) {
        if let Some(id) = self
            .call_of(dialog)
            .filter(|id| self.is_current(*id, dialog))
        {
            self.note_reasons(id, request);
            // What cannot be read ends the call all the same.
            let config = self.config_of_call(id);
            let content = content::read(&config, request).unwrap_or_default();
            self.merge(now, id, request, &content);
            self.end_call(now, id, EndReason::Bye);
        }
        let _ = self.endpoint.respond(now.mono, tx, &Reply::new(Status::OK));
    }

    /// Whether a dialog is the one of its call, and not one that was replaced.
    fn is_current(&self, id: RecordingId, dialog: DialogId) -> bool {
        let call = self.calls.get(&id);
        call.is_some_and(|call| call.dialog == Some(dialog))
    }

    /// Why the peer ends the call (RFC 3326).
    fn note_reasons(&mut self, id: RecordingId, request: &Request) {
        let reasons = request.headers().all("Reason").take(REASONS_MAX);
        let kept: Vec<String> = reasons
            .map(|reason| reason.chars().take(HEADER_CHARS_KEPT_MAX).collect())
            .collect();
        if let Some(call) = self.calls.get_mut(&id).filter(|_| !kept.is_empty()) {
            call.sip.headers.insert("Reason".to_owned(), kept);
        }
    }

    pub(super) fn refuse_method(&mut self, now: Now, tx: ServerTx) {
        let reply = Reply::new(Status::METHOD_NOT_ALLOWED);
        let _ = self.endpoint.respond(now.mono, tx, &reply);
    }

    /// The ACK of a 200 that had our offer carries the answer (RFC 3261 §13.2.1).
    pub(super) fn handle_ack(&mut self, now: Now, dialog: DialogId, request: &Request) {
        let Some(id) = self.call_of(dialog) else {
            return;
        };
        let Some(call) = self.calls.get(&id).filter(|call| call.is_active()) else {
            return;
        };
        self.keeping.touch(id);
        if !call.facts.session.is_offer_pending() {
            return self.judge_metadata(now, id);
        }
        let content = content::read(&self.config_of_call(id), request);
        let answer = content.ok().and_then(|content| content.sdp);
        let Some(answer) = answer else {
            return self.go_without_answer(now, id);
        };
        self.take_answer(now, id, &answer.description);
    }

    /// An ACK without an answer: nothing can ask for it again. A call that was up before goes on as
    /// it was; without any answer there is no session.
    fn go_without_answer(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if !call.facts.offered.is_empty() {
            return self.hang_up(now, id, EndReason::Failure, "no answer to the offer");
        }
        call.facts.session.cancel_offer();
        call.facts.warn((
            "offer_unanswered",
            "the peer accepted an offer of the recorder without answering it",
        ));
        call.sync.is_dirty = true;
        self.push(id);
        self.go_on(now, id);
    }

    pub(super) fn take_answer(&mut self, now: Now, id: RecordingId, answer: &SessionDescription) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let facts = &mut call.facts;
        let is_first = !facts.offered.is_empty();
        if facts.session.handle_answer(answer).is_err() {
            return;
        }
        facts.offered.clear();
        facts.name_streams(&mut self.stream_ids);
        if is_first {
            // Only now the streams have labels.
            facts.channels = crate::metadata::Channels::new();
        }
        facts.assign_channels();
        facts.note_streams();
        call.sync.is_dirty = true;
        self.push(id);
        self.go_on(now, id);
    }

    /// RFC 3261 §13.3.1.4: without an ACK "the dialog is confirmed, but the session SHOULD be
    /// terminated. This is accomplished with a BYE".
    pub(super) fn handle_no_ack(&mut self, now: Now, dialog: DialogId) {
        if let Some(id) = self
            .call_of(dialog)
            .filter(|id| self.is_current(*id, dialog))
        {
            self.hang_up(now, id, EndReason::SipTimeout, "no ACK");
        }
    }

    pub(super) fn handle_dialog_gone(&mut self, now: Now, dialog: DialogId, cause: GoneCause) {
        let Some(id) = self.call_by_dialog.remove(&dialog) else {
            return;
        };
        let current = self.calls.get(&id).and_then(|call| call.dialog);
        if current.is_some_and(|current| current != dialog) {
            return self.note_replaced_gone(now, id);
        }
        let reason = match cause {
            GoneCause::ByeReceived => EndReason::Bye,
            GoneCause::UnknownToPeer => EndReason::SipTimeout,
            GoneCause::ByeAnswered
            | GoneCause::ByeUnanswered
            | GoneCause::NotAccepted
            | GoneCause::Released => EndReason::Failure,
        };
        self.end_call(now, id, reason);
    }
}

fn carrier_of<'r>(
    now: Now,
    request: &'r Request,
    content: &Content,
    file: Option<String>,
    peer: Option<SocketAddr>,
) -> Carrier<'r> {
    Carrier {
        method: request.method().as_str(),
        file,
        arrival: now.wall,
        has_sdp: content.sdp.is_some(),
        is_in_dialog: true,
        call_id: request.call_id(),
        peer,
    }
}

impl Proposal {
    /// Whether any stream got a port with it.
    pub(super) fn has_any_ports(&self) -> bool {
        self.ports().next().is_some()
    }
}
