//! A packet that is accepted costs no allocation.

mod world;

use std::time::Duration;

use holdfast_shard::Datagram;
use world::build::{ended, media_source, recording, rtp, stream};
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

#[test]
fn what_a_stalled_disk_took_in_pieces_is_let_go_and_all_of_it_with_the_last_stream() {
    let mut world = World::new(131);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.connect(&[]);
    world.desire(&call);
    world.run(200 * MS);
    // The disk does nothing for a while: the journal goes on, and pieces wait.
    world.faults.disk_stalls = true;
    world.talk(&streams, 0..4_000);
    let waiting = world.process.as_ref().unwrap().orders.len();
    assert!(waiting > 2 * streams.len(), "{waiting} orders wait");
    world.faults.disk_stalls = false;
    world.run(5_000 * MS);
    let spare = world.shard().spare_pieces();
    assert!((1..=streams.len()).contains(&spare), "{spare} spare pieces");
    world.desire(&ended(&call, world.wall));
    while !world.is_published(1) {
        world.run(100 * MS);
    }
    world.run(500 * MS);
    assert_eq!(world.shard().spare_pieces(), 0);
}
