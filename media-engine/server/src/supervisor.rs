//! What systemd is told: ready, alive, ending. Without a supervisor that wants to know, nothing is.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

/// Packets are taken.
pub fn tell_ready() {
    tell(NotifyState::Ready);
}

/// The process is ending.
pub fn tell_stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the supervisor cannot be told");
    }
}

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
            is_wanted: sd_notify::watchdog_enabled().is_some(),
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
            tell(NotifyState::Watchdog);
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
