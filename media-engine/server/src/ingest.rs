//! Which ingest the shards receive by, and what it counts.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use holdfast_control::ShardPorts;
use holdfast_journal::Lsn;
use holdfast_lifeline::{Kept, Lifeline};
use holdfast_settings::{IngestKind, Settings};
use holdfast_shard::IngestFigures;
use holdfast_sys::{Ingest, IngestCounters, PassedOver, RingIngest, clock};
use holdfast_units::{MonoTime, WallTime};
use tracing::{debug, error, info, warn};

use crate::disk::chain;
use crate::drop_rule::{self, DropRule};
use crate::kept_rings::{KeptRings, OpenRings};
use crate::kept_sockets;
use crate::quarantine;
use crate::rings::{self, RingsError};

/// What a shard is to receive by.
pub enum ShardIngest {
    /// Sockets, which it opens on its own thread; kept ones first.
    Udp(Vec<OwnedFd>),
    /// Rings that receive already.
    Ring(Box<RingIngest>),
}

/// What a dead engine left of a shard's packets, where they are offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// First port of its slice.
    pub first_port: u16,
    /// The journal's records from this number on may be of such packets.
    pub known_from: Lsn,
}

impl ShardIngest {
    /// Whether the kernel lost packets for want of room since it was asked last.
    pub fn has_lost(&mut self) -> bool {
        match self {
            Self::Udp(_) => false,
            Self::Ring(ring) => ring.counters().map_or(true, |it| it.kernel_drops > 0),
        }
    }
}

/// The ingests of all shards.
pub struct Ingests {
    pub shards: Vec<ShardIngest>,
    /// For each shard.
    pub leftovers: Vec<Option<Leftover>>,
    /// What they are called in settings and logs.
    pub name: &'static str,
    /// In force for as long as this lives.
    pub rule: Option<DropRule>,
}

impl Ingests {
    /// Sets aside what two engines in a row died of; for each shard, what is not offered by that.
    pub fn set_aside(&mut self, state_dir: &Path) -> Vec<Vec<PassedOver>> {
        let shards = self.shards.iter_mut().enumerate();
        let one = |(shard, ingest): (usize, &mut ShardIngest)| match ingest {
            ShardIngest::Udp(_) => Vec::new(),
            ShardIngest::Ring(ring) => quarantine::set_aside(state_dir, shard, ring),
        };
        shards.map(one).collect()
    }
}

/// Takes the packet ring where it is wanted and can be had.
///
/// # Errors
///
/// It is demanded and cannot be had.
pub fn choose(
    settings: &Settings,
    slices: &[ShardPorts],
    mut kept: Vec<Kept>,
    lifeline: &Lifeline,
) -> Result<Ingests, RingsError> {
    let state_dir = &settings.node.state_dir;
    let kept_rings = KeptRings::pick(&mut kept);
    if settings.media.ingest == IngestKind::Udp {
        for rings in kept_rings {
            rings.give_up("packets come in by plain sockets now");
        }
        return Ok(udp(state_dir, slices, kept));
    }
    match rings::open(settings, slices, kept_rings, lifeline) {
        Ok((rings, targets)) => {
            let names: Vec<&str> = targets.iter().map(|it| it.interface.as_str()).collect();
            info!(
                interfaces = names.join(" "),
                "packets come in by the packet ring"
            );
            let OpenRings {
                ingests,
                former_slices,
            } = rings;
            let leftover = |(ingest, former): (&RingIngest, &Option<ShardPorts>)| {
                Some(Leftover {
                    first_port: former.as_ref()?.first,
                    known_from: Lsn(ingest.known_from()?),
                })
            };
            Ok(Ingests {
                leftovers: ingests.iter().zip(&former_slices).map(leftover).collect(),
                shards: ingests
                    .into_iter()
                    .map(Box::new)
                    .map(ShardIngest::Ring)
                    .collect(),
                name: "packet-ring",
                rule: install_rule(state_dir, &targets, slices),
            })
        }
        Err(error) if settings.media.ingest == IngestKind::Auto => {
            let reason = chain(&error);
            info!(reason, "no packet ring: packets come in by plain sockets");
            Ok(udp(state_dir, slices, kept))
        }
        Err(error) => Err(error),
    }
}

fn udp(state_dir: &Path, slices: &[ShardPorts], kept: Vec<Kept>) -> Ingests {
    drop_rule::remove_leftover(state_dir);
    let mut sockets = kept_sockets::by_slice(kept, slices);
    Ingests {
        shards: sockets.drain(..).map(ShardIngest::Udp).collect(),
        leftovers: vec![None; slices.len()],
        name: "udp",
        rule: None,
    }
}

fn install_rule(
    state_dir: &Path,
    targets: &[rings::Target],
    slices: &[ShardPorts],
) -> Option<DropRule> {
    let (first, last) = (slices.first()?.first, slices.last()?.last);
    match DropRule::install(state_dir, targets, (first, last)) {
        Ok(rule) => {
            info!(table = rule.table(), "packets end behind the ring");
            Some(rule)
        }
        Err(error) => {
            let reason = chain(&error);
            warn!(
                reason,
                "no drop rule: each packet also climbs the IP stack, which costs more CPU than \
                 recording it; nftables.conf, adapted, has it to be loaded by hand"
            );
            // With other ports or interfaces it would drop what nobody has taken.
            drop_rule::remove_leftover(state_dir);
            None
        }
    }
}

/// Tells what an ingest lost or refused, when there is news, once a second at most.
#[derive(Debug)]
pub struct IngestWatch {
    told: IngestCounters,
    next: MonoTime,
    /// What was dropped before has been told.
    looked_at: WallTime,
    /// Packets dropped that the log does not know of.
    untold: u64,
    next_word: MonoTime,
    /// Drops of a hold that goes on: since when, within which time, and how many.
    held: Option<(MonoTime, Range<WallTime>, u64)>,
}

/// Drops of a hold that lasts are told after this time at the latest.
const HOLD_TOLD_AFTER: Duration = Duration::from_secs(5);

const WATCH_INTERVAL: Duration = Duration::from_secs(1);

impl IngestWatch {
    pub fn new(wall: WallTime) -> Self {
        Self {
            told: IngestCounters::default(),
            next: MonoTime(0),
            looked_at: wall,
            untold: 0,
            next_word: MonoTime(0),
            held: None,
        }
    }

    /// What has been counted until it was looked last.
    pub fn figures(&self, ingest: &dyn Ingest) -> IngestFigures {
        let ring = ingest.occupancy();
        IngestFigures {
            checksum: self.told.checksum,
            address: self.told.foreign,
            unreadable: self.told.unreadable,
            closed: self.told.closed,
            ring: ring.map(|ring| (ring.blocks as u64, ring.held as u64)),
        }
    }

    /// Looks where it is time to, or where packets are held back, so that drops are to be expected;
    /// answers how many packets the kernel dropped, and within which time. Those of one hold are one.
    pub fn look(
        &mut self,
        now: MonoTime,
        is_held_back: bool,
        shard: usize,
        ingest: &mut dyn Ingest,
    ) -> Option<(Range<WallTime>, u64)> {
        if let Some((within, count)) = self.count(now, is_held_back, shard, ingest) {
            let (_, all, sum) = self.held.get_or_insert((now, within.clone(), 0));
            all.end = within.end;
            *sum += count;
        }
        let is_long = |since: MonoTime| now.since(since) >= HOLD_TOLD_AFTER;
        let held = self.held.take_if(|held| !is_held_back || is_long(held.0));
        held.map(|(_, within, count)| (within, count))
    }

    fn count(
        &mut self,
        now: MonoTime,
        is_held_back: bool,
        shard: usize,
        ingest: &mut dyn Ingest,
    ) -> Option<(Range<WallTime>, u64)> {
        if now < self.next && !is_held_back {
            return None;
        }
        self.next = now + WATCH_INTERVAL;
        let before = clock::wall();
        let counters = match ingest.counters() {
            Ok(counters) => counters,
            Err(error) => {
                debug!(shard, %error, "the kernel does not tell its counts");
                return None;
            }
        };
        let from = std::mem::replace(&mut self.looked_at, before);
        let drops = counters.kernel_drops - self.told.kernel_drops;
        self.untold += drops;
        if self.untold > 0 && self.next_word <= now {
            let drops = std::mem::take(&mut self.untold);
            self.next_word = now + WATCH_INTERVAL;
            error!(
                shard,
                drops,
                total = counters.kernel_drops,
                "the packet ring was full: packets are lost; see media.ring_size"
            );
        }
        if counters != self.told {
            debug!(shard, ?counters, "not taken by the ingest");
        }
        self.told = counters;
        (drops > 0).then(|| (from..clock::wall(), drops))
    }
}
