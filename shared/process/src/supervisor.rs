//! What systemd is told (`man 3 sd_notify`): ready, alive, ending.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The process does what it is for.
pub fn tell_ready() {
    tell(NotifyState::Ready);
}

/// The process is alive; to be said again and again where [`watchdog`] says so.
pub fn tell_alive() {
    tell(NotifyState::Watchdog);
}

/// The process is ending.
pub fn tell_stopping() {
    tell(NotifyState::Stopping);
}

/// Within what time the supervisor wants to hear that the process is alive, if it does at all.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the supervisor cannot be told");
    }
}
