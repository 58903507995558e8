//! A port that somebody else has: the revision takes effect without its stream, and says so.

mod world;

use std::collections::BTreeMap;

use holdfast_control::Stream;
use world::build::{ended, id, recording, stream, with_streams};
use world::{Crash, MS, World};

#[test]
fn the_others_are_recorded_and_another_port_serves() {
    let mut world = World::new(6);
    world.connect(&[]);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    // The RTCP port: the RTP port must not stay open alone.
    world.taken_ports.insert(streams[1].rtcp_port);
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(200 * MS);
    let applied = world.applied(id(1));
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].1[0].stream, streams[1].id);
    assert!(!world.is_port_open(streams[1].rtp_port));
    // Asked again, the answer is the same: it does not receive.
    world.desire(&call);
    world.run(200 * MS);
    assert_eq!(world.applied(id(1))[1].1[0].stream, streams[1].id);
    let moved = [streams[0].clone(), stream(3, 3, 2)];
    let next = with_streams(&call, &moved);
    world.desire(&next);
    world.run(200 * MS);
    assert_eq!(world.applied(id(1))[2], (2, vec![]));
    let sent = world.talk(&moved, 0..50);
    world.desire(&ended(&next, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
    assert_eq!(world.track(1, 3).payloads(), sent[1]);
}

#[test]
fn a_refusal_that_was_never_told_is_told_after_the_restart() {
    let mut world = World::new(7);
    world.connect(&[]);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    world.taken_ports.insert(streams[1].rtp_port);
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(200 * MS);
    world.told.clear();
    world.restart(Crash::Kill);
    world.connect(std::slice::from_ref(&call));
    world.run(200 * MS);
    let applied = world.applied(id(1));
    assert_eq!(applied[0].0, 1);
    assert_eq!(applied[0].1[0].stream, streams[1].id);
}

#[test]
fn without_any_port_the_recording_is_there_and_empty() {
    let mut world = World::new(8);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.taken_ports.insert(call.streams[0].rtp_port);
    world.desire(&call);
    world.run(200 * MS);
    assert_eq!(world.applied(id(1))[0].1.len(), 1);
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert!(world.is_published(1));
}

#[test]
fn a_stream_that_cannot_have_its_own_rtcp_port_goes_on_with_the_shared_one() {
    let mut world = World::new(9);
    world.connect(&[]);
    let shared = Stream {
        rtcp_port: stream(1, 1, 0).rtp_port,
        ..stream(1, 1, 0)
    };
    let call = recording(1, 1, std::slice::from_ref(&shared));
    world.desire(&call);
    world.run(200 * MS);
    let apart = stream(1, 1, 0);
    world.taken_ports.insert(apart.rtcp_port);
    world.desire(&with_streams(&call, std::slice::from_ref(&apart)));
    world.run(200 * MS);
    assert_eq!(world.applied(id(1))[1].1[0].stream, apart.id);
    assert!(world.is_port_open(apart.rtp_port));
    world.taken_ports.clear();
    // With the next revision it gets it; and back again.
    for (revision, wanted) in [(3, &apart), (4, &shared)] {
        let mut next = with_streams(&call, std::slice::from_ref(wanted));
        next.revision = revision;
        world.desire(&next);
        world.run(200 * MS);
        assert_eq!(world.applied_revision(id(1)), Some(revision));
        let ports: BTreeMap<u16, bool> = [apart.rtp_port, apart.rtcp_port]
            .map(|port| (port, world.is_port_open(port)))
            .into();
        let is_apart = wanted.rtcp_port != wanted.rtp_port;
        assert_eq!(ports[&apart.rtcp_port], is_apart, "revision {revision}");
        assert!(ports[&apart.rtp_port]);
    }
}
