//! Into the journal: a record appended, its checksum made, its commit carried out by a disk that
//! costs nothing.

use std::time::Duration;

use holdfast_journal::{JournalId, NewRecord, Shard, Start, Writer, WriterConfig};
use holdfast_shard::records;
use holdfast_units::MonoTime;

use super::streams::stream_id;
use crate::disk::complete;
use crate::feed::Feed;
use crate::stage::Stage;

/// Journal append.
pub(crate) struct Append {
    feed: Feed,
    writer: Writer<Vec<u8>>,
    now: MonoTime,
}

impl Append {
    pub(crate) fn new(streams: usize) -> Self {
        let mut append = Self {
            feed: Feed::new(streams),
            writer: writer(),
            now: MonoTime::ZERO,
        };
        append.settle();
        append
    }

    /// Lets the disk do what is asked of it, and the journal forget what was committed.
    fn settle(&mut self) {
        while let Some(output) = self.writer.poll_output() {
            let (ticket, block) = complete(output);
            self.writer.handle_completion(self.now, ticket, Ok(block));
        }
        while let Some(batch) = self.writer.poll_committed() {
            self.writer.offer_block(batch.into_block());
        }
        self.writer.checkpoint(self.writer.committed());
    }
}

impl Stage for Append {
    fn run(&mut self, packets: u64) {
        let per_tick = self.feed.packets_per_tick();
        let mut left = packets;
        while left > 0 {
            let tick = per_tick.min(left);
            for _ in 0..tick {
                let packet = self.feed.take();
                let record = NewRecord {
                    kind: records::RTP,
                    flags: 1,
                    source: packet.stream as u16,
                    stream: stream_id(packet.stream),
                    arrival: packet.arrival,
                };
                self.now = packet.now;
                // A record that is not taken is missing at the end.
                let _ = self.writer.append(packet.now, &record, &[packet.bytes]);
            }
            self.writer.handle_timeout(self.now);
            self.settle();
            left -= tick;
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        self.writer.request_commit(self.now);
        self.settle();
        self.writer.committed().0
    }
}

/// A journal as the shipped settings make it, with the engine's blocks.
pub(crate) fn writer() -> Writer<Vec<u8>> {
    let config = WriterConfig {
        shard: Shard(0),
        journal: JournalId(*b"holdfast-benches"),
        segment_size: 64 << 20,
        segments_max: 16,
        reusable_max: 4,
        block_size: BLOCK_SIZE,
        commit_interval: Duration::from_millis(200),
    };
    let mut writer = Writer::new(config, Start::fresh());
    for _ in 0..BLOCKS {
        writer.offer_block(vec![0; BLOCK_SIZE]);
    }
    writer
}

const BLOCK_SIZE: usize = 1 << 20;
const BLOCKS: usize = 64;
