//! From the holes of all runs of a track to its list of gaps, each with one cause.

use holdfast_manifest::GapCause;

use super::RATE;
use super::run::{Begin, Hole, Run};
use super::spans::{Span, join, subtract};
use crate::limits::GAPS_MAX;

/// A time in which the recorder itself was the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlay {
    pub(crate) span: Span,
    pub(crate) cause: GapCause,
}

/// A stretch without audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanGap {
    pub(crate) span: Span,
    pub(crate) cause: GapCause,
    pub(crate) packets: u64,
    /// Samples of a packet of its source; 0 where that is not known.
    pub(crate) packet_samples: i64,
}

/// All gaps of a track.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GapList {
    /// In order of time.
    pub(crate) gaps: Vec<SpanGap>,
    /// Gaps that are not listed.
    pub(crate) omitted: u64,
    /// Sequence numbers missing for no other reason than loss.
    pub(crate) lost: u64,
    /// Sequence numbers missing where the recorder could not keep what came.
    pub(crate) dropped: u64,
}

/// What the gaps of a track are made of.
pub(crate) struct GapInput<'a> {
    /// Its runs.
    pub(crate) runs: &'a [Run],
    /// By how much each of them was moved.
    pub(crate) shifts: &'a [i64],
    /// The whole recording.
    pub(crate) whole: Span,
    /// Pauses, outages, drops.
    pub(crate) overlays: &'a [Overlay],
    /// Telephone-events: no audio is missing there.
    pub(crate) events: &'a [Span],
    /// Audio that is there and not rendered.
    pub(crate) unrendered: &'a [(Span, u64)],
}

/// Makes the list of gaps.
pub(crate) fn assemble(input: &GapInput<'_>) -> GapList {
    let mut list = GapList::default();
    let events = join(input.events.to_vec(), 0);
    let mut gaps = Vec::new();
    let holes = holes(input, &mut list);
    for hole in holes.into_iter().chain(edges(input)) {
        let left = if hole.cause == GapCause::Ended || hole.cause == GapCause::NotStarted {
            vec![hole.span]
        } else {
            subtract(hole.span, &events)
        };
        for gap in share(hole, &left) {
            lay_over(gap, input.overlays, &mut gaps);
        }
    }
    let missing = |cause: GapCause| -> u64 {
        let for_it = gaps.iter().filter(|gap| gap.cause == cause);
        for_it.map(|gap| gap.packets).sum()
    };
    list.lost += missing(GapCause::Loss);
    list.dropped += missing(GapCause::Dropped);
    gaps.extend(input.unrendered.iter().map(|&(span, packets)| SpanGap {
        span,
        cause: GapCause::NotRendered,
        packets,
        packet_samples: 0,
    }));
    for gap in &mut gaps {
        gap.span.from = gap.span.from.clamp(input.whole.from, input.whole.to);
        gap.span.to = gap.span.to.clamp(gap.span.from, input.whole.to);
    }
    gaps.retain(|gap| !gap.span.is_empty() || gap.packets > 0);
    list.gaps = merge(gaps);
    list.omitted += list.gaps.len().saturating_sub(GAPS_MAX) as u64;
    list.gaps.truncate(GAPS_MAX);
    list
}

/// What is missing inside of the runs, where no other run sounds.
fn holes(input: &GapInput<'_>, list: &mut GapList) -> Vec<SpanGap> {
    let mut gaps = Vec::new();
    for (index, (run, shift)) in input.runs.iter().zip(input.shifts).enumerate() {
        list.omitted += run.holes_omitted;
        let others = sounding_beside(input, index);
        for holes in run
            .holes
            .chunk_by(|one, next| one.span == next.span && !one.span.is_empty())
        {
            let packets = holes.iter().map(Hole::missing).sum();
            let cause = if packets > 0 {
                GapCause::Loss
            } else {
                GapCause::Dtx
            };
            let gap = SpanGap {
                span: holes[0].span.moved(*shift),
                cause,
                packets,
                packet_samples: run.packet_samples,
            };
            gaps.extend(share(gap, &subtract(gap.span, &others)));
        }
    }
    gaps
}

/// Where other runs sound while this one goes on.
fn sounding_beside(input: &GapInput<'_>, index: usize) -> Vec<Span> {
    let extent = |index: usize| {
        let run = &input.runs[index];
        Span {
            from: run.from,
            to: run.audio_end,
        }
        .moved(input.shifts[index])
    };
    let own = extent(index);
    let beside = (0..input.runs.len())
        .filter(|other| *other != index && !own.common(extent(*other)).is_empty());
    let spans = beside.flat_map(|other| {
        let shift = input.shifts[other];
        input.runs[other]
            .spans
            .sorted()
            .into_iter()
            .map(move |span| span.moved(shift))
    });
    join(spans.collect(), 0)
}

/// What is missing before, between and after the runs.
fn edges(input: &GapInput<'_>) -> Vec<SpanGap> {
    let mut order: Vec<usize> = (0..input.runs.len()).collect();
    order.sort_by_key(|&index| input.runs[index].from.saturating_add(input.shifts[index]));
    let mut gaps = Vec::new();
    let mut cursor = input.whole.from;
    let mut trailing = GapCause::NotStarted;
    for index in order {
        let (run, shift) = (&input.runs[index], input.shifts[index]);
        let from = run.from.saturating_add(shift);
        let packets = run.missing_before;
        let cause = match run.begin {
            Begin::First => GapCause::NotStarted,
            _ if trailing == GapCause::NotStarted => GapCause::NotStarted,
            Begin::SsrcChange { .. } => GapCause::SsrcChange,
            Begin::Restart => GapCause::Restart,
            Begin::Reanchor { .. } | Begin::ClockChange if packets > 0 => GapCause::Loss,
            Begin::Reanchor { .. } | Begin::ClockChange => GapCause::Dtx,
        };
        let span = Span {
            from: cursor,
            to: from.max(cursor),
        };
        gaps.push(SpanGap {
            span,
            cause,
            packets,
            packet_samples: run.packet_samples,
        });
        let end = run.audio_end.saturating_add(shift);
        if end >= cursor {
            trailing = if run.ends_quiet {
                GapCause::Dtx
            } else {
                GapCause::Ended
            };
        }
        cursor = cursor.max(end);
    }
    let span = Span {
        from: cursor,
        to: input.whole.to.max(cursor),
    };
    gaps.push(SpanGap {
        span,
        cause: trailing,
        packets: 0,
        packet_samples: 0,
    });
    gaps
}

/// Divides a gap into pieces, and its packets by their length. Packets outlive a gap of which
/// nothing is left.
fn share(gap: SpanGap, pieces: &[Span]) -> Vec<SpanGap> {
    let total: i64 = pieces.iter().map(|piece| piece.len()).sum();
    if total == 0 {
        let span = Span {
            from: gap.span.from,
            to: gap.span.from,
        };
        let nothing = gap.packets == 0;
        return if nothing {
            Vec::new()
        } else {
            vec![SpanGap { span, ..gap }]
        };
    }
    let mut left = gap.packets;
    let mut shared: Vec<_> = pieces
        .iter()
        .map(|&span| {
            let part = u128::from(gap.packets) * span.len() as u128 / total as u128;
            let packets = u64::try_from(part).unwrap_or(left).min(left);
            left -= packets;
            SpanGap {
                span,
                packets,
                ..gap
            }
        })
        .collect();
    if let Some(last) = shared.last_mut() {
        last.packets += left;
    }
    shared
}

/// Gives the parts of a gap that lie in a pause, an outage or a drop that cause.
fn lay_over(gap: SpanGap, overlays: &[Overlay], out: &mut Vec<SpanGap>) {
    let touches =
        |overlay: &&Overlay| overlay.span.from <= gap.span.to && gap.span.from <= overlay.span.to;
    let mut rest = vec![gap];
    let mut done = Vec::new();
    for cause in OVERLAYING {
        let spans = overlays
            .iter()
            .filter(touches)
            .filter(|overlay| overlay.cause == cause);
        let spans = join(spans.map(|overlay| overlay.span).collect(), 0);
        if spans.is_empty() {
            continue;
        }
        if gap.span.is_empty() {
            out.push(SpanGap { cause, ..gap });
            return;
        }
        for piece in std::mem::take(&mut rest) {
            let outside = subtract(piece.span, &spans);
            let inside = subtract(piece.span, &outside);
            let (within, beyond) = divide(piece, &inside, &outside);
            rest.extend(beyond);
            done.extend(within.into_iter().map(|part| SpanGap { cause, ..part }));
        }
    }
    done.extend(rest);
    done.sort_by_key(|gap| gap.span);
    absorb_slivers(&mut done);
    out.extend(done);
}

/// Divides a gap into what lies inside of a pause, an outage or a drop, and what lies outside. What is
/// missing is missing for that, as far as it finds room there; the rest was lost. Where nothing is left
/// of it the sender was silent.
fn divide(gap: SpanGap, inside: &[Span], outside: &[Span]) -> (Vec<SpanGap>, Vec<SpanGap>) {
    let length: i64 = inside.iter().map(|span| span.len()).sum();
    if gap.packet_samples == 0 || length == 0 || outside.is_empty() {
        let mut pieces = [outside, inside].concat();
        pieces.sort_unstable();
        let parts = share(gap, &pieces).into_iter();
        return parts.partition(|part| !outside.contains(&part.span));
    }
    // One may straddle each border.
    let room = length / gap.packet_samples + 1 + outside.len() as i64;
    let packets = gap.packets.min(room.unsigned_abs());
    let within = share(SpanGap { packets, ..gap }, inside);
    let left = gap.packets - packets;
    let cause = match gap.cause {
        GapCause::Loss if left == 0 => GapCause::Dtx,
        cause => cause,
    };
    let beyond = SpanGap {
        packets: left,
        cause,
        ..gap
    };
    (within, share(beyond, outside))
}

/// A pause begins and ends by arrival, a gap by timestamp: the little that differs at the edges is
/// the pause's.
fn absorb_slivers(pieces: &mut [SpanGap]) {
    for index in 0..pieces.len() {
        let SpanGap { span, cause, .. } = pieces[index];
        if OVERLAYING.contains(&cause) || span.len() >= SLIVER_SAMPLES {
            continue;
        }
        let before = index.checked_sub(1).and_then(|before| pieces.get(before));
        let neighbour = before.or(pieces.get(index + 1)).map(|gap| gap.cause);
        if let Some(neighbour) = neighbour {
            pieces[index].cause = neighbour;
        }
    }
}

/// Sorts the gaps and makes one of those that follow each other for one cause. Packets lost where
/// a silence begins were lost in it.
fn merge(mut gaps: Vec<SpanGap>) -> Vec<SpanGap> {
    gaps.sort_by_key(|gap| gap.span);
    let mut merged: Vec<SpanGap> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        let Some(last) = merged
            .last_mut()
            .filter(|last| gap.span.from <= last.span.to)
        else {
            merged.push(gap);
            continue;
        };
        let lost_at_once = last.cause == GapCause::Loss && last.span.is_empty();
        if gap.cause == last.cause || (lost_at_once && gap.cause == GapCause::Dtx) {
            last.span.to = last.span.to.max(gap.span.to);
            last.packets += gap.packets;
        } else {
            merged.push(gap);
        }
    }
    merged
}

/// The causes that are the recorder's, the strongest first.
const OVERLAYING: [GapCause; 3] = [GapCause::Paused, GapCause::Outage, GapCause::Dropped];

/// 100 ms.
const SLIVER_SAMPLES: i64 = RATE / 10;
