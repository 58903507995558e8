//! What happens when time has passed.

use holdfast_control::operator::Refusal;
use holdfast_manifest::EndReason;
use holdfast_units::RecordingId;

use super::deadlines::Timer;
use super::output::{Notice, RefusedBecause};
use super::session_timer::SessionTimer;
use super::{Now, Recorder};
use crate::limits::CUT_OFF_RETRY;

impl Recorder {
    pub(super) fn expire(&mut self, now: Now, id: RecordingId, timer: Timer) {
        let asks_peer = matches!(
            timer,
            Timer::Refresh | Timer::Expiry | Timer::Duration | Timer::Check
        );
        if asks_peer && self.config.shares_calls && self.keeping.is_away() {
            // Another node may have the call by now: nobody is told anything of one's own accord.
            return self.deadlines.set(id, timer, now.mono + CUT_OFF_RETRY);
        }
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
            Timer::Ask => self.ask(now, id),
            Timer::Snapshot => self.judge_metadata(now, id),
            Timer::Refresh => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.asking.want_refresh();
                }
                self.ask(now, id);
            }
            Timer::Expiry => {
                self.hang_up(now, id, EndReason::SipTimeout, "the session has expired");
            }
            Timer::Callee => drop(self.withdraw(now, id, Refusal::Unanswered)),
            Timer::Lingering => self.end_lingering(id),
            Timer::Check => self.check(now, id),
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

    /// From here on the engine has as long as it may take to answer for a call.
    pub(super) fn await_engine(&mut self, now: Now, id: RecordingId) {
        let at = now.mono + self.config.engine_answer_timeout;
        self.deadlines.set(id, Timer::Engine, at);
    }

    /// From here on whoever we call has as long as it may take to accept.
    pub(super) fn await_callee(&mut self, now: Now, id: RecordingId) {
        let at = now.mono + self.config.callee_answer_timeout;
        self.deadlines.set(id, Timer::Callee, at);
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
        call.asking.forget_refresh();
        self.deadlines.stop(id, Timer::Refresh);
        self.deadlines.stop(id, Timer::Expiry);
        let Some(timer) = timer else { return };
        self.deadlines
            .set(id, Timer::Expiry, timer.expires_at(now.mono));
        if let Some(at) = timer.refresh_at(now.mono) {
            self.deadlines.set(id, Timer::Refresh, at);
        }
    }
}
