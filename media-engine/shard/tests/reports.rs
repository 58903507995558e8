//! Receiver reports: within five seconds, from the announced port, to the announced place; a BYE at
//! the end; silence where `b=RR:0` asks for it. RTCP that arrives is kept.

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_control::Stream;
use holdfast_units::WallTime;
use world::build::{
    PEER, control_source, ended, id, paused, recording, sender_report, stream, with_streams,
};
use world::{MS, World};

/// Payload type of the first packet of a compound.
const RR: u8 = 201;
const BYE: u8 = 203;

fn has(bytes: &[u8], wanted: u8) -> bool {
    let mut at = 0;
    while at + 4 <= bytes.len() {
        if bytes[at + 1] == wanted {
            return true;
        }
        at += 4 * (1 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])));
    }
    false
}

fn begin(world: &mut World, streams: &[Stream]) -> holdfast_control::Recording {
    world.connect(&[]);
    let call = recording(1, 1, streams);
    world.desire(&call);
    world.run(100 * MS);
    call
}

#[test]
fn they_leave_in_time_from_the_right_port_to_the_right_place_and_say_goodbye() {
    let mut world = World::new(30);
    let shared = Stream {
        rtcp_port: stream(2, 2, 1).rtp_port,
        ..stream(2, 2, 1)
    };
    let streams = [stream(1, 1, 0), shared];
    let call = begin(&mut world, &streams);
    for round in 0..100_u16 {
        for one in &streams {
            world.send(one, round);
        }
        world.run(200 * MS);
    }
    for one in &streams {
        let sent: Vec<_> = world
            .sent
            .iter()
            .filter(|sent| sent.from_port == one.rtcp_port)
            .collect();
        assert!(sent.iter().all(|sent| sent.to == control_source(one)));
        assert!(sent.iter().all(|sent| has(&sent.bytes, RR)));
        let first = sent[0].at.since(holdfast_units::MonoTime(1_000_000_000));
        assert!(first < Duration::from_secs(5), "{first:?}");
        for pair in sent.windows(2) {
            let pause = pair[1].at.since(pair[0].at);
            assert!(pause < Duration::from_secs(7), "{pause:?}");
        }
        // A block of what was heard: 8 octets of header and SSRC, then the block.
        let last = sent.last().unwrap();
        assert_eq!(last.bytes[0] & 31, 1, "one report block");
        let ssrc = 0x1000 + one.id.0 as u32;
        assert_eq!(last.bytes[8..12], ssrc.to_be_bytes());
        assert!(!sent.iter().any(|sent| has(&sent.bytes, BYE)));
    }
    let before = world.sent.len();
    world.desire(&ended(&call, world.wall));
    let goodbyes = &world.sent[before..];
    assert_eq!(goodbyes.len(), 2);
    assert!(goodbyes.iter().all(|sent| has(&sent.bytes, BYE)));
    world.run(20_000 * MS);
    assert_eq!(world.sent.len(), before + 2, "nothing follows a BYE");
}

#[test]
fn rtcp_that_arrives_is_kept_and_moves_the_reports_to_where_it_comes_from() {
    let mut world = World::new(31);
    let one = stream(1, 1, 0);
    let call = begin(&mut world, std::slice::from_ref(&one));
    world.send(&one, 1);
    let elsewhere = SocketAddr::new(PEER, 61_000);
    let report = sender_report(0x1001, 7);
    assert!(world.datagram(one.rtcp_port, elsewhere, &report).is_some());
    world.run(8_000 * MS);
    assert!(!world.sent.is_empty());
    assert!(world.sent.iter().all(|sent| sent.to == elsewhere));
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).rtcp, [report]);
}

#[test]
fn bandwidth_zero_is_silence_and_can_change() {
    let mut world = World::new(32);
    let silent = Stream {
        send_reports: false,
        ..stream(1, 1, 0)
    };
    let call = begin(&mut world, std::slice::from_ref(&silent));
    world.talk(std::slice::from_ref(&silent), 0..10);
    world.run(20_000 * MS);
    assert!(world.sent.is_empty());
    let loud = with_streams(&call, &[stream(1, 1, 0)]);
    world.desire(&loud);
    world.run(10_000 * MS);
    let count = world.sent.len();
    assert!(count > 0);
    let silent = with_streams(&loud, std::slice::from_ref(&silent));
    world.desire(&silent);
    world.run(20_000 * MS);
    world.desire(&ended(&silent, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.sent.len(), count, "no BYE either");
}

#[test]
fn they_go_on_while_a_stream_is_paused() {
    let mut world = World::new(33);
    let one = stream(1, 1, 0);
    let call = begin(&mut world, std::slice::from_ref(&one));
    world.desire(&with_streams(&call, &[paused(&one)]));
    world.run(20_000 * MS);
    assert!(world.sent.len() >= 3, "{}", world.sent.len());
}

#[test]
fn a_wall_clock_that_is_set_does_not_silence_them() {
    let mut world = World::new(34);
    let one = stream(1, 1, 0);
    begin(&mut world, std::slice::from_ref(&one));
    world.run(10_000 * MS);
    let count = world.sent.len();
    world.wall = WallTime(world.wall.0 - 86_400_000_000_000);
    world.run(20_000 * MS);
    let after = world.sent.len() - count;
    assert!((3..10).contains(&after), "{after} in 20 s");
    assert_eq!(world.applied_revision(id(1)), Some(1));
}
