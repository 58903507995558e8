//! A packet that is accepted costs no allocation.

mod world;

use std::time::Duration;

use holdfast_shard::Datagram;
use world::build::{media_source, recording, rtp, stream};
use world::{MS, World};

#[test]
fn an_accepted_packet_allocates_nothing() {
    let mut world = World::dark(130);
    world.blocks = 12;
    world.writer.commit_interval = Duration::from_secs(5);
    world.start();
    world.connect(&[]);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(200 * MS);
    // Who sends is known; blocks that fill are sealed and others begun.
    world.talk(&streams, 0..3);
    let packets: Vec<_> = (3..2_000_u16)
        .flat_map(|sequence| {
            let packet = move |stream| (stream, rtp(0x1001, sequence, "audio"));
            streams.iter().map(packet)
        })
        .collect();
    let (mut now, mut arrival) = (world.now, world.wall);
    let before = world.shard().next_lsn();
    let shard = world.shard();
    let allocated = allocation_counter::measure(|| {
        for (stream, bytes) in &packets {
            let datagram = Datagram {
                port: stream.rtp_port,
                source: media_source(stream),
                arrival,
                bytes,
                truncated: false,
            };
            shard.handle_datagram(now, &datagram);
            now = now + 10 * MS;
            arrival = arrival + 10 * MS;
        }
    });
    let taken = world.shard().next_lsn().since(before);
    assert_eq!(taken, packets.len() as u64);
    assert_eq!(allocated.count_total, 0, "{allocated:?}");
}
