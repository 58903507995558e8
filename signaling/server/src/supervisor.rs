//! Signaling is alive for as long as it answers, which systemd wants to hear.

use holdfast_control::status::Question;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use crate::incoming::Incoming;

/// Says that the process is alive for as long as the task that owns the recorder answers, where the
/// supervisor wants to hear it.
pub async fn keep_alive(inbox: Sender<Incoming>) {
    let Some(limit) = holdfast_process::watchdog() else {
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
            holdfast_process::tell_alive();
        }
        tokio::time::sleep(limit / 3).await;
    }
}
