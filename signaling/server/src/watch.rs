//! What this process knows of itself and of the engine, for whoever watches: the command, the health
//! checks and the metrics see the same [`Status`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use holdfast_control::status::{Calls, Check, Engine, Process, Reply, Sip, Status, Store, Stun};
use holdfast_control::{FromEngine, ShardStatistics, Stage, StageLatency};
use holdfast_recording::recorder::{Notice, Statistics};
use holdfast_units::WallTime;
use tokio::sync::oneshot;

use crate::chain;
use crate::stun::StunError;
use crate::traffic::{Traffic, Way};

/// What is not known elsewhere.
#[derive(Debug, Default)]
pub struct Watch {
    /// Messages of SIP.
    pub traffic: Traffic,
    engine: Engine,
    /// Packets in published recordings, and those that are missing there.
    packets: u64,
    lost: u64,
    shards: usize,
    stun: Stun,
    /// The store of calls.
    store: Store,
    /// Why the state of calls cannot be saved.
    store_fault: Option<String>,
    store_away_since: Option<WallTime>,
    latencies: BTreeMap<(u16, Stage), StageLatency>,
    /// Who waits until all of them have come.
    waiting: Vec<oneshot::Sender<Reply>>,
}

impl Watch {
    /// A connection to the engine came about.
    pub fn handle_engine_up(&mut self) {
        self.engine.connections += 1;
    }

    /// What the engine says, as far as it concerns whoever watches.
    pub fn handle_engine(&mut self, message: &FromEngine) {
        match message {
            FromEngine::Hello { shards, .. } => {
                self.engine.is_connected = true;
                self.shards = shards.len();
                // What it counted before it was started again is no more.
                self.engine.shards.clear();
                self.engine.statistics = None;
            }
            FromEngine::Health(health) => self.engine.health = *health,
            FromEngine::Engine(statistics) => self.engine.statistics = Some(statistics.clone()),
            FromEngine::Shard(shard) => self.take_shard(shard),
            FromEngine::Latency(latency) => self.take_latency(latency),
            FromEngine::Published(published) => {
                self.packets += published.packets;
                self.lost += published.lost;
            }
            FromEngine::Held(_)
            | FromEngine::HeldDone
            | FromEngine::Applied { .. }
            | FromEngine::Refused { .. }
            | FromEngine::Media { .. } => {}
        }
    }

    /// The engine is gone. Its numbers stay until it says new ones.
    pub fn handle_engine_gone(&mut self) {
        self.engine.is_connected = false;
        // Half of what was asked for is none.
        self.latencies.clear();
        self.answer_waiting();
    }

    /// A STUN server has said what it knows; answers what was known before.
    pub fn handle_discovered(
        &mut self,
        at: WallTime,
        found: &Result<IpAddr, StunError>,
    ) -> Option<IpAddr> {
        let known = self.stun.address;
        self.stun.checked_at = Some(at);
        self.stun.error = found.as_ref().err().map(|error| chain(error));
        self.stun.address = found.as_ref().ok().copied().or(known);
        known
    }

    /// The store is open, and what it had is taken up.
    pub fn handle_store_open(&mut self, store: Store) {
        self.store = store;
    }

    /// Why the store does not save, in its own words.
    pub fn handle_store_away(&mut self, why: String) {
        self.store_fault = Some(why);
    }

    /// What the recorder tells, as far as it concerns whoever watches: it also knows of a store that says
    /// nothing at all.
    pub fn handle_notice(&mut self, at: WallTime, notice: &Notice) {
        match notice {
            Notice::StoreAway => {
                self.store.outages += 1;
                self.store_away_since = Some(at);
                let why = || "it does not answer".to_owned();
                self.store_fault.get_or_insert_with(why);
            }
            Notice::StoreBack => {
                let since = self.store_away_since.take();
                self.store.away_us += since.map_or(0, |since| micros_between(since, at));
                self.store_fault = None;
            }
            _ => {}
        }
    }

    /// Calls of another node go on here; `unreadable` of them do not.
    pub fn handle_adopted(&mut self, calls: u64, unreadable: u64) {
        self.store.adopted += calls;
        self.store.unreadable += unreadable;
    }

    /// Calls of this node go on at another one.
    pub fn handle_taken(&mut self, calls: usize) {
        self.store.taken += calls as u64;
    }

    /// Somebody wants the latencies; answers whether the engine has to be asked.
    pub fn want_latencies(&mut self, who: oneshot::Sender<Reply>) -> bool {
        self.waiting.retain(|waiting| !waiting.is_closed());
        self.waiting.push(who);
        if !self.engine.is_connected {
            self.latencies.clear();
            self.answer_waiting();
            return false;
        }
        let is_first = self.waiting.len() == 1;
        if is_first {
            self.latencies.clear();
        }
        is_first
    }

    fn take_shard(&mut self, shard: &ShardStatistics) {
        match self
            .engine
            .shards
            .iter_mut()
            .find(|it| it.shard == shard.shard)
        {
            Some(known) => *known = shard.clone(),
            None => {
                self.engine.shards.push(shard.clone());
                self.engine.shards.sort_by_key(|it| it.shard);
            }
        }
    }

    fn take_latency(&mut self, latency: &StageLatency) {
        self.latencies
            .insert((latency.shard, latency.stage), latency.clone());
        if self.latencies.len() >= self.shards * Stage::ALL.len() {
            self.answer_waiting();
        }
    }

    fn answer_waiting(&mut self) {
        let stages: Vec<StageLatency> = self.latencies.values().cloned().collect();
        for waiting in self.waiting.drain(..) {
            // Whoever asked may be gone.
            let _ = waiting.send(Reply::Latency {
                stages: stages.clone(),
            });
        }
    }

    /// The part of a status that is known here.
    pub fn tell(&self, status: &mut Status, recorder: &Statistics) {
        status.calls = Calls {
            active: recorder.calls as u64,
            publishing: recorder.publishing as u64,
            orphans: recorder.orphans as u64,
            published: recorder.published,
            packets: self.packets,
            lost: self.lost,
            max: status.calls.max,
            port_pairs: recorder.port_pairs as u64,
            port_pairs_max: recorder.port_pairs_max as u64,
        };
        status.sip = Sip {
            requests_received: self.traffic.requests(Way::Received),
            requests_sent: self.traffic.requests(Way::Sent),
            responses_received: self.traffic.responses(Way::Received),
            responses_sent: self.traffic.responses(Way::Sent),
            invites: recorder.invites,
            answered: recorder.answered,
            refused: recorder.refused.clone(),
            malformed: recorder.malformed,
            challenged: recorder.admission.challenged,
            forbidden: recorder.admission.forbidden,
            too_fast: recorder.admission.too_fast,
            transactions: recorder.transactions as u64,
            dialogs: recorder.dialogs as u64,
            ..std::mem::take(&mut status.sip)
        };
        status.engine = self.engine.clone();
        status.stun = Stun {
            is_used: status.stun.is_used,
            server: status.stun.server.take(),
            ..self.stun.clone()
        };
        status.store = self.store.clone();
        status.store_fault = self.store_fault.clone();
        let since = self.store_away_since;
        status.store.away_us += since.map_or(0, |since| micros_between(since, status.at));
        status.process = Process {
            cpu_us: holdfast_process::cpu_us(),
            memory: holdfast_process::memory(),
            ..status.process
        };
    }
}

/// What being ready depends on. `stopping`: the process is to end.
pub fn checks(
    status: &Status,
    control_socket: &Path,
    is_draining: bool,
    is_stopping: bool,
) -> Vec<Check> {
    let engine = &status.engine;
    let mut checks = vec![
        match engine.is_connected {
            true => good("engine", "connected".to_owned()),
            false => bad(
                "engine",
                format!(
                    "the media engine does not answer at {}: start holdfast-media; calls get 503",
                    control_socket.display()
                ),
            ),
        },
        match engine.health.unwilling {
            None => good("disk", used(engine.health.disk_used_permille)),
            Some(why) => bad(
                "disk",
                format!(
                    "{why} ({}): free space, or look at the disk; new calls get 503",
                    used(engine.health.disk_used_permille)
                ),
            ),
        },
    ];
    checks.push(match &status.store_fault {
        None => good("store", "the state of calls is saved".to_owned()),
        Some(why) => bad(
            "store",
            format!("the state of calls cannot be saved: {why}; see store.when_away"),
        ),
    });
    let now = i64::try_from(status.at.unix_seconds()).unwrap_or(i64::MAX);
    checks.extend(status.certificates.iter().map(|certificate| {
        let days = (certificate.expires_at - now).div_euclid(SECONDS_PER_DAY);
        let key = &certificate.key;
        match certificate.expires_at > now {
            true => good("certificate", format!("{key} is valid for {days} days")),
            false => bad(
                "certificate",
                format!("{key} has expired: have it renewed, then `systemctl reload`"),
            ),
        }
    }));
    if is_draining {
        checks.push(bad(
            "drain",
            "new calls get 503, as `holdfast drain` asked; `holdfast drain --off` takes them again"
                .to_owned(),
        ));
    }
    if is_stopping {
        checks.push(bad(
            "shutdown",
            "the process is ending its calls".to_owned(),
        ));
    }
    checks
}

/// A clock that was set back counts nothing.
const fn micros_between(from: WallTime, to: WallTime) -> u64 {
    to.0.saturating_sub(from.0) / 1_000
}

fn used(permille: u16) -> String {
    format!("{}.{} % of the disk used", permille / 10, permille % 10)
}

fn good(name: &str, text: String) -> Check {
    Check {
        name: name.to_owned(),
        is_good: true,
        text,
    }
}

fn bad(name: &str, text: String) -> Check {
    Check {
        is_good: false,
        ..good(name, text)
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
