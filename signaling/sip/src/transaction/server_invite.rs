//! Server INVITE transaction.

use holdfast_units::MonoTime;

use super::{Reliability, Resend, Timers, earlier};
use crate::Bytes;

/// Server INVITE transaction (RFC 3261 §17.2.1 as amended by RFC 6026 §7.1).
///
/// ```text
///   Proceeding ──2xx──▶ Accepted ───L──▶ Terminated
///       └─300–699─▶ Completed ─ACK─▶ Confirmed ───I──▶ Terminated
///                       └──────────H─────────────────▶ Terminated
/// ```
///
/// A failing transport never ends it (RFC 6026 §7.1): a copy of the INVITE must not be taken for
/// a new call.
#[derive(Clone, Debug)]
pub struct ServerInvite {
    state: State,
    timers: Timers,
    reliability: Reliability,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the layer above to answer; 100 leaves at `trying_at` unless something else
    /// left before, and at `expires_at` the INVITE is given up.
    Proceeding {
        last: Option<Bytes>,
        trying_at: Option<MonoTime>,
        expires_at: Option<MonoTime>,
    },
    /// Sent a 2xx; copies of the INVITE are absorbed until L.
    Accepted { until: MonoTime },
    /// Sent a failure; repeats it on G until the ACK, or gives up on H.
    Completed {
        response: Bytes,
        resend: Option<Resend>,
        until: MonoTime,
    },
    /// Got the ACK; its copies are absorbed until I.
    Confirmed { until: MonoTime },
    /// Over.
    Terminated,
}

/// What happens to a server INVITE transaction.
#[derive(Clone, Debug)]
pub enum ServerInviteInput {
    /// A copy of the INVITE arrived.
    Invite,
    /// An ACK arrived.
    Ack,
    /// The layer above sends a 1xx.
    Provisional(Bytes),
    /// The layer above has sent a 2xx, which it repeats by itself.
    Success,
    /// The layer above sends a final failure.
    Failure(Bytes),
}

/// What the owner of a server INVITE transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerInviteEffect {
    /// Nothing.
    Nothing,
    /// Send this response.
    Send(Bytes),
    /// Build a 100 and hand it back as [`ServerInviteInput::Provisional`].
    Trying,
    /// The ACK belongs to a 2xx: the dialog wants it.
    PassAck,
    /// Nobody answered in time: answer with a failure.
    Expired,
    /// A failure was never acknowledged (timer H); nothing is left to do.
    Unacknowledged,
}

use ServerInviteEffect as Effect;
use ServerInviteInput as Input;

impl ServerInvite {
    /// An INVITE has arrived.
    pub fn new(
        now: MonoTime,
        timers: Timers,
        reliability: Reliability,
        expires_at: MonoTime,
    ) -> Self {
        let state = State::Proceeding {
            last: None,
            trying_at: Some(now + timers.trying),
            expires_at: Some(expires_at),
        };
        Self {
            state,
            timers,
            reliability,
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: MonoTime, input: Input) -> Effect {
        match &mut self.state {
            State::Proceeding {
                last, trying_at, ..
            } => match input {
                Input::Invite => match last {
                    // §17.2.1: "the most recent provisional response that was received from the
                    // TU MUST be passed to the transport layer for retransmission".
                    Some(last) => Effect::Send(last.clone()),
                    None => Effect::Trying,
                },
                // Nothing was sent that an ACK could mean.
                Input::Ack => Effect::Nothing,
                Input::Provisional(response) => {
                    *last = Some(response.clone());
                    *trying_at = None;
                    Effect::Send(response)
                }
                Input::Success => {
                    self.state = State::Accepted {
                        until: now + self.timers.timeout(),
                    };
                    Effect::Nothing
                }
                Input::Failure(response) => self.fail(now, response),
            },
            State::Accepted { .. } => match input {
                // RFC 6026 §7.1: "If a retransmitted INVITE request is received while in the
                // "Accepted" state, then the transaction MUST absorb it".
                Input::Invite => Effect::Nothing,
                Input::Ack => Effect::PassAck,
                // A copy of the 2xx leaves without changing anything here; all else is late.
                Input::Provisional(_) | Input::Success | Input::Failure(_) => Effect::Nothing,
            },
            State::Completed { response, .. } => match input {
                Input::Invite => Effect::Send(response.clone()),
                Input::Ack => {
                    let until = now + self.reliability.linger(self.timers.t4);
                    self.state = State::Confirmed { until };
                    Effect::Nothing
                }
                // §17.2.1: "any other final responses passed by the TU to the server transaction
                // MUST be discarded".
                Input::Provisional(_) | Input::Success | Input::Failure(_) => Effect::Nothing,
            },
            // Everything that still comes is a copy.
            State::Confirmed { .. } | State::Terminated => Effect::Nothing,
        }
    }

    fn fail(&mut self, now: MonoTime, response: Bytes) -> Effect {
        self.state = State::Completed {
            response: response.clone(),
            resend: self.reliability.resend(now, self.timers.t1),
            until: now + self.timers.timeout(),
        };
        Effect::Send(response)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Effect {
        match &mut self.state {
            State::Proceeding {
                trying_at,
                expires_at,
                ..
            } => {
                if expires_at.is_some_and(|at| at <= now) {
                    *expires_at = None;
                    Effect::Expired
                } else if trying_at.is_some_and(|at| at <= now) {
                    *trying_at = None;
                    Effect::Trying
                } else {
                    Effect::Nothing
                }
            }
            State::Accepted { until } | State::Confirmed { until } => {
                if *until <= now {
                    self.state = State::Terminated;
                }
                Effect::Nothing
            }
            State::Completed { until, .. } if *until <= now => {
                self.state = State::Terminated;
                Effect::Unacknowledged
            }
            State::Completed {
                response, resend, ..
            } => match resend {
                Some(due) if due.at <= now => {
                    let interval = self.timers.backoff(due.interval);
                    *due = Resend::new(now + interval, interval);
                    Effect::Send(response.clone())
                }
                Some(_) | None => Effect::Nothing,
            },
            State::Terminated => Effect::Nothing,
        }
    }

    /// When [`ServerInvite::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match &self.state {
            State::Proceeding {
                trying_at,
                expires_at,
                ..
            } => [*trying_at, *expires_at].into_iter().flatten().min(),
            State::Accepted { until } | State::Confirmed { until } => Some(*until),
            State::Completed { resend, until, .. } => Some(earlier(*resend, *until)),
            State::Terminated => None,
        }
    }

    /// Whether a final answer is still to come.
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it can be forgotten.
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    #[cfg(test)]
    pub(super) const fn state_name(&self) -> &'static str {
        match self.state {
            State::Proceeding { .. } => "Proceeding",
            State::Accepted { .. } => "Accepted",
            State::Completed { .. } => "Completed",
            State::Confirmed { .. } => "Confirmed",
            State::Terminated => "Terminated",
        }
    }
}
