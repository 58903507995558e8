//! Rings that signaling has kept for this engine: taken over where they are what is wanted now, else
//! read to their end and given up.

use std::sync::Arc;

use holdfast_control::ShardPorts;
use holdfast_lifeline::{Descriptor, Kept, Lifeline};
use holdfast_sys::interfaces::Interface;
use holdfast_sys::{
    PortSlice, RetireGuard, RetiredRings, RingError, RingGeometry, RingIngest, RingInterface,
    RingSetup,
};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::disk::chain;

/// What their keys begin with.
const KEY_PREFIX: &str = "rings-";

/// Rings of a dead engine.
pub struct KeptRings {
    key: String,
    note: RingNote,
    descriptors: Vec<std::os::fd::OwnedFd>,
}

/// Rings that receive, and what is left of others.
pub struct OpenRings {
    pub ingests: Vec<RingIngest>,
    /// For each shard, the slice of ports by which a dead engine numbered its records.
    pub former_slices: Vec<Option<ShardPorts>>,
}

/// What rings were made for. Where it differs in anything, they are not those that are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RingNote {
    slices: Vec<(u16, u16)>,
    interfaces: Vec<InterfaceNote>,
    packet_size_max: u64,
    takes_card_times: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InterfaceNote {
    name: String,
    /// One of the same name that was made anew has another.
    index: u32,
    takes_vlans: bool,
    block_size: u32,
    block_count: u32,
}

impl KeptRings {
    /// Picks the rings from what was kept; the rest stays in `kept`.
    pub fn pick(kept: &mut Vec<Kept>) -> Vec<Self> {
        let (rings, others): (Vec<Kept>, Vec<Kept>) = std::mem::take(kept)
            .into_iter()
            .partition(|it| it.key.starts_with(KEY_PREFIX));
        *kept = others;
        let read = |it: Kept| match postcard::from_bytes(&it.note) {
            Ok(note) => Some(Self {
                key: it.key,
                note,
                descriptors: it.descriptors,
            }),
            Err(error) => {
                let reason = error.to_string();
                error!(
                    reason,
                    "kept rings of an unknown kind: what they hold is lost"
                );
                None
            }
        };
        rings.into_iter().filter_map(read).collect()
    }

    /// Says that they are of no use here.
    pub fn give_up(self, why: &str) {
        let rings = self.descriptors.len().saturating_sub(1);
        error!(
            why,
            rings, "kept rings are given up: what they hold is lost"
        );
    }
}

/// Makes the rings of this setup, or goes on with kept ones that are the same; others are stopped and
/// read to their end. All are kept by signaling from now on.
///
/// # Errors
///
/// There can be no ring.
pub fn open(
    setup: &RingSetup,
    interfaces: &[Interface],
    kept: Vec<KeptRings>,
    lifeline: &Lifeline,
) -> Result<OpenRings, RingError> {
    let note = RingNote::of(setup, interfaces);
    let (mut same, mut others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|it| it.note == note);
    let taken = same.pop();
    others.extend(same);
    let mut former_slices = vec![None; setup.slices.len()];
    let mut retired = Vec::new();
    for kept in others {
        retire(kept, lifeline, &mut former_slices, &mut retired);
    }
    let taken = taken.and_then(|kept| take_over(setup, kept));
    let (key, mut ingests) = match taken {
        Some((key, ingests)) => {
            for (former, slice) in former_slices.iter_mut().zip(&setup.slices) {
                *former = Some(ports(slice.first, slice.last));
            }
            (key, ingests)
        }
        None => (new_key(), RingIngest::open_all(setup)?),
    };
    for (shard, rings) in retired {
        match ingests.get_mut(shard) {
            Some(ingest) => ingest.drain(rings),
            None => error!(
                shard,
                "rings of a shard that is no more: what they hold is lost"
            ),
        }
    }
    match RingIngest::descriptors(&ingests) {
        Ok(all) => lifeline.deposit(key, note.encode(), shared(all)),
        Err(error) => error!(%error, "the rings cannot be kept: they die with this process"),
    }
    Ok(OpenRings {
        ingests,
        former_slices,
    })
}

fn take_over(setup: &RingSetup, kept: KeptRings) -> Option<(String, Vec<RingIngest>)> {
    let KeptRings {
        key, descriptors, ..
    } = kept;
    match RingIngest::take_over_all(setup, descriptors) {
        Ok(ingests) => {
            info!("goes on with the rings of the engine before");
            Some((key, ingests))
        }
        Err(error) => {
            let reason = chain(&error);
            error!(
                reason,
                "kept rings cannot be taken over: what they hold is lost"
            );
            None
        }
    }
}

fn retire(
    kept: KeptRings,
    lifeline: &Lifeline,
    former_slices: &mut [Option<ShardPorts>],
    retired: &mut Vec<(usize, RetiredRings)>,
) {
    warn!(
        "the settings or interfaces have changed: the rings of the engine before are read to their end"
    );
    let again = kept.descriptors.iter().map(|fd| fd.try_clone());
    let again: Result<Vec<_>, _> = again.collect();
    match again {
        Ok(again) => lifeline.deposit(kept.key.clone(), kept.note.encode(), shared(again)),
        Err(error) => warn!(%error, "they are not kept until then"),
    }
    let guard: RetireGuard = Arc::new(WithdrawAtEnd {
        lifeline: lifeline.clone(),
        key: kept.key.clone(),
    });
    let setup = kept.note.setup();
    match RetiredRings::stop_all(&setup, kept.descriptors, &guard) {
        Ok(rings) => {
            for ((shard, rings), slice) in rings.into_iter().enumerate().zip(&setup.slices) {
                if let Some(former) = former_slices.get_mut(shard) {
                    *former = Some(ports(slice.first, slice.last));
                }
                retired.push((shard, rings));
            }
        }
        Err(error) => {
            let reason = chain(&error);
            error!(reason, "they cannot be read: what they hold is lost");
        }
    }
}

/// Has rings kept no longer when they have been read to their end.
struct WithdrawAtEnd {
    lifeline: Lifeline,
    key: String,
}

impl Drop for WithdrawAtEnd {
    fn drop(&mut self) {
        info!("the rings of the engine before have been read to their end");
        self.lifeline.withdraw(self.key.clone());
    }
}

impl RingNote {
    fn of(setup: &RingSetup, interfaces: &[Interface]) -> Self {
        let index = |name: &str| {
            interfaces
                .iter()
                .find(|it| it.name == name)
                .map(|it| it.index)
        };
        let interface = |it: &RingInterface| InterfaceNote {
            name: it.name.clone(),
            index: index(&it.name).unwrap_or(0),
            takes_vlans: it.takes_vlans,
            block_size: it.geometry.block_size,
            block_count: it.geometry.block_count,
        };
        Self {
            slices: setup.slices.iter().map(|it| (it.first, it.last)).collect(),
            interfaces: setup.interfaces.iter().map(interface).collect(),
            packet_size_max: setup.packet_size_max as u64,
            takes_card_times: setup.takes_card_times,
        }
    }

    fn setup(&self) -> RingSetup {
        let slice = |&(first, last): &(u16, u16)| PortSlice { first, last };
        let interface = |it: &InterfaceNote| RingInterface {
            name: it.name.clone(),
            takes_vlans: it.takes_vlans,
            geometry: RingGeometry {
                block_size: it.block_size,
                block_count: it.block_count,
            },
        };
        RingSetup {
            slices: self.slices.iter().map(slice).collect(),
            interfaces: self.interfaces.iter().map(interface).collect(),
            packet_size_max: usize::try_from(self.packet_size_max).unwrap_or(usize::MAX),
            takes_card_times: self.takes_card_times,
        }
    }

    fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data serialises into memory")
    }
}

fn shared(descriptors: Vec<std::os::fd::OwnedFd>) -> Vec<Descriptor> {
    let one = |fd| -> Descriptor { Arc::new(fd) };
    descriptors.into_iter().map(one).collect()
}

fn new_key() -> String {
    let random = u64::from_le_bytes(crate::random_bytes());
    format!("{KEY_PREFIX}{random:016x}")
}

const fn ports(first: u16, last: u16) -> ShardPorts {
    ShardPorts { first, last }
}
