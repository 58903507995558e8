//! The way of one packet to its place: believed at once, held back, or put into a hole.

use holdfast_manifest::MarkKind;
use holdfast_rtp::EventReceiver;

use super::run::{Begin, PUSH_MAX, Placed, ROUNDING_MAX, Run};
use super::source::{Item, Pending, PendingKind, Sound, Source};
use super::{Law, Placement, RATE, SKEW_MAX, Sink, Span, Timeline};
use crate::limits::{GAPS_MAX, RUNS_MAX};
use crate::wav::SampleFormat;

impl Timeline {
    /// A packet with a higher number than any before of its source.
    pub(super) fn take_fresh(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        if self.sources[index].pending.is_some() {
            return self.take_doubtful(index, item, sink);
        }
        let source = &mut self.sources[index];
        let run = &self.runs[source.run];
        if !item.sound.keeps_time() {
            return self.place(index, item, sink);
        }
        if item.clock != run.clock() && matches!(item.sound, Sound::Audio(..)) {
            return self.change_clock(index, item, sink);
        }
        let tolerance = if source.resumed {
            RESUME_SKEW_MAX
        } else {
            SKEW_MAX
        };
        let at = run.position(item.ts);
        let ahead = at.saturating_sub(item.arrived_at);
        let step = at.saturating_sub(run.last_at);
        let arrival_step = item.arrived_at.saturating_sub(source.arrived_at);
        let contiguous = item.seq.since(run.last_seq) == 1;
        // A sender that is merely fast leaves no gap; there is nothing to go back into.
        let leaps =
            at > run.audio_end && (contiguous || step.saturating_sub(arrival_step) > tolerance);
        if ahead >= -tolerance && !(ahead > tolerance && leaps) {
            return self.accept(index, item, sink);
        }
        if source.resumed {
            return self.reanchor(index, ahead, item, sink);
        }
        let kind = if ahead < 0 && at >= run.audio_end {
            PendingKind::Stall
        } else {
            PendingKind::Jump
        };
        source.pending = Some(Pending::new(kind, ahead, item));
    }

    /// A packet while others are held back.
    fn take_doubtful(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        let source = &mut self.sources[index];
        let Some(pending) = &mut source.pending else {
            return;
        };
        let ahead = self.runs[source.run]
            .position(item.ts)
            .saturating_sub(item.arrived_at)
            .saturating_abs();
        if item.sound.keeps_time() && ahead <= SKEW_MAX {
            // The doubt is gone: after a stall the rest came at once, or a single packet was wrong.
            let kind = pending.kind;
            let held = source
                .pending
                .take()
                .map(|pending| pending.items)
                .unwrap_or_default();
            if kind == PendingKind::Jump {
                self.accept(index, item, sink);
            }
            for held in &held {
                self.place(index, &held.item(), sink);
            }
            if kind == PendingKind::Stall {
                self.accept(index, item, sink);
            }
            return;
        }
        let goes_on = item.sound.keeps_time() && pending.goes_on(item);
        let proven = match pending.kind {
            PendingKind::Jump => goes_on,
            PendingKind::Stall => false,
        };
        let lasted = pending.lasted(item) >= RATE || pending.is_full();
        pending.push(item);
        if proven || lasted {
            self.settle(index, sink);
        }
    }

    /// Believes the packets held back: they begin a new run.
    pub(super) fn settle(&mut self, index: usize, sink: &mut Sink<'_>) {
        let Some(pending) = self.sources[index].pending.take() else {
            return;
        };
        if let Some(first) = pending.items.front() {
            self.begin_behind(
                index,
                Begin::Reanchor {
                    ahead: pending.ahead,
                },
                &first.item(),
                sink,
            );
        }
        for held in &pending.items {
            self.accept(index, &held.item(), sink);
        }
    }

    fn reanchor(&mut self, index: usize, ahead: i64, item: &Item<'_>, sink: &mut Sink<'_>) {
        self.begin_behind(index, Begin::Reanchor { ahead }, item, sink);
        self.accept(index, item, sink);
    }

    /// RFC 7160: the timestamps of another clock say nothing about those before.
    fn change_clock(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        let end = self.runs[self.sources[index].run].audio_end;
        let is_near = item.arrived_at.saturating_sub(end).abs() <= RESUME_SKEW_MAX;
        let due = if is_near { end } else { item.arrived_at };
        self.begin_at(index, Begin::ClockChange, item, due, sink);
        self.accept(index, item, sink);
    }

    /// Begins a run by arrival, but never inside the audio of the run before.
    fn begin_behind(&mut self, index: usize, begin: Begin, item: &Item<'_>, sink: &mut Sink<'_>) {
        self.begin_at(index, begin, item, item.arrived_at, sink);
    }

    /// Begins a run there, or where the run before ends; that is cut where it claims too much.
    fn begin_at(
        &mut self,
        index: usize,
        begin: Begin,
        item: &Item<'_>,
        due: i64,
        sink: &mut Sink<'_>,
    ) {
        if self.runs.len() < RUNS_MAX {
            let run = self.sources[index].run;
            let (at, pushed) = self.runs[run].next_from(due);
            let cut = self.runs[run].cut(at);
            self.silence(index, run, cut, sink);
            self.begin_run(index, begin, item, (at, pushed));
        }
    }

    /// Two packets in sequence far off: the source began its numbers anew.
    pub(super) fn restart(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        self.settle(index, sink);
        let suspect = self.sources[index].suspect.take();
        let suspect = suspect
            .as_ref()
            .map(|held| held.item())
            .filter(|held| held.seq < item.seq);
        let first = suspect.as_ref().unwrap_or(item);
        self.begin_behind(index, Begin::Restart, first, sink);
        if let Some(suspect) = suspect {
            self.accept(index, &suspect, sink);
        }
        self.accept(index, item, sink);
    }

    /// A packet far off that nothing followed.
    pub(super) fn drop_suspect(&mut self, index: usize) {
        if self.sources[index].suspect.take().is_some() {
            self.totals.unplaced += 1;
        }
    }

    /// Places a packet whose timestamp is believed.
    fn accept(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        let source = &mut self.sources[index];
        if item.sound.keeps_time() {
            source.ts = item.ts;
        }
        if matches!(item.sound, Sound::Audio(..)) {
            (source.arrived_at, source.resumed) = (item.arrived_at, false);
        }
        self.place(index, item, sink);
    }

    /// Gives a packet its place.
    pub(super) fn place(&mut self, index: usize, item: &Item<'_>, sink: &mut Sink<'_>) {
        let source = &mut self.sources[index];
        let run_index = run_of(&self.runs, source, index, item);
        let length = item.sound.length();
        let run = &mut self.runs[run_index];
        let is_next = run_index == source.run && item.seq > run.last_seq;
        let placed = if is_next {
            run.ends_quiet = item.sound == Sound::Quiet;
            Some(run.advance(
                item.seq,
                item.timestamp(),
                length,
                item.arrived_at,
                &mut self.room,
            ))
        } else {
            self.fill(index, run_index, item)
        };
        let Some(placed) = placed else {
            self.totals.unplaced += 1;
            return;
        };
        self.silence(index, run_index, placed.cut, sink);
        match item.sound {
            Sound::Audio(Some(law), _) => {
                self.sources[index].law = Some(law);
                self.hand_on(run_index, law, &placed, item.payload, sink);
            }
            Sound::Audio(None, _) => {
                self.sources[index].law = None;
                self.note_unrendered(&placed);
            }
            Sound::Event { clock, marker } => self.take_event(index, clock, marker, item),
            Sound::Quiet | Sound::Nothing => {}
        }
        if is_next && matches!(item.sound, Sound::Audio(..)) {
            self.follow_audio(index, placed.at, item);
        }
    }

    /// Puts a packet that comes late into what it left open.
    fn fill(&mut self, index: usize, run_index: usize, item: &Item<'_>) -> Option<Placed> {
        let (before, after) = self.runs.split_at_mut(run_index + 1);
        let run = before.last_mut()?;
        let next = after.iter_mut().find(|run| run.source == index);
        let until = next.as_ref().map_or(i64::MAX, |next| next.from);
        let until = until.saturating_add(PUSH_MAX);
        let is_behind = item.seq > run.last_seq;
        let length = item.sound.length();
        let (ts, arrived_at) = (item.timestamp(), item.arrived_at);
        let placed = run.fill(item.seq, ts, length, until, arrived_at, &mut self.room)?;
        if let (Some(next), true) = (next, is_behind) {
            // It was missing between this run and the next one of its source.
            next.missing_before = next.missing_before.saturating_sub(1);
        }
        Some(placed)
    }

    /// Hands on as much of a packet as is heard.
    pub(super) fn hand_on(
        &mut self,
        run: usize,
        law: Law,
        placed: &Placed,
        payload: &[u8],
        sink: &mut Sink<'_>,
    ) {
        let heard = usize::try_from(placed.samples).unwrap_or(0);
        let (heard, cut) = payload.split_at(heard.min(payload.len()));
        self.totals.overlapped += cut.len() as u64;
        sink(Placement {
            run,
            at: placed.at,
            law,
            payload: heard,
        });
    }

    /// Takes back audio that its sender's next timestamp contradicts.
    fn silence(&mut self, index: usize, run: usize, cut: Span, sink: &mut Sink<'_>) {
        let Some(law) = self.sources[index].law else {
            let last = self.unrendered.last_mut().map(|(last, _)| last);
            if let Some(last) = last.filter(|last| last.to == cut.to) {
                last.to = cut.from.max(last.from);
            }
            return;
        };
        self.totals.overlapped += cut.len().unsigned_abs();
        let mut left = usize::try_from(cut.len()).unwrap_or(0);
        while left > 0 {
            let payload = &law.silence()[..left.min(SILENCE_SAMPLES)];
            let at = cut.to.saturating_sub_unsigned(left as u64);
            sink(Placement {
                run,
                at,
                law,
                payload,
            });
            left -= payload.len();
        }
    }

    /// What audio in order says besides itself.
    fn follow_audio(&mut self, index: usize, at: i64, item: &Item<'_>) {
        let source = &mut self.sources[index];
        let to = item.payload_type;
        if let Some(from) = source.audio_type.replace(to).filter(|from| *from != to) {
            self.marks.add(at, MarkKind::PayloadTypeChange { from, to });
        }
        let progress = |events: &mut EventReceiver| events.handle_progress(item.ts);
        if let Some(digit) = source.events.as_mut().and_then(progress) {
            self.note_digit(index, digit, None);
        }
    }

    fn note_unrendered(&mut self, placed: &Placed) {
        let span = Span {
            from: placed.at,
            to: placed.end(),
        };
        if let Some((last, packets)) = self.unrendered.last_mut()
            && span.from >= last.from
            && span.from <= last.to.saturating_add(ROUNDING_MAX)
        {
            last.to = last.to.max(span.to);
            *packets += 1;
        } else if self.unrendered.len() < GAPS_MAX {
            self.unrendered.push((span, 1));
        }
    }
}

/// The run that a packet of a source belongs to by its number.
fn run_of(runs: &[Run], source: &Source, index: usize, item: &Item<'_>) -> usize {
    if runs[source.run].first_seq <= item.seq || source.run == source.first_run {
        return source.run;
    }
    let own = |(run_index, run): &(usize, &Run)| {
        run.source == index && run.first_seq <= item.seq && *run_index >= source.first_run
    };
    runs.iter()
        .enumerate()
        .rev()
        .find(own)
        .map_or(source.first_run, |(run_index, _)| run_index)
}

/// The same after a pause, in which senders often stop their clock: 200 ms.
const RESUME_SKEW_MAX: i64 = RATE / 5;

/// What is taken back is silenced by so many samples at once: the longest packet that is usual.
const SILENCE_SAMPLES: usize = 960;

static SILENCES: [[u8; SILENCE_SAMPLES]; 2] = [
    [SampleFormat::MuLaw.silence(); SILENCE_SAMPLES],
    [SampleFormat::ALaw.silence(); SILENCE_SAMPLES],
];

impl Law {
    const fn silence(self) -> &'static [u8] {
        match self {
            Self::Mu => &SILENCES[0],
            Self::A => &SILENCES[1],
        }
    }
}
