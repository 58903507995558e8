//! How long packets take on their way, and turns: a histogram for each stage.
//!
//! Most values are short and one costs a shift and a count: they are counted in even steps, which go
//! into the histogram once in a while. What is longer than all steps goes there at once.

use std::time::Duration;

use hdrhistogram::Histogram;
use holdfast_control::{Stage, StageLatency};

/// The stages of one shard.
#[derive(Debug)]
pub struct Latencies {
    seen: Distribution,
    durable: Distribution,
    assembled: Distribution,
    turn: Distribution,
    commit: Distribution,
}

/// The values of one stage since the start of the process.
#[derive(Debug)]
struct Distribution {
    steps: Box<[u32; STEPS]>,
    /// Microseconds.
    histogram: Histogram<u64>,
}

impl Latencies {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self {
            seen: Distribution::new(),
            durable: Distribution::new(),
            assembled: Distribution::new(),
            turn: Distribution::new(),
            commit: Distribution::new(),
        }
    }

    /// Takes one value.
    #[inline]
    pub fn record(&mut self, stage: Stage, value: Duration) {
        self.record_many(stage, value, 1);
    }

    /// Takes a value that `count` packets have together.
    #[inline]
    pub fn record_many(&mut self, stage: Stage, value: Duration, count: u32) {
        if !cfg!(feature = "unmeasured") {
            self.of(stage).record(value, count);
        }
    }

    /// All values of a stage, for the shard with this index.
    pub fn tell(&mut self, shard: u16, stage: Stage) -> StageLatency {
        let distribution = self.of(stage);
        distribution.fold();
        let recorded = distribution.histogram.iter_recorded();
        let values = recorded.map(|one| {
            let micros = u32::try_from(one.value_iterated_to()).unwrap_or(u32::MAX);
            (micros, one.count_at_value())
        });
        StageLatency {
            shard,
            stage,
            values: values.collect(),
        }
    }

    fn of(&mut self, stage: Stage) -> &mut Distribution {
        match stage {
            Stage::Seen => &mut self.seen,
            Stage::Durable => &mut self.durable,
            Stage::Assembled => &mut self.assembled,
            Stage::Turn => &mut self.turn,
            Stage::Commit => &mut self.commit,
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self {
            steps: Box::new([0; STEPS]),
            histogram: histogram.expect("the bounds are valid"),
        }
    }

    #[inline]
    fn record(&mut self, value: Duration, count: u32) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let step = usize::try_from(nanos >> STEP_SHIFT).unwrap_or(usize::MAX);
        match self.steps.get_mut(step) {
            Some(counted) => match counted.checked_add(count) {
                Some(sum) => *counted = sum,
                None => self.record_long(nanos, count),
            },
            None => self.record_long(nanos, count),
        }
    }

    #[cold]
    fn record_long(&mut self, nanos: u64, count: u32) {
        self.histogram
            .saturating_record_n(nanos.div_ceil(1_000), u64::from(count));
    }

    /// Takes what the steps have counted into the histogram, each at its upper end.
    fn fold(&mut self) {
        for (step, count) in self.steps.iter_mut().enumerate() {
            let count = u64::from(std::mem::take(count));
            if count > 0 {
                let end = (step as u64 + 1) << STEP_SHIFT;
                self.histogram
                    .saturating_record_n(end.div_ceil(1_000), count);
            }
        }
    }
}

/// A step is this power of two of nanoseconds: 131 us.
const STEP_SHIFT: u32 = 17;
/// Steps: up to 268 ms, more than the usual commit interval.
const STEPS: usize = 2_048;
/// A minute: whoever waits longer has other trouble.
const LONGEST_US: u64 = 60_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn values(latencies: &mut Latencies) -> Vec<(u32, u64)> {
        latencies.tell(0, Stage::Durable).values
    }

    #[test]
    fn short_and_long_values_are_told_with_their_counts_in_order() {
        let mut latencies = Latencies::new();
        latencies.record(Stage::Durable, Duration::from_secs(2));
        latencies.record(Stage::Durable, Duration::from_millis(150));
        latencies.record_many(Stage::Durable, Duration::from_micros(10), 5);
        latencies.record(Stage::Seen, Duration::from_millis(1));
        let told = values(&mut latencies);
        assert_eq!(
            told.iter().map(|&(_, count)| count).collect::<Vec<_>>(),
            [5, 1, 1]
        );
        let within =
            |value: u32, micros: u32| (micros..=micros + micros / 500 + 132).contains(&value);
        assert!(
            within(told[0].0, 10) && within(told[1].0, 150_000) && within(told[2].0, 2_000_000)
        );
        assert_eq!(values(&mut latencies), told, "told again as it is");
    }

    #[test]
    fn a_value_beyond_all_bounds_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(Stage::Turn, Duration::MAX);
        let told = latencies.tell(3, Stage::Turn);
        assert_eq!((told.shard, told.values.len()), (3, 1));
        assert!(u64::from(told.values[0].0) >= LONGEST_US);
    }
}
