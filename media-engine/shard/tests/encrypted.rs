//! Encrypted streams: whom a stream listens to is decided by what authenticates.

mod world;

use std::net::SocketAddr;

use holdfast_control::{Recording, Stream};
use holdfast_shard::Notice;
use world::build::{
    STRANGER, encrypted, ended, media_source, protect, recording, rtp, stream, with_streams,
};
use world::{Crash, MS, World};

fn begin(world: &mut World) -> Recording {
    world.connect(&[]);
    let call = recording(1, 1, &[encrypted(1, &stream(1, 1, 0), 0)]);
    world.desire(&call);
    world.run(100 * MS);
    call
}

fn finish(world: &mut World, call: &Recording) -> world::tracks::Track {
    world.desire(&ended(call, world.wall));
    world.run(1_000 * MS);
    world.track(1, 1)
}

fn plain(sequence: u16) -> Vec<u8> {
    rtp(9, sequence, &format!("number {sequence};"))
}

/// A packet of the true sender, from somewhere.
fn speak(world: &mut World, one: &Stream, from: SocketAddr, sequence: u16) -> Vec<u8> {
    let plain = plain(sequence);
    let bytes = protect(one.id, 0, &plain, 0);
    assert!(world.datagram(one.rtp_port, from, &bytes).is_some());
    plain
}

fn latched(world: &World) -> Vec<SocketAddr> {
    let of = |notice: &Notice| match notice {
        Notice::Latched { source, .. } => Some(*source),
        _ => None,
    };
    world.notices.iter().filter_map(of).collect()
}

/// T-72, TC-123: an attacker who is there first, on the very port that the SDP names, with the right
/// SSRC and numbers, neither is recorded nor keeps the true sender out, who is a stranger.
#[test]
fn an_attacker_who_sends_first_does_not_keep_the_sender_out() {
    let mut world = World::new(61);
    let call = begin(&mut world);
    let one = &call.streams[0];
    let sender = SocketAddr::new(STRANGER, 7_000);
    let attack = |world: &mut World, sequence| {
        // Of the right form, under another key.
        let forged = protect(one.id, 77, &plain(sequence), 0);
        world.datagram(one.rtp_port, media_source(one), &forged);
    };
    for sequence in 1..20 {
        attack(&mut world, sequence);
        world.run(20 * MS);
    }
    assert_eq!(latched(&world), []);
    let mut sent = Vec::new();
    for sequence in 20..60 {
        attack(&mut world, sequence);
        sent.push(speak(&mut world, one, sender, sequence));
        attack(&mut world, sequence + 1);
        world.run(20 * MS);
    }
    assert_eq!(latched(&world), [sender], "once");
    let track = finish(&mut world, &call);
    assert_eq!(track.payloads(), sent);
    // The track does not know the attacker at all.
    let remote: Vec<SocketAddr> = track.sources.iter().map(|(_, it)| it.remote).collect();
    assert_eq!(remote, [sender]);
    let refused = track.counters.unwrap().refused;
    assert_eq!(refused.get("srtp_authentication"), Some(&(19 + 2 * 40)));
}

/// T-73: an authentic packet from elsewhere moves the stream, at once and without silence.
#[test]
fn the_sender_moves_in_the_middle_and_nothing_is_lost() {
    for crash in [None, Some(Crash::Kill), Some(Crash::PowerCut)] {
        let mut world = World::new(62);
        let call = begin(&mut world);
        let one = &call.streams[0];
        let (first, then) = (media_source(one), SocketAddr::new(STRANGER, 7_000));
        let mut sent = Vec::new();
        for sequence in 1..30 {
            sent.push(speak(&mut world, one, first, sequence));
            world.run(20 * MS);
        }
        world.run(3_000 * MS);
        if let Some(crash) = crash {
            world.restart(crash);
        }
        for sequence in 30..60 {
            sent.push(speak(&mut world, one, then, sequence));
            world.run(20 * MS);
        }
        assert_eq!(latched(&world), [first, then], "{crash:?}");
        let track = finish(&mut world, &call);
        assert_eq!(track.payloads(), sent, "{crash:?}");
        let remote: Vec<SocketAddr> = track.sources.iter().map(|(_, it)| it.remote).collect();
        assert_eq!(remote, [first, then]);
        assert_eq!(track.packet_sources[..29], [1; 29]);
    }
}

/// More forgers than senders are told apart: each packet's source is still the right one.
#[test]
fn many_forgers_do_not_grow_the_track() {
    let mut world = World::new(63);
    let call = begin(&mut world);
    let one = &call.streams[0];
    for port in 0..400 {
        let forged = protect(one.id, 77, &plain(port), 0);
        let from = SocketAddr::new(STRANGER, 20_000 + port);
        world.datagram(one.rtp_port, from, &forged);
        world.run(2 * MS);
    }
    let sender = SocketAddr::new(STRANGER, 7_000);
    let mut sent = Vec::new();
    for sequence in 1..40 {
        sent.push(speak(&mut world, one, sender, sequence));
        let forged = protect(one.id, 77, &plain(sequence), 0);
        let from = SocketAddr::new(STRANGER, 30_000 + sequence);
        world.datagram(one.rtp_port, from, &forged);
        world.run(20 * MS);
    }
    let track = finish(&mut world, &call);
    assert_eq!(track.payloads(), sent);
    let remote: Vec<SocketAddr> = track.sources.iter().map(|(_, it)| it.remote).collect();
    assert_eq!(remote, [sender]);
}

/// A stream that is encrypted from an offer on: whoever it had latched before counts no more.
#[test]
fn an_offer_with_keys_makes_the_latch_one_by_authentication() {
    let mut world = World::new(64);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(100 * MS);
    let one = &call.streams[0];
    world.datagram(one.rtp_port, media_source(one), &plain(1));
    world.run(100 * MS);
    let call = with_streams(&call, &[encrypted(1, one, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    let sender = SocketAddr::new(STRANGER, 7_000);
    let mut sent = vec![plain(1)];
    for sequence in 2..20 {
        sent.push(speak(&mut world, &call.streams[0], sender, sequence));
        world.run(20 * MS);
    }
    assert_eq!(latched(&world), [media_source(one), sender]);
    let track = finish(&mut world, &call);
    assert_eq!(track.payloads(), sent);
}
