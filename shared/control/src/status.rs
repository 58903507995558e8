//! How a running server is: one value that the command, the health checks and the metrics share.
//!
//! Questions about the server as a whole come on the operator's socket beside the commands of
//! [`crate::operator`], a JSON object a line:
//!
//! ```text
//!   {"command":"status"}                  {"answer":"status","status":{…}}
//!   {"command":"latency"}                 {"answer":"latency","stages":[…]}
//! ```
//!
//! Counts are since the start of the process that counts. Nothing here grows with what peers send:
//! every list is as long as there are shards, methods, codes, reasons or disks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use holdfast_manifest::time;
use holdfast_units::WallTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::message::{Health, StageLatency};
use crate::statistics::{EngineStatistics, ShardStatistics};

/// What is asked about the server as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Question {
    /// How it is. Answered by [`Reply::Status`].
    Status,
    /// How long things take. Answered by [`Reply::Latency`].
    Latency,
    /// The SIP messages of a call from now on; it is traced for as long as somebody asks. Answered by
    /// [`Reply::Trace`].
    Trace {
        /// Its Call-ID.
        call_id: String,
        /// The first number that is not known yet, from 0.
        since: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// How the server is.
    Status {
        /// All of it.
        status: Box<Status>,
    },
    /// How long things took since the start of the engine.
    Latency {
        /// Each stage of each shard; empty where there is no engine.
        stages: Vec<StageLatency>,
    },
    /// Messages of a call, in order.
    Trace {
        /// Those that were asked for, as far as they are kept.
        messages: Vec<TracedMessage>,
    },
    /// The line is no question, or the process is ending.
    Malformed {
        /// What is wrong, for a reader.
        text: String,
    },
}

/// A SIP message of a call that is traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedMessage {
    /// Its number in the trace.
    pub number: u64,
    /// When it passed.
    #[serde(with = "time")]
    pub at: WallTime,
    /// Whether it left, rather than came.
    pub is_sent: bool,
    /// The other side, as far as it is known.
    pub peer: Option<SocketAddr>,
    /// The message, cut where it is long; keys and proofs of passwords are `***`.
    pub text: String,
}

/// How a running server is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// `node.name`.
    pub node: String,
    /// When the signaling process was started.
    #[serde(with = "time")]
    pub started: WallTime,
    /// When this was written.
    #[serde(with = "time")]
    pub at: WallTime,
    /// Whether it records what comes: all of [`Self::checks`] are good.
    pub is_ready: bool,
    /// What that depends on.
    pub checks: Vec<Check>,
    /// Calls.
    pub calls: Calls,
    /// SIP messages and what became of them.
    pub sip: Sip,
    /// Connections of SIP.
    pub connections: Connections,
    /// Our certificates.
    pub certificates: Vec<Certificate>,
    /// The media engine, as far as it is known.
    pub engine: Engine,
    /// What is known of our address from outside.
    pub stun: Stun,
    /// Why the state of calls cannot be saved; `None` where it can.
    pub store_fault: Option<String>,
    /// The store of calls, and what it was good for.
    pub store: Store,
    /// The signaling process itself.
    pub process: Process,
}

/// The store of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// `store.kind`: `sqlite`, `redis` or `memory`.
    pub kind: String,
    /// The number of this process among all starts of nodes that share the store; `None`: it is not shared.
    pub epoch: Option<u64>,
    /// How long others take this node for alive after its last word, in milliseconds; `None` as above.
    pub lease_ms: Option<u64>,
    /// Calls of the process before that this one went on with.
    pub restored: u64,
    /// Calls that were saved and that it could not go on with.
    pub unreadable: u64,
    /// Calls of other nodes, which were dead, that it went on with.
    pub adopted: u64,
    /// Calls of this node that another one has now.
    pub taken: u64,
    /// How often nothing could be saved.
    pub outages: u64,
    /// For how long, together and until now, in microseconds.
    pub away_us: u64,
}

/// One thing that being ready depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable word: `engine`, `disk`, `store`, `certificate`, `shutdown`.
    pub name: String,
    /// Whether it is as it should be.
    pub is_good: bool,
    /// What is seen, and where it is not good, what helps.
    pub text: String,
}

/// Calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Up, or being set up.
    pub active: u64,
    /// Over, and being published.
    pub publishing: u64,
    /// Recordings of nobody here that the engine holds.
    pub orphans: u64,
    /// `sip.max_calls`.
    pub max: u64,
    /// Pairs of ports that streams have.
    pub port_pairs: u64,
    /// Pairs of ports that the engine has for streams.
    pub port_pairs_max: u64,
    /// Recordings published.
    pub published: u64,
    /// Packets in these.
    pub packets: u64,
    /// Packets that the sequence numbers say are missing in these.
    pub lost: u64,
}

/// SIP messages and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sip {
    /// Requests that came, copies included, by method.
    pub requests_received: BTreeMap<String, u64>,
    /// Requests that left, copies included, by method.
    pub requests_sent: BTreeMap<String, u64>,
    /// Responses that came, by method and code.
    pub responses_received: BTreeMap<String, BTreeMap<String, u64>>,
    /// Responses that left, by method and code.
    pub responses_sent: BTreeMap<String, BTreeMap<String, u64>>,
    /// INVITEs outside of a dialog, copies not counted.
    pub invites: u64,
    /// Of these, how many were answered 200.
    pub answered: u64,
    /// And how many were refused, by code.
    #[serde(deserialize_with = "by_code")]
    pub refused: BTreeMap<u16, u64>,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Datagrams that were nothing like SIP.
    pub junk: u64,
    /// Requests answered 401.
    pub challenged: u64,
    /// Requests answered 403 or 480, or passed over.
    pub forbidden: u64,
    /// Requests and connections refused because their source asked too often.
    pub too_fast: u64,
    /// Transactions there are.
    pub transactions: u64,
    /// Dialogs there are.
    pub dialogs: u64,
    /// Log lines that peers caused and that were left out.
    pub lines_left_out: u64,
}

/// Keys of JSON are text, and within a tagged enum nothing makes numbers of them.
fn by_code<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u16, u64>, D::Error> {
    let written = BTreeMap::<String, u64>::deserialize(from)?;
    let read = |(code, count): (String, u64)| Ok((code.parse().map_err(D::Error::custom)?, count));
    written.into_iter().map(read).collect()
}

/// Connections of SIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Open over TCP.
    pub tcp: u64,
    /// Open over TLS.
    pub tls: u64,
    /// `sip.connections_max`.
    pub max: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Closed as soon as they were there.
    pub refused: u64,
    /// Closed for a new one, because they never brought a request.
    pub displaced: u64,
}

/// One of our certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The key of the settings that names it: `tls.certificate` or `http.certificate`.
    pub key: String,
    /// When it expires, in seconds since 1970.
    pub expires_at: i64,
}

/// The media engine, as signaling knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Whether there is a connection, and the engine has said hello.
    pub is_connected: bool,
    /// Connections to it that came about.
    pub connections: u64,
    /// What it last said of itself, of this connection or the one before.
    pub health: Health,
    /// Its numbers as a whole; `None` until they are told.
    pub statistics: Option<EngineStatistics>,
    /// The numbers of each shard, in the order of the shards.
    pub shards: Vec<ShardStatistics>,
}

/// What a STUN server says of our address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stun {
    /// Whether one is asked.
    pub is_used: bool,
    /// Which, as host and port.
    pub server: Option<String>,
    /// The address that was found last, which peers are told.
    pub address: Option<IpAddr>,
    /// When it was last asked.
    #[serde(with = "time::option")]
    pub checked_at: Option<WallTime>,
    /// Why it told nothing then.
    pub error: Option<String>,
}

/// The signaling process itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// CPU time, user and system, in microseconds.
    pub cpu_us: u64,
    /// Memory that is resident, in octets.
    pub memory: u64,
    /// Messages that wait for the recorder.
    pub inbox: u64,
    /// How many may.
    pub inbox_max: u64,
}

impl Status {
    /// The checks that are not good.
    pub fn faults(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.is_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{from_line, to_line};

    #[test]
    fn a_status_with_refusals_reads() {
        let mut status = Box::<Status>::default();
        status.sip.refused = BTreeMap::from([(415, 2), (488, 1)]);
        let reply = Reply::Status { status };
        let line = to_line(&reply);
        assert_eq!(from_line::<Reply>(line.as_ref()).unwrap(), reply);
    }

    #[test]
    fn questions_and_replies_as_they_are_documented() {
        let line = r#"{"command":"status"}"#;
        assert_eq!(
            from_line::<Question>(line.as_bytes()).unwrap(),
            Question::Status
        );
        let reply = Reply::Status {
            status: Box::default(),
        };
        let line = to_line(&reply);
        assert!(line.starts_with(br#"{"answer":"status","status":{"version":"#));
        assert_eq!(from_line::<Reply>(&line).unwrap(), reply);
    }
}
