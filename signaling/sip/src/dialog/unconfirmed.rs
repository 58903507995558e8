//! A 2xx to an INVITE that waits for its ACK.

use std::time::Duration;

use holdfast_units::MonoTime;

use crate::Bytes;
use crate::transaction::Timers;

/// A 2xx that is repeated, on every transport, until its ACK comes.
///
/// RFC 3261 §13.3.1.4: "the 2xx response is passed to the transport with an interval that starts
/// at T1 seconds and doubles for each retransmission until it reaches T2 seconds. [...]
/// retransmissions cease when an ACK request is received for the response. This is independent of
/// whatever transport protocols are used to send the response. [...] If the server retransmits
/// the 2xx response for 64*T1 seconds without receiving an ACK, [...] the session SHOULD be
/// terminated."
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    cseq: u32,
    response: Bytes,
    interval: Duration,
    resend_at: MonoTime,
    until: MonoTime,
}

/// What the owner of an unconfirmed 2xx does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnconfirmedEffect {
    /// Nothing is due.
    Nothing,
    /// Send another copy.
    Send(Bytes),
    /// The ACK did not come: end the session.
    TimedOut,
}

impl Unconfirmed {
    /// The 2xx has just been sent.
    pub fn new(now: MonoTime, timers: &Timers, cseq: u32, response: Bytes) -> Self {
        Self {
            cseq,
            response,
            interval: timers.t1,
            resend_at: now + timers.t1,
            until: now + timers.timeout(),
        }
    }

    /// CSeq of the INVITE, and thereby of its ACK.
    pub const fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The 2xx.
    pub const fn response(&self) -> &Bytes {
        &self.response
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: MonoTime, timers: &Timers) -> UnconfirmedEffect {
        if self.until <= now {
            return UnconfirmedEffect::TimedOut;
        }
        if self.resend_at > now {
            return UnconfirmedEffect::Nothing;
        }
        self.interval = timers.backoff(self.interval);
        self.resend_at = now + self.interval;
        UnconfirmedEffect::Send(self.response.clone())
    }

    /// When [`Unconfirmed::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> MonoTime {
        self.resend_at.min(self.until)
    }
}
