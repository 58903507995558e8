//! The timers of the calls, by name and by time.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_units::{MonoTime, RecordingId};

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The engine has to answer, or the request that waits for it is refused.
    Engine,
    /// The engine did not take the state: it is sent again.
    Retry,
    /// Something is to be asked of the peer, which could not be asked before.
    Ask,
    /// All of the metadata was asked for and should be here.
    Snapshot,
    /// The session is to be refreshed by us (RFC 4028 §9).
    Refresh,
    /// The session has expired (RFC 4028 §10).
    Expiry,
    /// The ports of a replaced dialog are kept until then.
    Lingering,
    /// Whoever we call has to answer.
    Callee,
    /// The call has lasted as long as it may.
    Duration,
    /// A peer that has said nothing for so long is asked whether it is there.
    Check,
}

/// All deadlines; each call has at most one of each kind.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    at_by_key: BTreeMap<(RecordingId, Timer), MonoTime>,
    queue: BTreeSet<(MonoTime, RecordingId, Timer)>,
}

impl Deadlines {
    pub(super) fn set(&mut self, call: RecordingId, timer: Timer, at: MonoTime) {
        self.stop(call, timer);
        self.at_by_key.insert((call, timer), at);
        self.queue.insert((at, call, timer));
    }

    pub(super) fn stop(&mut self, call: RecordingId, timer: Timer) {
        if let Some(at) = self.at_by_key.remove(&(call, timer)) {
            self.queue.remove(&(at, call, timer));
        }
    }

    pub(super) fn at(&self, call: RecordingId, timer: Timer) -> Option<MonoTime> {
        self.at_by_key.get(&(call, timer)).copied()
    }

    pub(super) fn is_set(&self, call: RecordingId, timer: Timer) -> bool {
        self.at_by_key.contains_key(&(call, timer))
    }

    pub(super) fn stop_all(&mut self, call: RecordingId) {
        for timer in ALL {
            self.stop(call, timer);
        }
    }

    pub(super) fn next(&self) -> Option<MonoTime> {
        self.queue.first().map(|(at, _, _)| *at)
    }

    /// Takes one deadline that has passed.
    pub(super) fn expired(&mut self, now: MonoTime) -> Option<(RecordingId, Timer)> {
        let (_, call, timer) = *self.queue.first().filter(|(at, _, _)| *at <= now)?;
        self.stop(call, timer);
        Some((call, timer))
    }
}

const ALL: [Timer; 10] = [
    Timer::Engine,
    Timer::Retry,
    Timer::Ask,
    Timer::Snapshot,
    Timer::Refresh,
    Timer::Expiry,
    Timer::Lingering,
    Timer::Callee,
    Timer::Duration,
    Timer::Check,
];
