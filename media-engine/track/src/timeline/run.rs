//! One run: a stretch of one source with one relation between timestamps and the timeline.
//!
//! ```text
//!   from                                    audio_end
//!   |#######|....|####|..........|##########|
//!           hole      hole           hole: between two sequence numbers that were heard
//! ```
//!
//! A packet whose timestamp falls into the audio of the one before is put behind it, so that nothing is
//! lost; silence that follows makes up for that. But never more than [`PUSH_MAX`] behind where its
//! timestamp and its arrival put it: beyond that the audio before it is cut there. A sender that got so
//! far claims more than it sends. From then on its packets sound as long as its timestamps step, until
//! that leaves a silence between two of them.

use holdfast_rtp::{ClockRate, ExtSeq, ExtTimestamp};

use super::spans::Spans;
use super::{RATE, SKEW_MAX, Span};

/// Why a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It is the first of its track.
    First,
    /// Another SSRC was heard.
    SsrcChange {
        /// The one before.
        from: u32,
    },
    /// The source restarted its sequence numbers.
    Restart,
    /// Timestamp and arrival disagreed.
    Reanchor {
        /// By how many samples the timestamp was ahead of the arrival.
        ahead: i64,
    },
    /// The timestamps count in another clock.
    ClockChange,
}

/// What lies between two sequence numbers that were heard one after the other.
///
/// A telephone-event says nothing of the time. What is missing before one is missing somewhere between the
/// audio around it: the holes there have one span in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    after: ExtSeq,
    before: ExtSeq,
    /// Where it is.
    pub(crate) span: Span,
}

impl Hole {
    /// Sequence numbers that are missing; none where the sender was silent.
    pub(crate) const fn missing(&self) -> u64 {
        self.before.since(self.after).saturating_sub(1)
    }

    const fn is_nothing(&self) -> bool {
        self.missing() == 0 && self.span.is_empty()
    }
}

/// How long a packet sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many samples at 8 kHz.
    Exact(i64),
    /// Not known: until the next packet, if that comes soon.
    Unknown,
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Its first sample.
    pub(crate) at: i64,
    /// As much of it as is heard, in samples.
    pub(crate) samples: i64,
    /// Audio before it that is not to be heard.
    pub(crate) cut: Span,
}

impl Placed {
    /// Where it ends.
    pub(crate) const fn end(&self) -> i64 {
        self.at.saturating_add(self.samples)
    }
}

/// A stretch of one source with one anchor.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Index of its source.
    pub(crate) source: usize,
    /// Why it began.
    pub(crate) begin: Begin,
    /// Sequence numbers missing between the run before of the same source and this one.
    pub(crate) missing_before: u64,
    /// Where its first packet is.
    pub(crate) from: i64,
    /// Where its last audio ends.
    pub(crate) audio_end: i64,
    /// Where its last packet in order is.
    pub(crate) last_at: i64,
    /// Number of its first packet.
    pub(crate) first_seq: ExtSeq,
    /// Number of its last packet in order.
    pub(crate) last_seq: ExtSeq,
    /// Whether its last packet in order was comfort noise.
    pub(crate) ends_quiet: bool,
    /// Where it sounds, gaps of less than a second not counted.
    pub(crate) spans: Spans,
    /// What is missing in it, by sequence number.
    pub(crate) holes: Vec<Hole>,
    /// Holes beyond the limit.
    pub(crate) holes_omitted: u64,
    /// Packets whose timestamp fell into audio that was there.
    pub(crate) overlaps: u64,
    /// Samples of its last packet whose length is known; 0 before there is one.
    pub(crate) packet_samples: i64,
    clock: ClockRate,
    anchor_ts: ExtTimestamp,
    anchor_at: i64,
    /// How far its packets are now put behind where their timestamps alone say.
    pushed: i64,
    /// Samples from packet to packet, of a sender that claims more than it sends.
    pace: Option<i64>,
    /// Where the packet is that came first.
    begun_at: i64,
}

impl Run {
    /// Begins with a packet that is to be at `at`, which is so far behind where it belongs.
    pub(crate) fn new(
        source: usize,
        begin: Begin,
        clock: ClockRate,
        (seq, ts): (ExtSeq, ExtTimestamp),
        at: i64,
        pushed: i64,
    ) -> Self {
        Self {
            source,
            begin,
            missing_before: 0,
            from: at,
            audio_end: at,
            last_at: at,
            first_seq: seq,
            last_seq: seq.back(1),
            ends_quiet: false,
            spans: Spans::default(),
            holes: Vec::new(),
            holes_omitted: 0,
            overlaps: 0,
            packet_samples: 0,
            clock,
            anchor_ts: ts,
            anchor_at: at,
            pushed,
            pace: None,
            begun_at: at,
        }
    }

    /// The clock its timestamps count.
    pub(crate) const fn clock(&self) -> ClockRate {
        self.clock
    }

    /// Where a timestamp is on the timeline.
    pub(crate) fn position(&self, ts: ExtTimestamp) -> i64 {
        let ticks = if ts >= self.anchor_ts {
            i64::try_from(ts.since(self.anchor_ts)).unwrap_or(i64::MAX)
        } else {
            -i64::try_from(self.anchor_ts.since(ts)).unwrap_or(i64::MAX)
        };
        let samples = ticks
            .saturating_mul(RATE)
            .div_euclid(i64::from(self.clock.hertz()));
        self.anchor_at.saturating_add(samples)
    }

    /// Where the run after this one begins, if its first packet arrived at `arrived_at`, and how far that
    /// is behind where it belongs: never in the audio of this one, but for what it claims too much.
    pub(crate) fn next_from(&self, arrived_at: i64) -> (i64, i64) {
        let due = arrived_at.max(self.last_at.saturating_sub(self.pushed));
        let latest = due.saturating_add(PUSH_MAX);
        let at = arrived_at.max(self.audio_end).min(latest);
        let at = at.max(self.last_at);
        (at, at.saturating_sub(due).max(0))
    }

    /// Ends its audio there; the answer is what is not to be heard.
    pub(crate) fn cut(&mut self, at: i64) -> Span {
        let cut = Span {
            from: at.min(self.audio_end),
            to: self.audio_end,
        };
        if !cut.is_empty() {
            self.spans.cut(cut.from);
            self.audio_end = cut.from;
        }
        cut
    }

    /// Takes the next packet in order. Without a timestamp it is where the audio before it ends. `room` is
    /// how many holes may still be kept.
    pub(crate) fn advance(
        &mut self,
        seq: ExtSeq,
        ts: Option<ExtTimestamp>,
        length: Option<Length>,
        arrived_at: i64,
        room: &mut usize,
    ) -> Placed {
        let stamped = ts.map_or(self.audio_end, |ts| self.position(ts));
        let missing = seq.since(self.last_seq).saturating_sub(1);
        let mut cut = Span {
            from: self.audio_end,
            to: self.audio_end,
        };
        let mut at = stamped;
        if stamped > self.audio_end.max(arrived_at.saturating_add(AHEAD_MAX)) {
            // A timestamp that nothing confirms: the audio goes on where it is.
            self.overlaps += 1;
            let due = arrived_at.max(self.last_at.saturating_sub(self.pushed));
            at = self.audio_end.min(due.saturating_add(PUSH_MAX));
            at = at.max(self.last_at);
            self.move_anchor(stamped, at);
            self.pushed = at.saturating_sub(due).max(0);
            cut = self.cut(at);
        } else if let Some(Length::Exact(1..)) = length {
            let before = self.last_at.saturating_sub(self.pushed);
            let own = stamped.saturating_sub(self.pushed);
            let due = own.max(arrived_at);
            at = if stamped < self.audio_end {
                self.audio_end
            } else {
                stamped.min(due.max(self.audio_end))
            };
            at = at.min(due.saturating_add(PUSH_MAX)).max(self.last_at);
            self.overlaps += u64::from(stamped < self.audio_end || at < self.audio_end);
            if at < self.audio_end {
                cut = self.cut_too_long(at, own.saturating_sub(before), missing);
            } else if missing == 0 && at > self.audio_end.saturating_add(ROUNDING_MAX) {
                self.pace = None;
            }
            self.move_anchor(stamped, at);
            self.pushed = at.saturating_sub(own);
        }
        let joins = self.unknown_goes_on(at, length, missing) || self.is_rounded(at, missing);
        let span = Span {
            from: self.audio_end.min(at),
            to: at,
        };
        let hole = Hole {
            after: self.last_seq,
            before: seq,
            span,
        };
        let is_first = self.last_seq < self.first_seq;
        let is_told = !joins && self.close_open(span);
        let is_needed = hole.missing() > 0 || !is_told;
        if is_needed && !(is_first || joins || hole.is_nothing()) {
            self.keep_hole(self.holes.len(), hole, room);
        }
        self.last_seq = seq;
        let samples = match length {
            Some(Length::Exact(samples)) => samples.min(self.pace.unwrap_or(samples)),
            Some(Length::Unknown) => UNKNOWN_SAMPLES,
            None => 0,
        };
        let placed = Placed { at, samples, cut };
        if let Some(length) = length {
            self.last_at = at;
            if let Length::Exact(1..) = length {
                self.packet_samples = samples;
            }
            self.audio_end = match length {
                Length::Exact(_) => self.audio_end.max(placed.end()),
                Length::Unknown => placed.end(),
            };
            self.spans.follow(Span {
                from: if joins { span.from } else { at },
                to: placed.end(),
            });
        }
        placed
    }

    /// Cuts the audio that a packet at `at` fell into, `step` samples behind the timestamp of the one before
    /// and `missing` packets later. What was between them was not heard, whatever the one before claims.
    fn cut_too_long(&mut self, at: i64, step: i64, missing: u64) -> Span {
        let packets = i64::try_from(missing).unwrap_or(i64::MAX).saturating_add(1);
        let pace = (step / packets).max(1);
        let mut from = at;
        if (1..self.packet_samples.saturating_mul(packets)).contains(&step) {
            self.pace = Some(pace);
            let absent = pace.saturating_mul(packets - 1);
            from = at.saturating_sub(absent).max(self.last_at);
        }
        self.cut(from)
    }

    /// Takes a packet that comes after a later one; the answer is where it is, if it has a place, which may
    /// be shorter than it sounds. Without a timestamp it is anywhere between the audio around it. `until` is
    /// where its run must have ended.
    pub(crate) fn fill(
        &mut self,
        seq: ExtSeq,
        ts: Option<ExtTimestamp>,
        length: Option<Length>,
        until: i64,
        arrived_at: i64,
        room: &mut usize,
    ) -> Option<Placed> {
        let samples = match length {
            Some(Length::Exact(samples)) => samples.min(self.pace.unwrap_or(samples)),
            Some(Length::Unknown) => UNKNOWN_SAMPLES,
            None => 0,
        };
        let at = ts.map(|ts| self.position(ts));
        let (at, samples) = if seq < self.first_seq {
            let at = at.unwrap_or(self.from.saturating_add(self.pushed));
            self.fill_before(seq, at, samples, room)?
        } else if seq > self.last_seq {
            let at = at.unwrap_or(self.audio_end);
            // It belongs behind a run that has ended.
            let at = at.min(until.saturating_sub(samples)).max(self.audio_end);
            let samples = samples.min(until.saturating_sub(at)).max(0);
            self.audio_end = at.saturating_add(samples);
            (at, samples)
        } else {
            let latest = until.min(arrived_at.saturating_add(AHEAD_MAX));
            self.fill_hole(seq, at, samples, latest, room)?
        };
        if samples > 0 {
            self.spans.add(Span {
                from: at,
                to: at.saturating_add(samples),
            });
        }
        let cut = Span { from: at, to: at };
        Some(Placed { at, samples, cut })
    }

    /// A packet that was sent before the one that came first.
    fn fill_before(
        &mut self,
        seq: ExtSeq,
        at: i64,
        samples: i64,
        room: &mut usize,
    ) -> Option<(i64, i64)> {
        let own = at.saturating_sub(self.pushed);
        let at = own.min(self.from.saturating_sub(samples));
        let at = at.max(own.saturating_sub(PUSH_MAX)).min(self.from);
        if at < self.begun_at.saturating_sub(EARLY_SAMPLES_MAX) {
            return None;
        }
        let samples = samples.min(self.from.saturating_sub(at));
        let span = Span {
            from: at.saturating_add(samples),
            to: self.from,
        };
        let hole = Hole {
            after: seq,
            before: self.first_seq,
            span,
        };
        (self.first_seq, self.from) = (seq, at);
        if !hole.is_nothing() {
            self.keep_hole(0, hole, room);
        }
        Some((at, samples))
    }

    /// A packet that is missing between two others: it is put between them, as far as it finds room there.
    fn fill_hole(
        &mut self,
        seq: ExtSeq,
        at: Option<i64>,
        samples: i64,
        latest: i64,
        room: &mut usize,
    ) -> Option<(i64, i64)> {
        let index = self.holes.partition_point(|hole| hole.before <= seq);
        let Some(Hole { span, .. }) = self.holes.get(index).filter(|hole| hole.after < seq) else {
            // The hole was not kept; its own timestamp must do.
            let at = at.unwrap_or(self.from);
            let inside = at >= self.from && at.saturating_add(samples) <= self.audio_end;
            return inside.then_some((at, samples));
        };
        let span = *span;
        let Some(at) = at else {
            self.part(index, seq, [span; 2], room);
            return Some((span.from, 0));
        };
        if samples > 0 && self.is_open(span) {
            let at = at.min(latest.saturating_sub(samples)).max(span.from);
            let end = at.saturating_add(samples);
            let parts = [(span.from, at), (end, end)].map(|(from, to)| Span { from, to });
            self.part(index, seq, parts, room);
            self.audio_end = end;
            return Some((at, samples));
        }
        let samples = samples.min(span.len());
        let at = at.clamp(span.from, span.to.saturating_sub(samples));
        let end = at.saturating_add(samples);
        let parts = [(span.from, at), (end, span.to)].map(|(from, to)| Span { from, to });
        self.part(index, seq, parts, room);
        Some((at, samples))
    }

    /// The number of the packet that is missing where one of `samples` samples with this timestamp
    /// would be, if one is.
    pub(crate) fn missing_at(&self, ts: ExtTimestamp, samples: i64) -> Option<ExtSeq> {
        let at = self.position(ts);
        let index = self.holes.partition_point(|hole| hole.span.to <= at);
        let hole = self.holes.get(index)?;
        let fits = at >= hole.span.from && at.saturating_add(samples) <= hole.span.to;
        if !fits || samples <= 0 || hole.missing() == 0 {
            return None;
        }
        // Counted from behind: a silence is more likely to lie before what is missing.
        let back = (hole.span.to - at) / samples;
        Some(hole.before.back(back.unsigned_abs().min(hole.missing())))
    }

    /// Whether what is between this hole and the end says nothing of the time: the packets behind it are
    /// telephone-events.
    fn is_open(&self, span: Span) -> bool {
        let ends = |span: Span| span.from == self.audio_end && span.to == self.audio_end;
        ends(span) && self.holes.last().is_some_and(|last| ends(last.span))
    }

    /// Says where the open holes are; the answer is whether there are any.
    fn close_open(&mut self, span: Span) -> bool {
        let closed = Span {
            from: self.audio_end,
            to: self.audio_end,
        };
        let is_told = !span.is_empty() && self.is_open(closed);
        if is_told {
            let open = |hole: &&mut Hole| hole.span == closed;
            for hole in self.holes.iter_mut().rev().take_while(open) {
                hole.span = span;
            }
        }
        is_told
    }

    /// Divides a hole by a packet in it into what is before and what is behind, and with it those that have
    /// its span in common.
    fn part(&mut self, index: usize, seq: ExtSeq, parts: [Span; 2], room: &mut usize) {
        let hole = self.holes.remove(index);
        *room += 1;
        let (before, behind) = self.holes.split_at_mut(index);
        let is_beside = |it: &&mut Hole| it.span == hole.span;
        let [mut is_left_told, mut is_right_told] = [false; 2];
        for it in before.iter_mut().rev().take_while(is_beside) {
            (it.span, is_left_told) = (parts[0], true);
        }
        for it in behind.iter_mut().take_while(is_beside) {
            (it.span, is_right_told) = (parts[1], true);
        }
        let left = Hole {
            before: seq,
            span: parts[0],
            ..hole
        };
        let right = Hole {
            after: seq,
            span: parts[1],
            ..hole
        };
        for (hole, is_told) in [(right, is_right_told), (left, is_left_told)] {
            let is_needed = hole.missing() > 0 || !is_told;
            if is_needed && !hole.is_nothing() {
                self.keep_hole(index, hole, room);
            }
        }
    }

    fn keep_hole(&mut self, index: usize, hole: Hole, room: &mut usize) {
        if *room == 0 {
            self.holes_omitted += 1;
            return;
        }
        *room -= 1;
        self.holes.insert(index, hole);
    }

    /// A packet of unknown length sounds until the next one, if that comes soon.
    fn unknown_goes_on(&self, at: i64, length: Option<Length>, missing: u64) -> bool {
        length == Some(Length::Unknown)
            && missing == 0
            && (0..=UNKNOWN_SAMPLES_MAX).contains(&at.saturating_sub(self.last_at))
    }

    /// What lies before a packet is no silence, but less than a sample.
    fn is_rounded(&self, at: i64, missing: u64) -> bool {
        let is_other = self.clock != ClockRate::TELEPHONY;
        is_other && missing == 0 && at.saturating_sub(self.audio_end) <= ROUNDING_MAX
    }

    const fn move_anchor(&mut self, from: i64, to: i64) {
        self.anchor_at = self.anchor_at.saturating_add(to.saturating_sub(from));
    }
}

/// What a packet of unknown length is taken for, before the next one tells: 20 ms.
const UNKNOWN_SAMPLES: i64 = RATE / 50;

/// The longest packet of unknown length: 120 ms, as in Opus.
const UNKNOWN_SAMPLES_MAX: i64 = RATE * 120 / 1_000;

/// How far audio is put behind where its timestamp and its arrival put it, at most: 100 ms. Timestamps that
/// are a little off, and steps back by a few packets, cost no sample.
pub(super) const PUSH_MAX: i64 = RATE / 10;

/// What may be between two packets because neither timestamps nor lengths of other clocks are whole
/// samples.
pub(super) const ROUNDING_MAX: i64 = 1;

/// How far a timestamp may be ahead of the arrival at most.
const AHEAD_MAX: i64 = 2 * SKEW_MAX;

/// How far before the packet that came first another one may be: 10 s.
const EARLY_SAMPLES_MAX: i64 = 10 * RATE;
