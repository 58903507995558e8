//! Loss and return of the engine.
//!
//! What is up stays up while it is away. When it is back it lists what it holds, and is told all
//! that it should hold.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_control::{HeldRecording, ShardPorts, ToEngine};
use holdfast_manifest::EndReason;
use holdfast_units::RecordingId;

use super::call::{Call, Stage};
use super::engine::Link;
use super::output::{Notice, RefusedBecause};
use super::{Now, Recorder};

impl Recorder {
    pub(super) fn lose_engine(&mut self, now: Now) {
        if matches!(self.link, Link::Away) {
            return;
        }
        self.link = Link::Away;
        self.notice(Notice::EngineGone);
        let ids: Vec<RecordingId> = self.calls.keys().copied().collect();
        for id in ids {
            self.go_on_without_engine(now, id);
        }
    }

    /// A request that waits for the engine gets its answer: 200 where no stream is new, since the
    /// engine is told when it is back, else 503.
    fn go_on_without_engine(&mut self, now: Now, id: RecordingId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.sync.is_dirty |= call.sync.in_flight.take().is_some();
        let Some(exchange) = call.exchange() else {
            return;
        };
        let is_opening = matches!(call.stage, Stage::Opening(_));
        if is_opening || exchange.proposal.has_any_ports() {
            return self.fail_exchange(now, id, RefusedBecause::EngineAway);
        }
        if let Some(exchange) = call.take_exchange() {
            self.conclude(now, id, *exchange, false);
            self.go_on(now, id);
        }
    }

    /// The engine has listed all that it holds.
    pub(super) fn reconcile(&mut self, now: Now) {
        let Link::Listing {
            shards,
            held,
            unwilling,
        } = std::mem::replace(&mut self.link, Link::Away)
        else {
            return;
        };
        self.ports.set_shards(&shards);
        self.adopt_orphans(now, &held);
        let ids: Vec<RecordingId> = self.calls.keys().copied().collect();
        let mut lost = Vec::new();
        for id in ids {
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            for port in &call.sync.ports {
                self.ports.take(*port);
            }
            let is_held = prepare(call, held.get(&id));
            if !call.is_active() {
                // What was told its end and is not listed any more has been published.
                if !is_held {
                    self.forget(now, id);
                    self.notice(Notice::RecordingUnaccounted { recording: id });
                }
            } else if !fits(call, &shards) {
                lost.push(id);
            }
        }
        self.link = Link::Ready { unwilling };
        for id in lost {
            let is_held = held.contains_key(&id);
            if !is_held && let Some(call) = self.calls.get_mut(&id) {
                // There is nothing to publish.
                call.sync.revision = 0;
            }
            self.hang_up(now, id, EndReason::Failure, "the media ports are gone");
        }
        let ids: Vec<RecordingId> = self.calls.keys().copied().collect();
        for id in ids {
            self.push(id);
        }
        self.tell_engine(ToEngine::ReconcileDone);
        let calls = self.calls.values().filter(|call| call.is_active()).count();
        self.notice(Notice::EngineReady {
            calls,
            orphans: self.orphans.len(),
        });
    }

    /// Recordings that nobody here knows are left alone, and so are their ports.
    fn adopt_orphans(&mut self, now: Now, held: &BTreeMap<RecordingId, HeldRecording>) {
        let known = std::mem::take(&mut self.orphans);
        for (id, ports) in known {
            if !held.contains_key(&id) {
                ports
                    .into_iter()
                    .for_each(|port| self.ports.release(now.mono, port));
            }
        }
        for (id, recording) in held {
            if !self.calls.contains_key(id) {
                let pairs: BTreeSet<u16> = recording.ports.iter().map(|port| port & !1).collect();
                pairs.iter().for_each(|port| self.ports.take(*port));
                self.orphans.insert(*id, pairs.into_iter().collect());
            }
        }
    }
}

/// Makes a recording ready to be said again, as a revision that is newer than what the engine has.
/// Tells whether the engine has it.
fn prepare(call: &mut Call, held: Option<&HeldRecording>) -> bool {
    call.sync.in_flight = None;
    call.sync.is_held_back = false;
    call.sync.is_end_said = false;
    call.sync.is_dirty = true;
    call.documents
        .reconcile(held.map_or(&[], |held| held.documents.as_slice()));
    if let Some(held) = held {
        call.sync.revision = call.sync.revision.max(held.revision);
    }
    held.is_some()
}

/// Whether the engine has the shard and the ports of a call.
fn fits(call: &Call, shards: &[ShardPorts]) -> bool {
    let Some(slice) = shards.get(usize::from(call.shard)) else {
        return false;
    };
    let mut ports = call.facts.streams().map(|stream| stream.ports.rtp);
    ports.all(|port| (slice.first..slice.last).contains(&port))
}
