//! What a run is told, and what it tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::agent::{AgentError, Way};
use crate::arrivals::Arrivals;
use crate::invite::Codec;
use crate::media::{Impairment, PortError, PortRange};
use crate::stats;
use crate::verify::CallTruth;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The server.
    pub target: SocketAddr,
    /// Where the calls go on when the server answers nothing any more.
    pub standby: Option<SocketAddr>,
    /// How SIP travels.
    pub way: Way,
    /// User part of the Request-URI.
    pub user: String,
    /// Prefix of every Call-ID.
    pub run: String,
    /// How many calls.
    pub calls: u32,
    /// New calls per second.
    pub rate: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// How long each call talks.
    pub talk: Duration,
    /// Codecs; the calls have them in turn.
    pub codecs: Vec<Codec>,
    /// Ports that are offered.
    pub ports: PortRange,
    /// What the sender does to its packets; its seed decides on all else that falls by chance.
    pub impairment: Impairment,
    /// Whether the parties speak in spurts, and send nothing between them.
    pub talk_spurts: bool,
    /// Whether they press keys now and then.
    pub presses_keys: bool,
    /// Whether media is encrypted, under keys in the offers (RFC 4568).
    pub is_encrypted: bool,
    /// Whether the server may have forgotten a call by the time of its BYE.
    pub may_be_forgotten: bool,
    /// Whether each call, before its BYE, has a re-INVITE and an UPDATE accepted: its dialog lives.
    pub proves_dialogs: bool,
    /// Whether the parties say nothing at all.
    pub is_silent: bool,
    /// Streams of each call, 1 or 2.
    pub streams: u8,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// From each INVITE to its 200, in microseconds.
    pub invite_us: Histogram<u64>,
    /// How late packets left, in microseconds.
    pub lateness_us: Histogram<u64>,
    /// Calls that failed, each with the reason.
    pub failures: BTreeMap<u32, String>,
    /// Calls that did not, and what was sent on them.
    pub truths: Vec<CallTruth>,
    /// Calls whose re-INVITE, UPDATE and BYE were accepted, where that was to be shown.
    pub dialogs_proved: u32,
    /// Calls that went on at the other server.
    pub moved: u32,
    /// Calls answered a second, from the first INVITE to the last 200.
    pub answered_per_second: f64,
    /// Most calls that were up at once.
    pub concurrent_max: u32,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Datagrams the system did not take.
    pub send_failures: u64,
    /// Receiver reports that came back.
    pub reports: u64,
    /// Streams to which not one receiver report came back.
    pub streams_without_report: u32,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// INVITEs sent.
    pub placed: u32,
    /// Calls that are up.
    pub up: u32,
    /// Calls that came to their proper end.
    pub ended: u32,
    /// Calls that failed.
    pub failed: u32,
}

/// Why a run could not be carried out; a failed call is none.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// SIP broke down.
    #[error("talking to the server")]
    Agent(#[from] AgentError),
    /// There are no ports to send from.
    #[error("opening ports")]
    Ports(#[from] PortError),
    /// The sending thread did not start.
    #[error("starting the sending thread")]
    Thread(#[from] std::io::Error),
}

impl RunPlan {
    /// The codec of a call.
    pub fn codec_of(&self, call: u32) -> Codec {
        let mut codecs = self.codecs.iter().copied().cycle();
        codecs
            .nth(call as usize % self.codecs.len().max(1))
            .unwrap_or_default()
    }
}

impl Default for RunReport {
    /// The report of a run that did nothing yet.
    fn default() -> Self {
        Self {
            invite_us: stats::microseconds(),
            lateness_us: stats::microseconds(),
            failures: BTreeMap::new(),
            truths: Vec::new(),
            dialogs_proved: 0,
            moved: 0,
            answered_per_second: 0.0,
            concurrent_max: 0,
            packets_sent: 0,
            send_failures: 0,
            reports: 0,
            streams_without_report: 0,
        }
    }
}
