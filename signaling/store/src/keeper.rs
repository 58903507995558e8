//! The thread in which a home lives.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_units::RecordingId;

use crate::home::{Change, Dialog, Home, Row, StoreError};
use crate::limits::{BATCH_MAX, IDLE, RETRY};

/// Hands states to the thread of a home.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What became of what was handed over.
#[derive(Debug)]
pub enum Report {
    /// Every state up to this ticket is durable, or is told to be another node's.
    Saved(u64),
    /// Another node has these calls: what was handed over of them is dropped.
    Taken(Vec<RecordingId>),
    /// These calls were another node's, which does not live, and are this one's now.
    Adopted(Vec<Row>),
    /// The call of the dialog that was asked for, if any node has it.
    Found(u64, Option<Row>),
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
    Probe(u64),
    Remove(RecordingId),
    Find(u64, Dialog),
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
        let keeping = Keeping {
            home,
            queue,
            report: Box::new(report),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || keeping.serve())?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Has a state saved; tickets rise.
    pub fn put(&self, ticket: u64, row: Row) {
        self.order(Order::Put(ticket, row));
    }

    /// Has nothing saved, so that it is known whether anything would be; the ticket is one of [`Keeper::put`].
    pub fn probe(&self, ticket: u64) {
        self.order(Order::Probe(ticket));
    }

    /// Has a state removed, some time.
    pub fn remove(&self, recording: RecordingId) {
        self.order(Order::Remove(recording));
    }

    /// Asks for the call of a dialog; `number` is told back.
    pub fn find(&self, number: u64, dialog: Dialog) {
        self.order(Order::Find(number, dialog));
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
    questions: Vec<(u64, Dialog)>,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Put(ticket, mut row) => {
                self.ticket = Some(ticket);
                if let Some(Change::Put(before)) = self.changes.get(&row.recording) {
                    row.is_adopted |= before.is_adopted;
                }
                self.changes.insert(row.recording, Change::Put(row));
            }
            Order::Probe(ticket) => self.ticket = Some(ticket),
            Order::Remove(recording) => {
                self.changes.insert(recording, Change::Remove(recording));
            }
            Order::Find(number, dialog) => self.questions.push((number, dialog)),
        }
    }
}

/// Nobody wants anything any more.
struct Over;

struct Keeping {
    home: Box<dyn Home>,
    queue: Receiver<Order>,
    report: Box<dyn Fn(Report) -> bool + Send>,
}

impl Keeping {
    fn serve(mut self) {
        let pace = self.home.pace();
        let mut tend_at = pace.map(|pace| Instant::now() + pace);
        loop {
            let wait = tend_at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            let done = match self.queue.recv_timeout(wait) {
                Ok(order) => self.turn(order),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if done.is_err() {
                return;
            }
            if tend_at.is_some_and(|at| at <= Instant::now()) {
                if self.tend().is_err() {
                    return;
                }
                tend_at = pace.map(|pace| Instant::now() + pace);
            }
        }
    }

    fn turn(&mut self, first: Order) -> Result<(), Over> {
        let mut batch = Batch::default();
        batch.add(first);
        while let Some(order) = (batch.changes.len() < BATCH_MAX)
            .then(|| self.queue.try_recv().ok())
            .flatten()
        {
            batch.add(order);
        }
        let changes: Vec<Change> = batch.changes.into_values().collect();
        for (number, dialog) in batch.questions {
            match self.home.find(&dialog) {
                Ok(found) => self.tell(Report::Found(number, found))?,
                Err(error) => {
                    self.tell(Report::Found(number, None))?;
                    return self.lose(error, &changes);
                }
            }
        }
        if changes.is_empty() && batch.ticket.is_none() {
            return Ok(());
        }
        match self.home.commit(&changes) {
            Ok(taken) => {
                if !taken.is_empty() {
                    self.tell(Report::Taken(taken))?;
                }
                match batch.ticket {
                    Some(ticket) => self.tell(Report::Saved(ticket)),
                    None => Ok(()),
                }
            }
            Err(error) => self.lose(error, &changes),
        }
    }

    fn tend(&mut self) -> Result<(), Over> {
        match self.home.tend() {
            Ok(rows) if rows.is_empty() => Ok(()),
            Ok(rows) => self.tell(Report::Adopted(rows)),
            Err(error) => self.lose(error, &[]),
        }
    }

    fn lose(&mut self, error: StoreError, failed: &[Change]) -> Result<(), Over> {
        self.tell(Report::Away(error))?;
        self.regain(failed)?;
        self.tell(Report::Back)
    }

    /// Tries until the home saves. States that are handed over meanwhile will be again, so they are
    /// dropped; what was to be removed is not told twice.
    fn regain(&mut self, failed: &[Change]) -> Result<(), Over> {
        let removed = |change: &Change| match change {
            Change::Remove(recording) => Some(*recording),
            Change::Put(_) => None,
        };
        let mut gone: BTreeSet<RecordingId> = failed.iter().filter_map(removed).collect();
        loop {
            let again = Instant::now() + RETRY;
            loop {
                let left = again.saturating_duration_since(Instant::now());
                match self.queue.recv_timeout(left) {
                    Ok(Order::Remove(recording)) => drop(gone.insert(recording)),
                    Ok(Order::Put(_, row)) => drop(gone.remove(&row.recording)),
                    Ok(Order::Probe(_)) => {}
                    Ok(Order::Find(number, _)) => self.tell(Report::Found(number, None))?,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Err(Over),
                }
            }
            let changes: Vec<Change> = gone.iter().copied().map(Change::Remove).collect();
            if self.home.commit(&changes).is_ok() {
                return Ok(());
            }
        }
    }

    fn tell(&self, report: Report) -> Result<(), Over> {
        match (self.report)(report) {
            true => Ok(()),
            false => Err(Over),
        }
    }
}

const _: () = assert!(RETRY.as_millis() < Duration::from_secs(1).as_millis());
