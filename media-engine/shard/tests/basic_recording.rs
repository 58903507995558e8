//! Two streams, packets, BYE: the published tracks hold exactly the packets, in their order.

mod world;

use holdfast_shard::DiskOrder;
use world::build::{ended, id, recording, stream};
use world::{MS, World};

#[test]
fn tracks_hold_exactly_the_packets_and_publishing_follows_all_pieces() {
    let mut world = World::new(1);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.connect(&[]);
    world.desire(&call);
    world.run(200 * MS);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
    let sent = world.talk(&streams, 0..300);
    world.desire(&ended(&call, world.wall));
    // Publishing comes last of all orders of the recording.
    let mut orders = Vec::new();
    while !world.is_published(1) {
        world.tick(5 * MS);
        let process = world.process.as_ref().unwrap();
        orders.extend(process.orders.iter().map(|order| match order {
            DiskOrder::WriteTrack { .. } => "piece",
            DiskOrder::SaveState { .. } => "state",
            DiskOrder::Publish { .. } => "publish",
            _ => "other",
        }));
        world.work_all();
    }
    let publish = orders.iter().position(|order| *order == "publish").unwrap();
    let last_piece = orders.iter().rposition(|order| *order == "piece").unwrap();
    assert!(last_piece < publish, "{orders:?}");
    world.run(500 * MS);
    for (number, sent) in [1, 2].into_iter().zip(sent) {
        let track = world.track(1, number);
        assert_eq!(track.payloads(), sent);
        assert!(track.is_complete);
        assert_eq!((track.headers, track.ends), (1, 1));
        let counters = track.counters.unwrap();
        assert_eq!(counters.packets, 300);
        assert_eq!(counters.duplicates, 0);
        assert!(counters.refused.is_empty());
    }
    let told = world.published_told(id(1));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].packets, 600);
    assert_eq!(world.published[&id(1)], 1);
    // Nothing is left of it in progress, and its ports are free.
    assert_eq!(world.files.recordings(), []);
    assert!(streams.iter().all(|s| !world.is_port_open(s.rtp_port)));
    assert_eq!(world.shard().unknown_records(), 0);
}
