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
use crate::limits::{ENGINE_QUEUE_SIZE_MAX, ENGINE_RETRY_MAX, ENGINE_RETRY_MIN};
use crate::server::Incoming;

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
    let mut is_told = false;
    loop {
        match UnixSeqpacket::connect(&path).await {
            Ok(socket) => {
                info!(socket = %path.display(), "connected to the media engine");
                is_told = false;
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
                if !is_told {
                    warn!(socket = %path.display(), %error, "the media engine is not there");
                    is_told = true;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ENGINE_RETRY_MAX);
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
        debug!(?message, "from the engine");
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
