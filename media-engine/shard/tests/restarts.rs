//! What a new process makes of what an earlier one left.

mod world;

use holdfast_control::{Life, Recording, ShardPorts};
use holdfast_journal::Lsn;
use holdfast_manifest::EndReason;
use holdfast_shard::{Assembly, DiskOrder, KeyRing, SavedRecording};
use holdfast_track::TrackMark;
use world::build::{ended, id, recording, stream};
use world::{Crash, FIRST_PORT, MS, World};

fn end_reason(world: &World, number: u8) -> EndReason {
    let path = format!("{}state", world::files::published(id(number)));
    let saved = SavedRecording::decode(world.files.read(&path).unwrap()).unwrap();
    match saved.recording.life {
        Life::Ended { reason, .. } => reason,
        Life::Active => panic!("it goes on"),
    }
}

fn begin(world: &mut World) -> Recording {
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0), stream(2, 2, 1)]);
    world.desire(&call);
    world.run(200 * MS);
    call
}

#[test]
fn a_call_goes_on_at_once_and_the_gap_is_marked() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = World::new(120);
        let call = begin(&mut world);
        let mut sent = world.talk(&call.streams, 0..50);
        world.run(200 * MS);
        world.restart(crash);
        // Before anybody has said anything.
        assert!(call.streams.iter().all(|s| world.is_port_open(s.rtp_port)));
        for (sent, more) in sent.iter_mut().zip(world.talk(&call.streams, 60..100)) {
            sent.extend(more);
        }
        world.connect(std::slice::from_ref(&call));
        world.desire(&ended(&call, world.wall));
        world.run(1_000 * MS);
        for (number, sent) in [1, 2].into_iter().zip(sent) {
            let track = world.track(1, number);
            assert_eq!(track.payloads(), sent);
            assert!(track.has_mark(&TrackMark::EngineRestart));
        }
    }
}

#[test]
fn what_had_ended_is_published_once_by_the_next_process() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = World::new(121);
        let call = begin(&mut world);
        let sent = world.talk(&call.streams, 0..50);
        world.faults.disk_stalls = true;
        world.desire(&ended(&call, world.wall));
        world.run(500 * MS);
        assert_eq!(world.applied_revision(id(1)), Some(2));
        world.faults.disk_stalls = false;
        world.restart(crash);
        assert_eq!(world.process.as_ref().unwrap().ports.len(), 0);
        world.run(1_000 * MS);
        assert_eq!(world.published[&id(1)], 1);
        assert_eq!(world.published_told(id(1)).len(), 1);
        assert_eq!(world.track(1, 1).payloads(), sent[0]);
        world.restart(crash);
        world.run(1_000 * MS);
        assert_eq!(
            world.published_told(id(1)).len(),
            1,
            "nothing is left of it"
        );
    }
}

#[test]
fn a_port_that_is_gone_ends_the_recording_with_a_reason() {
    let mut world = World::new(122);
    let call = begin(&mut world);
    let sent = world.talk(&call.streams, 0..50);
    world.crash(Crash::Kill);
    world.taken_ports.insert(call.streams[1].rtp_port);
    world.start();
    world.run(1_000 * MS);
    assert_eq!(end_reason(&world, 1), EndReason::EngineRecovered);
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
    assert_eq!(world.track(1, 2).payloads(), sent[1]);
    assert_eq!(world.process.as_ref().unwrap().ports.len(), 0);
}

#[test]
fn ports_that_are_no_longer_configured_end_their_recordings_and_cost_nobody_else_a_packet() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = World::new(123);
        world.connect(&[]);
        let gone = recording(1, 1, &[stream(1, 1, 200)]);
        let stays = recording(2, 1, &[stream(2, 1, 0)]);
        world.desire(&gone);
        world.desire(&stays);
        let streams = [gone.streams[0].clone(), stays.streams[0].clone()];
        let mut sent = world.talk(&streams, 0..50);
        world.run(300 * MS);
        world.crash(crash);
        world.config.ports = ShardPorts {
            first: FIRST_PORT,
            last: FIRST_PORT + 99,
        };
        world.start();
        // The process ends before it made a checkpoint.
        let more = world.talk(&stays.streams, 60..70);
        sent[1].extend(more[0].clone());
        world.run(200 * MS);
        world.restart(crash);
        world.connect(std::slice::from_ref(&stays));
        world.desire(&ended(&stays, world.wall));
        world.run(1_000 * MS);
        assert_eq!(end_reason(&world, 1), EndReason::EngineRecovered);
        assert_eq!(world.track(1, 1).payloads(), sent[0], "{crash:?}");
        let track = world.track(2, 1);
        assert_eq!(track.payloads(), sent[1], "{crash:?}");
        // The very first record said who sends: one of each process.
        assert_eq!(track.sources.len(), 2, "{crash:?}");
    }
}

#[test]
fn recordings_of_a_shard_that_is_no_more_are_published_once() {
    let world = World::new(124);
    let call = recording(1, 5, &[]);
    let end = ended(&call, world.wall);
    let mut other = Assembly::new(Lsn(0), KeyRing::default());
    other.restore_recording(end);
    other.finish_restoring();
    while other.poll_order().is_some() {}
    let mut own = Assembly::new(Lsn(0), KeyRing::default());
    own.finish_restoring();
    own.adopt(other);
    own.resume_publishing();
    let mut orders = Vec::new();
    while let Some(order) = own.poll_order() {
        orders.push(order);
    }
    assert!(
        matches!(orders[..], [DiskOrder::Publish { recording }] if recording == id(1)),
        "{orders:?}"
    );
    assert!(own.contains(id(1)));
}

#[test]
fn a_process_may_end_when_it_is_settled_and_nothing_is_lost() {
    let mut world = World::new(125);
    let call = begin(&mut world);
    let sent = world.talk(&call.streams, 0..50);
    world.send(&call.streams[0], 50);
    assert!(!world.shard().is_settled());
    let now = world.now;
    world.shard().request_commit(now);
    world.carry_out();
    world.work_all();
    assert!(world.shard().is_settled());
    world.restart(Crash::PowerCut);
    world.connect(std::slice::from_ref(&call));
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).packets.len(), 51);
    assert_eq!(world.track(1, 2).payloads(), sent[1]);
}
