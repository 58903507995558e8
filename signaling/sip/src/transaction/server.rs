//! Server transaction of any method but INVITE.

use holdfast_units::MonoTime;

use super::{Reliability, Timers};
use crate::Bytes;

/// Server non-INVITE transaction (RFC 3261 §17.2.2 as amended by RFC 4320 §4).
///
/// ```text
///   Trying ──T2: 100──▶ Proceeding ──2xx–6xx──▶ Completed ──J──▶ Terminated
///     ├──────────────2xx–6xx───────────────────────▲
///     └──F, transport error─────────────────────────────────────▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    state: State,
    timers: Timers,
    reliability: Reliability,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the layer above; a 100 leaves at `trying_at`, the client gives up at `until`.
    Trying {
        trying_at: MonoTime,
        until: MonoTime,
    },
    /// Sent a 100, repeats it to copies of the request.
    Proceeding { last: Bytes, until: MonoTime },
    /// Answered; repeats that to copies of the request until J.
    Completed { response: Bytes, until: MonoTime },
    /// Over.
    Terminated,
}

/// What happens to a server non-INVITE transaction.
#[derive(Clone, Debug)]
pub enum ServerInput {
    /// A copy of the request arrived.
    Request,
    /// A 100 to send.
    Trying(Bytes),
    /// The layer above answers.
    Final(Bytes),
    /// The transport failed to send.
    TransportError,
}

/// What the owner of a server non-INVITE transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEffect {
    /// Nothing.
    Nothing,
    /// Send this response.
    Send(Bytes),
    /// Build a 100 and hand it back as [`ServerInput::Trying`].
    Trying,
    /// The client has given up: an answer would be late (RFC 4320 §4.2).
    Expired,
}

use ServerEffect as Effect;
use ServerInput as Input;

impl Server {
    /// A request has arrived.
    pub fn new(now: MonoTime, timers: Timers, reliability: Reliability) -> Self {
        let state = State::Trying {
            trying_at: now + timers.t2,
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
            State::Trying { until, .. } => match input {
                // §17.2.2: "Once in the "Trying" state, any further request retransmissions are
                // discarded."
                Input::Request => Effect::Nothing,
                Input::Trying(response) => {
                    self.state = State::Proceeding {
                        last: response.clone(),
                        until: *until,
                    };
                    Effect::Send(response)
                }
                Input::Final(response) => self.complete(now, response),
                Input::TransportError => self.terminate(),
            },
            State::Proceeding { last, .. } => match input {
                Input::Request => Effect::Send(last.clone()),
                // One 100 says it all.
                Input::Trying(_) => Effect::Nothing,
                Input::Final(response) => self.complete(now, response),
                Input::TransportError => self.terminate(),
            },
            State::Completed { response, .. } => match input {
                Input::Request => Effect::Send(response.clone()),
                Input::Trying(_) | Input::Final(_) => Effect::Nothing,
                Input::TransportError => self.terminate(),
            },
            State::Terminated => Effect::Nothing,
        }
    }

    fn complete(&mut self, now: MonoTime, response: Bytes) -> Effect {
        let until = now + self.reliability.linger(self.timers.timeout());
        self.state = State::Completed {
            response: response.clone(),
            until,
        };
        Effect::Send(response)
    }

    fn terminate(&mut self) -> Effect {
        self.state = State::Terminated;
        Effect::Nothing
    }

    /// Ends it without an answer (RFC 4320 §4.2: no 408).
    pub fn abandon(&mut self) {
        self.state = State::Terminated;
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Effect {
        match &mut self.state {
            State::Trying { until, .. } | State::Proceeding { until, .. } if *until <= now => {
                self.state = State::Terminated;
                Effect::Expired
            }
            State::Trying { trying_at, until } if *trying_at <= now => {
                // Asked once.
                *trying_at = *until;
                Effect::Trying
            }
            State::Completed { until, .. } if *until <= now => self.terminate(),
            State::Trying { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Terminated => Effect::Nothing,
        }
    }

    /// When [`Server::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match &self.state {
            State::Trying { trying_at, until } => Some(*trying_at.min(until)),
            State::Proceeding { until, .. } | State::Completed { until, .. } => Some(*until),
            State::Terminated => None,
        }
    }

    /// Whether a final answer is still to come.
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
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
