//! The engine is alive for as long as each of its shards is, which systemd wants to hear.

use std::time::{Duration, Instant};

/// Alive for as long as every shard tells its numbers, which it does once a second.
#[derive(Debug)]
pub struct Watchdog {
    is_wanted: bool,
    /// When each shard was heard last.
    heard: Vec<Instant>,
}

/// Without a word for so long a shard is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(5);

impl Watchdog {
    pub fn new(now: Instant, shards: usize) -> Self {
        Self {
            is_wanted: holdfast_process::watchdog().is_some(),
            heard: vec![now; shards],
        }
    }

    /// A shard has told its numbers.
    pub fn handle_word(&mut self, now: Instant, shard: usize) {
        if let Some(heard) = self.heard.get_mut(shard) {
            *heard = now;
        }
    }

    /// Tells the supervisor, where all is well; called once a second.
    pub fn look(&self, now: Instant) {
        if self.is_wanted && self.is_alive(now) {
            holdfast_process::tell_alive();
        }
    }

    fn is_alive(&self, now: Instant) -> bool {
        let silence = |heard: &Instant| now.saturating_duration_since(*heard);
        self.heard.iter().all(|heard| silence(heard) < SILENCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_that_is_silent_is_enough() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(start, 2);
        assert!(watchdog.is_alive(at(4)));
        watchdog.handle_word(at(4), 0);
        assert!(!watchdog.is_alive(at(6)));
        watchdog.handle_word(at(6), 1);
        assert!(watchdog.is_alive(at(7)));
        watchdog.handle_word(at(7), 9);
    }
}
