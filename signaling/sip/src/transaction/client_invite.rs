//! Client INVITE transaction.

use std::time::Duration;

use holdfast_units::MonoTime;

use super::{Reliability, Resend, Timers, earlier};
use crate::Bytes;
use crate::limits::INVITE_PROCEEDING_MAX;

/// Client INVITE transaction (RFC 3261 §17.1.1 as amended by RFC 6026 §7.2).
///
/// ```text
///   Calling ──1xx──▶ Proceeding ──2xx──▶ Accepted ───M──▶ Terminated
///     │ └──2xx─────────────│──────────────▲
///     │ └──300–699─────────┴─300–699─▶ Completed ──D──▶ Terminated
///     └──B, transport error───────────────────────────▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub struct ClientInvite {
    state: State,
    timers: Timers,
    reliability: Reliability,
    /// Once it is cancelled, how long a final answer is waited for.
    cancelled_until: Option<MonoTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Sent; repeats on A, gives up on B.
    Calling {
        request: Bytes,
        resend: Option<Resend>,
        until: MonoTime,
    },
    /// Got a provisional answer; given up when no final one comes.
    Proceeding { until: MonoTime },
    /// Got a 2xx; further ones go up until M.
    Accepted { until: MonoTime },
    /// Got a failure; copies are answered with the ACK until D.
    Completed { ack: Bytes, until: MonoTime },
    /// Over.
    Terminated,
}

/// What happens to a client INVITE transaction.
#[derive(Clone, Debug)]
pub enum ClientInviteInput {
    /// A 1xx arrived.
    Provisional,
    /// A 2xx arrived.
    Success,
    /// A final failure arrived; this is its ACK.
    Failure(Bytes),
    /// The transport failed to send.
    TransportError,
}

/// What the owner of a client INVITE transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientInviteEffect {
    /// Nothing.
    Nothing,
    /// Send this: the INVITE or an ACK.
    Send(Bytes),
    /// Hand the response up.
    Deliver,
    /// Hand the 2xx up and acknowledge it.
    Accept,
    /// A copy of the 2xx: acknowledge it again.
    AcceptAgain,
    /// Hand the response up and send its ACK.
    DeliverAndSend(Bytes),
    /// No answer came (timer B).
    TimedOut,
    /// The transport failed.
    Failed,
}

use ClientInviteEffect as Effect;
use ClientInviteInput as Input;

impl ClientInvite {
    /// The INVITE has just been sent.
    pub fn new(now: MonoTime, timers: Timers, reliability: Reliability, request: Bytes) -> Self {
        let state = State::Calling {
            request,
            resend: reliability.resend(now, timers.t1),
            until: now + timers.timeout(),
        };
        Self {
            state,
            timers,
            reliability,
            cancelled_until: None,
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: MonoTime, input: Input) -> Effect {
        match &self.state {
            State::Calling { .. } | State::Proceeding { .. } => match input {
                Input::Provisional => {
                    let until = now + INVITE_PROCEEDING_MAX;
                    self.state = State::Proceeding {
                        until: self.cancelled_until.unwrap_or(until),
                    };
                    Effect::Deliver
                }
                Input::Success => {
                    self.state = State::Accepted {
                        until: now + self.timers.timeout(),
                    };
                    Effect::Accept
                }
                Input::Failure(ack) => {
                    // Timer D: "at least 32 seconds for unreliable transports".
                    let floor = Duration::from_secs(32).max(self.timers.timeout());
                    let until = now + self.reliability.linger(floor);
                    self.state = State::Completed {
                        ack: ack.clone(),
                        until,
                    };
                    Effect::DeliverAndSend(ack)
                }
                Input::TransportError => {
                    self.state = State::Terminated;
                    Effect::Failed
                }
            },
            State::Accepted { .. } => match input {
                Input::Success => Effect::AcceptAgain,
                // After a 2xx nothing else can be meant.
                Input::Provisional | Input::Failure(_) => Effect::Nothing,
                // RFC 6026 §7.2: the ACK is the dialog's, and a copy of the 2xx asks again.
                Input::TransportError => Effect::Nothing,
            },
            State::Completed { ack, .. } => match input {
                Input::Failure(_) => Effect::Send(ack.clone()),
                Input::Provisional | Input::Success => Effect::Nothing,
                Input::TransportError => {
                    self.state = State::Terminated;
                    Effect::Nothing
                }
            },
            State::Terminated => Effect::Nothing,
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Effect {
        match &mut self.state {
            State::Calling { until, .. } | State::Proceeding { until } if *until <= now => {
                self.state = State::Terminated;
                Effect::TimedOut
            }
            State::Calling {
                request,
                resend: Some(due),
                ..
            } if due.at <= now => {
                // Timer A doubles without an upper bound.
                let interval = due.interval.saturating_mul(2);
                *due = Resend::new(now + interval, interval);
                Effect::Send(request.clone())
            }
            State::Accepted { until } | State::Completed { until, .. } if *until <= now => {
                self.state = State::Terminated;
                Effect::Nothing
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Terminated => Effect::Nothing,
        }
    }

    /// It has been cancelled. RFC 3261 §9.1: "If there is no final response for the original request
    /// in 64*T1 seconds [...], the client SHOULD then consider the original transaction cancelled".
    pub fn handle_cancelled(&mut self, now: MonoTime) {
        let last = now + self.timers.timeout();
        if let State::Proceeding { until } = &mut self.state {
            *until = *self.cancelled_until.get_or_insert((*until).min(last));
        }
    }

    /// Whether a provisional answer has come, and no final one.
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// When [`ClientInvite::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match &self.state {
            State::Calling { resend, until, .. } => Some(earlier(*resend, *until)),
            State::Proceeding { until }
            | State::Accepted { until }
            | State::Completed { until, .. } => Some(*until),
            State::Terminated => None,
        }
    }

    /// The request while nothing has come.
    pub fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Calling { request, .. } => Some(request),
            State::Proceeding { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Terminated => None,
        }
    }

    /// Whether it can be forgotten.
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    #[cfg(test)]
    pub(super) const fn state_name(&self) -> &'static str {
        match self.state {
            State::Calling { .. } => "Calling",
            State::Proceeding { .. } => "Proceeding",
            State::Accepted { .. } => "Accepted",
            State::Completed { .. } => "Completed",
            State::Terminated => "Terminated",
        }
    }
}
