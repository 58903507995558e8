//! What cannot be is refused by name, and leaves everything as it was.

mod world;

use holdfast_control::{Recording, RefusalReason, Stream, Unwilling};
use holdfast_shard::Command;
use holdfast_units::StreamId;
use world::build::{ended, id, recording, stream, with_streams};
use world::{FIRST_PORT, LAST_PORT, MS, World};

fn refusal(world: &mut World, wanted: &Recording) -> RefusalReason {
    world.told.clear();
    world.desire(wanted);
    world.run(150 * MS);
    assert_eq!(world.applied(wanted.id), [], "{wanted:?}");
    let refusals = world.refusals(wanted.id);
    assert_eq!(refusals.len(), 1, "{wanted:?}");
    assert_eq!(refusals[0].0, wanted.revision);
    refusals[0].1.clone()
}

fn is_invalid(world: &mut World, wanted: &Recording, why: &str) {
    match refusal(world, wanted) {
        RefusalReason::Invalid(text) => assert!(text.contains(why), "{text:?} has no {why:?}"),
        other => panic!("{other:?} instead of {why:?}"),
    }
}

fn on_ports(rtp_port: u16, rtcp_port: u16) -> Recording {
    let one = Stream {
        rtp_port,
        rtcp_port,
        ..stream(5, 1, 0)
    };
    recording(9, 1, &[one])
}

#[test]
fn ports_and_shards_that_are_not_ours() {
    let mut world = World::new(10);
    world.connect(&[]);
    let other = Recording {
        shard: 1,
        ..recording(9, 1, &[])
    };
    is_invalid(&mut world, &other, "shard 0");
    let first = FIRST_PORT;
    for (rtp, rtcp) in [
        (first - 2, first - 1),
        (LAST_PORT + 1, LAST_PORT + 2),
        (first + 1, first + 2),
        (first, first + 2),
        (first + 2, first + 1),
        (65_534, 65_535),
        (0, 1),
    ] {
        is_invalid(&mut world, &on_ports(rtp, rtcp), "not a pair");
    }
    // Nothing of them is left, and the last pair is one.
    world.desire(&on_ports(LAST_PORT - 1, LAST_PORT));
    world.run(150 * MS);
    assert_eq!(world.applied(id(9)), [(1, vec![])]);
    assert_eq!(world.process.as_ref().unwrap().ports.len(), 2);
}

#[test]
fn streams_that_contradict_each_other() {
    let mut world = World::new(11);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0), stream(2, 2, 1)]);
    world.desire(&call);
    world.run(150 * MS);
    let twice = |other: Stream| recording(9, 1, &[stream(5, 1, 4), other]);
    is_invalid(&mut world, &twice(stream(5, 2, 5)), "named twice");
    is_invalid(&mut world, &twice(stream(6, 1, 5)), "named twice");
    is_invalid(&mut world, &twice(stream(6, 2, 4)), "named twice");
    is_invalid(
        &mut world,
        &recording(9, 1, &[stream(0, 1, 4)]),
        "no stream",
    );
    let stolen = recording(9, 1, &[stream(5, 1, 0)]);
    is_invalid(&mut world, &stolen, "belongs to another stream");
    let stolen = recording(9, 1, &[stream(1, 1, 7)]);
    is_invalid(&mut world, &stolen, "belongs to another recording");
    let moved = with_streams(&call, &[stream(1, 1, 7)]);
    is_invalid(&mut world, &moved, "another number, address or port");
    let renumbered = with_streams(&call, &[stream(1, 3, 0)]);
    is_invalid(&mut world, &renumbered, "another number, address or port");
    // Of a stream that has ended neither number nor identity come again.
    let fewer = with_streams(&call, &[stream(1, 1, 0)]);
    world.desire(&fewer);
    world.run(150 * MS);
    let again = with_streams(&fewer, &[stream(1, 1, 0), stream(7, 2, 7)]);
    is_invalid(&mut world, &again, "number 2 belongs to another");
    let again = with_streams(&fewer, &[stream(1, 1, 0), stream(2, 2, 1)]);
    is_invalid(&mut world, &again, "has ended");
    // All the while the first one is recorded.
    let sent = world.talk(&[stream(1, 1, 0)], 0..10);
    world.desire(&ended(&fewer, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
}

#[test]
fn more_streams_than_a_recording_may_have() {
    let mut world = World::new(12);
    world.connect(&[]);
    let many = |ids: std::ops::Range<u64>| -> Vec<Stream> {
        let one = |id: u64| Stream {
            id: StreamId(id),
            ..stream(id, id as u16, (id % 256) as u16)
        };
        ids.map(one).collect()
    };
    is_invalid(&mut world, &recording(1, 1, &many(1..258)), "256 streams");
    // Those that ended count as well.
    let first = recording(1, 1, &many(1..251));
    world.desire(&first);
    world.run(200 * MS);
    let none = with_streams(&first, &[]);
    world.desire(&none);
    world.run(200 * MS);
    let further = with_streams(&none, &many(251..257));
    world.desire(&further);
    world.run(200 * MS);
    assert_eq!(world.applied_revision(id(1)), Some(3));
    let one_more = with_streams(&further, &many(251..258));
    is_invalid(&mut world, &one_more, "256 streams");
}

#[test]
fn unwilling_for_new_recordings_only() {
    let mut world = World::new(13);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(150 * MS);
    world.command(Command::Willing(Some(Unwilling::DiskFull)));
    world.write_document(2, "0001.xml", b"early");
    let other = recording(2, 1, &[stream(2, 1, 1)]);
    let reason = refusal(&mut world, &other);
    assert_eq!(reason, RefusalReason::Unwilling(Unwilling::DiskFull));
    world.run(500 * MS);
    assert_eq!(world.files.recordings(), [id(1)], "its document is removed");
    let more = with_streams(&call, &[stream(1, 1, 0), stream(3, 2, 2)]);
    world.desire(&more);
    world.desire(&ended(&more, world.wall));
    world.run(500 * MS);
    assert_eq!(world.applied_revision(id(1)), Some(3));
    world.command(Command::Willing(None));
    world.desire(&other);
    world.run(150 * MS);
    assert_eq!(world.applied_revision(id(2)), Some(1));
}
