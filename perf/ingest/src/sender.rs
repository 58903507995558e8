//! The packets: a batch of datagrams with each system call, on an absolute clock.
//!
//! Packet number n of the whole run is due n / rate after the start; the streams take turns, so each
//! of them sends one every 20 ms and no two in the same moment.
//!
//! Packets that are to be encrypted are so as they leave, each stream's with a key of its own.

use std::io;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_load::pattern::{self, LegKey, PACKET_SAMPLES, StreamStart};
use holdfast_srtp::RtpTransform;
use nix::sys::socket::{MultiHeaders, SockaddrIn};

use crate::road::{HEADERS, Road};

/// Octets of a packet: the RTP header and 20 ms of G.711.
pub const PACKET_SIZE: usize = 12 + PACKET_SAMPLES;
/// Time between two packets of a stream.
pub const PACKET_TIME: Duration = Duration::from_millis(20);

/// A stream that is sent.
#[derive(Debug)]
pub struct Target {
    /// Which leg: decides every octet.
    pub key: LegKey,
    /// Where it goes.
    pub to: SocketAddrV4,
    /// The port that its frames come from, where it is not that of all.
    pub from: Option<u16>,
    /// What protects its packets, where they are encrypted.
    pub protection: Option<RtpTransform>,
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

/// Sends `count` packets to each target. The streams begin evenly over `ramp`, as calls come up one
/// after the other.
pub fn send(
    road: &mut Road,
    targets: &[Target],
    count: u32,
    ramp: Duration,
    mut progress: impl FnMut(u64),
) -> io::Result<Sent> {
    let starts: Vec<StreamStart> = targets
        .iter()
        .map(|target| pattern::stream_start(target.key))
        .collect();
    let interval = PACKET_TIME.as_nanos() as u64 / targets.len().max(1) as u64;
    let batch_size = road.batch(Duration::from_nanos(interval));
    let mut batch = Batch::new(batch_size);
    let mut sent = Sent::default();
    let start = Instant::now();
    let mut next_progress = PROGRESS_INTERVAL;
    let mut turns = Turns::new(targets.len(), count, ramp).peekable();
    while let Some(&first) = turns.peek() {
        let mut size = 0;
        // What waits for its turn only because others have not begun is another batch.
        while let Some(turn) = turns.next_if(|turn| size < batch_size && turn.round == first.round)
        {
            let stream = turn.stream;
            batch.set(size, road, &targets[stream], starts[stream], turn.index);
            size += 1;
        }
        let due = PACKET_TIME * first.round + Duration::from_nanos(first.stream as u64 * interval);
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

/// Who sends when: in each round, of 20 ms, each stream that has begun and not ended sends a packet.
#[derive(Debug)]
struct Turns {
    streams: usize,
    count: u32,
    /// Rounds until all have begun.
    ramp: u32,
    round: u32,
    next: usize,
}

/// A packet to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    round: u32,
    stream: usize,
    /// Which of the stream's packets.
    index: u32,
}

impl Turns {
    fn new(streams: usize, count: u32, ramp: Duration) -> Self {
        let ramp = (ramp.as_nanos() / PACKET_TIME.as_nanos()) as u32;
        Self {
            streams,
            count,
            ramp,
            round: 0,
            next: 0,
        }
    }

    /// The round in which a stream begins.
    fn begin(&self, stream: usize) -> u32 {
        (u64::from(self.ramp) * stream as u64 / self.streams as u64) as u32
    }
}

impl Iterator for Turns {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        while self.round < self.ramp + self.count {
            while self.next < self.streams && self.begin(self.next) <= self.round {
                let stream = self.next;
                self.next += 1;
                let index = self.round - self.begin(stream);
                if index < self.count {
                    let round = self.round;
                    return Some(Turn {
                        round,
                        stream,
                        index,
                    });
                }
            }
            self.round += 1;
            self.next = 0;
        }
        None
    }
}

/// A batch of datagrams, its memory used again and again.
pub struct Batch {
    packets: Vec<Vec<u8>>,
    plain: [u8; PACKET_SIZE],
    protected: Vec<u8>,
    addresses: Vec<Option<SockaddrIn>>,
    room: MultiHeaders<SockaddrIn>,
}

impl Batch {
    /// Room for so many.
    pub fn new(size: usize) -> Self {
        Self {
            packets: vec![vec![0; HEADERS]; size],
            plain: [0; PACKET_SIZE],
            protected: Vec::new(),
            addresses: vec![None; size],
            room: MultiHeaders::preallocate(size, None),
        }
    }

    /// Puts packet `index` of a stream there.
    pub fn set(
        &mut self,
        place: usize,
        road: &Road,
        target: &Target,
        start: StreamStart,
        index: u32,
    ) {
        let packet = &mut self.plain;
        packet[0] = 0x80;
        packet[1] = 0;
        let number = u32::from(start.sequence) + index;
        packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        let timestamp = index.wrapping_mul(PACKET_SAMPLES as u32);
        packet[4..8].copy_from_slice(&start.timestamp.wrapping_add(timestamp).to_be_bytes());
        packet[8..12].copy_from_slice(&start.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(&pattern::payload(target.key, index));
        let payload: &[u8] = match &target.protection {
            None => &self.plain,
            Some(transform) => {
                transform
                    .protect(&self.plain, number >> 16, &mut self.protected)
                    .expect("a packet of RTP");
                &self.protected
            }
        };
        let frame = &mut self.packets[place];
        frame.truncate(HEADERS);
        frame.extend_from_slice(payload);
        road.address(frame, target.from, target.to);
        self.addresses[place] = Some(target.to.into());
    }

    /// Sends the first `size` of them.
    pub fn send(&mut self, road: &mut Road, size: usize) -> io::Result<()> {
        let (packets, addresses) = (&self.packets[..size], &self.addresses[..size]);
        road.send(packets, addresses, &mut self.room)
    }
}

/// A shorter sleep costs more than it gives back.
pub const SLEEP_MIN: Duration = Duration::from_micros(200);
/// How often a sender tells how far it is.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(streams: usize, count: u32, ramp_ms: u64) -> Vec<(u32, usize, u32)> {
        Turns::new(streams, count, Duration::from_millis(ramp_ms))
            .map(|turn| (turn.round, turn.stream, turn.index))
            .collect()
    }

    #[test]
    fn without_a_ramp_all_streams_take_turns() {
        let expected = [(0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)];
        assert_eq!(turns(2, 2, 0), expected);
    }

    #[test]
    fn with_a_ramp_they_begin_and_end_one_after_the_other() {
        let expected = [(0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)];
        assert_eq!(turns(2, 2, 40), expected);
    }

    #[test]
    fn each_packet_of_each_stream_is_sent_once() {
        let mut sent = turns(7, 50, 300);
        sent.sort_unstable_by_key(|&(_, stream, index)| (stream, index));
        let wanted = (0..7).flat_map(|stream| (0..50).map(move |index| (stream, index)));
        assert!(
            sent.iter()
                .map(|&(_, stream, index)| (stream, index))
                .eq(wanted)
        );
    }
}
