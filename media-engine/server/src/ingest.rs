//! Which ingest the shards receive by, and what it counts.

use std::path::Path;
use std::time::Duration;

use holdfast_control::ShardPorts;
use holdfast_settings::{IngestKind, Settings};
use holdfast_sys::{Ingest, IngestCounters, RingIngest};
use holdfast_units::MonoTime;
use tracing::{debug, error, info, warn};

use crate::disk::chain;
use crate::drop_rule::{self, DropRule};
use crate::rings::{self, RingsError};

/// What a shard is to receive by.
pub enum ShardIngest {
    /// Sockets, which it opens on its own thread.
    Udp,
    /// Rings that receive already.
    Ring(Box<RingIngest>),
}

/// The ingests of all shards.
pub struct Ingests {
    pub shards: Vec<ShardIngest>,
    /// What they are called in settings and logs.
    pub name: &'static str,
    /// In force for as long as this lives.
    pub rule: Option<DropRule>,
}

/// Takes the packet ring where it is wanted and can be had.
///
/// # Errors
///
/// It is demanded and cannot be had.
pub fn choose(settings: &Settings, slices: &[ShardPorts]) -> Result<Ingests, RingsError> {
    let state_dir = &settings.node.state_dir;
    if settings.media.ingest == IngestKind::Udp {
        return Ok(udp(state_dir, slices));
    }
    match rings::open(settings, slices) {
        Ok((ingests, targets)) => {
            let names: Vec<&str> = targets.iter().map(|it| it.interface.as_str()).collect();
            info!(
                interfaces = names.join(" "),
                "packets come in by the packet ring"
            );
            Ok(Ingests {
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
            Ok(udp(state_dir, slices))
        }
        Err(error) => Err(error),
    }
}

fn udp(state_dir: &Path, slices: &[ShardPorts]) -> Ingests {
    drop_rule::remove_leftover(state_dir);
    Ingests {
        shards: slices.iter().map(|_| ShardIngest::Udp).collect(),
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
                 recording it; config/nftables.conf has it to be loaded by hand"
            );
            // With other ports or interfaces it would drop what nobody has taken.
            drop_rule::remove_leftover(state_dir);
            None
        }
    }
}

/// Tells what an ingest lost or refused, when there is news, once a second at most.
#[derive(Debug, Default)]
pub struct IngestWatch {
    told: IngestCounters,
    next: MonoTime,
}

const WATCH_INTERVAL: Duration = Duration::from_secs(1);

impl IngestWatch {
    pub fn look(&mut self, now: MonoTime, shard: usize, ingest: &mut dyn Ingest) {
        if now < self.next {
            return;
        }
        self.next = now + WATCH_INTERVAL;
        let counters = match ingest.counters() {
            Ok(counters) => counters,
            Err(error) => return debug!(shard, %error, "the kernel does not tell its counts"),
        };
        let drops = counters.kernel_drops - self.told.kernel_drops;
        if drops > 0 {
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
    }
}
