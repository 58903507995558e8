//! What happened in a track, as far as it is listed.

use holdfast_manifest::{Mark, MarkKind};
use holdfast_units::WallTime;

use super::{samples_between, wall_time};
use crate::limits::MARKS_MAX;

/// The marks of one track.
pub(crate) struct Marks {
    started: WallTime,
    list: Vec<(i64, MarkKind)>,
    omitted: u64,
}

impl Marks {
    /// No marks of a recording that started at `started`.
    pub(crate) const fn new(started: WallTime) -> Self {
        Self {
            started,
            list: Vec::new(),
            omitted: 0,
        }
    }

    /// Adds a mark at a position.
    pub(crate) fn add(&mut self, at: i64, kind: MarkKind) {
        if self.list.len() < MARKS_MAX {
            self.list.push((at, kind));
        } else {
            self.omitted += 1;
        }
    }

    /// Adds a mark at a time.
    pub(crate) fn add_at(&mut self, at: WallTime, kind: MarkKind) {
        self.add(samples_between(self.started, at), kind);
    }

    /// The marks in order of time, for the manifest, with the number of those left out. `origin`
    /// is the position of the timeline's zero, `shift` by how much the track was moved on it.
    pub(crate) fn into_list(mut self, origin: i64, shift: i64) -> (Vec<Mark>, u64) {
        self.list.sort_by_key(|(at, _)| *at);
        let started = self.started;
        let mark = |(at, kind): (i64, MarkKind)| Mark {
            at_ms: at.saturating_sub(origin).max(0).unsigned_abs() / 8,
            at: wall_time(started, at.saturating_add(shift)),
            kind,
        };
        (self.list.into_iter().map(mark).collect(), self.omitted)
    }
}
