//! The offers we make ourselves: where a request has none, and to pause or resume.

use std::collections::BTreeSet;

use super::judge;
use super::refusal::LineRefusal;
use super::terms::{Action, Head, LineFlag, LinePlan, LocalPorts, Peer, Plan, Terms};
use super::{Line, Pending, Session, Stream, flag_duplicate_labels};
use crate::limits;
use crate::sdp::{
    Codec, CodecRole, Direction, Family, Media, MediaKind, PayloadType, Profile, SessionDescription,
};

/// Why no offer of ours can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// There is one already that waits for its answer.
    #[error("an offer is waiting for its answer")]
    Pending,
    /// No line got ports.
    #[error("no ports for any stream")]
    NoPorts,
    /// The plan is not the one of this state.
    #[error("the session has changed since the plan was made")]
    Stale,
}

/// An answer came that no offer of ours waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no offer is waiting for an answer")]
pub struct NoOfferPending;

impl Session {
    /// What an offer of ours will ask for: the lines there are, or audio lines where there are
    /// none yet. It adds none to those there are (P-31).
    pub fn plan_offer(&self) -> Result<Plan, OfferError> {
        if self.pending.is_some() {
            return Err(OfferError::Pending);
        }
        let mut plan = Plan {
            lines: Vec::new(),
            dropped: Vec::new(),
            times: self.times.clone(),
            revision: self.revision,
            serials: self.serials,
        };
        if self.is_untouched() {
            let count = self.policy.offered_lines.min(limits::MEDIA_LINES_MAX);
            for line in (0_u16..).take(count) {
                let terms = Box::new(self.first_terms());
                let head = own_head();
                let slot = plan.next_slot(line);
                let action = Action::New {
                    slot,
                    terms,
                    replaces: None,
                };
                plan.lines.push(LinePlan {
                    line,
                    action,
                    label: None,
                    head,
                });
            }
        }
        for (line, number) in self.lines.iter().zip(0_u16..) {
            let action = match &line.stream {
                Some(stream) => {
                    let mut terms = Box::new(stream.terms.clone());
                    terms.direction = self.wanted(Direction::RecvOnly);
                    Action::Keep {
                        slot: stream.slot,
                        terms,
                        moved: false,
                    }
                }
                None => Action::Remove { slot: None },
            };
            let label = line
                .stream
                .as_ref()
                .and_then(|stream| stream.terms.label.clone());
            plan.lines.push(LinePlan {
                line: number,
                action,
                label,
                head: line.head.clone(),
            });
        }
        Ok(plan)
    }

    /// Writes the planned offer, with the ports given for its new lines (in the 2xx to a request
    /// without an offer, or in a re-INVITE or UPDATE of ours). A new line without ports has port
    /// 0. Its streams are in force from the answer on, but media may come at once.
    pub fn offer(
        &mut self,
        plan: Plan,
        mut ports: impl FnMut(&LinePlan) -> Option<LocalPorts>,
    ) -> Result<Vec<u8>, OfferError> {
        if self.pending.is_some() {
            return Err(OfferError::Pending);
        }
        if plan.revision != self.revision {
            return Err(OfferError::Stale);
        }
        let lines = self.lines_of(&plan, &mut ports);
        if self.is_untouched() && lines.iter().all(|line| line.stream.is_none()) {
            return Err(OfferError::NoPorts);
        }
        self.serials = plan.serials;
        self.revision += 1;
        let description = self.send(Some(&lines));
        self.pending = Some(Pending {
            lines,
            paused: self.paused,
        });
        Ok(description)
    }

    /// Takes the answer to our offer into force and says what became of the lines: kept ones
    /// with their final terms, removed and refused ones.
    pub fn handle_answer(&mut self, answer: &SessionDescription) -> Result<Plan, NoOfferPending> {
        let pending = self.pending.take().ok_or(NoOfferPending)?;
        self.agreed_paused = pending.paused;
        let offered = pending.lines;
        let mut plan = Plan {
            lines: Vec::with_capacity(offered.len()),
            dropped: Vec::new(),
            times: self.times.clone(),
            revision: self.revision,
            serials: self.serials,
        };
        for (line, number) in offered.iter().zip(0_u16..) {
            let media = answer.media.get(usize::from(number));
            let action = self.settle(answer, media, line);
            let label = media.and_then(|media| media.label.clone());
            plan.lines.push(LinePlan {
                line: number,
                action,
                label,
                head: line.head.clone(),
            });
        }
        flag_duplicate_labels(&mut plan);
        let streams: Vec<_> = offered.into_iter().map(|line| line.stream).collect();
        self.lines = plan
            .lines
            .iter()
            .zip(streams)
            .map(|(line, offered)| {
                let agreed = offered.zip(line.stream());
                let stream = agreed.map(|(offered, (slot, terms))| Stream {
                    slot,
                    ports: offered.ports,
                    terms: terms.clone(),
                });
                Line {
                    head: line.head.clone(),
                    label: line.label.clone(),
                    stream,
                }
            })
            .collect();
        self.revision += 1;
        Ok(plan)
    }

    /// Forgets our offer: its request was refused or had no answer. What was in force before
    /// still is; streams that the offer alone asked for are to be given back by the caller.
    pub fn cancel_offer(&mut self) {
        if self.pending.take().is_some() {
            self.revision += 1;
        }
    }

    /// What the answer to one line of our offer makes of it.
    fn settle(&self, answer: &SessionDescription, media: Option<&Media>, line: &Line) -> Action {
        let Some(offered) = &line.stream else {
            return Action::Remove { slot: None };
        };
        let Some(media) = media.filter(|media| media.port != 0) else {
            return Action::Remove {
                slot: Some(offered.slot),
            };
        };
        if media.kind != offered.terms.kind {
            return Action::Refuse {
                reason: LineRefusal::MediaKind,
                ends: Some(offered.slot),
            };
        }
        // An answer that lists none of the offered codecs is no reason to lose the call: what
        // arrives may be what was offered.
        let family = offered.terms.family;
        let mut terms = match judge::judge_transport(&self.policy, answer, media, family) {
            Ok(terms) => terms,
            Err(reason) => {
                return Action::Refuse {
                    reason,
                    ends: Some(offered.slot),
                };
            }
        };
        if terms.encryption.is_some() != offered.terms.encryption.is_some() {
            return Action::Refuse {
                reason: LineRefusal::NoUsableKeys,
                ends: Some(offered.slot),
            };
        }
        self.give_key(offered.slot, &mut terms);
        terms.codecs = media.codecs();
        merge_codecs(&mut terms, &offered.terms.codecs);
        terms.mux &= offered.terms.mux;
        // What was offered counts, not what is wanted since then: that is the next offer's.
        if offered.terms.direction == Direction::Inactive {
            // Inactive is all that can be answered to inactive: it says nothing about the peer.
            terms.direction = Direction::Inactive;
            terms.peer_direction = offered.terms.peer_direction;
        }
        let moved = offered.terms.peer.rtp != terms.peer.rtp;
        Action::Keep {
            slot: offered.slot,
            terms: Box::new(terms),
            moved,
        }
    }

    /// What we offer where nobody has offered anything: the codecs everyone has (RFC 7866 §7.2
    /// leaves it open).
    fn first_terms(&self) -> Terms {
        let mut codecs = own_codecs();
        self.policy.choose(&mut codecs);
        if !codecs.iter().any(|codec| codec.role() == CodecRole::Media) {
            // Of what is wanted nothing can be offered without parameters of the peer's.
            codecs = own_codecs();
        }
        Terms {
            kind: MediaKind::Audio,
            profile: Profile::Avp,
            direction: self.wanted(Direction::RecvOnly),
            peer_direction: Direction::SendOnly,
            codecs,
            label: None,
            peer: Peer::default(),
            family: Family::of(self.origin.address),
            mux: false,
            rtcp_silent: false,
            ptime_ms: None,
            content: None,
            mid: None,
            ssrcs: Vec::new(),
            encryption: None,
            flags: BTreeSet::new(),
        }
    }
}

/// The codecs that may arrive after an answer to our offer: what it lists goes first, and what
/// we offered stays receivable with the payload types we gave it (P-42).
fn merge_codecs(terms: &mut Terms, offered: &[Codec]) {
    let answered = std::mem::take(&mut terms.codecs);
    let matching = |codec: &Codec| answered.iter().position(|other| other.same_encoding(codec));
    let mut ours: Vec<Codec> = offered.to_vec();
    ours.sort_by_key(|codec| matching(codec).unwrap_or(usize::MAX));
    if !ours.iter().any(|codec| matching(codec).is_some()) {
        terms.flags.insert(LineFlag::ForeignAnswer);
    }
    let foreign: Vec<Codec> = answered
        .iter()
        .filter(|codec| {
            ours.iter()
                .all(|own| own.payload_type != codec.payload_type)
        })
        .cloned()
        .collect();
    terms.codecs = ours;
    terms.codecs.extend(foreign);
}

fn own_head() -> Head {
    Head {
        kind: "audio".to_owned(),
        profile: "RTP/AVP".to_owned(),
        format: "0".to_owned(),
    }
}

fn own_codecs() -> Vec<Codec> {
    let codec = |number, name: &str, fmtp: Option<&str>| {
        let payload_type = PayloadType::new(number)?;
        let fmtp = fmtp.map(str::to_owned);
        Some(Codec {
            payload_type,
            name: name.to_owned(),
            clock_hz: 8_000,
            channels: 1,
            fmtp,
        })
    };
    let codecs = [
        codec(0, "PCMU", None),
        codec(8, "PCMA", None),
        codec(101, "telephone-event", Some("0-15")),
    ];
    codecs.into_iter().flatten().collect()
}
