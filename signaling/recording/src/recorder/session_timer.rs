//! Session timers (RFC 4028), as a server grants them.

use std::time::Duration;

use holdfast_sip::endpoint::Draft;
use holdfast_sip::message::{Headers, Refresher, SessionExpires};
use holdfast_sip::{Reply, Status};
use holdfast_units::MonoTime;
use serde::{Deserialize, Serialize};

use super::output::RefusedBecause;
use super::{RecorderConfig, Refusal};
use crate::limits::SESSION_RESERVE_MAX;

/// A session timer in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) refresher: Who,
    /// Whether the peer knows the extension.
    is_supported: bool,
    /// The shortest interval that somebody on the way has asked for.
    least: Option<Duration>,
}

/// Who has to refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Who {
    Peer,
    Us,
}

impl SessionTimer {
    /// What a request asks for: a timer, none, or something that gets 422.
    pub(super) fn asked(
        config: &RecorderConfig,
        headers: &Headers,
    ) -> Result<Option<Self>, Refusal> {
        let Some(asked) = headers.session_expires() else {
            return Ok(None);
        };
        let is_supported = headers.supports("timer") || headers.requires("timer");
        let least = config.session_expires_min.max(LEAST);
        let wanted = Duration::from_secs(u64::from(asked.seconds));
        if wanted < least {
            // §9: only a client that knows the extension can do anything about it.
            if !is_supported {
                return Ok(None);
            }
            let reply = Reply::new(Status::INTERVAL_TOO_SMALL)
                .header("Min-SE", least.as_secs().to_string());
            return Err(Refusal::new(reply, RefusedBecause::SessionInterval));
        }
        // §9: it may be lowered, but not below Min-SE, and never raised.
        let floor = headers.min_se().map_or(least, |seconds| {
            Duration::from_secs(u64::from(seconds)).max(least)
        });
        let interval = wanted.min(config.session_expires.max(floor));
        let refresher = match asked.refresher {
            _ if !is_supported => Who::Us,
            Some(Refresher::Uas) => Who::Us,
            Some(Refresher::Uac) | None => Who::Peer,
        };
        Ok(Some(Self {
            interval,
            refresher,
            is_supported,
            least: None,
        }))
    }

    /// What an INVITE of ours asks for.
    pub(super) fn wanted(interval: Duration) -> Self {
        Self {
            interval: interval.max(LEAST),
            refresher: Who::Us,
            is_supported: true,
            least: None,
        }
    }

    /// The timer after our refresh, by the peer's 2xx; without Session-Expires there is none.
    pub(super) fn granted(&self, headers: &Headers) -> Option<Self> {
        let SessionExpires { seconds, refresher } = headers.session_expires()?;
        let interval = Duration::from_secs(u64::from(seconds)).max(LEAST);
        // Here we are the client.
        let refresher = match refresher {
            Some(Refresher::Uas) => Who::Peer,
            Some(Refresher::Uac) | None => Who::Us,
        };
        Some(Self {
            interval,
            refresher,
            ..*self
        })
    }

    /// Says in a request of ours what is in force (§7.4): who refreshes stays who refreshes.
    pub(super) fn ask(&self, draft: Draft) -> Draft {
        let who = match self.refresher {
            Who::Us => "uac",
            Who::Peer => "uas",
        };
        let draft = draft.header(
            "Session-Expires",
            format!("{};refresher={who}", self.interval.as_secs()),
        );
        match self.least {
            Some(least) => draft.header("Min-SE", least.as_secs().to_string()),
            None => draft,
        }
    }

    /// The timer that a 422 to a request of ours asks for; `None` where it is no longer than what
    /// was refused. §7.3: the Min-SE of all that follows is at least that of the answer.
    pub(super) fn lengthened(&self, seconds: u32) -> Option<Self> {
        let least = Duration::from_secs(u64::from(seconds));
        (least > self.interval && least <= INTERVAL_MAX).then_some(Self {
            interval: least,
            least: Some(least),
            ..*self
        })
    }

    /// Says in a 2xx what is granted. §9: `Require: timer` where the client has to refresh.
    pub(super) fn write(&self, reply: Reply) -> Reply {
        let who = match self.refresher {
            Who::Peer => "uac",
            Who::Us => "uas",
        };
        let value = format!("{};refresher={who}", self.interval.as_secs());
        let reply = reply.header("Session-Expires", value);
        match self.is_supported {
            true => reply.header("Require", "timer"),
            false => reply,
        }
    }

    /// When we refresh, where that is our part: at half the interval.
    pub(super) fn refresh_at(&self, now: MonoTime) -> Option<MonoTime> {
        (self.refresher == Who::Us).then(|| now + self.interval / 2)
    }

    /// When the session is over. §10: "the UA that is not performing refreshes SHOULD send BYE
    /// slightly before the session expiration. The minimum of 32 seconds and one third of the
    /// session interval is RECOMMENDED."
    pub(super) fn expires_at(&self, now: MonoTime) -> MonoTime {
        let reserve = match self.refresher {
            Who::Peer => (self.interval / 3).min(SESSION_RESERVE_MAX),
            Who::Us => Duration::ZERO,
        };
        now + self.interval.saturating_sub(reserve)
    }
}

/// A 422 that wants more than this wants no timer.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// RFC 4028 §4: no interval is shorter.
const LEAST: Duration = Duration::from_secs(90);
