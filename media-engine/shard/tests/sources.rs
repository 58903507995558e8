//! Who sends: duplicates, new senders, strangers that have to prove themselves.

mod world;

use std::net::SocketAddr;

use holdfast_shard::Notice;
use world::build::{
    STRANGER, control_source, ended, media_source, recording, rtp, sender_report, stream,
};
use world::{Crash, MS, World};

fn begin(world: &mut World) -> holdfast_control::Recording {
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(100 * MS);
    call
}

fn finish(world: &mut World, call: &holdfast_control::Recording) -> world::tracks::Track {
    world.desire(&ended(call, world.wall));
    world.run(1_000 * MS);
    world.track(1, 1)
}

#[test]
fn duplicates_are_counted_and_kept_once() {
    let mut world = World::new(19);
    let call = begin(&mut world);
    let one = &call.streams[0];
    let mut sent = Vec::new();
    for sequence in [1, 2, 2, 3, 5, 4, 4, 1] {
        let packet = world.send(one, sequence);
        if !sent.contains(&packet) {
            sent.push(packet);
        }
        world.run(20 * MS);
    }
    let track = finish(&mut world, &call);
    assert_eq!(track.payloads(), sent);
    let counters = track.counters.unwrap();
    assert_eq!((counters.packets, counters.duplicates), (5, 3));
    assert_eq!(counters.late, 1);
}

#[test]
fn duplicates_are_known_across_a_crash() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = World::new(20);
        let call = begin(&mut world);
        let one = &call.streams[0];
        let sent = world.talk(std::slice::from_ref(one), 1..200);
        world.run(3_000 * MS);
        world.restart(crash);
        for sequence in 190..200 {
            world.send(one, sequence);
        }
        let track = finish(&mut world, &call);
        assert_eq!(track.payloads(), sent[0]);
        assert_eq!(track.counters.unwrap().duplicates, 10);
    }
}

#[test]
fn each_sender_has_a_number_and_an_address() {
    let mut world = World::new(21);
    let call = begin(&mut world);
    let one = &call.streams[0];
    let elsewhere = SocketAddr::new(media_source(one).ip(), 50_000);
    world.send(one, 1);
    world.datagram(
        one.rtcp_port,
        control_source(one),
        &sender_report(0x1001, 1),
    );
    world.run(6_000 * MS);
    // The same sender goes on from another port.
    let moved = rtp(0x1001, 2, "moved");
    assert!(world.datagram(one.rtp_port, elsewhere, &moved).is_some());
    let latched = |notice: &&Notice| matches!(notice, Notice::Latched { .. });
    assert_eq!(world.notices.iter().filter(latched).count(), 2);
    let track = finish(&mut world, &call);
    let remote: Vec<(u8, SocketAddr)> = track
        .sources
        .iter()
        .map(|(number, addresses)| (*number, addresses.remote))
        .collect();
    let expected = [
        (1, media_source(one)),
        (2, control_source(one)),
        (3, elsewhere),
    ];
    assert_eq!(remote, expected);
    assert_eq!(track.packet_sources, [1, 3]);
    assert_eq!(track.rtcp, [sender_report(0x1001, 1)]);
}

#[test]
fn the_packet_that_waited_for_its_proof_is_not_lost() {
    let mut world = World::new(22);
    let call = begin(&mut world);
    let one = &call.streams[0];
    let stranger = SocketAddr::new(STRANGER, 7_000);
    let packets = [1, 2, 3].map(|sequence| rtp(9, sequence, &format!("number {sequence};")));
    assert_eq!(world.datagram(one.rtp_port, stranger, &packets[0]), None);
    world.run(20 * MS);
    for packet in &packets[1..] {
        assert!(world.datagram(one.rtp_port, stranger, packet).is_some());
    }
    let track = finish(&mut world, &call);
    assert_eq!(track.payloads(), packets);
    assert_eq!(track.sources[0].1.remote, stranger);
}

#[test]
fn whom_a_stream_listens_to_outlives_the_process() {
    for seed in 23..29 {
        let mut world = World::new(seed);
        let call = begin(&mut world);
        let one = &call.streams[0];
        let stranger = SocketAddr::new(STRANGER, 7_000);
        let mut sent = Vec::new();
        for sequence in 1..10 {
            let packet = rtp(9, sequence, &format!("number {sequence};"));
            world.datagram(one.rtp_port, stranger, &packet);
            sent.push(packet);
        }
        // Before and after a checkpoint has it.
        world.run(if seed % 2 == 0 { 200 * MS } else { 5_000 * MS });
        let crash = if seed % 3 == 0 {
            Crash::PowerCut
        } else {
            Crash::Kill
        };
        world.restart(crash);
        // One packet here and there: nothing that would prove a new source.
        for sequence in [20, 30, 40] {
            let packet = rtp(9, sequence, &format!("number {sequence};"));
            assert!(world.datagram(one.rtp_port, stranger, &packet).is_some());
            sent.push(packet);
        }
        // And nobody else has a chance.
        let other = SocketAddr::new(STRANGER, 7_002);
        for sequence in 1..4 {
            let packet = rtp(10, sequence, "another stranger");
            assert_eq!(world.datagram(one.rtp_port, other, &packet), None);
        }
        let track = finish(&mut world, &call);
        assert_eq!(track.payloads(), sent);
    }
}
