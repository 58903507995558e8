//! The Unix socket on which an operator's commands come (`holdfast calls`): a line in, a line out.
//!
//! Recording does not depend on it: where it cannot be had the process says so and goes on without.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_control::operator::{Answer, COMMAND_SIZE_MAX, Command, Placing, from_line, to_line};
use holdfast_control::status::{Question, Reply};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::incoming::Incoming;
use crate::limits::{ACCEPT_PAUSE, OPERATOR_IDLE_MAX, OPERATORS_MAX, WRITE_TIMEOUT};

/// Takes commands until the process ends.
pub async fn run(path: PathBuf, inbox: Sender<Incoming>) {
    let listener = match bind(&path).await {
        Ok(listener) => listener,
        Err(error) => {
            let socket = path.display();
            error!(%socket, %error, "no commands are taken: the socket cannot be had");
            return;
        }
    };
    info!(socket = %path.display(), "commands are taken");
    let _bound = Bound(path);
    let places = Arc::new(Semaphore::new(OPERATORS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Beyond the places there are, the connection is closed at once.
                let Ok(place) = places.clone().try_acquire_owned() else {
                    warn!("as many operators as there may be: one more is sent away");
                    continue;
                };
                let inbox = inbox.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = serve(stream, &inbox).await {
                        debug!(%error, "an operator's connection");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "an operator's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Takes the place of a socket that nobody listens on any more, and of none else. Its owner and
/// group may use it.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let is_alive = UnixStream::connect(path).await.is_ok();
    if is_alive {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens on it",
        ));
    }
    remove(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// The name of a socket that goes away with it.
struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        // Whoever comes next takes its place anyhow.
        let _ = remove(&self.0);
    }
}

/// Removes a socket; never a file of another kind.
fn remove(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(entry) if entry.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is no socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

async fn serve(stream: UnixStream, inbox: &Sender<Incoming>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(COMMAND_SIZE_MAX as u64);
        let size = timeout(OPERATOR_IDLE_MAX, bounded.read_until(b'\n', &mut line)).await??;
        if size == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        let answer = match (is_whole, from_line::<Question>(&line)) {
            (true, Ok(question)) => to_line(&reply(question, inbox).await),
            (true, Err(_)) => to_line(&answer(&line, inbox).await),
            (false, _) => to_line(&Answer::Malformed {
                text: format!("a command is one line of at most {COMMAND_SIZE_MAX} octets"),
            }),
        };
        timeout(WRITE_TIMEOUT, writer.write_all(&answer)).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

async fn reply(question: Question, inbox: &Sender<Incoming>) -> Reply {
    let (answer, answered) = oneshot::channel();
    let asked = inbox.send(Incoming::Ask { question, answer }).await;
    match (asked, answered.await) {
        (Ok(()), Ok(reply)) => reply,
        (Err(_), _) | (_, Err(_)) => Reply::Malformed {
            text: "the process is ending".to_owned(),
        },
    }
}

async fn answer(line: &[u8], inbox: &Sender<Incoming>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let wanted = match (from_line::<Placing>(line), from_line::<Command>(line)) {
        (Ok(placing), _) => Incoming::Placing { placing, answer },
        (Err(_), Ok(command)) => Incoming::Command { command, answer },
        (Err(_), Err(error)) => {
            return Answer::Malformed {
                text: error.to_string(),
            };
        }
    };
    let asked = inbox.send(wanted).await;
    match (asked, answered.await) {
        (Ok(()), Ok(answer)) => answer,
        (Err(_), _) | (_, Err(_)) => Answer::Malformed {
            text: "the process is ending".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper").join("operator.sock");
        let first = bind(&path).await.unwrap();
        let error = bind(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // A process that was killed leaves its name behind.
        drop(first);
        assert!(path.exists());
        let second = bind(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop((second, Bound(path.clone())));
        assert!(!path.exists());

        std::fs::write(&path, "not ours").unwrap();
        assert!(bind(&path).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not ours");
    }
}
