//! Peers that say nothing: one without a session timer (RFC 4028) tells nobody that it is gone.
//!
//! ```text
//!   heard ──check interval──▶ asked ──any answer──▶ heard
//!                               │ └──481──▶ ended
//!                               └──none, again and again──session timeout──▶ ended
//! ```
//!
//! RTP that does not come is no sign (RFC 7866 §10), and neither is one request without an answer: a
//! client may be reached by a way of its own that is away for a while, and its packets still come.

use std::time::Duration;

use holdfast_manifest::EndReason;
use holdfast_sip::endpoint::DialogId;
use holdfast_units::RecordingId;

use super::deadlines::Timer;
use super::{Now, Recorder};
use crate::limits::RESTORED_CHECK_MAX;

impl Recorder {
    /// The peer of a dialog has said something.
    pub(super) fn note_heard(&mut self, now: Now, dialog: DialogId) {
        let call = self.call_of(dialog).and_then(|id| self.calls.get_mut(&id));
        if let Some(call) = call {
            call.heard = now.mono;
            call.asking.note_heard();
        }
    }

    /// A call that has begun is looked at from now on.
    pub(super) fn watch(&mut self, now: Now, id: RecordingId) {
        let interval = self.config.session_check_interval;
        if interval > Duration::ZERO {
            self.deadlines.set(id, Timer::Check, now.mono + interval);
        }
    }

    /// One that a process before has left is looked at soon, and not all of them at once.
    pub(super) fn watch_restored(&mut self, now: Now, id: RecordingId) {
        let interval = self.config.session_check_interval;
        if interval > Duration::ZERO {
            let [a, b, ..] = id.to_bytes();
            let share = f64::from(u16::from_le_bytes([a, b])) / 65_536.0;
            let wait = interval.min(RESTORED_CHECK_MAX).mul_f64(share);
            self.deadlines.set(id, Timer::Check, now.mono + wait);
        }
    }

    /// The peer is asked where it has been silent for long, and given up where it has for too long.
    pub(super) fn check(&mut self, now: Now, id: RecordingId) {
        let interval = self.config.session_check_interval;
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
            return;
        };
        let silence = now.mono.since(call.heard);
        // A session timer tells by itself.
        if call.timer.is_some() || silence < interval && !call.asking.is_restored() {
            let rest = match call.timer {
                Some(_) => interval,
                None => interval - silence,
            };
            return self.deadlines.set(id, Timer::Check, now.mono + rest);
        }
        if silence >= self.config.session_timeout && call.asking.is_unanswered() {
            call.facts.warn((
                "peer_silent",
                "the peer said nothing for as long as a peer may, and answered nothing",
            ));
            return self.hang_up(now, id, EndReason::SipTimeout, "the peer does not answer");
        }
        call.asking.want_check();
        self.deadlines.set(id, Timer::Check, now.mono + interval);
        self.ask(now, id);
    }
}
