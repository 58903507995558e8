//! What arrives: 20 ms packets of G.711, one of each stream in turn.
//!
//! The packets lie one after the other, as in a block of a ring, in more memory than the nearest
//! cache has. The streams come in an order that no prefetcher guesses, the same in every round.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use holdfast_units::{MonoTime, WallTime};

/// Where the packets come from, without end.
#[derive(Debug)]
pub struct Feed {
    packets: Vec<[u8; PACKET_SIZE]>,
    next_packet: usize,
    /// The streams in the order in which they come.
    order: Vec<u32>,
    next_stream: usize,
    /// Packets that each stream has sent.
    round: u32,
    at: u64,
    step: u64,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Whose it is, from 0.
    pub stream: usize,
    /// When it arrives.
    pub arrival: WallTime,
    /// The same on the clock of deadlines.
    pub now: MonoTime,
    /// The datagram.
    pub bytes: &'a [u8],
}

impl Feed {
    /// Packets of so many streams.
    ///
    /// # Panics
    ///
    /// Where there is no stream, or there are more than ports.
    pub fn new(streams: usize) -> Self {
        assert!((1..=STREAMS_MAX).contains(&streams), "1 to {STREAMS_MAX}");
        let mut random = Random(1);
        let mut order: Vec<u32> = (0..streams as u32).collect();
        for last in (1..streams).rev() {
            order.swap(last, random.below(last + 1));
        }
        let packets = (0..PACKETS).map(|_| random.packet()).collect();
        Self {
            packets,
            next_packet: 0,
            order,
            next_stream: 0,
            round: 0,
            at: STARTED.0,
            step: PACKET_NANOS / streams as u64,
        }
    }

    /// The next packet.
    #[inline]
    pub fn take(&mut self) -> Packet<'_> {
        let stream = self.order[self.next_stream];
        let bytes = &mut self.packets[self.next_packet];
        stamp(bytes, self.round, stream);
        self.at += self.step;
        self.next_packet += 1;
        if self.next_packet == PACKETS {
            self.next_packet = 0;
        }
        self.next_stream += 1;
        if self.next_stream == self.order.len() {
            self.next_stream = 0;
            self.round = self.round.wrapping_add(1);
        }
        Packet {
            stream: stream as usize,
            arrival: WallTime(self.at),
            now: MonoTime(self.at),
            bytes,
        }
    }

    /// The next packets, as an ingest gives them: `count`, or fewer.
    pub fn take_some(&mut self, count: usize) -> impl Iterator<Item = Packet<'_>> + Clone {
        let count = count.min(PACKETS - self.next_packet);
        let (first, turn, at) = (self.next_packet, self.next_stream, self.at);
        for _ in 0..count {
            self.take();
        }
        let feed = &*self;
        (0..count).map(move |index| {
            let at = at + feed.step * (index as u64 + 1);
            Packet {
                stream: feed.order[(turn + index) % feed.order.len()] as usize,
                arrival: WallTime(at),
                now: MonoTime(at),
                bytes: &feed.packets[first + index],
            }
        })
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.order.len()
    }

    /// Packets that arrive between two ticks of the engine, which are 2 ms apart.
    pub fn packets_per_tick(&self) -> u64 {
        (self.streams() as u64 / 10).max(1)
    }
}

/// Makes a packet the one with this number of a stream.
#[inline]
pub(crate) fn stamp(bytes: &mut [u8; PACKET_SIZE], number: u32, stream: u32) {
    let timestamp = number.wrapping_mul(SAMPLES as u32);
    bytes[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
    bytes[8..12].copy_from_slice(&(FIRST_SSRC + stream).to_be_bytes());
}

/// Where the packets of a stream come from.
pub(crate) const fn remote(stream: usize) -> SocketAddr {
    let address = Ipv4Addr::new(192, 0, 2, 10);
    SocketAddr::V4(SocketAddrV4::new(address, 20_000 + 2 * stream as u16))
}

/// The RTP port that a stream arrives at.
pub(crate) const fn local_port(stream: usize) -> u16 {
    FIRST_PORT + 2 * stream as u16
}

/// xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A packet of mu-law with no silence in it; not yet any stream's.
    pub(crate) fn packet(&mut self) -> [u8; PACKET_SIZE] {
        let mut packet = [0; PACKET_SIZE];
        packet[0] = 0x80;
        for octet in &mut packet[HEADER_SIZE..] {
            *octet = self.below(0xff) as u8;
        }
        packet
    }
}

/// The local address of all streams.
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// RTP port of the first stream.
pub(crate) const FIRST_PORT: u16 = 10_000;
/// When the first packet leaves.
pub(crate) const STARTED: WallTime = WallTime(1_790_000_000_000_000_000);
/// Time between two packets of a stream.
pub(crate) const PACKET_NANOS: u64 = 20_000_000;
/// Samples of a packet: 20 ms at 8 kHz, an octet each.
pub(crate) const SAMPLES: usize = 160;
/// Octets of an RTP header.
pub(crate) const HEADER_SIZE: usize = 12;
/// Octets of a packet.
pub(crate) const PACKET_SIZE: usize = HEADER_SIZE + SAMPLES;

/// Streams that have ports: those of the remote side begin at 20,000.
const STREAMS_MAX: usize = 16_000;
/// Packets in memory: 1.4 MB.
const PACKETS: usize = 8_000;
const FIRST_SSRC: u32 = 0x1000_0000;
