//! Sequence numbers of one SSRC: extended, told apart from duplicates, accounted for
//! (RFC 3550 §6.4.1, A.1, A.3, A.8).
//!
//! It refuses nothing: each packet gets a number, and a verdict on what the number means. The
//! numbers of a source only rise with its sending order, over wraps, losses and restarts alike;
//! that is the invariant which tracks and reorder buffers rest on.
//!
//! ```text
//!   step from the highest   what it is
//!   1 … 2,999               in order, with step − 1 missing
//!   0 … −100                late, or a duplicate
//!   −101 … −2,047           late where that number is missing, else as below
//!   3,000 … 32,767          loss, if the timestamp went on with the clock, else as below
//!   any other               a jump: suspect, until the next packet follows it → restart
//! ```

use holdfast_units::MonoTime;

use crate::limits::{
    DROPOUT_MAX, DUPLICATE_WINDOW, JITTER_SECONDS_MAX, LOSS_SKEW_SECONDS_MAX, MISORDER_MAX,
};
use crate::number::{ClockRate, ExtSeq, RtpTimestamp, WireSeq};

mod state;

pub use state::{StateError, TrackerState};

const WINDOW_WORDS: usize = DUPLICATE_WINDOW / 64;

/// What the sequence number of a packet means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// The first, or further than any before.
    Fresh {
        /// Its number.
        ext_seq: ExtSeq,
    },
    /// Behind the highest, in a place that was empty.
    Late {
        /// Its number.
        ext_seq: ExtSeq,
    },
    /// Behind the highest, in a place that is taken.
    Duplicate {
        /// The number of the packet that it repeats.
        ext_seq: ExtSeq,
    },
    /// Far off. Not in the statistics unless the next packet follows it, but to be kept: its
    /// number is right if that happens.
    Suspect {
        /// Its number, if the source has restarted.
        ext_seq: ExtSeq,
    },
    /// It follows a suspect one: "two sequential packets -- assume that the other side restarted
    /// without telling us" (A.1). The numbers go on above all earlier ones.
    Restart {
        /// Its number; the suspect packet has the one before.
        ext_seq: ExtSeq,
    },
}

/// Sequence numbers, duplicates and statistics of one SSRC.
#[derive(Clone, Debug)]
pub struct SequenceTracker {
    state: TrackerState,
    /// What the jitter of the next packet is measured against; none after a restart of ours.
    transit: Option<Transit>,
}

/// Arrival less timestamp of a packet, both in ticks.
#[derive(Clone, Copy, Debug)]
struct Transit {
    ticks: u32,
    clock: ClockRate,
}

/// What was received of one SSRC, over all its restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets, duplicates included.
    pub received: u64,
    /// Packets that its sequence numbers speak of.
    pub expected: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub late: u64,
    /// Packets far off that nothing followed.
    pub strays: u64,
    /// Times that the numbering jumped.
    pub restarts: u64,
    /// Interarrival jitter (A.8) in ticks of its clock.
    pub jitter: u32,
    /// The highest that the jitter was.
    pub jitter_max: u32,
    /// The number of the highest packet.
    pub highest: Option<ExtSeq>,
}

/// What a report block says of the reception (RFC 3550 §6.4.1), as values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// Lost since the last report, in 1/256; 0 where duplicates outnumber what was lost.
    pub fraction_lost: u8,
    /// Expected less received, within 24 bits with sign.
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number.
    pub highest: u32,
    /// Interarrival jitter in ticks.
    pub jitter: u32,
}

impl SequenceTracker {
    /// Begins with the first packet of a source, which is thereby received.
    pub fn begin(
        now: MonoTime,
        sequence: WireSeq,
        timestamp: RtpTimestamp,
        clock: Option<ClockRate>,
    ) -> Self {
        let first = ExtSeq::first(sequence);
        let mut tracker = Self {
            state: TrackerState::begin(first),
            transit: None,
        };
        tracker.mark(first);
        tracker.sample_jitter(now, timestamp, clock);
        tracker
    }

    /// Goes on where an earlier process stopped.
    pub const fn resume(state: TrackerState) -> Self {
        Self {
            state,
            transit: None,
        }
    }

    /// All that the next process needs to know.
    pub const fn state(&self) -> &TrackerState {
        &self.state
    }

    /// The number of the highest packet.
    pub const fn highest(&self) -> ExtSeq {
        self.state.highest
    }

    /// Takes one packet. `clock` is that of its payload type; none where its timestamp does not
    /// follow the sending (a telephone-event), so that it says nothing about jitter.
    pub fn update(
        &mut self,
        now: MonoTime,
        sequence: WireSeq,
        timestamp: RtpTimestamp,
        clock: Option<ClockRate>,
    ) -> Sequenced {
        let highest = self.state.highest;
        let step = sequence.0.wrapping_sub(highest.wire().0);
        let back = step.wrapping_neg();
        let ahead = (1..DROPOUT_MAX).contains(&step);
        if ahead
            || ((DROPOUT_MAX..=LOSS_MAX).contains(&step) && self.keeps_time(now, timestamp, clock))
        {
            let ext_seq = highest.forward(u64::from(step));
            self.advance(ext_seq);
            self.sample_jitter(now, timestamp, clock);
            return Sequenced::Fresh { ext_seq };
        }
        let behind = highest.back(u64::from(back));
        let fills_hole = usize::from(back) < DUPLICATE_WINDOW
            && behind > self.state.first
            && !self.is_marked(behind);
        if back <= MISORDER_MAX || fills_hole {
            return self.take_behind(now, behind, timestamp, clock);
        }
        self.take_jump(
            now,
            sequence,
            highest.forward(u64::from(step)),
            timestamp,
            clock,
        )
    }

    /// What was received, over all restarts.
    pub fn statistics(&self) -> Statistics {
        let state = &self.state;
        let unique = state.received.saturating_sub(state.duplicates);
        Statistics {
            received: state.earlier_received.saturating_add(state.received),
            expected: state.earlier_expected.saturating_add(self.expected()),
            lost: state
                .earlier_lost
                .saturating_add(self.expected().saturating_sub(unique)),
            duplicates: state.earlier_duplicates.saturating_add(state.duplicates),
            late: state.late,
            strays: state.strays,
            restarts: state.restarts,
            jitter: jitter_ticks(state.jitter),
            jitter_max: jitter_ticks(state.jitter_max),
            highest: Some(state.highest),
        }
    }

    /// Whether anything was received since the last report.
    pub const fn heard_since_report(&self) -> bool {
        self.state.received != self.state.received_prior
    }

    /// The values of the next report block; what they cover is then reported (A.3).
    pub fn report(&mut self) -> Reception {
        let expected = self.expected();
        let state = &mut self.state;
        let expected_interval = expected.saturating_sub(state.expected_prior);
        let received_interval = state.received.saturating_sub(state.received_prior);
        state.expected_prior = expected;
        state.received_prior = state.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval << 8)
            .checked_div(expected_interval)
            .unwrap_or(0);
        // 48 bits hold the packets of any call, so neither cast changes a value in earnest.
        let lost = (expected as i64).saturating_sub(state.received as i64);
        let cycles = (state.highest.value() >> 16).wrapping_sub(state.first_cycle) as u16;
        Reception {
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: lost.clamp(CUMULATIVE_MIN, CUMULATIVE_MAX) as i32,
            highest: u32::from(cycles) << 16 | u32::from(state.highest.wire().0),
            jitter: jitter_ticks(state.jitter),
        }
    }

    fn advance(&mut self, ext_seq: ExtSeq) {
        let step = ext_seq.since(self.state.highest);
        if step as usize >= DUPLICATE_WINDOW {
            self.state.seen = [0; WINDOW_WORDS];
        } else {
            for missing in 1..step {
                self.clear(self.state.highest.forward(missing));
            }
        }
        self.state.highest = ext_seq;
        self.state.suspect_next = None;
        self.state.received = self.state.received.saturating_add(1);
        self.mark(ext_seq);
    }

    fn take_behind(
        &mut self,
        now: MonoTime,
        ext_seq: ExtSeq,
        timestamp: RtpTimestamp,
        clock: Option<ClockRate>,
    ) -> Sequenced {
        // "the loss may be negative if there are duplicates" (§6.4.1): they count as received.
        self.state.received = self.state.received.saturating_add(1);
        if self.is_marked(ext_seq) {
            self.state.duplicates = self.state.duplicates.saturating_add(1);
            return Sequenced::Duplicate { ext_seq };
        }
        // Sent before the packet that came first: then it is this one that began.
        self.state.first = self.state.first.min(ext_seq);
        self.state.late = self.state.late.saturating_add(1);
        self.mark(ext_seq);
        self.sample_jitter(now, timestamp, clock);
        Sequenced::Late { ext_seq }
    }

    fn take_jump(
        &mut self,
        now: MonoTime,
        sequence: WireSeq,
        ext_seq: ExtSeq,
        timestamp: RtpTimestamp,
        clock: Option<ClockRate>,
    ) -> Sequenced {
        match self.state.suspect_next {
            Some(next) if next == sequence => {
                self.restart(ext_seq);
                self.transit = None;
                self.sample_jitter(now, timestamp, clock);
                Sequenced::Restart { ext_seq }
            }
            Some(next) if next == sequence.next() => {
                self.state.strays = self.state.strays.saturating_add(1);
                Sequenced::Duplicate { ext_seq }
            }
            Some(_) | None => {
                self.state.strays = self.state.strays.saturating_add(1);
                self.state.suspect_next = Some(sequence.next());
                Sequenced::Suspect { ext_seq }
            }
        }
    }

    /// Begins to count anew at the suspect packet, the one before `ext_seq`.
    fn restart(&mut self, ext_seq: ExtSeq) {
        let done = self.statistics();
        let first = ext_seq.back(1);
        self.state = TrackerState {
            earlier_received: done.received,
            earlier_expected: done.expected,
            earlier_lost: done.lost,
            earlier_duplicates: done.duplicates,
            late: done.late,
            strays: done.strays.saturating_sub(1),
            restarts: done.restarts.saturating_add(1),
            jitter: self.state.jitter,
            jitter_max: self.state.jitter_max,
            ..TrackerState::begin(first)
        };
        self.mark(first);
        self.advance(ext_seq);
    }

    const fn expected(&self) -> u64 {
        self.state.highest.since(self.state.first).saturating_add(1)
    }

    /// A.8: the difference of relative transit times, smoothed by 1/16, kept times 16.
    fn sample_jitter(&mut self, now: MonoTime, timestamp: RtpTimestamp, clock: Option<ClockRate>) {
        let Some(clock) = clock else { return };
        let transit = Transit::of(now, timestamp, clock);
        // RFC 7160 §4: clock rates don't mix; the first packet at another rate begins anew.
        let difference = self.transit.and_then(|before| transit.difference(before));
        self.transit = Some(transit);
        if let Some(difference) = difference
            && difference <= JITTER_SECONDS_MAX.saturating_mul(clock.hertz())
        {
            let state = &mut self.state;
            state.jitter = (state.jitter + difference).saturating_sub((state.jitter + 8) >> 4);
            state.jitter_max = state.jitter_max.max(state.jitter);
        }
    }

    /// Whether timestamp and arrival have gone on by the same time since the last packet.
    fn keeps_time(&self, now: MonoTime, timestamp: RtpTimestamp, clock: Option<ClockRate>) -> bool {
        let Some(clock) = clock else { return false };
        let transit = Transit::of(now, timestamp, clock);
        self.transit
            .and_then(|before| transit.difference(before))
            .is_some_and(|ticks| ticks <= LOSS_SKEW_SECONDS_MAX.saturating_mul(clock.hertz()))
    }

    const fn is_marked(&self, ext_seq: ExtSeq) -> bool {
        let (word, bit) = place(ext_seq);
        self.state.seen[word] & bit != 0
    }

    const fn mark(&mut self, ext_seq: ExtSeq) {
        let (word, bit) = place(ext_seq);
        self.state.seen[word] |= bit;
    }

    const fn clear(&mut self, ext_seq: ExtSeq) {
        let (word, bit) = place(ext_seq);
        self.state.seen[word] &= !bit;
    }
}

impl Transit {
    fn of(now: MonoTime, timestamp: RtpTimestamp, clock: ClockRate) -> Self {
        let hertz = u64::from(clock.hertz());
        let seconds = (now.0 / NANOS).wrapping_mul(hertz);
        let arrival = seconds.wrapping_add(now.0 % NANOS * hertz / NANOS);
        Self {
            ticks: (arrival as u32).wrapping_sub(timestamp.0),
            clock,
        }
    }

    fn difference(self, before: Self) -> Option<u32> {
        let ticks = self.ticks.wrapping_sub(before.ticks) as i32;
        (self.clock == before.clock).then_some(ticks.unsigned_abs())
    }
}

/// Where the bit of a number is.
const fn place(ext_seq: ExtSeq) -> (usize, u64) {
    let index = ext_seq.value() as usize % DUPLICATE_WINDOW;
    (index / 64, 1 << (index % 64))
}

const fn jitter_ticks(scaled: u32) -> u32 {
    scaled >> 4
}

/// The longest loss that is told from a step back.
const LOSS_MAX: u16 = (1 << 15) - 1;
/// RFC 3550 A.3: "clamped at 0x7fffff for positive loss or 0x800000 for negative loss".
const CUMULATIVE_MAX: i64 = 0x7f_ffff;
const CUMULATIVE_MIN: i64 = -0x80_0000;
const NANOS: u64 = 1_000_000_000;
// The scaled jitter stays below 17 times the largest sample: `sample_jitter` can't overflow.
const _: () = assert!(state::JITTER_MAX < u32::MAX / 2);

#[cfg(test)]
mod tests;
