//! The thread that sends: each leg from its own port, every packet on an absolute clock, or as much
//! behind it as its plan says.
//!
//! Due packets of all legs leave in batches of a millisecond. A batch is one system call per leg:
//! `sendmmsg` could save none, because a leg has one packet per 20 ms and a port of its own, and a
//! recorder that tells callers apart by their source would notice if it had not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use holdfast_srtp::RtpTransform;

use super::plan::{Burst, Cursor, DATAGRAM};
use super::{LegPlan, PortPair};
use crate::pattern::{self, StreamStart};
use crate::stats;
use crate::{limits, srtp};

/// A leg to send.
#[derive(Debug)]
pub struct StreamJob {
    /// What to send.
    pub plan: LegPlan,
    /// From where.
    pub ports: Arc<PortPair>,
    /// Where to.
    pub target: SocketAddr,
    /// When the first slot is due.
    pub start: Instant,
    /// What protects its packets, where they are encrypted; their sequence numbers wrap then.
    pub protection: Option<RtpTransform>,
}

/// What became of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Which leg.
    pub key: pattern::LegKey,
    /// Datagrams the system took.
    pub sent: u64,
    /// Datagrams it refused, and was not offered again.
    pub failed: u64,
    /// Receiver reports that came back.
    pub reports: u32,
}

/// What the thread did in all.
#[derive(Clone, Debug)]
pub struct SenderReport {
    /// How late packets left, in microseconds.
    pub lateness_us: Histogram<u64>,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Start(Box<StreamJob>),
    Redirect(pattern::LegKey, SocketAddr),
}

/// The sending thread. Dropping it ends the thread after the legs that run.
#[derive(Debug)]
pub struct Sender {
    orders: mpsc::Sender<Order>,
    finished: Receiver<StreamReport>,
    thread: JoinHandle<SenderReport>,
}

/// A leg that is being sent.
struct Leg {
    job: StreamJob,
    first: StreamStart,
    cursor: Cursor,
    /// The next slot.
    slot: u32,
    /// When it is due by the clock of the leg.
    on_time: Instant,
    /// When it leaves: as late as jitter has it, and not before the one before it.
    due: Instant,
    report: StreamReport,
    /// Room for an encrypted packet.
    protected: Vec<u8>,
}

impl Sender {
    /// Starts the thread.
    pub fn spawn() -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel();
        let (outgoing, finished) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || send_all(&incoming, &outgoing))?;
        Ok(Self {
            orders,
            finished,
            thread,
        })
    }

    /// Begins a leg; its report comes when its last slot has passed.
    pub fn start(&self, job: StreamJob) {
        // The thread ends only after this handle is gone, or by a panic that `finish` will show.
        let _ = self.orders.send(Order::Start(Box::new(job)));
    }

    /// From now on a leg that runs goes there: same port of ours, the numbers of its packets go on.
    pub fn redirect(&self, leg: pattern::LegKey, target: SocketAddr) {
        let _ = self.orders.send(Order::Redirect(leg, target));
    }

    /// The next report that is there already.
    pub fn poll_finished(&self) -> Option<StreamReport> {
        self.finished.try_recv().ok()
    }

    /// Waits for the next report.
    pub fn wait_finished(&self, timeout: Duration) -> Result<StreamReport, RecvTimeoutError> {
        self.finished.recv_timeout(timeout)
    }

    /// Waits until all legs are sent.
    ///
    /// # Panics
    /// Where the thread did.
    pub fn finish(self) -> SenderReport {
        drop(self.orders);
        match self.thread.join() {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn send_all(incoming: &Receiver<Order>, outgoing: &mpsc::Sender<StreamReport>) -> SenderReport {
    let epoch = Instant::now();
    let mut report = SenderReport {
        lateness_us: stats::microseconds(),
    };
    let mut legs: Vec<Option<Leg>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    loop {
        loop {
            // With nothing to send there is nothing to do but wait for an order.
            let order = if due.is_empty() {
                incoming.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                incoming.try_recv()
            };
            match order {
                Ok(Order::Redirect(key, target)) => {
                    let mut running = legs.iter_mut().flatten();
                    if let Some(leg) = running.find(|leg| leg.job.plan.key == key) {
                        leg.job.target = target;
                    }
                }
                Ok(Order::Start(job)) => {
                    let slot = free.pop().unwrap_or_else(|| {
                        legs.push(None);
                        legs.len() - 1
                    });
                    let leg = Leg::new(*job);
                    due.push(Reverse((leg.due, slot)));
                    legs[slot] = Some(leg);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if due.is_empty() => return report,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        let now = Instant::now();
        while let Some(&Reverse((at, slot))) = due.peek() {
            if at > now {
                break;
            }
            due.pop();
            let Some(leg) = legs[slot].as_mut() else {
                continue;
            };
            let late = u64::try_from(now.duration_since(at).as_micros()).unwrap_or(u64::MAX);
            report.lateness_us.saturating_record(late);
            if leg.step() {
                due.push(Reverse((leg.due, slot)));
            } else {
                leg.report.reports = leg.job.ports.drain_reports();
                // Nobody may be listening any more: then the report is not wanted.
                let _ = outgoing.send(leg.report);
                legs[slot] = None;
                free.push(slot);
            }
        }
        if let Some(Reverse((next, _))) = due.peek() {
            let grid = limits::SEND_BATCH.as_nanos();
            let ticks = next
                .saturating_duration_since(epoch)
                .as_nanos()
                .div_ceil(grid);
            let wake = epoch + limits::SEND_BATCH * u32::try_from(ticks).unwrap_or(u32::MAX);
            // Short enough that a new leg does not begin late.
            let sleep = wake.saturating_duration_since(Instant::now());
            std::thread::sleep(sleep.min(limits::SEND_BATCH));
        }
    }
}

impl Leg {
    fn new(job: StreamJob) -> Self {
        let key = job.plan.key;
        let first = match job.protection {
            None => pattern::stream_start(key),
            Some(_) => srtp::stream_start(key, job.plan.slots),
        };
        Self {
            first,
            protected: Vec::new(),
            cursor: Cursor::default(),
            slot: 0,
            on_time: job.start,
            due: job.start + job.plan.delay(0),
            report: StreamReport {
                key,
                sent: 0,
                failed: 0,
                reports: 0,
            },
            job,
        }
    }

    /// Sends what the next slot holds; false behind the last slot, which takes its 20 ms too.
    fn step(&mut self) -> bool {
        let Some(burst) = self.cursor.next(&self.job.plan) else {
            return false;
        };
        self.send(burst);
        self.slot += 1;
        self.on_time += SLOT;
        self.due = self.due.max(self.on_time + self.job.plan.delay(self.slot));
        true
    }

    fn send(&mut self, burst: Burst) {
        let mut datagram = [0; DATAGRAM];
        for packet in burst.into_iter().flatten() {
            let length = self.job.plan.write(self.first, packet, &mut datagram);
            let datagram: &[u8] = match &self.job.protection {
                None => &datagram[..length],
                Some(transform) => {
                    let number = u32::from(self.first.sequence) + packet.sequence;
                    transform
                        .protect(&datagram[..length], number >> 16, &mut self.protected)
                        .expect("a packet of RTP");
                    &self.protected
                }
            };
            let (socket, target) = (&self.job.ports.rtp, self.job.target);
            // A datagram that found nobody makes the next one fail in its stead: offer that again.
            let sent = socket
                .send_to(datagram, target)
                .or_else(|_| socket.send_to(datagram, target));
            match sent {
                Ok(_) => self.report.sent += 1,
                Err(_) => self.report.failed += 1,
            }
        }
    }
}

/// Length of a slot.
const SLOT: Duration = Duration::from_millis(20);
