//! What happens when time has passed, and the refreshes of sessions (RFC 4028).

use holdfast_manifest::EndReason;
use holdfast_sip::endpoint::{ClientTx, DialogId, Draft};
use holdfast_sip::{FlowInfo, Method, Response, Status};
use holdfast_units::RecordingId;

use super::deadlines::Timer;
use super::output::{Notice, RefusedBecause};
use super::session_timer::SessionTimer;
use super::{Now, Recorder};
use crate::limits::REFRESH_RETRY;

impl Recorder {
    pub(super) fn expire(&mut self, now: Now, id: RecordingId, timer: Timer) {
        match timer {
            Timer::Engine => {
                self.notice(Notice::EngineSilent { recording: id });
                self.fail_exchange(now, id, RefusedBecause::EngineSilent);
            }
            Timer::Retry => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.sync.is_held_back = false;
                }
                self.push(id);
            }
            Timer::Refresh => self.refresh(now, id),
            Timer::Expiry => {
                self.hang_up(now, id, EndReason::SipTimeout, "the session has expired");
            }
            Timer::Duration => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.facts
                        .warn(("duration_max", "the call lasted as long as calls may"));
                }
                self.hang_up(
                    now,
                    id,
                    EndReason::Operator,
                    "the call lasted as long as it may",
                );
            }
        }
    }

    /// The timer that a 2xx granted, or none.
    pub(super) fn arm_session_timer(
        &mut self,
        now: Now,
        id: RecordingId,
        timer: Option<SessionTimer>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.timer = timer;
        self.deadlines.stop(id, Timer::Refresh);
        self.deadlines.stop(id, Timer::Expiry);
        let Some(timer) = timer else { return };
        self.deadlines
            .set(id, Timer::Expiry, timer.expires_at(now.mono));
        if let Some(at) = timer.refresh_at(now.mono) {
            self.deadlines.set(id, Timer::Refresh, at);
        }
    }

    /// An UPDATE without a body, as RFC 4028 §9 prefers.
    fn refresh(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let (Some(timer), Some(id_of_dialog)) = (call.timer, call.dialog) else {
            return;
        };
        let Some(dialog) = self.endpoint.dialog(id_of_dialog) else {
            return;
        };
        let source = FlowInfo {
            transport: dialog.transport,
            remote: dialog.peer,
            local: dialog.local,
        };
        let uri = self
            .endpoint
            .config()
            .contact_uri(&source, dialog.is_secure);
        let mut draft = Draft::new(Method::Update)
            .header("Contact", format!("<{uri}>;+sip.srs"))
            .header(
                "Session-Expires",
                format!("{};refresher=uac", timer.interval.as_secs()),
            )
            .header("Supported", "timer");
        if call.knows_siprec {
            draft = draft.header("Require", "siprec");
        }
        let sent = self
            .endpoint
            .request(now.mono, id_of_dialog, draft, self.entropy.as_mut());
        match sent {
            Ok(client) => call.refresh = Some(client),
            Err(_) => self
                .deadlines
                .set(id, Timer::Refresh, now.mono + REFRESH_RETRY),
        }
    }

    pub(super) fn handle_refreshed(
        &mut self,
        now: Now,
        dialog: DialogId,
        client: ClientTx,
        response: &Response,
    ) {
        let Some(id) = self.take_refresh(dialog, client, response.status()) else {
            return;
        };
        let status = response.status();
        let timer = self.calls.get(&id).and_then(|call| call.timer);
        if status.is_success() {
            let granted = timer.and_then(|timer| timer.granted(response.headers()));
            self.arm_session_timer(now, id, granted);
        } else if status == Status::REQUEST_TIMEOUT || status == Status::NO_SUCH_DIALOG {
            self.hang_up(
                now,
                id,
                EndReason::SipTimeout,
                "the session could not be refreshed",
            );
        } else if status == Status::REQUEST_PENDING || status == Status::SERVER_ERROR {
            self.deadlines
                .set(id, Timer::Refresh, now.mono + REFRESH_RETRY);
        } else {
            // The peer does not refresh this way; to end its call over that would help nobody.
            self.arm_session_timer(now, id, None);
        }
    }

    pub(super) fn handle_refresh_failed(&mut self, now: Now, dialog: DialogId, client: ClientTx) {
        if let Some(id) = self.take_refresh(dialog, client, Status::REQUEST_TIMEOUT) {
            self.hang_up(
                now,
                id,
                EndReason::SipTimeout,
                "the session could not be refreshed",
            );
        }
    }

    /// The call whose refresh has got a final answer.
    fn take_refresh(
        &mut self,
        dialog: DialogId,
        client: ClientTx,
        status: Status,
    ) -> Option<RecordingId> {
        let id = self.call_of(dialog)?;
        let call = self
            .calls
            .get_mut(&id)
            .filter(|call| call.refresh == Some(client))?;
        if status.is_provisional() {
            return None;
        }
        call.refresh = None;
        call.is_active().then_some(id)
    }
}
