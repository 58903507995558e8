//! What systemd does for a process with `Type=notify` and a descriptor store: it keeps what it is told to
//! keep, and gives all of it to the next life (`man 3 sd_notify`, `man 3 sd_listen_fds`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::wait::wait_until;

/// Keeps the descriptors of one process; its thread ends with the test.
#[derive(Clone, Debug)]
pub struct Supervisor {
    path: PathBuf,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Newest last.
    store: Vec<(String, OwnedFd)>,
    /// Words of our own that came back, which says that all before them has been heard.
    echoes: usize,
}

impl Supervisor {
    /// Listens at `path`.
    ///
    /// # Panics
    /// When it can't.
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket to be notified by");
        let heard = Arc::<Mutex<Heard>>::default();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || listen(&socket, &told));
        Self {
            path: path.to_owned(),
            heard,
        }
    }

    /// How many descriptors are kept at present.
    ///
    /// # Panics
    /// When the thread that listens did.
    pub fn kept(&self) -> Vec<String> {
        self.hear_all();
        let heard = self.heard.lock().expect("the thread that listens");
        heard.store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The command that runs another one as systemd would, with all that is kept.
    ///
    /// # Panics
    /// When the system has no descriptors for that.
    pub fn command(&self, command: &[String]) -> Command {
        self.hear_all();
        // A shell knows its process id, which is that of what it becomes.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"])
            .args(command)
            .env("NOTIFY_SOCKET", &self.path);
        let heard = self.heard.lock().expect("the thread that listens");
        // The newest first, as systemd does.
        let (names, mappings): (Vec<_>, Vec<_>) = heard
            .store
            .iter()
            .rev()
            .zip(FIRST_DESCRIPTOR..)
            .map(|((name, descriptor), child_fd)| {
                let parent_fd = descriptor.try_clone().expect("a second handle");
                (
                    name.as_str(),
                    FdMapping {
                        parent_fd,
                        child_fd,
                    },
                )
            })
            .unzip();
        if !names.is_empty() {
            shell
                .env("LISTEN_FDS", names.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"))
                .fd_mappings(mappings)
                .expect("each at a place of its own");
        }
        shell
    }

    fn hear_all(&self) {
        let heard = || self.heard.lock().expect("the thread that listens").echoes;
        let before = heard();
        let socket = UnixDatagram::unbound().expect("a socket");
        socket
            .send_to(ECHO, &self.path)
            .expect("a word to ourselves");
        wait_until("what the process has said is heard", || heard() > before);
    }
}

fn listen(socket: &UnixDatagram, told: &Mutex<Heard>) {
    let mut bytes = [0; 4_096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(socket, &mut data, &mut control, flags).expect("a message");
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|it| match it {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        let text = String::from_utf8_lossy(&bytes[..received.bytes]);
        let mut heard = told.lock().expect("nobody panics with it");
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        match (text.lines().next(), name) {
            (Some("FDSTORE=1"), Some(name)) => {
                let new = descriptors.into_iter().map(|it| (name.to_owned(), it));
                heard.store.extend(new);
            }
            (Some("FDSTOREREMOVE=1"), Some(name)) => heard.store.retain(|(it, _)| it != name),
            _ if text.as_bytes() == ECHO => heard.echoes += 1,
            _ => {}
        }
    }
}

/// `SD_LISTEN_FDS_START`.
const FIRST_DESCRIPTOR: i32 = 3;

const ECHO: &[u8] = b"X_ECHO=1";
