//! A bad network in the way of a stream: loses, repeats and delays packets as chance has it.
//!
//! It is a function of its seed and of the packets' order, but not of time: which packets overtake
//! which depends on when they come, as in a network.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// Packets lost, in a thousand.
    pub loss_permille: u32,
    /// Packets repeated, in a thousand.
    pub duplicate_permille: u32,
    /// Least time under way.
    pub delay: Duration,
    /// What is added at most. More than the time between packets, and they overtake each other.
    pub jitter: Duration,
    /// Another seed, other victims.
    pub seed: u64,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Packets that came.
    pub taken: u64,
    /// Packets that were lost.
    pub lost: u64,
    /// Packets that were repeated.
    pub repeated: u64,
    /// Packets that left after one that had come later.
    pub overtaken: u64,
}

/// A relay for one stream: what comes to its address goes on to its target.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Done>,
}

impl Relay {
    /// Begins to relay from a port on `host`.
    ///
    /// # Panics
    /// When the system has no socket.
    pub fn start(host: IpAddr, target: SocketAddr, damage: Damage) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(host, 0)).expect("a socket");
        let address = socket.local_addr().expect("its address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || relay(&socket, target, damage, &stopped));
        Self {
            address,
            stop,
            thread,
        }
    }

    /// Ends when all that is under way has arrived.
    ///
    /// # Panics
    /// When the thread did.
    pub fn finish(self) -> Done {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the relay")
    }
}

fn relay(socket: &UdpSocket, target: SocketAddr, damage: Damage, stop: &AtomicBool) -> Done {
    let mut chance = Chance(damage.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut done = Done::default();
    let mut under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let mut highest = 0;
    let mut buffer = [0; 2_048];
    loop {
        let now = Instant::now();
        while under_way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, number, packet))) = under_way.pop() else {
                break;
            };
            done.overtaken += u64::from(number < highest);
            highest = highest.max(number);
            let _ = socket.send_to(&packet, target);
        }
        if under_way.is_empty() && stop.load(Ordering::Acquire) {
            return done;
        }
        let next = under_way
            .peek()
            .map(|Reverse((at, ..))| at.saturating_duration_since(now));
        let wait = next
            .unwrap_or(LOOK_INTERVAL)
            .clamp(Duration::from_micros(100), LOOK_INTERVAL);
        socket.set_read_timeout(Some(wait)).expect("a time-out");
        let size = match socket.recv(&mut buffer) {
            Ok(size) => size,
            Err(error) => {
                let is_silence =
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(is_silence, "{error}");
                continue;
            }
        };
        done.taken += 1;
        if chance.permille() < damage.loss_permille {
            done.lost += 1;
            continue;
        }
        let copies = if chance.permille() < damage.duplicate_permille {
            2
        } else {
            1
        };
        done.repeated += copies - 1;
        for _ in 0..copies {
            let late = damage
                .jitter
                .mul_f64(f64::from(chance.permille()) / 1_000.0);
            let at = Instant::now() + damage.delay + late;
            under_way.push(Reverse((at, done.taken, buffer[..size].to_vec())));
        }
    }
}

/// Marsaglia's xorshift64.
struct Chance(u64);

impl Chance {
    fn permille(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) % 1_000) as u32
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(5);
