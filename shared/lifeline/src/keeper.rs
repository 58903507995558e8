//! The keeping end: a thread that holds what the other process has deposited.
//!
//! It is a thread of its own, so that a process that is busy answers all the same. There is one
//! connection at a time; a newer one takes the place of an older, whose process must be dead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, error, info, warn};

use crate::limits::{KEEP_MAX, RETRY_PAUSE};
use crate::message::{FromKeeper, ToKeeper, decode, encode};
use crate::store::Store;
use crate::wire::{Connection, Listener};

/// Begins to keep descriptors, at most this many, for who connects to `path`; until the process ends.
///
/// # Errors
///
/// What the system says of the path or of a further thread.
pub fn start(path: &Path, descriptors_max: usize) -> io::Result<()> {
    let listener = Listener::bind(path)?;
    let mut keeper = Keeper {
        store: Store::new(descriptors_max),
        owner: None,
        connections: 0,
        gone_at: None,
    };
    thread::Builder::new()
        .name("keeper".into())
        .spawn(move || keeper.run(&listener))?;
    Ok(())
}

struct Keeper {
    store: Store,
    owner: Option<Connection>,
    connections: u64,
    /// Since when there is no owner of what is kept.
    gone_at: Option<Instant>,
}

impl Keeper {
    fn run(&mut self, listener: &Listener) -> ! {
        loop {
            let (is_new, is_said) = match self.wait(listener) {
                Ok(ready) => ready,
                Err(error) => {
                    error!(%error, "the keeper of descriptors cannot wait");
                    thread::sleep(RETRY_PAUSE);
                    continue;
                }
            };
            if is_said {
                self.listen_to_owner();
            }
            if is_new {
                self.accept(listener);
            }
            self.forget_the_dead();
        }
    }

    /// Whether there is a new connection, and whether the present one says something.
    fn wait(&self, listener: &Listener) -> io::Result<(bool, bool)> {
        let mut waiting = vec![PollFd::new(listener, PollFlags::IN)];
        waiting.extend(self.owner.as_ref().map(|it| PollFd::new(it, PollFlags::IN)));
        let left = self.gone_at.map(|at| KEEP_MAX.saturating_sub(at.elapsed()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut waiting, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |at: usize| waiting.get(at).is_some_and(|it| !it.revents().is_empty());
        Ok((is_ready(0), is_ready(1)))
    }

    fn accept(&mut self, listener: &Listener) {
        match listener.accept() {
            Ok(connection) => {
                self.connections += 1;
                self.owner = Some(connection);
                self.gone_at = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                warn!(%error, "a connection for descriptors is not taken");
                thread::sleep(RETRY_PAUSE);
            }
        }
    }

    fn listen_to_owner(&mut self) {
        let Some(owner) = &self.owner else { return };
        let received = match owner.receive() {
            Ok(received) if received.bytes.is_empty() => return self.lose_owner("it is gone"),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                error!(%error, "the other process's descriptors cannot be kept");
                return;
            }
            Err(error) => return self.lose_owner(&error.to_string()),
        };
        match decode(&received.bytes) {
            Ok(ToKeeper::Fetch) => self.give(),
            Ok(ToKeeper::Deposit(items)) => {
                let connection = self.connections;
                let kept = self.store.deposit(connection, items, received.descriptors);
                if let Err(error) = kept {
                    error!(%error, "the other process's descriptors are not kept");
                }
            }
            Ok(ToKeeper::Withdraw(keys)) => {
                for key in keys {
                    self.store.withdraw(&key);
                }
            }
            Ok(ToKeeper::Settled) => {
                let dropped = self.store.settle(self.connections);
                let kept = self.store.descriptors();
                debug!(kept, dropped, "descriptors of the other process");
            }
            Err(error) => {
                error!(%error, "a message about descriptors does not read");
                self.lose_owner("it does not speak as it should");
            }
        }
    }

    fn give(&mut self) {
        let Some(owner) = &self.owner else { return };
        let batches = self.store.batches();
        let count = batches.len();
        let mut sent = Ok(());
        for (index, (items, descriptors)) in batches.into_iter().enumerate() {
            let is_last = index + 1 == count;
            let bytes = encode(&FromKeeper::Kept { items, is_last });
            let descriptors: Vec<BorrowedFd<'_>> =
                descriptors.iter().map(|it| it.as_fd()).collect();
            sent = owner.send(&bytes, &descriptors);
            if sent.is_err() {
                break;
            }
        }
        match sent {
            Ok(()) => {
                let descriptors = self.store.descriptors();
                if descriptors > 0 {
                    info!(descriptors, "what was kept is given back");
                }
            }
            Err(error) => self.lose_owner(&error.to_string()),
        }
    }

    fn lose_owner(&mut self, why: &str) {
        self.owner = None;
        self.gone_at = Some(Instant::now());
        let kept = self.store.descriptors();
        if kept > 0 {
            info!(why, kept, "the other process's descriptors are kept for it");
        }
    }

    fn forget_the_dead(&mut self) {
        if self.gone_at.is_some_and(|at| at.elapsed() >= KEEP_MAX) {
            self.gone_at = None;
            let descriptors = self.store.descriptors();
            if descriptors > 0 {
                warn!(descriptors, after = ?KEEP_MAX, "nobody came for what was kept: it is let go");
            }
            self.store.clear();
        }
    }
}
