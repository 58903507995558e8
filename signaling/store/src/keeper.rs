//! The thread in which a home lives.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use holdfast_units::RecordingId;

use crate::home::{Change, Home, Row, StoreError};
use crate::limits::{BATCH_MAX, RETRY};

/// Hands states to the thread of a home.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What became of what was handed over.
#[derive(Debug)]
pub enum Report {
    /// Every state up to this ticket is durable.
    Saved(u64),
    /// The home does not save. What was handed over and is not reported as saved is dropped.
    Away(StoreError),
    /// It saves again: all that is wanted is to be handed over anew.
    Back,
}

/// There can be no thread.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the store")]
pub struct StartError(#[from] io::Error);

#[derive(Debug)]
enum Order {
    Put(u64, Row),
    Remove(RecordingId),
}

impl Keeper {
    /// Starts the thread. It reports by `report`, in its own thread; `false` ends it.
    ///
    /// # Errors
    ///
    /// The system has no further thread.
    pub fn start(
        home: Box<dyn Home>,
        report: impl Fn(Report) -> bool + Send + 'static,
    ) -> Result<Self, StartError> {
        let (orders, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(home, &queue, &report))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Has a state saved; tickets rise.
    pub fn put(&self, ticket: u64, row: Row) {
        self.order(Order::Put(ticket, row));
    }

    /// Has a state removed, some time.
    pub fn remove(&self, recording: RecordingId) {
        self.order(Order::Remove(recording));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that has ended had nobody left to report to.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Keeper {
    /// Waits until all that was handed over is saved, or cannot be.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was told by the panic hook.
            let _ = thread.join();
        }
    }
}

/// What goes into one commit: of each recording the latest alone.
#[derive(Default)]
struct Batch {
    changes: BTreeMap<RecordingId, Change>,
    ticket: Option<u64>,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Put(ticket, row) => {
                self.ticket = Some(ticket);
                self.changes.insert(row.recording, Change::Put(row));
            }
            Order::Remove(recording) => {
                self.changes.insert(recording, Change::Remove(recording));
            }
        }
    }
}

fn serve(mut home: Box<dyn Home>, queue: &Receiver<Order>, report: &impl Fn(Report) -> bool) {
    while let Ok(order) = queue.recv() {
        let mut batch = Batch::default();
        batch.add(order);
        while let Some(order) = (batch.changes.len() < BATCH_MAX)
            .then(|| queue.try_recv().ok())
            .flatten()
        {
            batch.add(order);
        }
        let changes: Vec<Change> = batch.changes.into_values().collect();
        let goes_on = match home.commit(&changes) {
            Ok(()) => batch
                .ticket
                .is_none_or(|ticket| report(Report::Saved(ticket))),
            Err(error) => {
                report(Report::Away(error))
                    && regain(home.as_mut(), queue, &changes)
                    && report(Report::Back)
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// Tries until the home saves. States that are handed over meanwhile will be again, so they are
/// dropped; what was to be removed is not told twice. `false`: nobody wants anything any more.
fn regain(home: &mut dyn Home, queue: &Receiver<Order>, failed: &[Change]) -> bool {
    let removed = |change: &Change| match change {
        Change::Remove(recording) => Some(*recording),
        Change::Put(_) => None,
    };
    let mut gone: BTreeSet<RecordingId> = failed.iter().filter_map(removed).collect();
    loop {
        let again = Instant::now() + RETRY;
        loop {
            match queue.recv_timeout(again.saturating_duration_since(Instant::now())) {
                Ok(Order::Remove(recording)) => drop(gone.insert(recording)),
                Ok(Order::Put(_, row)) => drop(gone.remove(&row.recording)),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        let changes: Vec<Change> = gone.iter().copied().map(Change::Remove).collect();
        if home.commit(&changes).is_ok() {
            return true;
        }
    }
}
