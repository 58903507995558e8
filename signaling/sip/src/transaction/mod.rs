//! The four transaction machines (RFC 3261 §17 as amended by RFC 4320, RFC 6026 and RFC 6141).
//!
//! Each is a value that is fed inputs and time and returns one effect. They hold no identity and
//! build no message: matching and wording belong to the endpoint.

mod client;
mod client_invite;
mod server;
mod server_invite;
#[cfg(test)]
mod tests;

use std::time::Duration;

use holdfast_units::MonoTime;

pub use client::{Client, ClientEffect, ClientInput};
pub use client_invite::{ClientInvite, ClientInviteEffect, ClientInviteInput};
pub use server::{Server, ServerEffect, ServerInput};
pub use server_invite::{ServerInvite, ServerInviteEffect, ServerInviteInput};

/// The basic timer values (RFC 3261 Table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of a round trip.
    pub t1: Duration,
    /// Longest interval between copies of a non-INVITE request or an INVITE response.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
    /// An INVITE is answered 100 after so long without another answer (§17.2.1: 200 ms).
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timers {
    /// 64*T1: when a transaction is given up, and how long its end is remembered.
    pub fn timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The interval after `interval`: twice as long, at most T2, and never none at all, so that
    /// no setting makes a series of copies without time between them.
    pub fn backoff(&self, interval: Duration) -> Duration {
        interval
            .saturating_mul(2)
            .min(self.t2)
            .max(Duration::from_millis(1))
    }
}

/// Whether lost octets are repeated by the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// TCP, TLS.
    Reliable,
    /// UDP.
    Unreliable,
}

impl Reliability {
    /// `duration` where copies may still arrive, none where the transport has no copies.
    const fn linger(self, duration: Duration) -> Duration {
        match self {
            Self::Reliable => Duration::ZERO,
            Self::Unreliable => duration,
        }
    }

    /// The first of a series of copies, where the transport needs them.
    fn resend(self, now: MonoTime, interval: Duration) -> Option<Resend> {
        match self {
            Self::Reliable => None,
            Self::Unreliable => Some(Resend {
                at: now + interval,
                interval,
            }),
        }
    }
}

/// When the next copy leaves, and after which interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    at: MonoTime,
    interval: Duration,
}

impl Resend {
    const fn new(at: MonoTime, interval: Duration) -> Self {
        Self { at, interval }
    }
}

/// The earlier of a series' next copy and the end.
fn earlier(resend: Option<Resend>, end: MonoTime) -> MonoTime {
    resend.map_or(end, |resend| resend.at.min(end))
}
