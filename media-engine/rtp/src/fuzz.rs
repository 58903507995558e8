//! Bodies for fuzzers: any octets, fed to everything here that reads octets. They return nothing;
//! what they promise is to return.

use std::net::SocketAddr;

use holdfast_units::MonoTime;

use crate::codec::{Codec, PayloadMap};
use crate::event::EventReceiver;
use crate::guard::{Expected, Guard, GuardConfig, Verdict};
use crate::number::{ClockRate, ExtTimestamp, PayloadType, Ssrc};
use crate::packet::RtpPacket;
use crate::redundancy::Redundancy;
use crate::rtcp::{Chance, Cname, Compound, RtcpBandwidth, RtcpConfig, RtcpPacket, RtcpSession};
use crate::sequence::TrackerState;
use crate::sources::SourceTable;

/// One datagram as RTP, RTCP and stored state.
pub fn any_datagram(bytes: &[u8]) {
    if let Ok(packet) = RtpPacket::parse(bytes) {
        let range = packet.payload_range();
        assert!(range.start <= range.end && range.end + packet.padding_len() == bytes.len());
        let _ = (
            packet.csrcs().count(),
            packet.extension(),
            packet.payload().len(),
        );
        let at = ExtTimestamp::first(packet.timestamp());
        let mut events = EventReceiver::new(ClockRate::TELEPHONY);
        let _ = events
            .handle_packet(at, packet.marker(), packet.payload())
            .count();
        any_redundancy(packet.payload());
    }
    any_redundancy(bytes);
    for reduced_size in [false, true] {
        let Ok(compound) = Compound::parse(bytes, reduced_size) else {
            continue;
        };
        for packet in compound {
            match packet {
                RtcpPacket::SenderReport { blocks, .. }
                | RtcpPacket::ReceiverReport { blocks, .. } => drop(blocks.iter().count()),
                RtcpPacket::SourceDescription(chunks) => drop(chunks.count()),
                RtcpPacket::Goodbye { sources, .. } => drop(sources.iter().count()),
                RtcpPacket::Application { .. }
                | RtcpPacket::Feedback { .. }
                | RtcpPacket::ExtendedReport { .. }
                | RtcpPacket::Unknown { .. } => {}
            }
        }
    }
    let _ = TrackerState::decode(bytes);
    let _ = SourceTable::decode(MonoTime::ZERO, bytes);
}

/// A redundant payload: its blocks are no longer than it.
fn any_redundancy(payload: &[u8]) {
    if let Ok(redundancy) = Redundancy::parse(payload) {
        let (_, primary) = redundancy.primary();
        let blocks: usize = redundancy.earlier().map(|block| block.payload.len()).sum();
        assert!(blocks + primary.len() < payload.len());
    }
}

/// A life of one stream: each piece is [`milliseconds, source, length]` and a datagram.
pub fn any_stream(bytes: &[u8]) {
    let mut codecs = PayloadMap::new();
    for payload_type in [0, 8, 13].map(PayloadType::from_octet) {
        if let Some(codec) = Codec::from_static(payload_type) {
            let _ = codecs.insert(payload_type, codec);
        }
    }
    let mut guard = Guard::new(GuardConfig::default(), Expected::default());
    let mut sources = SourceTable::new();
    let cname = Cname::from_random([0; 12]);
    let bandwidth = RtcpBandwidth::Default;
    let config = RtcpConfig {
        ssrc: Ssrc(1),
        cname,
        bandwidth,
        reduced_size: true,
    };
    let mut rtcp = RtcpSession::new(MonoTime::ZERO, config, Chance(0));
    let (mut rest, mut now) = (bytes, MonoTime::ZERO);
    while let Some(([step, source, len], after)) = rest.split_first_chunk::<3>() {
        let (datagram, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        now.0 += u64::from(*step) * 1_000_000;
        let from = SocketAddr::from(([192, 0, 2, source & 3], 4_000));
        if let Verdict::Accept { .. } = guard.check(now, from, datagram, &codecs) {
            let _ = guard.take_held();
            if let Ok(packet) = RtpPacket::parse(datagram)
                && let Some(codec) = codecs.codec(packet.payload_type())
            {
                sources.observe(now, &packet, codec);
            }
        }
        let _ = guard.check_rtcp(now, from, datagram);
        let _ = rtcp.handle_packet(now, datagram);
        let mut out = [0; crate::limits::RTCP_OUT_BYTES_MAX];
        if let Some(len) = rtcp.poll_report(now, Chance(u32::from(*step)), &mut sources, &mut out) {
            assert!(Compound::parse(out.get(..len).unwrap_or_default(), false).is_ok());
        }
    }
    let mut state = Vec::new();
    sources.encode(&mut state);
    assert!(SourceTable::decode(now, &state).is_ok());
}

/// A small generator for tests: the same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct XorShift(u64);

impl XorShift {
    /// Begins with a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)]
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
