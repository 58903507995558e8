//! What systemd is told: ready, alive, ending. Without a supervisor that wants to know, nothing is.

use holdfast_control::status::Question;
use sd_notify::NotifyState;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tracing::warn;

use crate::incoming::Incoming;

/// Requests are taken.
pub fn tell_ready() {
    tell(NotifyState::Ready);
}

/// The process is ending its calls.
pub fn tell_stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the supervisor cannot be told");
    }
}

/// Says that the process is alive for as long as the task that owns the recorder answers, where the
/// supervisor wants to hear it.
pub async fn keep_alive(inbox: Sender<Incoming>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        let (answer, answered) = oneshot::channel();
        let question = Question::Status;
        if inbox
            .send(Incoming::Ask { question, answer })
            .await
            .is_err()
        {
            return;
        }
        if answered.await.is_ok() {
            tell(NotifyState::Watchdog);
        }
        tokio::time::sleep(limit / 3).await;
    }
}
