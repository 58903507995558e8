//! Peers that say nothing: one without a session timer (RFC 4028) tells nobody that it is gone.
//!
//! ```text
//!   heard ──check interval──▶ asked ──any answer──▶ heard
//!                               │ └──481──▶ ended
//!                               └──none, again and again──session timeout──▶ is media heard?
//!                                    ▲                                         │ │
//!                                    └──────────yes, within the timeout────────┘ └no──▶ ended
//! ```
//!
//! RTP that does not come is no sign (RFC 7866 §10): a call on hold has none. RTP that comes is one: a
//! client whose SIP is away for a while is not cut off while it still sends. The engine is asked for
//! that, and while it is away nobody is given up.

use std::time::Duration;

use holdfast_control::ToEngine;
use holdfast_manifest::EndReason;
use holdfast_sip::endpoint::DialogId;
use holdfast_units::RecordingId;

use super::deadlines::Timer;
use super::engine::Link;
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
        let is_given_up = silence >= self.config.session_timeout && call.asking.is_unanswered();
        let shard = call.shard;
        self.deadlines.set(id, Timer::Check, now.mono + interval);
        if is_given_up && matches!(self.link, Link::Ready { .. }) {
            return self.tell_engine(ToEngine::AskMedia {
                recording: id,
                shard,
            });
        }
        self.ask_for_life(now, id);
    }

    /// What the engine says of the media of a peer that was to be given up.
    pub(super) fn judge_silence(
        &mut self,
        now: Now,
        id: RecordingId,
        silent_for: Option<Duration>,
    ) {
        let timeout = self.config.session_timeout;
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_active()) else {
            return;
        };
        let is_silent = now.mono.since(call.heard) >= timeout && call.asking.is_unanswered();
        if !is_silent || call.timer.is_some() {
            return;
        }
        if silent_for.is_some_and(|silence| silence < timeout) {
            return self.ask_for_life(now, id);
        }
        call.facts.warn((
            "peer_silent",
            "the peer said nothing, sent nothing and answered nothing for as long as a peer may",
        ));
        self.hang_up(now, id, EndReason::SipTimeout, "the peer does not answer");
    }

    fn ask_for_life(&mut self, now: Now, id: RecordingId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.asking.want_check();
        }
        self.ask(now, id);
    }
}
