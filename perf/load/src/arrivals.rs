//! When the calls of a run are placed.

use std::time::Duration;

use crate::pattern::{self, LegKey};

/// How the calls of a run follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// One as long after the other as the rate says.
    #[default]
    Steady,
    /// As callers who know nothing of each other: a Poisson process, exponential gaps of that mean.
    Poisson,
}

impl Arrivals {
    /// When each of `calls` calls is due, from the first one on, at `rate` of them a second. The gaps of
    /// a Poisson process are a function of `seed`.
    pub fn due(self, calls: u32, rate: f64, seed: u64) -> Vec<Duration> {
        match self {
            Self::Steady => (0..calls)
                .map(|call| Duration::from_secs_f64(f64::from(call) / rate))
                .collect(),
            Self::Poisson => {
                let mut at = 0.0;
                let mut next = |call| {
                    let due = Duration::from_secs_f64(at);
                    let behind = LegKey { call, leg: 0 };
                    at += pattern::exponential(behind, GAP, seed, 1.0 / rate);
                    due
                };
                (0..calls).map(&mut next).collect()
            }
        }
    }
}

/// The packet number that stands for the gap behind a call: no leg comes to it.
const GAP: u32 = u32::MAX - 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_calls_come_at_one_distance() {
        let due = Arrivals::Steady.due(4, 8.0, 1);
        assert_eq!(due, [0, 125, 250, 375].map(Duration::from_millis));
        assert_eq!(Arrivals::Steady.due(0, 8.0, 1), []);
    }

    #[test]
    fn the_calls_of_a_poisson_process_come_at_the_rate_and_at_no_distance() {
        let due = Arrivals::Poisson.due(20_000, 50.0, 3);
        assert_eq!(due[0], Duration::ZERO);
        assert!(due.is_sorted());
        let last = due[19_999].as_secs_f64();
        assert!((390.0..410.0).contains(&last), "{last} s, not 400");
        // Of such calls as many come within a second as in another only by chance: the variance of the
        // count is its mean, where steady calls have none.
        let mut counts = vec![0.0_f64; last as usize];
        for at in &due {
            if let Some(count) = counts.get_mut(at.as_secs() as usize) {
                *count += 1.0;
            }
        }
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let square = counts.iter().map(|count| (count - mean).powi(2));
        let variance = square.sum::<f64>() / counts.len() as f64;
        assert!((0.8..1.25).contains(&(variance / mean)), "{variance}");
    }

    #[test]
    fn a_seed_gives_the_same_calls_and_another_one_others() {
        let of = |seed| Arrivals::Poisson.due(50, 20.0, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
