//! An offer, or an offer of ours, with the ports its streams are to have: what the session would
//! become with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::offer::{Action, LinePlan, LocalPorts, OfferError, Plan, Session, SlotId, Stream};
use crate::sdp::Family;

/// A plan and the ports found for it so far.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The session as it is.
    base: Session,
    pub(super) plan: Plan,
    /// Whether we make the offer.
    is_ours: bool,
    ports: BTreeMap<SlotId, LocalPorts>,
    /// Streams that get no port any more.
    given_up: BTreeSet<SlotId>,
    /// How often ports were asked for.
    pub(super) attempts: u32,
}

/// What a proposal leads to.
pub(super) struct Settled {
    pub(super) session: Session,
    /// Streams of a first offer of ours.
    pub(super) offered: Vec<Stream>,
    /// The session description that is sent.
    pub(super) description: Vec<u8>,
}

impl Proposal {
    /// Of the peer's offer.
    pub(super) const fn answer(base: Session, plan: Plan) -> Self {
        Self::new(base, plan, false)
    }

    /// Of an offer that we make.
    pub(super) const fn offer(base: Session, plan: Plan) -> Self {
        Self::new(base, plan, true)
    }

    const fn new(base: Session, plan: Plan, is_ours: bool) -> Self {
        Self {
            base,
            plan,
            is_ours,
            ports: BTreeMap::new(),
            given_up: BTreeSet::new(),
            attempts: 0,
        }
    }

    /// Streams that need ports and have none. Those of another address family than ours cannot
    /// have any.
    pub(super) fn wanting(&self, address: IpAddr) -> Vec<SlotId> {
        let family = Family::of(address);
        let wanting = |line: &LinePlan| match &line.action {
            Action::New { slot, terms, .. } => (terms.family == family
                && !self.ports.contains_key(slot)
                && !self.given_up.contains(slot))
            .then_some(*slot),
            Action::Keep { .. } | Action::Remove { .. } | Action::Refuse { .. } => None,
        };
        self.plan.lines.iter().filter_map(wanting).collect()
    }

    /// Whether a stream is new in it.
    pub(super) fn has_ports(&self, slot: SlotId) -> bool {
        self.ports.contains_key(&slot)
    }

    pub(super) fn give(&mut self, slot: SlotId, ports: LocalPorts) {
        self.ports.insert(slot, ports);
    }

    /// Takes the ports of a stream away; it may get others.
    pub(super) fn take(&mut self, slot: SlotId) -> Option<LocalPorts> {
        self.ports.remove(&slot)
    }

    /// The stream gets port 0.
    pub(super) fn give_up(&mut self, slot: SlotId) {
        self.given_up.insert(slot);
    }

    /// No stream gets any.
    pub(super) fn give_up_all(&mut self) {
        self.ports.clear();
    }

    /// All ports that were given.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.values().map(|ports| ports.rtp)
    }

    /// What the session becomes with it.
    pub(super) fn settle(&self) -> Result<Settled, OfferError> {
        let mut session = self.base.clone();
        let ports = |line: &LinePlan| self.ports.get(&line.stream()?.0).copied();
        if !self.is_ours {
            let plan = self.plan.clone();
            let description = session.accept(plan, ports).map_err(|_| OfferError::Stale)?;
            return Ok(Settled {
                session,
                offered: Vec::new(),
                description,
            });
        }
        let description = session.offer(self.plan.clone(), ports)?;
        let first = self.plan.new_lines().filter_map(|line| {
            let (slot, terms) = line.stream()?;
            let ports = self.ports.get(&slot).copied()?;
            Some(Stream {
                slot,
                ports,
                terms: terms.clone(),
            })
        });
        let offered = first.collect();
        Ok(Settled {
            session,
            offered,
            description,
        })
    }
}
