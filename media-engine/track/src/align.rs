//! T-38, P-95: aligns the tracks of a recording by what their senders reported of their clocks.
//!
//! A track lies where its first packet arrived. Of two streams that one clock stamped, the sender
//! reports say which moments of them belong together (RFC 3550 §6.4.1); the one that travelled longer
//! is moved back to the other. A track is moved as a whole, so that nothing in it changes.
//!
//! Clocks of senders are wrong as often as not, so they are believed only where two tracks share one,
//! and where it moves them by no more than a network may have held them back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holdfast_manifest::{Aligned, SharedClock};

use crate::timeline::{RATE, Timeline};

/// By how many samples a track is moved, and because of which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Never more than 0: what came late is moved back.
    pub(crate) shift: i64,
    clock: SharedClock,
}

impl Alignment {
    /// In the words of the manifest.
    pub(crate) const fn described(self) -> Aligned {
        Aligned {
            by: self.clock,
            shift_ms: self.shift / (RATE / 1_000),
        }
    }
}

/// What several tracks may have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clock<'a> {
    /// Of an endpoint that names itself (RFC 3550 §6.5.1).
    Cname(&'a str),
    /// Of a host that names none, and agrees with ours.
    Host(IpAddr),
}

/// Aligns tracks, given with the channel each is heard in. None of those that stay where they
/// arrived.
pub(crate) fn align(tracks: &[(&Timeline, Option<u16>)]) -> Vec<Option<Alignment>> {
    let mut groups: BTreeMap<Clock<'_>, Vec<(usize, i64)>> = BTreeMap::new();
    for (index, (timeline, channel)) in tracks.iter().enumerate() {
        // Those that follow each other in a channel would run into each other.
        let has_same = |(other, at): &&(&Timeline, Option<u16>)| {
            at.is_some() && at == channel && !other.runs.is_empty()
        };
        if tracks.iter().filter(has_same).count() <= 1
            && let Some((clock, delay)) = clock_of(timeline)
        {
            groups.entry(clock).or_default().push((index, delay));
        }
    }
    let mut aligned = vec![None; tracks.len()];
    for (clock, mut group) in groups {
        group.sort_unstable_by_key(|(_, delay)| *delay);
        // The tracks near the middle one: a clock that is far off moves nobody.
        let middle = group[(group.len() - 1) / 2].1;
        group.retain(|(_, delay)| delay.saturating_sub(middle).abs() <= SHIFT_MAX);
        let clock = match clock {
            Clock::Cname(_) => SharedClock::Cname,
            Clock::Host(_) => SharedClock::Host,
        };
        let (Some(&(_, least)), true) = (group.first(), group.len() > 1) else {
            continue;
        };
        for (index, delay) in group {
            let shift = least.saturating_sub(delay).max(-SHIFT_MAX);
            aligned[index] = Some(Alignment { shift, clock });
        }
    }
    aligned
}

/// Which clock stamps a track, and by how many samples the track lies behind it.
fn clock_of(timeline: &Timeline) -> Option<(Clock<'_>, i64)> {
    let reporting = timeline.sources.iter().filter(|it| !it.delays.is_empty());
    let source = reporting.max_by_key(|source| source.packets)?;
    let mut delays = source.delays.clone();
    delays.sort_unstable();
    let at = |quarter: usize| delays[(delays.len() - 1) * quarter / 4];
    // A clock that was set meanwhile, or media that does not follow it.
    if at(3).saturating_sub(at(1)) > SPREAD_MAX {
        return None;
    }
    let delay = at(2);
    let named = source.cname.as_deref().filter(|cname| !cname.is_empty());
    let clock = match (named, timeline.addresses.as_slice()) {
        (Some(cname), _) => Clock::Cname(cname),
        (None, [first, ..]) if delay.abs() <= SHIFT_MAX => Clock::Host(first.remote.ip()),
        (None, _) => return None,
    };
    Some((clock, delay))
}

/// The farthest that a track is moved, and the most that an unnamed clock may differ from ours: 1 s.
const SHIFT_MAX: i64 = RATE;

/// How much the reports of a source may differ, but for the outermost: 100 ms.
const SPREAD_MAX: i64 = RATE / 10;
