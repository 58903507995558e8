//! Client transaction of any method but INVITE.

use holdfast_units::MonoTime;

use super::{Reliability, Resend, Timers, earlier};
use crate::Bytes;

/// Client non-INVITE transaction (RFC 3261 §17.1.2).
///
/// ```text
///   Trying ──1xx──▶ Proceeding ──200–699──▶ Completed ──K──▶ Terminated
///     │ └──────200–699──────│───────────────▲
///     └──F, transport error─┴──────────────────────────────▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    state: State,
    timers: Timers,
    reliability: Reliability,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Sent; repeats on E, gives up on F.
    Trying {
        request: Bytes,
        resend: Option<Resend>,
        until: MonoTime,
    },
    /// Got a provisional answer; repeats every T2, gives up on F.
    Proceeding {
        request: Bytes,
        resend: Option<Resend>,
        until: MonoTime,
    },
    /// Got a final answer; copies are absorbed until K.
    Completed { until: MonoTime },
    /// Over.
    Terminated,
}

/// What happens to a client non-INVITE transaction.
#[derive(Clone, Copy, Debug)]
pub enum ClientInput {
    /// A 1xx arrived.
    Provisional,
    /// A final response arrived.
    Final,
    /// The transport failed to send.
    TransportError,
}

/// What the owner of a client non-INVITE transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Nothing.
    Nothing,
    /// Send this copy of the request.
    Send(Bytes),
    /// Hand the response up.
    Deliver,
    /// No answer came (timer F).
    TimedOut,
    /// The transport failed.
    Failed,
}

use ClientEffect as Effect;
use ClientInput as Input;

impl Client {
    /// The request has just been sent.
    pub fn new(now: MonoTime, timers: Timers, reliability: Reliability, request: Bytes) -> Self {
        let state = State::Trying {
            request,
            resend: reliability.resend(now, timers.t1),
            until: now + timers.timeout(),
        };
        Self {
            state,
            timers,
            reliability,
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: MonoTime, input: Input) -> Effect {
        match &self.state {
            State::Trying {
                request,
                resend,
                until,
            } => match input {
                Input::Provisional => {
                    // The copy that is due stays due; the ones after it come every T2.
                    let resend = resend.map(|due| Resend::new(due.at, self.timers.t2));
                    self.state = State::Proceeding {
                        request: request.clone(),
                        resend,
                        until: *until,
                    };
                    Effect::Deliver
                }
                Input::Final => self.complete(now),
                Input::TransportError => self.fail(),
            },
            State::Proceeding { .. } => match input {
                Input::Provisional => Effect::Deliver,
                Input::Final => self.complete(now),
                Input::TransportError => self.fail(),
            },
            // Copies of the answer.
            State::Completed { .. } | State::Terminated => Effect::Nothing,
        }
    }

    fn complete(&mut self, now: MonoTime) -> Effect {
        let until = now + self.reliability.linger(self.timers.t4);
        self.state = State::Completed { until };
        Effect::Deliver
    }

    fn fail(&mut self) -> Effect {
        self.state = State::Terminated;
        Effect::Failed
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Effect {
        match &mut self.state {
            State::Trying { until, .. } | State::Proceeding { until, .. } if *until <= now => {
                self.state = State::Terminated;
                Effect::TimedOut
            }
            State::Trying {
                request,
                resend: Some(due),
                ..
            }
            | State::Proceeding {
                request,
                resend: Some(due),
                ..
            } if due.at <= now => {
                let interval = self.timers.backoff(due.interval);
                *due = Resend::new(now + interval, interval);
                Effect::Send(request.clone())
            }
            State::Completed { until } if *until <= now => {
                self.state = State::Terminated;
                Effect::Nothing
            }
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => Effect::Nothing,
        }
    }

    /// When [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match &self.state {
            State::Trying { resend, until, .. } | State::Proceeding { resend, until, .. } => {
                Some(earlier(*resend, *until))
            }
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }

    /// The request while nothing final has come.
    pub fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Trying { request, .. } | State::Proceeding { request, .. } => Some(request),
            State::Completed { .. } | State::Terminated => None,
        }
    }

    /// Whether it can be forgotten.
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    #[cfg(test)]
    pub(super) const fn state_name(&self) -> &'static str {
        match self.state {
            State::Trying { .. } => "Trying",
            State::Proceeding { .. } => "Proceeding",
            State::Completed { .. } => "Completed",
            State::Terminated => "Terminated",
        }
    }
}
