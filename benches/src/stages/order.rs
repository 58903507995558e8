//! Which number has the packet, and in which order were they sent?
//!
//! The assembly of tracks numbers every packet while it records ([`SourceTable`]); readers of a
//! track that need the order of sending have [`ReorderBuffer`].

use std::time::Duration;

use holdfast_rtp::{
    ExtSeq, PayloadMap, Released, ReorderBuffer, ReorderWindow, RtpPacket, Sequenced, SourceTable,
};
use holdfast_units::WallTime;

use super::demux_guard::payload_map;
use crate::feed::{Feed, PACKET_NANOS, STARTED};
use crate::stage::Stage;

/// Sequence numbers followed in each stream.
pub(crate) struct Sequence {
    feed: Feed,
    /// As an assembly keeps them: each in memory of its own.
    streams: Vec<Option<Box<Numbered>>>,
    fresh: u64,
}

struct Numbered {
    sources: SourceTable,
    codecs: PayloadMap,
}

impl Sequence {
    pub(crate) fn new(streams: usize) -> Self {
        let numbered = || Numbered {
            sources: SourceTable::new(),
            codecs: payload_map(),
        };
        Self {
            feed: Feed::new(streams),
            streams: (0..streams).map(|_| Some(Box::new(numbered()))).collect(),
            fresh: 0,
        }
    }
}

impl Stage for Sequence {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets {
            let packet = self.feed.take();
            let Some(stream) = &mut self.streams[packet.stream] else {
                continue;
            };
            let Ok(rtp) = RtpPacket::parse(packet.bytes) else {
                continue;
            };
            let Some(codec) = stream.codecs.codec(rtp.payload_type()) else {
                continue;
            };
            let observed = stream.sources.observe(packet.now, &rtp, codec);
            self.fresh += u64::from(matches!(observed.sequenced, Sequenced::Fresh { .. }));
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        self.fresh
    }
}

/// Every second packet overtakes the one before it.
pub(crate) struct Reorder {
    buffer: ReorderBuffer<u64>,
    next: u64,
    /// The number that has to come out next; nothing more comes out as it should once one did not.
    expected: u64,
}

impl Reorder {
    pub(crate) fn new() -> Self {
        let window = ReorderWindow {
            packets: 8,
            time: Duration::from_millis(200),
        };
        Self {
            buffer: ReorderBuffer::new(window),
            next: 0,
            expected: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(released) = self.buffer.pop() {
            if let Released::Item { ext_seq, item } = released
                && ext_seq == ExtSeq::new(self.expected)
                && item == self.expected
            {
                self.expected += 1;
            }
        }
    }
}

impl Stage for Reorder {
    fn run(&mut self, packets: u64) {
        for place in self.next..self.next + packets {
            let number = place ^ 1;
            let arrival = WallTime(STARTED.0 + place * PACKET_NANOS);
            // One that is handed back is missing at the end.
            let _ = self.buffer.push(ExtSeq::new(number), arrival, number);
            self.drain();
        }
        self.next += packets;
    }

    fn finish(mut self: Box<Self>) -> u64 {
        self.buffer.flush();
        self.drain();
        self.expected
    }
}
