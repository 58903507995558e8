//! Sources that nothing speaks for, until a second packet does.
//!
//! The first packet is kept, so that proving a source costs it nothing. The room is fixed; who is
//! pushed out of it, or waits too long, is counted as unproven.

use std::net::{Ipv4Addr, SocketAddr};

use holdfast_units::MonoTime;

use super::{HeldPacket, Reason, Refused, same_endpoint};
use crate::limits;
use crate::number::{Ssrc, WireSeq};
use crate::packet::RtpPacket;

/// The sources that wait for their second packet.
#[derive(Debug)]
pub(super) struct Candidates {
    slots: [Candidate; limits::CANDIDATES_MAX],
    /// The slot whose packet waits to be taken, its source now being latched.
    released: Option<usize>,
}

/// What a packet of an unproven source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It is kept and waits.
    Waiting,
    /// It waits for the next one, but is not kept itself: too large, or a duplicate.
    NotKept,
    /// It is the second; the first can be taken.
    Proven,
}

/// One source and its first packet.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Somebody waits here.
    waiting: bool,
    source: SocketAddr,
    ssrc: Ssrc,
    sequence: WireSeq,
    at: MonoTime,
    /// Octets that are kept; 0 where the packet was too large.
    len: u16,
    bytes: [u8; limits::HELD_BYTES_MAX],
}

impl Candidates {
    pub(super) fn boxed() -> Box<Self> {
        let nobody = Candidate {
            waiting: false,
            source: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            ssrc: Ssrc(0),
            sequence: WireSeq(0),
            at: MonoTime::ZERO,
            len: 0,
            bytes: [0; limits::HELD_BYTES_MAX],
        };
        Box::new(Self {
            slots: [nobody; limits::CANDIDATES_MAX],
            released: None,
        })
    }

    /// A packet of a source that has to prove itself.
    pub(super) fn offer(
        &mut self,
        now: MonoTime,
        source: SocketAddr,
        packet: &RtpPacket<'_>,
        refused: &mut Refused,
    ) -> Proof {
        self.released = None;
        let same = self.slots.iter().position(|slot| {
            slot.waiting && slot.ssrc == packet.ssrc() && same_endpoint(slot.source, source)
        });
        if let Some(index) = same {
            let slot = &self.slots[index];
            if slot.sequence == packet.sequence() {
                return Proof::NotKept;
            }
            let in_time = now.since(slot.at) <= limits::PROOF_WITHIN;
            if in_time && slot.sequence.next() == packet.sequence() {
                self.released = Some(index);
                return Proof::Proven;
            }
        }
        // An empty slot first (it sorts lowest), else whoever has waited longest.
        let oldest = || {
            let age = |(_, slot): &(usize, &Candidate)| (slot.waiting, slot.at);
            self.slots
                .iter()
                .enumerate()
                .min_by_key(age)
                .map_or(0, |(index, _)| index)
        };
        let index = same.unwrap_or_else(oldest);
        self.slots[index].give_up(refused);
        self.slots[index].keep(now, source, packet)
    }

    /// The first packet of the source that was proven last.
    pub(super) fn take_released(&mut self) -> Option<HeldPacket<'_>> {
        let slot = &mut self.slots[self.released.take()?];
        let waiting = std::mem::take(&mut slot.waiting);
        let bytes = slot.bytes.get(..usize::from(slot.len))?;
        let kept = waiting && !bytes.is_empty();
        kept.then_some(HeldPacket {
            at: slot.at,
            source: slot.source,
            bytes,
        })
    }

    /// Gives up everyone.
    pub(super) fn clear(&mut self, refused: &mut Refused) {
        self.released = None;
        self.keep_released_only(refused);
    }

    /// Gives up everyone but the source that was proven last.
    pub(super) fn keep_released_only(&mut self, refused: &mut Refused) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if self.released != Some(index) {
                slot.give_up(refused);
            }
        }
    }
}

impl Candidate {
    fn keep(&mut self, now: MonoTime, source: SocketAddr, packet: &RtpPacket<'_>) -> Proof {
        self.waiting = true;
        self.source = source;
        self.ssrc = packet.ssrc();
        self.sequence = packet.sequence();
        self.at = now;
        self.len = 0;
        let bytes = packet.bytes();
        let Some(room) = self.bytes.get_mut(..bytes.len()) else {
            return Proof::NotKept;
        };
        room.copy_from_slice(bytes);
        // It fits: HELD_BYTES_MAX is below 65,536.
        self.len = bytes.len() as u16;
        Proof::Waiting
    }

    fn give_up(&mut self, refused: &mut Refused) {
        if std::mem::take(&mut self.waiting) && self.len > 0 {
            refused.count(Reason::Unproven);
        }
    }
}
