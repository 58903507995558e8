//! The connection to the media engine: made, kept, made anew.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_control::limits::MESSAGE_SIZE_MAX;
use holdfast_control::{FromEngine, ToEngine, decode, encode};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_seqpacket::UnixSeqpacket;
use tracing::{debug, error, info, warn};

use crate::chain;
use crate::incoming::Incoming;
use crate::limits::{
    ENGINE_ABSENT_LONG, ENGINE_QUEUE_SIZE_MAX, ENGINE_RETRY_MAX, ENGINE_RETRY_MIN,
};

/// The sending end of one connection; each connection has its own, so that nothing meant for one
/// leaves on the next.
#[derive(Debug)]
pub struct EngineSender {
    queue: UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
}

/// The engine does not take any more: the connection is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStuck;

impl EngineSender {
    pub fn send(&self, message: &ToEngine) -> Result<(), EngineStuck> {
        let bytes = match encode(message) {
            Ok(bytes) => bytes,
            Err(error) => {
                error!(
                    error = chain(&error),
                    "a message to the engine cannot be encoded"
                );
                return Ok(());
            }
        };
        let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if queued > ENGINE_QUEUE_SIZE_MAX {
            return Err(EngineStuck);
        }
        // Where the connection is gone already, its end is on its way.
        let _ = self.queue.send(bytes);
        Ok(())
    }
}

/// Keeps a connection to the engine until the process ends.
pub async fn run(path: PathBuf, inbox: Sender<Incoming>) {
    let mut pause = ENGINE_RETRY_MIN;
    let mut absence = Absence::default();
    loop {
        match UnixSeqpacket::connect(&path).await {
            Ok(socket) => {
                info!(socket = %path.display(), "connected to the media engine");
                absence = Absence::default();
                let since = Instant::now();
                if serve(&socket, &inbox).await.is_err() {
                    return;
                }
                // One that is cut off at once, as of another version, is not asked ever faster.
                if since.elapsed() > ENGINE_RETRY_MAX {
                    pause = ENGINE_RETRY_MIN;
                }
            }
            Err(error) => {
                let socket = path.display();
                match absence.look(Instant::now()) {
                    // Both processes start at the same time, and end one after the other.
                    Some(Looked::First) => info!(%socket, "waiting for the media engine"),
                    Some(Looked::Long) => warn!(%socket, %error, "the media engine is not there"),
                    None => {}
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ENGINE_RETRY_MAX);
    }
}

/// How long the engine has not been there, and what was said of it.
#[derive(Debug, Default)]
struct Absence {
    since: Option<Instant>,
    is_told: bool,
}

/// What is to be said of an absence, once each.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    First,
    Long,
}

impl Absence {
    fn look(&mut self, now: Instant) -> Option<Looked> {
        let Some(since) = self.since else {
            self.since = Some(now);
            return Some(Looked::First);
        };
        let is_long = now.duration_since(since) >= ENGINE_ABSENT_LONG;
        (is_long && !std::mem::replace(&mut self.is_told, true)).then_some(Looked::Long)
    }
}

/// The process is ending.
struct Ending;

async fn serve(socket: &UnixSeqpacket, inbox: &Sender<Incoming>) -> Result<(), Ending> {
    let (queue, messages) = unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let sender = EngineSender {
        queue,
        queued: queued.clone(),
    };
    inbox
        .send(Incoming::EngineUp(sender))
        .await
        .map_err(|_| Ending)?;
    // Both directions at once: each side may have to read before the other can write.
    let result = tokio::select! {
        result = read(socket, inbox) => result,
        result = write(socket, messages, &queued) => result,
    };
    if let Err(error) = result {
        warn!(%error, "the connection to the media engine failed");
    }
    inbox.send(Incoming::EngineGone).await.map_err(|_| Ending)
}

async fn read(socket: &UnixSeqpacket, inbox: &Sender<Incoming>) -> io::Result<()> {
    let mut buffer = vec![0; MESSAGE_SIZE_MAX + 1];
    loop {
        let size = socket.recv(&mut buffer).await?.bytes_read();
        if size == 0 {
            return Ok(());
        }
        let message: FromEngine = decode(buffer.get(..size).unwrap_or_default())
            .map_err(|error| io::Error::other(chain(&error)))?;
        debug!(told = ?message, "from the engine");
        if inbox.send(Incoming::Engine(message)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    socket: &UnixSeqpacket,
    mut messages: UnboundedReceiver<Vec<u8>>,
    queued: &AtomicUsize,
) -> io::Result<()> {
    while let Some(bytes) = messages.recv().await {
        socket.send(&bytes).await?;
        queued.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
    Err(io::Error::other("it does not take what it is told"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_absence_is_told_when_it_begins_and_when_it_is_long_and_no_more() {
        let (mut absence, start) = (Absence::default(), Instant::now());
        let mut said = Vec::new();
        for seconds in 0..60 {
            let now = start + Duration::from_secs(seconds);
            said.extend(absence.look(now).map(|what| (seconds, what)));
        }
        let long = ENGINE_ABSENT_LONG.as_secs();
        assert_eq!(said, [(0, Looked::First), (long, Looked::Long)]);
    }
}
