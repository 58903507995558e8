//! What we ask of the peer in a call that is up: a refresh of the session (RFC 4028), a pause or its
//! end (RFC 7866 §7.2), all of the metadata once more (RFC 7866 §9.2).
//!
//! One request at a time. What is wished is state, not a queue: whatever is due when the peer is
//! free is asked then, and what is no longer wished is never sent. A peer that refuses loses nothing
//! by it: a pause holds without its consent, and its packets reach no disk.

use std::time::Duration;

use holdfast_manifest::EndReason;
use holdfast_sip::endpoint::{ClientTx, DialogId, Draft, FailureCause};
use holdfast_sip::message::Headers;
use holdfast_sip::{FlowInfo, Method, Response, Status};
use holdfast_units::RecordingId;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::content;
use super::deadlines::Timer;
use super::output::Notice;
use super::{Now, Recorder};
use crate::limits::{
    ASK_ATTEMPTS_MAX, ASK_RETRY, ASK_RETRY_MAX, SNAPSHOT_REQUESTS_MAX, SNAPSHOT_WAIT,
};
use crate::metadata::{Dialect, SnapshotRequest};
use crate::multipart::{ACCEPT, TYPE_METADATA, TYPE_METADATA_LEGACY};

/// What we have asked of a peer and mean to ask.
#[derive(Debug)]
pub(super) struct Asking {
    /// The request without a final answer.
    waiting: Option<(ClientTx, Purpose)>,
    /// How often the present wish was put off.
    put_off: u32,
    /// The session is to be refreshed.
    refresh: bool,
    /// Whether it is there at all is to be asked.
    check: bool,
    /// The last such question has got no answer.
    is_unanswered: bool,
    /// A process before began the call, and nothing has been heard since.
    is_restored: bool,
    /// The peer does not take a pause, or its end, from us.
    is_direction_refused: bool,
    /// All of the metadata is to be asked for.
    snapshot: bool,
    /// A process before began the call: what the peer said to nobody is to be said again.
    is_resumed: bool,
    /// How often it was.
    snapshots: u32,
    /// The media type in which the peer takes that question.
    snapshot_type: &'static str,
    /// The vocabulary it is asked in.
    pub(super) dialect: Dialect,
    /// Whether the peer takes UPDATE: as its Allow says, until it answers otherwise.
    takes_update: bool,
}

/// The same as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedAsking {
    /// Whether the peer sends metadata at all.
    has_metadata: bool,
    is_direction_refused: bool,
    snapshots: u32,
    snapshot_type: String,
    dialect: Dialect,
    takes_update: bool,
}

/// Why a request of ours was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To refresh the session.
    Refresh,
    /// To say what we want to receive.
    Direction,
    /// To get all of the metadata.
    Snapshot,
    /// To see whether it is there.
    Check,
}

impl Asking {
    /// For the peer that sent an INVITE, or its 2xx, with these header fields.
    pub(super) fn new(headers: &Headers) -> Self {
        Self {
            waiting: None,
            put_off: 0,
            refresh: false,
            check: false,
            is_unanswered: false,
            is_restored: false,
            is_direction_refused: false,
            snapshot: false,
            is_resumed: false,
            snapshots: 0,
            snapshot_type: snapshot_type(headers),
            dialect: Dialect::default(),
            takes_update: headers.allows(&Method::Update),
        }
    }

    /// As it is saved: what was asked and not answered is asked anew.
    pub(super) fn to_saved(&self, has_metadata: bool) -> SavedAsking {
        SavedAsking {
            has_metadata,
            is_direction_refused: self.is_direction_refused,
            snapshots: self.snapshots,
            snapshot_type: self.snapshot_type.to_owned(),
            dialect: self.dialect,
            takes_update: self.takes_update,
        }
    }

    /// What was saved.
    pub(super) fn from_saved(saved: SavedAsking) -> Self {
        let types = [TYPE_METADATA, TYPE_METADATA_LEGACY, TYPE_REQUEST_DRAFT];
        let mut types = types.into_iter();
        Self {
            waiting: None,
            put_off: 0,
            refresh: false,
            check: false,
            is_unanswered: false,
            is_restored: true,
            is_direction_refused: saved.is_direction_refused,
            snapshot: false,
            is_resumed: saved.has_metadata,
            snapshots: saved.snapshots,
            snapshot_type: types
                .find(|known| *known == saved.snapshot_type)
                .unwrap_or(TYPE_METADATA),
            dialect: saved.dialect,
            takes_update: saved.takes_update,
        }
    }

    /// Takes note of what a later request of the peer allows.
    pub(super) fn note_request(&mut self, headers: &Headers) {
        if headers.has("Allow") {
            self.takes_update = headers.allows(&Method::Update);
        }
    }

    /// The metadata of the peer has this media type: it is asked in kind (RFC 9806 §2, P-71).
    pub(super) fn note_metadata(&mut self, content_type: &str, dialect: Dialect) {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if self.snapshot_type == TYPE_METADATA && essence.eq_ignore_ascii_case(TYPE_METADATA_LEGACY)
        {
            self.snapshot_type = TYPE_METADATA_LEGACY;
        }
        self.dialect = dialect;
    }

    /// What we want to receive has changed: whatever the peer refused before, it is asked.
    pub(super) fn renew_direction(&mut self) {
        (self.is_direction_refused, self.put_off) = (false, 0);
    }

    /// The session is to be refreshed.
    pub(super) fn want_refresh(&mut self) {
        self.refresh = true;
    }

    /// Whether the peer is there is to be asked.
    pub(super) fn want_check(&mut self) {
        (self.check, self.is_restored) = (true, false);
    }

    /// It has said something.
    pub(super) fn note_heard(&mut self) {
        (self.is_unanswered, self.is_restored) = (false, false);
    }

    /// Whether it was asked last, and said nothing.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.is_unanswered
    }

    /// Whether nobody has looked since a process before left the call.
    pub(super) const fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// It has been, or has no timer any more.
    pub(super) fn forget_refresh(&mut self) {
        self.refresh = false;
    }
}

impl Recorder {
    /// Asks what is due, where the peer is free to be asked.
    pub(super) fn ask(&mut self, now: Now, id: RecordingId) {
        if self.deadlines.is_set(id, Timer::Ask) {
            return;
        }
        let Some(call) = self.calls.get(&id).filter(|call| call.is_up()) else {
            return;
        };
        // Before the ACK the peer may not have our 200.
        let is_free = call.asking.waiting.is_none()
            && call
                .dialog
                .is_some_and(|dialog| !self.endpoint.awaits_ack(dialog));
        if !is_free {
            return;
        }
        let Some(purpose) = due(call) else { return };
        self.send(now, id, purpose);
    }

    fn send(&mut self, now: Now, id: RecordingId, purpose: Purpose) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some(dialog) = call.dialog else { return };
        let by_update = call.asking.takes_update;
        let draft = match purpose {
            Purpose::Snapshot => self.snapshot_draft(call, dialog),
            Purpose::Refresh if by_update => self.draft(call, dialog, Method::Update),
            Purpose::Refresh | Purpose::Direction => self.draft(call, dialog, Method::Invite),
            // It changes nothing, whoever answers (RFC 3261 §11).
            Purpose::Check => Draft::new(Method::Options).header("Accept", "application/sdp"),
        };
        let is_invite = *draft.method() == Method::Invite;
        let draft = match is_invite {
            true => self.with_offer(id, draft),
            false => Some(draft),
        };
        let Some(draft) = draft else { return };
        let sent = self
            .endpoint
            .request(now.mono, dialog, draft, self.entropy.as_mut());
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        match sent {
            Ok(client) => {
                call.asking.waiting = Some((client, purpose));
                call.asking.check &= purpose != Purpose::Check;
            }
            Err(_) => {
                call.facts.session.cancel_offer();
                self.put_off(now, id, purpose, ASK_RETRY);
            }
        }
    }

    /// A request with all that ours have in common (P-06, P-08, RFC 4028 §7.4).
    fn draft(&self, call: &Call, dialog: DialogId, method: Method) -> Draft {
        let config = self.endpoint.config();
        let mut draft = Draft::new(method);
        if let Some(dialog) = self.endpoint.dialog(dialog) {
            let source = FlowInfo {
                transport: dialog.transport,
                remote: dialog.peer,
                local: dialog.local,
            };
            let uri = config.contact_uri(&source, dialog.is_secure);
            draft = draft.header("Contact", format!("<{uri}>;+sip.srs"));
        }
        draft = draft
            .header("Supported", config.supported.join(", "))
            .header("Allow", config.allow_value());
        if call.knows_siprec {
            draft = draft.header("Require", "siprec");
        }
        match call.timer {
            Some(timer) => timer.ask(draft),
            None => draft,
        }
    }

    /// An UPDATE that asks for all of the metadata (RFC 7866 §9.2, P-70 to P-72).
    fn snapshot_draft(&self, call: &Call, dialog: DialogId) -> Draft {
        let request = SnapshotRequest {
            reason: Some("partial metadata builds on a state that is not known here"),
            language: Some("en"),
            dialect: call.asking.dialect,
        };
        self.draft(call, dialog, Method::Update)
            .header("Accept", ACCEPT)
            .header("Content-Disposition", "recording-session")
            .body(call.asking.snapshot_type, request.body())
    }

    /// The same with an offer of the streams there are, and none else (P-31).
    fn with_offer(&mut self, id: RecordingId, draft: Draft) -> Option<Draft> {
        let session = &mut self.calls.get_mut(&id)?.facts.session;
        let plan = session.plan_offer().ok()?;
        let offer = session.offer(plan, |_| None).ok()?;
        Some(draft.body("application/sdp", offer))
    }

    pub(super) fn handle_response(
        &mut self,
        now: Now,
        dialog: DialogId,
        client: ClientTx,
        response: &Response,
    ) {
        if self.handle_callee(now, dialog, client, response) {
            return;
        }
        let status = response.status();
        if status.is_provisional() {
            return;
        }
        let Some((id, purpose)) = self.take_waiting(dialog, client) else {
            return;
        };
        if purpose == Purpose::Check {
            return self.take_sign(now, id, status);
        }
        if status.is_success() {
            self.take_consent(now, id, purpose, response);
            return self.ask(now, id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.facts.session.cancel_offer();
        }
        self.push_where_changed(id);
        let headers = response.headers();
        let stated = headers
            .retry_after()
            .map(|seconds| Duration::from_secs(u64::from(seconds)).min(ASK_RETRY_MAX));
        if status == Status::REQUEST_TIMEOUT || status == Status::NO_SUCH_DIALOG {
            self.hang_up(now, id, EndReason::SipTimeout, "the dialog is dead");
        } else if status == Status::REQUEST_PENDING {
            // RFC 3261 §14.1, RFC 3311 §5.3.
            let dialog = self.endpoint.dialog(dialog);
            let wait = dialog.map(|dialog| dialog.glare_backoff(self.entropy.as_mut()));
            self.put_off(now, id, purpose, wait.unwrap_or(ASK_RETRY));
        } else if status == Status::INTERVAL_TOO_SMALL {
            self.lengthen(now, id, purpose, headers);
        } else if status.code() / 100 == 5 && !is_final(status) {
            self.put_off(now, id, purpose, stated.unwrap_or(ASK_RETRY));
        } else {
            self.accept_refusal(now, id, purpose, status);
        }
    }

    pub(super) fn handle_request_failed(
        &mut self,
        now: Now,
        dialog: DialogId,
        client: ClientTx,
        cause: FailureCause,
    ) {
        self.lose_callee(dialog);
        let Some((id, purpose)) = self.take_waiting(dialog, client) else {
            return;
        };
        if purpose == Purpose::Check {
            return self.take_sign(now, id, Status::REQUEST_TIMEOUT);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.facts.session.cancel_offer();
        }
        match cause {
            // RFC 3261 §12.2.1.2: as if 408 had come.
            FailureCause::TimedOut => {
                self.hang_up(now, id, EndReason::SipTimeout, "the peer does not answer");
            }
            // As if 503 had come: the peer may be reached later, and its packets still come.
            FailureCause::Transport => self.put_off(now, id, purpose, ASK_RETRY_MAX),
        }
    }

    /// What was answered to the question whether the peer is there: whatever it is, it is a sign; but
    /// for 481, by which it says that it knows nothing of the call, and 408, by which others say that
    /// it was not found.
    fn take_sign(&mut self, now: Now, id: RecordingId, status: Status) {
        if status == Status::NO_SUCH_DIALOG {
            return self.hang_up(now, id, EndReason::SipTimeout, "the dialog is dead");
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.asking.is_unanswered = status == Status::REQUEST_TIMEOUT;
        }
        self.ask(now, id);
    }

    /// The call whose request has got a final answer, or will get none.
    fn take_waiting(
        &mut self,
        dialog: DialogId,
        client: ClientTx,
    ) -> Option<(RecordingId, Purpose)> {
        let id = self.call_of(dialog)?;
        let call = self.calls.get_mut(&id)?;
        let (_, purpose) = call
            .asking
            .waiting
            .take_if(|(waiting, _)| *waiting == client)?;
        call.is_active().then_some((id, purpose))
    }

    /// The peer has accepted.
    fn take_consent(&mut self, now: Now, id: RecordingId, purpose: Purpose, response: &Response) {
        let content = content::read_answer(&self.config_of_call(id), response);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.asking.put_off = 0;
        call.asking.note_request(response.headers());
        let is_offered = call.facts.session.is_offer_pending();
        let timer = call.timer.map(|timer| timer.granted(response.headers()));
        match purpose {
            Purpose::Refresh | Purpose::Direction | Purpose::Check => {}
            Purpose::Snapshot => {
                (call.asking.snapshot, call.asking.is_resumed) = (false, false);
                call.asking.snapshots += 1;
                self.deadlines
                    .set(id, Timer::Snapshot, now.mono + SNAPSHOT_WAIT);
            }
        }
        if let Some(timer) = timer {
            self.arm_session_timer(now, id, timer);
        }
        match &content.sdp {
            Some(answer) if is_offered => self.take_answer(now, id, &answer.description),
            None if is_offered => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.facts.session.cancel_offer();
                    call.asking.is_direction_refused = true;
                    call.facts.warn((
                        "offer_unanswered",
                        "the peer accepted an offer of the recorder without answering it",
                    ));
                }
                self.push_where_changed(id);
            }
            Some(_) | None => {}
        }
        // P-55: metadata may also come in the answer.
        self.merge_answer(now, id, response, &content);
        if purpose == Purpose::Direction {
            self.notice_direction(id, Status::OK);
        }
    }

    /// The peer does not do this.
    fn accept_refusal(&mut self, now: Now, id: RecordingId, purpose: Purpose, status: Status) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.asking.put_off = 0;
        let was_update = call.asking.takes_update;
        if is_unknown_method(status) && purpose != Purpose::Direction {
            call.asking.takes_update = false;
        }
        match purpose {
            // A re-INVITE says the same; a peer that takes neither refreshes by itself or not at
            // all, and to end its call over that would help nobody.
            Purpose::Refresh if was_update && is_unknown_method(status) => {}
            Purpose::Refresh => self.arm_session_timer(now, id, None),
            // Answered elsewhere, or it could not be sent: the next time will tell.
            Purpose::Check => call.asking.check = false,
            Purpose::Direction => {
                call.asking.is_direction_refused = true;
                call.facts.warn((
                    "direction_refused",
                    "the peer does not let the recorder pause or resume it; what was to be \
                     withheld was not kept all the same",
                ));
                call.sync.is_dirty = true;
                self.push(id);
                self.notice_direction(id, status);
            }
            Purpose::Snapshot => {
                // P-77: final for this recording session.
                call.asking.snapshot = false;
                call.asking.snapshots = SNAPSHOT_REQUESTS_MAX;
                self.notice(Notice::SnapshotRefused {
                    recording: id,
                    status,
                });
            }
        }
        self.ask(now, id);
    }

    /// RFC 4028 §7.3: the same again with at least the interval that the answer asks for.
    fn lengthen(&mut self, now: Now, id: RecordingId, purpose: Purpose, headers: &Headers) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let longer = call.timer.zip(headers.min_se());
        let longer = longer.and_then(|(timer, seconds)| timer.lengthened(seconds));
        match longer {
            Some(timer) => {
                call.timer = Some(timer);
                self.put_off(now, id, purpose, Duration::ZERO);
            }
            None => self.accept_refusal(now, id, purpose, Status::INTERVAL_TOO_SMALL),
        }
    }

    /// The same again after a while; a refresh as long as the session has not expired, all else so
    /// many times.
    fn put_off(&mut self, now: Now, id: RecordingId, purpose: Purpose, wait: Duration) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
            return;
        };
        call.asking.put_off += 1;
        if purpose != Purpose::Refresh && call.asking.put_off >= ASK_ATTEMPTS_MAX {
            return self.accept_refusal(now, id, purpose, Status::UNAVAILABLE);
        }
        self.deadlines.set(id, Timer::Ask, now.mono + wait);
    }

    /// Whether the metadata leaves something to be asked (P-74 to P-76).
    pub(super) fn judge_metadata(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
            return;
        };
        let is_whole = call.facts.state.snapshot_needs().is_empty();
        let may_ask = call.asking.snapshots < SNAPSHOT_REQUESTS_MAX;
        if is_whole {
            self.deadlines.stop(id, Timer::Snapshot);
        }
        let is_asked = self.deadlines.is_set(id, Timer::Snapshot);
        let is_wanted = !is_whole || call.asking.is_resumed;
        call.asking.snapshot = is_wanted && may_ask && !is_asked;
        self.ask(now, id);
    }

    fn notice_direction(&mut self, id: RecordingId, status: Status) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        self.notice(Notice::DirectionTold {
            recording: id,
            is_paused: call.facts.session.is_paused(),
            status,
        });
    }

    /// Tells the engine what an offer that came to nothing leaves.
    fn push_where_changed(&mut self, id: RecordingId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.sync.is_dirty = true;
        }
        self.push(id);
    }
}

/// What to ask first.
fn due(call: &Call) -> Option<Purpose> {
    let asking = &call.asking;
    if call.facts.session.has_to_tell() && !asking.is_direction_refused {
        Some(Purpose::Direction)
    } else if asking.refresh && call.timer.is_some() {
        Some(Purpose::Refresh)
    } else if asking.snapshot && asking.takes_update {
        Some(Purpose::Snapshot)
    } else if asking.check {
        Some(Purpose::Check)
    } else {
        None
    }
}

/// A 5xx that says the same whenever it is asked.
fn is_final(status: Status) -> bool {
    status == Status::NOT_IMPLEMENTED || matches!(status.code(), 505 | 513)
}

fn is_unknown_method(status: Status) -> bool {
    status == Status::METHOD_NOT_ALLOWED || status == Status::NOT_IMPLEMENTED
}

/// A type of its own for the question existed in drafts alone: it is used where the peer lists it
/// and none of those that RFC 7866 knows.
fn snapshot_type(headers: &Headers) -> &'static str {
    let lists = |kind: &str| {
        let essence = |entry: &str| {
            let essence = entry.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(kind)
        };
        headers.list("Accept").any(essence)
    };
    if lists(TYPE_METADATA) {
        TYPE_METADATA
    } else if lists(TYPE_METADATA_LEGACY) {
        TYPE_METADATA_LEGACY
    } else if lists(TYPE_REQUEST_DRAFT) {
        TYPE_REQUEST_DRAFT
    } else {
        TYPE_METADATA
    }
}

const TYPE_REQUEST_DRAFT: &str = "application/rs-metadata-request";
