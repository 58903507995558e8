//! The packets: a batch of datagrams with each system call, on an absolute clock.
//!
//! Packet number n of the whole run is due n / rate after the start; the streams take turns, so each
//! of them sends one every 20 ms and no two in the same moment.

use std::io;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_load::pattern::{self, LegKey, PACKET_SAMPLES, StreamStart};
use nix::sys::socket::{MultiHeaders, SockaddrIn};

use crate::road::{HEADERS, Road};

/// Octets of a packet: the RTP header and 20 ms of G.711.
pub const PACKET_SIZE: usize = 12 + PACKET_SAMPLES;
/// Time between two packets of a stream.
pub const PACKET_TIME: Duration = Duration::from_millis(20);

/// A stream that is sent.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Which leg: decides every octet.
    pub key: LegKey,
    /// Where it goes.
    pub to: SocketAddrV4,
}

/// What a run of the sender came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Datagrams.
    pub packets: u64,
    /// How late the latest batch left.
    pub late_max: Duration,
    /// From the first to the last.
    pub took: Duration,
}

/// Sends `count` packets to each target.
pub fn send(
    road: &mut Road,
    targets: &[Target],
    count: u32,
    mut progress: impl FnMut(u64),
) -> io::Result<Sent> {
    let starts: Vec<StreamStart> = targets
        .iter()
        .map(|target| pattern::stream_start(target.key))
        .collect();
    let total = targets.len() as u64 * u64::from(count);
    let interval = PACKET_TIME.as_nanos() as u64 / targets.len().max(1) as u64;
    let batch_size = road.batch(Duration::from_nanos(interval));
    let mut batch = Batch::new(batch_size);
    let mut sent = Sent::default();
    let start = Instant::now();
    let mut next_progress = PROGRESS_INTERVAL;
    while sent.packets < total {
        let size = batch_size.min((total - sent.packets) as usize);
        for place in 0..size {
            let number = sent.packets + place as u64;
            let stream = (number % targets.len() as u64) as usize;
            let index = (number / targets.len() as u64) as u32;
            batch.set(place, road, &targets[stream], starts[stream], index);
        }
        let due = Duration::from_nanos(sent.packets * interval);
        if let Some(early) = due.checked_sub(start.elapsed()) {
            thread::sleep(early.max(SLEEP_MIN));
        }
        batch.send(road, size)?;
        sent.late_max = sent.late_max.max(start.elapsed().saturating_sub(due));
        sent.packets += size as u64;
        if start.elapsed() >= next_progress {
            next_progress += PROGRESS_INTERVAL;
            progress(sent.packets);
        }
    }
    sent.took = start.elapsed();
    Ok(sent)
}

/// A batch of datagrams, its memory used again and again.
struct Batch {
    packets: Vec<[u8; HEADERS + PACKET_SIZE]>,
    addresses: Vec<Option<SockaddrIn>>,
    room: MultiHeaders<SockaddrIn>,
}

impl Batch {
    fn new(size: usize) -> Self {
        Self {
            packets: vec![[0; HEADERS + PACKET_SIZE]; size],
            addresses: vec![None; size],
            room: MultiHeaders::preallocate(size, None),
        }
    }

    fn set(&mut self, place: usize, road: &Road, target: &Target, start: StreamStart, index: u32) {
        let frame = &mut self.packets[place];
        road.address(frame, target.to);
        let packet = &mut frame[HEADERS..];
        packet[0] = 0x80;
        packet[1] = 0;
        packet[2..4].copy_from_slice(&start.sequence.wrapping_add(index as u16).to_be_bytes());
        let timestamp = index.wrapping_mul(PACKET_SAMPLES as u32);
        packet[4..8].copy_from_slice(&start.timestamp.wrapping_add(timestamp).to_be_bytes());
        packet[8..12].copy_from_slice(&start.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(&pattern::payload(target.key, index));
        self.addresses[place] = Some(target.to.into());
    }

    fn send(&mut self, road: &mut Road, size: usize) -> io::Result<()> {
        let (packets, addresses) = (&self.packets[..size], &self.addresses[..size]);
        road.send(packets, addresses, &mut self.room)
    }
}

/// A shorter sleep costs more than it gives back.
const SLEEP_MIN: Duration = Duration::from_micros(200);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
