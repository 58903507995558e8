//! From the committed record to the piece of a track: the recording side of a shard.

use holdfast_journal::{Lsn, RecordRef};
use holdfast_shard::{AssembledStream, Assembly, LiveCounts, encode_recording, records};
use holdfast_units::{SrtpSuite, StreamId};

use super::protected::{Protection, encrypted, key_ring};
use super::streams::{recordings, stream_id};
use crate::disk::carry_out;
use crate::feed::{Feed, STARTED, remote};
use crate::stage::Stage;

/// Track append.
pub(crate) struct Track {
    feed: Feed,
    assembly: Assembly,
    lsn: Lsn,
    protection: Option<Protection>,
}

impl Track {
    /// Of packets that are encrypted with a suite, or not at all.
    pub(crate) fn new(streams: usize, suite: Option<SrtpSuite>) -> Self {
        let mut track = Self {
            feed: Feed::new(streams),
            assembly: Assembly::new(Lsn::ZERO, key_ring()),
            lsn: Lsn::ZERO,
            protection: suite.map(|suite| Protection::new(suite, streams)),
        };
        for recording in recordings(streams) {
            let recording = match suite {
                Some(suite) => encrypted(recording, suite),
                None => recording,
            };
            let payload = encode_recording(&recording);
            track.begin(records::RECORDING, 0, StreamId(0), &payload);
        }
        for stream in 0..streams {
            let payload = postcard::to_stdvec(&remote(stream)).expect("plain data");
            let hint = stream as u16;
            track.begin(records::SOURCE, hint, stream_id(stream), &payload);
        }
        track
    }

    /// A record before the first packet.
    fn begin(&mut self, kind: u8, source: u16, stream: StreamId, payload: &[u8]) {
        let record = RecordRef {
            lsn: self.lsn,
            kind,
            flags: 1,
            source,
            stream,
            arrival: STARTED,
            payload,
        };
        self.lsn = self.lsn.plus(1);
        self.assembly.handle_record(&record, &mut nothing_refused);
        self.settle();
    }

    /// Lets the disk take the pieces that are ordered.
    fn settle(&mut self) {
        while let Some(order) = self.assembly.poll_order() {
            if let Some(result) = carry_out(order) {
                self.assembly.handle_result(result);
            }
        }
    }
}

impl Stage for Track {
    fn run(&mut self, packets: u64) {
        let per_tick = self.feed.packets_per_tick();
        let mut left = packets;
        while left > 0 {
            let tick = per_tick.min(left);
            for _ in 0..tick {
                let packet = self.feed.take();
                let record = RecordRef {
                    lsn: self.lsn,
                    kind: records::RTP,
                    flags: 1,
                    source: packet.stream as u16,
                    stream: stream_id(packet.stream),
                    arrival: packet.arrival,
                    payload: match &mut self.protection {
                        Some(protection) => protection.protect(&packet),
                        None => packet.bytes,
                    },
                };
                self.lsn = self.lsn.plus(1);
                self.assembly.handle_record(&record, &mut nothing_refused);
            }
            self.settle();
            left -= tick;
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        self.assembly
            .streams_mut()
            .map(|stream| stream.packets())
            .sum()
    }
}

fn nothing_refused(_: &AssembledStream) -> LiveCounts {
    LiveCounts::default()
}
