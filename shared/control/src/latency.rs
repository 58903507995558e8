//! Figures of a [`StageLatency`].

use serde_json::{Map, Value, json};

use crate::message::StageLatency;

impl StageLatency {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.values.iter().map(|(_, count)| count).sum()
    }

    /// The value that `percentile` (0 to 100) of all values are at or below, in microseconds; `None`
    /// where there are none.
    pub fn percentile(&self, percentile: f64) -> Option<u32> {
        let rank = (self.count() as f64 * percentile.clamp(0.0, 100.0) / 100.0).ceil();
        let mut before = 0;
        let reached = self.values.iter().find(|(_, count)| {
            before += count;
            before as f64 >= rank.max(1.0)
        });
        reached.map(|(micros, _)| *micros)
    }

    /// The greatest value in microseconds.
    pub fn max(&self) -> Option<u32> {
        self.values.last().map(|(micros, _)| *micros)
    }

    /// The mean in microseconds.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        let sum: f64 = self
            .values
            .iter()
            .map(|(micros, count)| f64::from(*micros) * *count as f64)
            .sum();
        (count > 0).then(|| sum / count as f64)
    }

    /// All of it as programs are told it, with these percentiles (0 to 100); times are in microseconds,
    /// and null where there are no values.
    pub fn to_json(&self, percentiles: &[f64]) -> Value {
        let percentiles: Map<String, Value> = percentiles
            .iter()
            .map(|it| (it.to_string(), json!(self.percentile(*it))))
            .collect();
        json!({
            "shard": self.shard,
            "stage": self.stage.name(),
            "count": self.count(),
            "mean_us": self.mean(),
            "max_us": self.max(),
            "percentiles_us": percentiles,
        })
    }

    /// The same stage of several shards as one; `None` where there is none.
    pub fn merged<'a>(stages: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut stages = stages.into_iter();
        let first = stages.next()?.clone();
        let mut values: std::collections::BTreeMap<u32, u64> = first.values.into_iter().collect();
        for (micros, count) in stages.flat_map(|it| &it.values) {
            *values.entry(*micros).or_default() += count;
        }
        Some(Self {
            values: values.into_iter().collect(),
            ..first
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    fn latency(values: &[(u32, u64)]) -> StageLatency {
        StageLatency {
            shard: 0,
            stage: Stage::Durable,
            values: values.to_vec(),
        }
    }

    #[test]
    fn figures_of_a_few_values() {
        let some = latency(&[(10, 50), (20, 49), (900, 1)]);
        for (percentile, expected) in [
            (0.0, 10),
            (50.0, 10),
            (50.1, 20),
            (99.0, 20),
            (99.1, 900),
            (100.0, 900),
            (200.0, 900),
        ] {
            assert_eq!(some.percentile(percentile), Some(expected), "{percentile}");
        }
        assert_eq!((some.count(), some.max()), (100, Some(900)));
        assert_eq!(some.mean(), Some(23.8));
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = latency(&[]);
        assert_eq!(
            (none.count(), none.max(), none.percentile(50.0)),
            (0, None, None)
        );
        assert_eq!(none.mean(), None);
        assert_eq!(StageLatency::merged([]), None);
    }

    #[test]
    fn shards_are_put_together() {
        let all = [latency(&[(10, 1), (20, 2)]), latency(&[(5, 1), (20, 1)])];
        let merged = StageLatency::merged(&all).unwrap();
        assert_eq!(merged.values, [(5, 1), (10, 1), (20, 3)]);
    }
}
