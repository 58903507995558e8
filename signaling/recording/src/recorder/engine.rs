//! What the engine is told, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_control::{
    FromEngine, HeldRecording, PublishedRecording, RefusalReason, RefusedStream, ShardPorts,
    ToEngine, Unwilling,
};
use holdfast_manifest::EndReason;
use holdfast_units::RecordingId;

use super::call::{Asked, Call, Stage};
use super::deadlines::Timer;
use super::output::{Notice, RefusedBecause};
use super::{Now, Recorder, describe, sealing};
use crate::limits::{ENGINE_RETRY, PORT_ATTEMPTS_MAX};
use crate::offer::SlotId;

/// The connection to the engine.
///
/// ```text
///   Away ──Hello──▶ Listing ──HeldDone──▶ Ready
///     ◀──────────────gone──────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Link {
    /// Not connected.
    Away,
    /// Telling what it holds.
    Listing {
        shards: Vec<ShardPorts>,
        held: BTreeMap<RecordingId, HeldRecording>,
        unwilling: Option<Unwilling>,
    },
    /// Both sides agree.
    Ready { unwilling: Option<Unwilling> },
}

impl Recorder {
    pub(super) fn take_engine_message(&mut self, now: Now, message: FromEngine) {
        match message {
            FromEngine::Hello { shards, .. } => {
                if !matches!(self.link, Link::Away) {
                    self.lose_engine(now);
                }
                self.link = Link::Listing {
                    shards,
                    held: BTreeMap::new(),
                    unwilling: None,
                };
                self.tell_engine(ToEngine::Hello {
                    instance: self.instance,
                });
            }
            FromEngine::Held(recording) => {
                if let Link::Listing { held, .. } = &mut self.link {
                    held.insert(recording.id, recording);
                }
            }
            FromEngine::HeldDone => self.reconcile(now),
            FromEngine::Applied {
                recording,
                revision,
                refused,
            } => {
                self.handle_applied(now, recording, revision, &refused);
            }
            FromEngine::Refused {
                recording,
                revision,
                reason,
            } => {
                self.handle_refused(now, recording, revision, reason);
            }
            FromEngine::Published(published) => self.handle_published(now, published),
            FromEngine::Health(health) => self.note_willingness(health.unwilling),
            FromEngine::Media {
                recording,
                silent_for,
            } => self.judge_silence(now, recording, silent_for),
            // Told to whoever asks; the recorder does not.
            // For whoever watches; the server has taken them.
            FromEngine::Latency(_) | FromEngine::Engine(_) | FromEngine::Shard(_) => {}
        }
    }

    fn note_willingness(&mut self, now: Option<Unwilling>) {
        match &mut self.link {
            Link::Away => {}
            Link::Listing { unwilling, .. } => *unwilling = now,
            Link::Ready { unwilling } if *unwilling != now => {
                *unwilling = now;
                self.notice(Notice::EngineWilling(now));
            }
            Link::Ready { .. } => {}
        }
    }

    /// Sends the desired state of a recording, where it has changed and the engine can take it.
    pub(super) fn push(&mut self, id: RecordingId) {
        if !matches!(self.link, Link::Ready { .. }) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let is_ended = matches!(call.stage, Stage::Ended { .. });
        if is_ended && call.sync.is_end_said {
            // The engine may have published it by now: for what it does not know any more it would
            // begin another part.
            call.sync.is_dirty = false;
        }
        let sync = &call.sync;
        if !sync.is_dirty || sync.is_held_back || sync.in_flight.is_some() {
            return;
        }
        self.keeping.touch(id);
        let revision = call.sync.revision.saturating_add(1);
        if let Some(exchange) = call.exchange_mut() {
            exchange.revision = revision;
        }
        call.documents.describe(describe::json(call));
        let documents = call.documents.take_unsent(id, call.shard);
        let (config, entropy) = (&self.config, &mut self.entropy);
        let recording = call.desired(revision, |recording, stream, encryption| {
            sealing::srtp(config, entropy.as_mut(), recording, stream, encryption)
        });
        let ports: BTreeSet<u16> = match &call.stage {
            // They are closed with it.
            Stage::Ended { .. } => BTreeSet::new(),
            Stage::Opening(_) | Stage::Up(_) => recording
                .streams
                .iter()
                .map(|stream| stream.rtp_port)
                .collect(),
        };
        call.sync.revision = revision;
        call.sync.is_dirty = false;
        call.sync.is_end_said = is_ended;
        call.sync.ports.extend(&ports);
        call.sync.in_flight = Some(ports);
        for document in documents {
            self.tell_engine(document);
        }
        self.tell_engine(ToEngine::Recording(recording));
    }

    /// Sends the description of a call whose streams are as they were; it is durable with the next
    /// commit.
    pub(super) fn describe_again(&mut self, id: RecordingId) {
        if !matches!(self.link, Link::Ready { .. }) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.documents.describe(describe::json(call));
        for document in call.documents.take_unsent(id, call.shard) {
            self.outputs.push_back(super::Output::Engine(document));
        }
    }

    fn handle_applied(
        &mut self,
        now: Now,
        id: RecordingId,
        revision: u64,
        refused: &[RefusedStream],
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.sync.revision != revision {
            return;
        }
        let Some(in_flight) = call.sync.in_flight.take() else {
            return;
        };
        call.documents.handle_durable();
        let wanted: BTreeSet<u16> = match call.is_active() {
            true => call
                .wanted_facts()
                .streams()
                .map(|stream| stream.ports.rtp)
                .collect(),
            false => BTreeSet::new(),
        };
        let is_free = |port: &u16| !in_flight.contains(port) && !wanted.contains(port);
        let freed: Vec<u16> = call.sync.ports.iter().copied().filter(is_free).collect();
        for port in freed {
            call.sync.ports.remove(&port);
            self.ports.release(now.mono, port);
        }
        let Some(exchange) = call.exchange() else {
            if !refused.is_empty() && call.is_active() {
                // Streams that were received before the engine restarted.
                self.note_refused_ports(id, refused);
                return self.hang_up(now, id, EndReason::Failure, "media cannot be received");
            }
            return self.push(id);
        };
        if exchange.revision != revision {
            return self.push(id);
        }
        if refused.is_empty() {
            self.answer(now, id);
        } else {
            self.replace_ports(now, id, refused);
        }
    }

    /// The engine has what an exchange asks for.
    fn answer(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let is_first = matches!(call.stage, Stage::Opening(_));
        let exchange = match std::mem::replace(&mut call.stage, Stage::Up(None)) {
            Stage::Opening(exchange) | Stage::Up(Some(exchange)) => exchange,
            other => {
                call.stage = other;
                return;
            }
        };
        self.conclude(now, id, *exchange, is_first);
        self.push(id);
        self.go_on(now, id);
    }

    /// Some ports are used by others on this machine: tries other ones, then does without.
    fn replace_ports(&mut self, now: Now, id: RecordingId, refused: &[RefusedStream]) {
        self.note_refused_ports(id, refused);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let (shard, address, made) = (call.shard, call.address, call.facts.streams_made());
        let slots = slots_of(call, refused);
        if slots.is_empty() {
            // Streams that were received until now.
            return self.hang_up(now, id, EndReason::Failure, "media cannot be received");
        }
        let Some(exchange) = call.exchange_mut() else {
            return;
        };
        let mut proposal = exchange.proposal.clone();
        proposal.attempts += 1;
        let is_last = proposal.attempts >= PORT_ATTEMPTS_MAX;
        let mut returned = Vec::new();
        for slot in slots {
            returned.extend(proposal.take(slot).map(|ports| ports.rtp));
            if is_last {
                proposal.give_up(slot);
            }
        }
        for port in returned {
            call.sync.ports.remove(&port);
            self.ports.release(now.mono, port);
        }
        let is_found = self.find_ports(now, shard, address, made, &mut proposal);
        let settled = is_found.then(|| proposal.settle());
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.sync.ports.extend(proposal.ports());
        let Some(exchange) = call.exchange_mut() else {
            return;
        };
        let Some(Ok(settled)) = settled else {
            exchange.proposal = proposal;
            return self.fail_exchange(now, id, RefusedBecause::NoPorts);
        };
        let mut facts = exchange.facts.clone();
        facts.session = settled.session;
        facts.offered = settled.offered;
        facts.name_streams(&mut self.stream_ids);
        facts.assign_channels();
        let has_none = facts.streams().next().is_none();
        exchange.facts = facts;
        exchange.description = settled.description;
        exchange.proposal = proposal;
        if has_none {
            return self.fail_exchange(now, id, RefusedBecause::NoPorts);
        }
        call.sync.is_dirty = true;
        self.push(id);
    }

    fn note_refused_ports(&mut self, id: RecordingId, refused: &[RefusedStream]) {
        for stream in refused {
            let reason = stream.reason.clone();
            self.notice(Notice::PortRefused {
                recording: id,
                reason,
            });
        }
    }

    /// The request that waits for the engine gets 503; what was in force stays.
    pub(super) fn fail_exchange(&mut self, now: Now, id: RecordingId, cause: RefusedBecause) {
        let refusal = self.unavailable(cause);
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match &call.stage {
            Stage::Opening(_) => self.refuse_opening(now, id, refusal, EndReason::Failure),
            Stage::Up(Some(exchange)) => {
                // Ours is answered before a call is up.
                if let Asked::Theirs(request) = &exchange.request {
                    let request = request.clone();
                    self.refuse_change(now, id, &request, refusal);
                }
                self.roll_back(now, id);
                self.go_on(now, id);
            }
            Stage::Up(None) | Stage::Ended { .. } => {}
        }
    }

    fn handle_refused(&mut self, now: Now, id: RecordingId, revision: u64, reason: RefusalReason) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.sync.revision != revision || call.sync.in_flight.take().is_none() {
            return;
        }
        let notice = Notice::EngineRefused {
            recording: id,
            reason: reason.clone(),
        };
        let is_opening = matches!(call.stage, Stage::Opening(_));
        let is_waiting = call
            .exchange()
            .is_some_and(|exchange| exchange.revision == revision);
        call.sync.is_dirty = true;
        call.sync.is_end_said = false;
        if is_opening {
            // The engine knows nothing of it.
            call.sync.revision = 0;
        }
        // The state in force, said again at once, would only meet the same refusal.
        call.sync.is_held_back = true;
        self.deadlines
            .set(id, Timer::Retry, now.mono + ENGINE_RETRY);
        self.notice(notice);
        if is_opening || is_waiting {
            self.fail_exchange(now, id, RefusedBecause::EngineRefused(reason));
        }
    }

    fn handle_published(&mut self, now: Now, published: PublishedRecording) {
        let PublishedRecording {
            id,
            folder,
            packets,
            lost,
        } = published;
        self.statistics.published += 1;
        if let Some(call) = self.calls.get_mut(&id) {
            // There is nothing more to be said about it.
            call.sync.is_held_back = true;
        }
        // Where the call is up, the engine ended the recording by itself.
        self.hang_up(now, id, EndReason::Failure, "the recording has ended");
        let sip = self.forget(now, id).map(|call| call.sip);
        let (call_id, peer) = sip.map_or_else(Default::default, |sip| (sip.call_id, sip.peer));
        for port in self.orphans.remove(&id).unwrap_or_default() {
            self.ports.release(now.mono, port);
        }
        self.notice(Notice::Published {
            recording: id,
            call_id,
            peer,
            folder,
            packets,
            lost,
        });
    }
}

/// The new streams of an exchange that the engine refuses.
fn slots_of(call: &Call, refused: &[RefusedStream]) -> Vec<SlotId> {
    let Some(exchange) = call.exchange() else {
        return Vec::new();
    };
    let is_refused = |slot: SlotId| {
        let key = exchange.facts.key(slot);
        key.is_some_and(|key| refused.iter().any(|stream| stream.stream == key.id))
    };
    let slots = exchange.facts.streams().map(|stream| stream.slot);
    slots
        .filter(|slot| exchange.proposal.has_ports(*slot) && is_refused(*slot))
        .collect()
}
