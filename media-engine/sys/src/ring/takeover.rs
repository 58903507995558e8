//! Rings whose process is dead: taken over, or read to their end and given up.
//!
//! The descriptors of all rings and of their notes travel together; a part of them is of no use, as
//! the interface's group would lack a member.
//!
//! Where other rings are wanted now, the old ones are stopped before the new ones are made, so that no
//! packet is in both: what comes in the moment between is in none.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use holdfast_units::WallTime;

use super::block::Frames;
use super::frame::Datagram;
use super::notes::Notes;
use super::program::nothing;
use super::reader::Reader;
use super::{
    RETIRE_AFTER, RetireGuard, Retired, Ring, RingError, RingIngest, RingSetup, find_interface,
    refused, socket, unmapped,
};
use crate::clock;

/// Rings of a shard that receive nothing any more.
#[derive(Debug)]
pub struct RetiredRings {
    rings: Vec<Ring>,
    floor: u64,
}

/// A block that was in hand at two deaths in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspectBlock {
    /// Which ring of the shard.
    ring: usize,
    /// The interface that it came in by.
    pub interface: String,
    /// Its number, counted since the ring was made.
    pub number: u64,
    /// All that is in it.
    pub octets: Vec<u8>,
}

/// Packets of a port that are not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Local port they were sent to.
    pub port: u16,
    /// How many.
    pub count: u32,
    /// Arrival of the first.
    pub from: WallTime,
}

impl RingIngest {
    /// Goes on with the rings of all shards, whose process is dead: [`Self::descriptors`] of these.
    /// What that process had not released is offered again.
    ///
    /// # Errors
    ///
    /// The descriptors are not those of such rings.
    pub fn take_over_all(
        setup: &RingSetup,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Vec<Self>, RingError> {
        let (notes, sockets) = take_apart(setup, descriptors)?;
        let mut ingests = Self::without_rings(setup, &notes);
        for (ingest, sockets) in ingests.iter_mut().zip(sockets) {
            ingest.rings = take_rings(setup, &notes, ingest.shard, sockets)?;
        }
        Ok(ingests)
    }

    /// What another process has to hold, so that the kernel goes on receiving when this one is dead:
    /// for the ingests of all shards, together.
    ///
    /// # Errors
    ///
    /// The system has no more descriptors.
    pub fn descriptors(ingests: &[Self]) -> io::Result<Vec<OwnedFd>> {
        let notes = ingests.first().map(|ingest| ingest.notes.descriptor());
        let rings = ingests.iter().flat_map(|ingest| &ingest.rings);
        let own = rings.filter(|ring| ring.retired.is_none());
        let all = notes.into_iter().chain(own.map(|ring| ring.socket.as_fd()));
        all.map(|fd| fd.try_clone_to_owned()).collect()
    }

    /// Reads rings of an earlier setup to their end too. Before the first poll.
    pub fn drain(&mut self, retired: RetiredRings) {
        let has_own = self.rings.iter().any(|ring| ring.behind.is_some());
        let own = has_own.then(|| self.notes.floor(self.shard));
        let floor = own.map_or(retired.floor, |own| own.min(retired.floor));
        self.notes.set_floor(self.shard, floor);
        self.rings.extend(retired.rings);
    }

    /// Where this ingest goes on with what a dead process left: the number of the journal from which
    /// on its records may be of packets that are offered again.
    pub fn known_from(&self) -> Option<u64> {
        let is_taken = self.rings.iter().any(|ring| ring.behind.is_some());
        is_taken.then(|| self.notes.floor(self.shard))
    }

    /// The blocks that were in hand at two deaths in a row and are still there.
    pub fn suspects(&self) -> Vec<SuspectBlock> {
        let rings = self.rings.iter().enumerate();
        let suspect = |(index, ring): (usize, &Ring)| {
            let number = ring.poisoned?;
            let octets = ring.reader.find(number)?.to_vec();
            Some(SuspectBlock {
                ring: index,
                interface: ring.interface.clone(),
                number,
                octets,
            })
        };
        rings.filter_map(suspect).collect()
    }

    /// Never offers this block. Answers what it has for which port, as far as it can be read: that is
    /// noted first, so a process that dies of looking does not look again.
    pub fn pass_over(&mut self, suspect: &SuspectBlock) -> Vec<PassedOver> {
        let ring = &mut self.rings[suspect.ring];
        ring.notes.pass_over(suspect.number);
        ring.passed_over = Some(suspect.number);
        let mut by_port: BTreeMap<u16, PassedOver> = BTreeMap::new();
        for frame in Frames::of(&suspect.octets) {
            let read = Datagram::read(frame.protocol, frame.captured, frame.wire_size);
            let Ok(Datagram { port, .. }) = read else {
                continue;
            };
            let first = PassedOver {
                port,
                count: 0,
                from: frame.arrival,
            };
            by_port.entry(port).or_insert(first).count += 1;
        }
        by_port.into_values().collect()
    }
}

impl RetiredRings {
    /// Stops the rings of all shards of an earlier setup; what they hold stays readable. `guard` is
    /// dropped when the last of them has been read to its end, and its packets are durable.
    ///
    /// # Errors
    ///
    /// The descriptors are not those of such rings.
    pub fn stop_all(
        setup: &RingSetup,
        descriptors: Vec<OwnedFd>,
        guard: &RetireGuard,
    ) -> Result<Vec<Self>, RingError> {
        let (notes, sockets) = take_apart(setup, descriptors)?;
        let all = sockets.iter().flatten();
        for fd in all.clone() {
            socket::set_filter(fd.as_fd(), &nothing()).map_err(refused("stop a ring"))?;
        }
        let since = clock::monotonic();
        let mut retired = Vec::new();
        for (shard, sockets) in sockets.into_iter().enumerate() {
            let mut rings = take_rings(setup, &notes, shard, sockets)?;
            for ring in &mut rings {
                ring.behind = Some(u64::MAX);
                ring.retired = Some(Retired {
                    since,
                    _guard: guard.clone(),
                });
            }
            let floor = notes.floor(shard);
            retired.push(Self { rings, floor });
        }
        Ok(retired)
    }
}

impl Ring {
    /// There is no further block at present.
    pub(super) fn handle_end(&mut self) {
        if self.reader.is_full() {
            return;
        }
        let is_over = match &self.retired {
            None => true,
            // The block that was being filled is handed over in time.
            Some(retired) => clock::monotonic().since(retired.since) > RETIRE_AFTER * 4,
        };
        if is_over {
            self.behind = None;
        }
    }

    /// Whether it has been read to its end and all of it is durable.
    pub(super) fn is_done(&self) -> bool {
        self.retired.is_some() && self.behind.is_none() && self.reader.held() == 0
    }
}

/// The notes, and for each shard its sockets.
fn take_apart(
    setup: &RingSetup,
    descriptors: Vec<OwnedFd>,
) -> Result<(Notes, Vec<Vec<OwnedFd>>), RingError> {
    let (shards, interfaces) = (setup.slices.len(), setup.interfaces.len());
    let (found, expected) = (descriptors.len(), 1 + shards * interfaces);
    let mut descriptors = descriptors.into_iter();
    let Some(notes) = descriptors.next().filter(|_| found == expected) else {
        return Err(RingError::Count { found, expected });
    };
    let notes = Notes::adopt(notes, shards, interfaces).map_err(refused("share memory"))?;
    let of_shard = |_| descriptors.by_ref().take(interfaces).collect();
    let sockets = (0..shards).map(of_shard).collect();
    Ok((notes, sockets))
}

fn take_rings(
    setup: &RingSetup,
    notes: &Notes,
    shard: usize,
    sockets: Vec<OwnedFd>,
) -> Result<Vec<Ring>, RingError> {
    let mut rings = Vec::new();
    for (socket, wanted) in sockets.into_iter().zip(&setup.interfaces) {
        // One that is gone has packets all the same.
        let is_loopback = find_interface(&wanted.name).is_ok_and(|it| it.is_loopback);
        let notes = notes.ring(shard, rings.len());
        let reader = Reader::of_used(socket.as_fd(), wanted.geometry).map_err(unmapped)?;
        let left = notes.take_over();
        rings.push(Ring {
            reader,
            socket,
            interface: wanted.name.clone(),
            is_loopback,
            notes,
            behind: Some(left.begun.unwrap_or(0)),
            poisoned: left.poisoned,
            passed_over: left.passed_over,
            retired: None,
        });
    }
    Ok(rings)
}

const _: () = assert!(RETIRE_AFTER.as_millis() * 4 < Duration::from_secs(1).as_millis());
