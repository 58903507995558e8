//! What comes while a stream is paused is nowhere: not in the journal, not in a track.

mod world;

use holdfast_track::TrackMark;
use world::build::{
    STRANGER, control_source, ended, id, paused, recording, rtp, sender_report, stream,
    with_streams,
};
use world::{MS, World};

#[test]
fn packets_of_a_pause_are_nowhere_and_recording_goes_on_after_it() {
    let mut world = World::new(14);
    world.connect(&[]);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(100 * MS);
    let mut first = world.talk(&streams, 0..30).swap_remove(0);
    // Only one of the two.
    let half = with_streams(&call, &[paused(&streams[0]), streams[1].clone()]);
    world.desire(&half);
    for sequence in 30..60 {
        let secret = rtp(0x1001, sequence, "SECRET");
        let taken = world.datagram(streams[0].rtp_port, streams[0].peer_rtp.unwrap(), &secret);
        assert_eq!(taken, None);
        let mut report = sender_report(0x1001, 1);
        report.extend(b"SECRET..");
        world.datagram(streams[0].rtcp_port, control_source(&streams[0]), &report);
        world.send(&streams[1], sequence);
        world.run(20 * MS);
    }
    world.run(500 * MS);
    assert!(!world.is_on_disk(b"SECRET"));
    let all = with_streams(&half, &streams);
    world.desire(&all);
    first.extend(world.talk(&streams, 60..90).swap_remove(0));
    world.desire(&ended(&all, world.wall));
    world.run(1_000 * MS);
    let track = world.track(1, 1);
    assert_eq!(track.payloads(), first);
    assert!(track.has_mark(&TrackMark::Pause) && track.has_mark(&TrackMark::Resume));
    let counters = track.counters.unwrap();
    assert_eq!(counters.refused["paused"], 30);
    assert_eq!(world.track(1, 2).packets.len(), 90);
    assert!(!world.is_on_disk(b"SECRET"));
}

#[test]
fn a_packet_that_waited_for_its_proof_does_not_outlast_the_pause() {
    let mut world = World::new(15);
    world.connect(&[]);
    let one = stream(1, 1, 0);
    let call = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&call);
    world.run(100 * MS);
    let stranger = std::net::SocketAddr::new(STRANGER, 7_000);
    world.datagram(one.rtp_port, stranger, &rtp(9, 1, "SECRET"));
    let pause = with_streams(&call, &[paused(&one)]);
    world.desire(&pause);
    let resumed = with_streams(&pause, std::slice::from_ref(&one));
    world.desire(&resumed);
    world.datagram(one.rtp_port, stranger, &rtp(9, 2, "after the pause"));
    world.datagram(one.rtp_port, stranger, &rtp(9, 3, "after the pause"));
    world.desire(&ended(&resumed, world.wall));
    world.run(1_000 * MS);
    assert!(!world.is_on_disk(b"SECRET"));
    assert_eq!(world.track(1, 1).packets.len(), 2);
}

#[test]
fn a_stream_that_begins_paused_has_no_packet() {
    let mut world = World::new(16);
    world.connect(&[]);
    let one = paused(&stream(1, 1, 0));
    let call = recording(1, 1, std::slice::from_ref(&one));
    world.desire(&call);
    world.talk(std::slice::from_ref(&one), 0..10);
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).packets, []);
    assert_eq!(world.applied_revision(id(1)), Some(2));
}
