//! The whole way within a shard: datagrams and ticks go in, a disk that costs nothing does what is
//! asked for. Commits, checkpoints and receiver reports are in it.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_control::ShardPorts;
use holdfast_journal::Lsn;
use holdfast_rtp::GuardConfig;
use holdfast_shard::{
    Assembly, Command, Datagram, KeyRing, Output, Shard, ShardConfig, ShardEvent,
};
use holdfast_units::{MonoTime, WallTime};

use super::append::writer;
use super::streams::recordings;
use crate::disk::{carry_out, complete};
use crate::feed::{FIRST_PORT, Feed, STARTED, local_port, remote};
use crate::stage::Stage;

/// Datagrams that an ingest gives at a time.
const TOGETHER: usize = 16;

/// A shard from the datagram to the ordered piece.
pub(crate) struct WholeShard {
    feed: Feed,
    shard: Shard<Vec<u8>>,
    now: MonoTime,
    wall: WallTime,
    /// By the shard's last statistics.
    packets: u64,
}

impl WholeShard {
    pub(crate) fn new(streams: usize) -> Self {
        let config = ShardConfig {
            index: 0,
            ports: ShardPorts {
                first: FIRST_PORT,
                last: local_port(streams - 1) + 1,
            },
            guard: GuardConfig::default(),
            orphan_timeout: Duration::from_secs(60),
            checkpoint_interval: Duration::from_secs(2),
            seed: 1,
        };
        let (now, wall) = (MonoTime(STARTED.0), STARTED);
        let assembly = Assembly::new(Lsn::ZERO, KeyRing::default());
        let counts = BTreeMap::new();
        let shard = Shard::new(now, wall, config, writer(), assembly, counts);
        let mut whole = Self {
            feed: Feed::new(streams),
            shard,
            now,
            wall,
            packets: 0,
        };
        whole.shard.handle_command(now, wall, Command::Connected);
        for recording in recordings(streams) {
            let command = Command::Recording(recording);
            whole.shard.handle_command(now, wall, command);
            whole.turn();
        }
        whole
    }

    /// One tick, and all that the shard asks for.
    fn turn(&mut self) {
        let (now, wall) = (self.now, self.wall);
        self.shard.handle_tick(now, wall);
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Journal(output) => {
                    let (ticket, block) = complete(output);
                    self.shard.handle_journal(now, ticket, Ok(block));
                }
                Output::Disk(order) => {
                    if let Some(result) = carry_out(order) {
                        self.shard.handle_disk(now, wall, result);
                    }
                }
                Output::Open { stream, .. } => {
                    self.shard.handle_opened(now, wall, stream, Ok(()));
                }
                Output::Event(ShardEvent::Statistics(statistics)) => {
                    self.packets = statistics.packets;
                }
                Output::Close { .. }
                | Output::Send { .. }
                | Output::Event(_)
                | Output::Notice(_) => {}
            }
        }
    }
}

impl Stage for WholeShard {
    fn run(&mut self, packets: u64) {
        let per_tick = self.feed.packets_per_tick();
        let mut left = packets;
        while left > 0 {
            let tick = per_tick.min(left);
            let mut taken = 0;
            while taken < tick {
                let wanted = TOGETHER.min((tick - taken) as usize);
                let packets = self.feed.take_some(wanted);
                let datagrams = packets.clone().map(|packet| Datagram {
                    port: local_port(packet.stream),
                    source: remote(packet.stream),
                    arrival: packet.arrival,
                    bytes: packet.bytes,
                    truncated: false,
                });
                if let Some(last) = packets.last() {
                    (self.now, self.wall) = (last.now, last.arrival);
                }
                taken += datagrams.clone().count() as u64;
                self.shard.handle_datagrams(self.now, datagrams);
            }
            self.turn();
            left -= tick;
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        // Statistics are told once a second.
        self.now = self.now + Duration::from_secs(1);
        self.turn();
        assert_eq!(self.shard.unknown_records(), 0, "every record has a stream");
        self.packets
    }
}
