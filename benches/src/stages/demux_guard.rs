//! From the port to the verdict: which stream is it, and does the datagram belong to its recording?
//!
//! The table stands for the one that a shard keeps to itself: a flat array by pair of ports, each
//! stream in memory of its own. What is measured is [`Guard::check`] and getting there.

use std::hint::black_box;

use holdfast_rtp::{
    Codec, Expected, Guard, GuardConfig, PayloadMap, PayloadType, Verdict, is_rtcp,
};

use crate::feed::{FIRST_PORT, Feed, local_port, remote};
use crate::stage::Stage;

/// Demux and guard.
pub(crate) struct DemuxGuard {
    feed: Feed,
    table: Vec<Option<Box<Live>>>,
    accepted: u64,
}

struct Live {
    guard: Guard,
    codecs: PayloadMap,
    /// What else a shard keeps of a stream lies between those that are looked at.
    _rest: [u8; REST_SIZE],
}

impl DemuxGuard {
    pub(crate) fn new(streams: usize) -> Self {
        let live = |stream| Live {
            guard: Guard::new(
                GuardConfig::default(),
                Expected {
                    media: Some(remote(stream)),
                    control: None,
                    signaling: None,
                },
            ),
            codecs: payload_map(),
            _rest: [0; REST_SIZE],
        };
        Self {
            feed: Feed::new(streams),
            table: (0..streams)
                .map(|stream| Some(Box::new(live(stream))))
                .collect(),
            accepted: 0,
        }
    }
}

impl Stage for DemuxGuard {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets {
            let packet = self.feed.take();
            let (port, source) = (local_port(packet.stream), remote(packet.stream));
            let pair = usize::from(black_box(port).wrapping_sub(FIRST_PORT) >> 1);
            let Some(Some(live)) = self.table.get_mut(pair) else {
                continue;
            };
            if is_rtcp(packet.bytes) {
                continue;
            }
            let verdict = live
                .guard
                .check(packet.now, source, packet.bytes, &live.codecs);
            self.accepted += u64::from(matches!(verdict, Verdict::Accept { .. }));
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        self.accepted
    }
}

/// The feed and nothing else.
pub(crate) struct FeedAlone {
    feed: Feed,
    fed: u64,
}

impl FeedAlone {
    pub(crate) fn new(streams: usize) -> Self {
        let feed = Feed::new(streams);
        Self { feed, fed: 0 }
    }
}

impl Stage for FeedAlone {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets {
            black_box(self.feed.take());
            self.fed += 1;
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        self.fed
    }
}

/// PCMU and telephone-event, as negotiated.
pub(crate) fn payload_map() -> PayloadMap {
    let mut map = PayloadMap::new();
    let pcmu = PayloadType::from_octet(0);
    let codec = Codec::from_static(pcmu).expect("PCMU is static");
    map.insert(pcmu, codec).expect("one codec fits");
    map
}

/// Octets of a shard's stream beside guard and codecs: desired state and reports.
const REST_SIZE: usize = 768;
