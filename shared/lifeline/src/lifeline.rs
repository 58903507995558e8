//! The owner's end: what this process wants kept, said to a keeper that may come and go.
//!
//! A thread of its own holds a second handle of each descriptor and says all of it again to each
//! keeper that it meets. Whoever deposits and withdraws never waits.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tracing::{error, info, warn};

use crate::depot::Depot;
use crate::limits::RETRY_PAUSE;
use crate::message::{FromKeeper, Item, ToKeeper, decode, encode};
use crate::store::{count_of, encoded_size_max, fits};
use crate::wire::Connection;

/// A handle of a descriptor that several hold.
pub type Descriptor = Arc<dyn AsFd + Send + Sync>;

/// One thing that was kept.
#[derive(Debug)]
pub struct Kept {
    /// What it is called.
    pub key: String,
    /// What its owner wanted to know about it.
    pub note: Vec<u8>,
    /// Its descriptors, in the order in which they were deposited.
    pub descriptors: Vec<OwnedFd>,
}

/// See the module's documentation. Clones speak for the same process.
#[derive(Clone, Debug)]
pub struct Lifeline {
    changes: Sender<Change>,
    /// Wakes the thread.
    wake: Arc<OwnedFd>,
}

enum Change {
    Deposit(String, Thing),
    Withdraw(String),
    WithdrawAll,
    Settled,
    Flush(SyncSender<()>),
}

/// What is to be kept under a key.
pub(crate) struct Thing {
    pub(crate) note: Vec<u8>,
    pub(crate) descriptors: Vec<Descriptor>,
}

impl Lifeline {
    /// Asks the keeper at `path` for what it keeps, and goes on to tell it what is to be kept. Where
    /// there is none, nothing is kept, and the next one is told as soon as it is there. What it does not
    /// have comes from systemd, if that has it.
    ///
    /// # Errors
    ///
    /// The system gives no thread, or no descriptor for it.
    pub fn connect(path: &Path) -> io::Result<(Self, Vec<Kept>)> {
        let (depot, stored) = Depot::open();
        let (connection, mut kept) = match fetch(path) {
            Ok((connection, kept)) => (Some(connection), kept),
            Err(error) if is_absence(&error) => (None, Vec::new()),
            Err(error) => {
                warn!(keeper = %path.display(), %error, "what may be kept there cannot be had");
                (None, Vec::new())
            }
        };
        let is_new = |it: &Kept| kept.iter().all(|known| known.key != it.key);
        let stored: Vec<Kept> = stored.into_iter().filter(is_new).collect();
        if !stored.is_empty() {
            info!(
                things = stored.len(),
                "systemd kept what the other process does not have"
            );
        }
        kept.extend(stored);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (changes, queue) = channel();
        let mut owner = Owner {
            path: path.to_owned(),
            wake: wake.clone(),
            queue,
            things: BTreeMap::new(),
            connection,
            depot,
            is_settled: false,
        };
        thread::Builder::new()
            .name("lifeline".into())
            .spawn(move || owner.run())?;
        Ok((Self { changes, wake }, kept))
    }

    /// Has descriptors kept, in the place of what has this key.
    pub fn deposit(&self, key: String, note: Vec<u8>, descriptors: Vec<Descriptor>) {
        self.tell(Change::Deposit(key, Thing { note, descriptors }));
    }

    /// Has something kept no longer.
    pub fn withdraw(&self, key: String) {
        self.tell(Change::Withdraw(key));
    }

    /// Has nothing kept any longer: this process ends as it should.
    pub fn withdraw_all(&self) {
        self.tell(Change::WithdrawAll);
    }

    /// All that goes on has been deposited: what an earlier process had kept beside it may go.
    pub fn settle(&self) {
        self.tell(Change::Settled);
    }

    /// Waits until the keeper, if there is one, has been told all that was said until now.
    pub fn flush(&self, timeout: Duration) {
        let (done, told) = sync_channel(1);
        self.tell(Change::Flush(done));
        let _ = told.recv_timeout(timeout);
    }

    fn tell(&self, change: Change) {
        // The thread ends only with the process.
        let _ = self.changes.send(change);
        // It fails only where the thread is to wake already.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

struct Owner {
    path: PathBuf,
    wake: Arc<OwnedFd>,
    queue: Receiver<Change>,
    /// All that is to be kept.
    things: BTreeMap<String, Thing>,
    connection: Option<Connection>,
    depot: Depot,
    is_settled: bool,
}

/// What one turn has to tell.
#[derive(Default)]
struct News {
    deposits: Vec<String>,
    withdrawals: Vec<String>,
    is_settled: bool,
    flushes: Vec<SyncSender<()>>,
}

impl Owner {
    fn run(&mut self) {
        loop {
            if self.connection.is_none() {
                self.connect();
            }
            let Some(news) = self.take_news() else {
                return;
            };
            self.tell(&news);
            self.store(&news);
            for flush in news.flushes {
                let _ = flush.try_send(());
            }
            self.wait();
        }
    }

    fn connect(&mut self) {
        let Ok(connection) = Connection::connect(&self.path) else {
            return;
        };
        info!(keeper = %self.path.display(), descriptors = self.count(), "descriptors are kept there");
        self.connection = Some(connection);
        let all = News {
            deposits: self.things.keys().cloned().collect(),
            is_settled: self.is_settled,
            ..News::default()
        };
        self.tell(&all);
    }

    fn count(&self) -> usize {
        self.things.values().map(|it| it.descriptors.len()).sum()
    }

    /// All that was said since the last time; `None` where nobody is left to say anything.
    fn take_news(&mut self) -> Option<News> {
        let mut news = News::default();
        loop {
            match self.queue.try_recv() {
                Ok(Change::Deposit(key, thing)) => {
                    let item = thing.item(&key);
                    if !item.is_fit() {
                        error!(key, "too much to be kept as one thing: it is not");
                        continue;
                    }
                    news.withdrawals.retain(|it| *it != key);
                    news.deposits.push(key.clone());
                    self.things.insert(key, thing);
                }
                Ok(Change::Withdraw(key)) => {
                    news.deposits.retain(|it| *it != key);
                    self.things.remove(&key);
                    news.withdrawals.push(key);
                }
                Ok(Change::WithdrawAll) => {
                    // What an earlier process left goes too.
                    self.is_settled = true;
                    news = News {
                        withdrawals: self.things.keys().cloned().collect(),
                        is_settled: true,
                        ..news
                    };
                    news.deposits.clear();
                    self.things.clear();
                }
                Ok(Change::Settled) => {
                    self.is_settled = true;
                    news.is_settled = true;
                }
                Ok(Change::Flush(done)) => news.flushes.push(done),
                Err(TryRecvError::Empty) => return Some(news),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn tell(&mut self, news: &News) {
        let Some(connection) = &self.connection else {
            return;
        };
        if let Err(error) = self.send(connection, news) {
            warn!(%error, "the other process does not keep descriptors any more");
            self.connection = None;
        }
    }

    /// The same to systemd, which is there all the time.
    fn store(&mut self, news: &News) {
        for key in &news.withdrawals {
            self.depot.remove(key);
        }
        for (key, thing) in news
            .deposits
            .iter()
            .filter_map(|key| self.things.get_key_value(key))
        {
            self.depot.store(key, thing);
        }
        if news.is_settled {
            self.depot.settle();
        }
    }

    fn send(&self, connection: &Connection, news: &News) -> io::Result<()> {
        for keys in news.withdrawals.chunks(KEYS_MAX) {
            connection.send(&encode(&ToKeeper::Withdraw(keys.to_vec())), &[])?;
        }
        let (mut items, mut descriptors, mut size) = (Vec::new(), Vec::new(), 0);
        for (key, thing) in news
            .deposits
            .iter()
            .filter_map(|key| self.things.get_key_value(key))
        {
            let item = thing.item(key);
            if !fits(count_of(&items), size, thing.descriptors.len(), &item) {
                let message = ToKeeper::Deposit(std::mem::take(&mut items));
                connection.send(&encode(&message), &descriptors)?;
                descriptors.clear();
                size = 0;
            }
            size += encoded_size_max(&item);
            items.push(item);
            descriptors.extend(thing.descriptors.iter().map(|it| it.as_fd()));
        }
        if !items.is_empty() {
            connection.send(&encode(&ToKeeper::Deposit(items)), &descriptors)?;
        }
        if news.is_settled {
            connection.send(&encode(&ToKeeper::Settled), &[])?;
        }
        Ok(())
    }

    /// Waits for something to say, or for the keeper to go; without one, for a while.
    fn wait(&mut self) {
        let mut waiting = vec![PollFd::new(&self.wake, PollFlags::IN)];
        let connection = self.connection.as_ref();
        waiting.extend(connection.map(|it| PollFd::new(it, PollFlags::IN)));
        let pause = Timespec::try_from(RETRY_PAUSE).ok();
        let timeout = if connection.is_none() { pause } else { None };
        let _ = poll(&mut waiting, timeout.as_ref());
        let is_over = waiting.get(1).is_some_and(|it| !it.revents().is_empty());
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        // It says nothing unasked, so this is its end.
        if is_over {
            self.connection = None;
        }
    }
}

impl Thing {
    /// What a message says of it.
    pub(crate) fn item(&self, key: &str) -> Item {
        Item {
            key: key.to_owned(),
            note: self.note.clone(),
            count: u16::try_from(self.descriptors.len()).unwrap_or(u16::MAX),
        }
    }
}

fn fetch(path: &Path) -> io::Result<(Connection, Vec<Kept>)> {
    let connection = Connection::connect(path)?;
    connection.send(&encode(&ToKeeper::Fetch), &[])?;
    let mut kept = Vec::new();
    loop {
        let received = connection.receive()?;
        if received.bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let FromKeeper::Kept { items, is_last } =
            decode(&received.bytes).map_err(io::Error::other)?;
        if count_of(&items) != received.descriptors.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut descriptors = received.descriptors.into_iter();
        for Item { key, note, count } in items {
            let descriptors = descriptors.by_ref().take(usize::from(count)).collect();
            kept.push(Kept {
                key,
                note,
                descriptors,
            });
        }
        if is_last {
            return Ok((connection, kept));
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(
        error.kind(),
        NotFound | ConnectionRefused | ConnectionReset | UnexpectedEof
    )
}

impl fmt::Debug for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thing")
            .field("descriptors", &self.descriptors.len())
            .finish_non_exhaustive()
    }
}

/// Keys in one message.
const KEYS_MAX: usize = 256;
