//! Offer and answer of one recording session, as a recorder plays them (RFC 3264, RFC 7866 §7).
//!
//! A [`Session`] is plain data, one per dialog. Judging changes nothing: [`Session::plan`] says
//! what an offer asks for, the caller finds ports and starts streams, and only
//! [`Session::accept`] takes it into force. A plan that is dropped has never happened, which is
//! what makes a refused re-INVITE leave everything as it was (P-38).
//!
//! It opens no ports, resolves no names, and never sends: every stream is recvonly or inactive.
//!
//! ```text
//!   peer offers:  plan ── ports ──▶ accept ──▶ answer
//!   we offer:     plan_offer ── ports ──▶ offer ──▶ description
//!                     … handle_answer, or cancel_offer where the request failed
//! ```

mod judge;
mod own;
mod policy;
mod refusal;
mod sdes;
mod terms;
mod write;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub use own::{NoOfferPending, OfferError};
pub use policy::Policy;
pub use refusal::{BROKEN_SDP_STATUS, LineRefusal, Refusal, Warning};
pub use sdes::{CryptoKey, Encryption, KeyOctets, KeySeed, Preference, SrtpPolicy};
pub use terms::{Action, LineFlag, LinePlan, LocalPorts, Peer, Plan, SlotId, Terms};

use crate::sdp::{Codec, Direction, Family, Media, SessionDescription};
use terms::Head;
use write::Body;

/// What our `o=` line says, for the life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The session's id; unique among ours.
    pub session_id: u64,
    /// The address of the session-level `c=`; a stream elsewhere gets its own.
    pub address: IpAddr,
}

/// A stream in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its identity in the session.
    pub slot: SlotId,
    /// Its local end.
    pub ports: LocalPorts,
    /// What is agreed on.
    pub terms: Terms,
}

/// The offer/answer state of one recording session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    policy: Policy,
    origin: Origin,
    /// One per m-line of the last exchange.
    lines: Vec<Line>,
    times: Vec<String>,
    /// Our offer that waits for an answer.
    pending: Option<Pending>,
    /// Whether we want to receive nothing for now.
    paused: bool,
    /// Whether what is in force was said by us while we wanted that.
    agreed_paused: bool,
    /// Version of the last description sent; 0 before the first.
    version: u64,
    /// That description after its `o=` line.
    sent: Body,
    /// What our keys are derived from.
    seed: KeySeed,
    /// Counts what took effect: a plan fits the state it was made for and no other.
    revision: u64,
    /// Streams ever made: gives the serial of the next one.
    serials: u32,
}

/// The plan was made for another state of the session; it must be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has changed since the plan was made")]
pub struct StalePlan;

/// An offer of ours without its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    lines: Vec<Line>,
    /// Whether it asks for nothing.
    paused: bool,
}

/// One m-line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    head: Head,
    /// Its label, also where it has no stream.
    label: Option<String>,
    stream: Option<Stream>,
}

impl Session {
    /// The label of a line: that of its media description, or else the policy's.
    pub fn label_of(&self, line: u16, terms: &Terms) -> Option<String> {
        let own = || self.policy.labels.get(usize::from(line)).cloned();
        terms.label.clone().or_else(own)
    }

    /// A session before its first exchange. What the seed is made of is random, and known to nobody
    /// else.
    pub fn new(policy: &Policy, origin: Origin, seed: KeySeed) -> Self {
        Self {
            seed,
            policy: policy.clone(),
            origin,
            lines: Vec::new(),
            times: Vec::new(),
            pending: None,
            paused: false,
            agreed_paused: false,
            version: 0,
            sent: Body::default(),
            revision: 0,
            serials: 0,
        }
    }

    /// The streams in force, in the order of their m-lines.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.lines.iter().filter_map(|line| line.stream.as_ref())
    }

    /// The labels of the m-lines of the last exchange, those of refused lines among them.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| line.label.as_deref())
    }

    /// One stream in force.
    pub fn stream(&self, slot: SlotId) -> Option<&Stream> {
        self.streams().find(|stream| stream.slot == slot)
    }

    /// The version of the last description sent, 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether an offer of ours waits for its answer.
    pub fn is_offer_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether we want to receive nothing for now: every line of ours is inactive, in answers
    /// and offers, until this is taken back (P-30, P-37). It shows with the next exchange.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether we want to receive nothing for now.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether the peer has not been told what we want of this: neither by what is in force nor by
    /// an offer that waits for its answer.
    pub fn has_to_tell(&self) -> bool {
        let told = self
            .pending
            .as_ref()
            .map_or(self.agreed_paused, |pending| pending.paused);
        told != self.paused && self.streams().next().is_some()
    }

    /// Whether packets of a stream are to be recorded now. While we want nothing, none are, whatever
    /// the peer makes of it. Once we want them again they are from the offer on that says so
    /// (RFC 3264 §6.1, P-42), unless it is the peer that has paused the stream.
    pub fn is_receiving(&self, stream: &Stream) -> bool {
        if self.paused {
            return false;
        }
        let is_peers_pause = judge::mirrored(stream.terms.peer_direction) == Direction::Inactive
            || stream.terms.flags.contains(&LineFlag::OldHold);
        stream.terms.is_receiving() || (self.agreed_paused && !is_peers_pause)
    }

    /// What an offer asks for; changes nothing.
    pub fn plan(&self, offer: &SessionDescription) -> Result<Plan, Refusal> {
        if self.pending.is_some() {
            return Err(Refusal::OfferPending);
        }
        let mut plan = Plan {
            lines: Vec::with_capacity(offer.media.len()),
            dropped: self.slots_from(offer.media.len()),
            times: offer.times.clone(),
            revision: self.revision,
            serials: self.serials,
        };
        for (media, line) in offer.media.iter().zip(0_u16..) {
            let line_plan = self.plan_line(offer, media, line, &mut plan);
            plan.lines.push(line_plan);
        }
        flag_duplicate_labels(&mut plan);
        let refused: Vec<_> = plan.refusals().collect();
        if plan.streams().next().is_none() && !refused.is_empty() {
            return Err(Refusal::NothingUsable { lines: refused });
        }
        Ok(plan)
    }

    /// Takes a plan into force, with the ports given for its new lines, and returns the answer
    /// (`application/sdp`). A line that gets no ports, or ports of the wrong family, is answered
    /// with port 0.
    pub fn accept(
        &mut self,
        plan: Plan,
        mut ports: impl FnMut(&LinePlan) -> Option<LocalPorts>,
    ) -> Result<Vec<u8>, StalePlan> {
        if plan.revision != self.revision || self.pending.is_some() {
            return Err(StalePlan);
        }
        self.lines = self.lines_of(&plan, &mut ports);
        self.times = plan.times;
        self.serials = plan.serials;
        self.revision += 1;
        self.agreed_paused = self.paused;
        Ok(self.send(None))
    }

    /// The answer that refuses every line of an offer; nothing is in force with it.
    pub fn refuse(&mut self, offer: &SessionDescription) -> Vec<u8> {
        let refused = |media: &Media| Line {
            head: judge::head_of(media),
            label: media.label.clone(),
            stream: None,
        };
        self.lines = offer.media.iter().map(refused).collect();
        self.times = offer.times.clone();
        self.revision += 1;
        self.send(None)
    }

    /// What becomes of one m-line of an offer.
    fn plan_line(
        &self,
        offer: &SessionDescription,
        media: &Media,
        line: u16,
        plan: &mut Plan,
    ) -> LinePlan {
        let current = self
            .lines
            .get(usize::from(line))
            .and_then(|line| line.stream.as_ref());
        let label = media.label.clone();
        let head = judge::head_of(media);
        let action = match self.judge_line(offer, media, plan) {
            Ok(None) => Action::Remove {
                slot: current.map(|stream| stream.slot),
            },
            Err(reason) => Action::Refuse {
                reason,
                ends: current.map(|stream| stream.slot),
            },
            Ok(Some(mut terms)) => match current {
                Some(stream) if stream.can_become(&terms) => {
                    stream.flag_remapped(&mut terms);
                    self.give_key(stream.slot, &mut terms);
                    let moved = stream.terms.peer.rtp != terms.peer.rtp;
                    Action::Keep {
                        slot: stream.slot,
                        terms,
                        moved,
                    }
                }
                _ => {
                    let replaces = current.map(|stream| stream.slot);
                    let slot = plan.next_slot(line);
                    self.give_key(slot, &mut terms);
                    Action::New {
                        slot,
                        terms,
                        replaces,
                    }
                }
            },
        };
        LinePlan {
            line,
            action,
            label,
            head,
        }
    }

    /// The terms that an m-line of an offer asks for; `None` where it asks for no stream.
    fn judge_line(
        &self,
        offer: &SessionDescription,
        media: &Media,
        plan: &Plan,
    ) -> Result<Option<Box<Terms>>, LineRefusal> {
        if media.port == 0 {
            if media.bundle_only {
                return Err(LineRefusal::BundleOnly);
            }
            return Ok(None);
        }
        let family = Family::of(self.origin.address);
        let mut terms = judge::judge(&self.policy, offer, media, family)?;
        if plan.streams().count() >= self.policy.streams_max {
            return Err(LineRefusal::TooManyStreams);
        }
        terms.direction = self.wanted(terms.direction);
        Ok(Some(Box::new(terms)))
    }

    /// The lines that a plan leads to. Ports of streams that go on are theirs.
    fn lines_of(
        &self,
        plan: &Plan,
        ports: &mut impl FnMut(&LinePlan) -> Option<LocalPorts>,
    ) -> Vec<Line> {
        let line_of = |line: &LinePlan| {
            let stream = match &line.action {
                Action::Keep { slot, terms, .. } => self.stream(*slot).map(|stream| Stream {
                    slot: *slot,
                    ports: stream.ports,
                    terms: Terms::clone(terms),
                }),
                Action::New { slot, terms, .. } => ports(line)
                    .filter(|ports| Family::of(ports.address) == terms.family)
                    .map(|ports| Stream {
                        slot: *slot,
                        ports,
                        terms: Terms::clone(terms),
                    }),
                Action::Remove { .. } | Action::Refuse { .. } => None,
            };
            Line {
                head: line.head.clone(),
                label: line.label.clone(),
                stream,
            }
        };
        plan.lines.iter().map(line_of).collect()
    }

    /// Writes the lines, those in force unless others are given. The version goes up by one
    /// exactly when something but the version is different from what was sent last (P-40).
    fn send(&mut self, lines: Option<&[Line]>) -> Vec<u8> {
        let body = write::body(&self.origin, &self.times, lines.unwrap_or(&self.lines));
        if self.version == 0 || body != self.sent {
            self.version += 1;
            self.sent = body;
        }
        write::description(&self.origin, self.version, &self.sent)
    }

    /// Gives an encrypted stream our key for it.
    fn give_key(&self, slot: SlotId, terms: &mut Terms) {
        if let Some(encryption) = &mut terms.encryption {
            encryption.own = self.seed.key(slot, encryption.suite);
        }
    }

    /// Whether nothing has been sent yet: only then an offer of ours makes streams (P-31).
    fn is_untouched(&self) -> bool {
        self.version == 0
    }

    fn wanted(&self, direction: Direction) -> Direction {
        if self.paused {
            Direction::Inactive
        } else {
            direction
        }
    }

    /// The streams of the lines from an index on.
    fn slots_from(&self, line: usize) -> Vec<SlotId> {
        let gone = self.lines.iter().skip(line);
        gone.filter_map(|line| line.stream.as_ref())
            .map(|stream| stream.slot)
            .collect()
    }
}

impl Stream {
    /// Whether it can go on under these terms with the ports it has.
    fn can_become(&self, terms: &Terms) -> bool {
        self.terms.kind == terms.kind && Family::of(self.ports.address) == terms.family
    }

    /// Flags a payload type that now means something else (RFC 3264 §8.3.2 forbids it).
    fn flag_remapped(&self, terms: &mut Terms) {
        let remapped = terms.codecs.iter().any(|new| {
            let same_type = |old: &&Codec| old.payload_type == new.payload_type;
            self.terms
                .codecs
                .iter()
                .find(same_type)
                .is_some_and(|old| !old.same_encoding(new))
        });
        if remapped {
            terms.flags.insert(LineFlag::Remapped);
        }
    }
}

impl Plan {
    /// A slot for a new stream on a line.
    fn next_slot(&mut self, line: u16) -> SlotId {
        self.serials += 1;
        SlotId {
            line,
            serial: self.serials,
        }
    }
}

fn flag_duplicate_labels(plan: &mut Plan) {
    let mut seen = BTreeSet::new();
    let labels = plan.lines.iter().filter(|line| line.stream().is_some());
    let twice: BTreeSet<String> = labels
        .filter_map(|line| line.label.clone())
        .filter(|label| !seen.insert(label.clone()))
        .collect();
    for line in &mut plan.lines {
        if line
            .label
            .as_ref()
            .is_none_or(|label| !twice.contains(label))
        {
            continue;
        }
        if let Action::Keep { terms, .. } | Action::New { terms, .. } = &mut line.action {
            terms.flags.insert(LineFlag::DuplicateLabel);
        }
    }
}
