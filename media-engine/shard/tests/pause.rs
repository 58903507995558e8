//! What comes while a stream is paused is nowhere: not in the journal, not in a track.

mod world;

use holdfast_manifest::Codec;
use holdfast_track::TrackMark;
use world::build::{
    STRANGER, control_source, encrypted, ended, id, paused, protect, recording, rtp, sender_report,
    stream, with_streams,
};
use world::{Crash, MS, World};

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

/// How many packets back, and what it said.
type Repeated<'a> = (u16, &'a [u8]);

/// A packet that says something, and repeats what so many packets before it said.
fn repeating(sequence: u16, text: &[u8], repeated: &[Repeated<'_>]) -> Vec<u8> {
    let mut bytes = rtp(0x1001, sequence, "");
    bytes.truncate(12);
    bytes[1] = RED;
    for (back, text) in repeated {
        let head = 1 << 31 | (u32::from(*back) * 160) << 10 | text.len() as u32;
        bytes.extend(head.to_be_bytes());
    }
    bytes.push(0);
    repeated.iter().for_each(|(_, text)| bytes.extend(*text));
    bytes.extend(text);
    bytes
}

/// P-35: RFC 2198 lets the first packets after a pause say again what was said in it.
#[test]
fn what_is_said_in_a_pause_is_not_kept_when_it_is_said_again_after_it() {
    for (is_encrypted, is_restarted) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new(17);
        world.connect(&[]);
        let mut one = stream(1, 1, 0);
        one.codecs.insert(
            RED,
            Codec {
                name: "red".into(),
                clock_rate: 8_000,
                channels: 1,
                fmtp: Some("0/0/0".into()),
            },
        );
        if is_encrypted {
            one = encrypted(1, &one, 0);
        }
        let call = recording(1, 1, std::slice::from_ref(&one));
        world.desire(&call);
        world.run(100 * MS);
        let send = |world: &mut World, bytes: &[u8]| {
            let bytes = if is_encrypted {
                protect(one.id, 0, bytes, 0)
            } else {
                bytes.to_vec()
            };
            world.datagram(one.rtp_port, one.peer_rtp.unwrap(), &bytes);
            world.run(20 * MS);
        };
        let mut kept = vec![
            repeating(1, b"one", &[]),
            repeating(2, b"two", &[(1, b"one")]),
        ];
        kept.iter().for_each(|bytes| send(&mut world, bytes));
        let pause = with_streams(&call, &[paused(&one)]);
        world.desire(&pause);
        for sequence in 3..6 {
            send(
                &mut world,
                &repeating(sequence, b"SECRET", &[(1, b"SECRET")]),
            );
        }
        let resumed = with_streams(&pause, std::slice::from_ref(&one));
        world.desire(&resumed);
        if is_restarted {
            world.run(3_000 * MS);
            world.restart(Crash::Kill);
        }
        // One that reaches into the pause is kept alone, the others as they came.
        let after: [(&[u8], &[Repeated<'_>]); 4] = [
            (b"six", &[(2, b"SECRET"), (1, b"SECRET")]),
            (b"seven", &[(2, b"SECRET"), (1, b"six")]),
            (b"eight", &[(2, b"six"), (1, b"seven")]),
            (b"nine", &[]),
        ];
        for (sequence, (text, repeated)) in (6..).zip(after) {
            send(&mut world, &repeating(sequence, text, repeated));
            let is_secret = repeated.iter().any(|(_, text)| *text == b"SECRET");
            let left = if is_secret { &[] } else { repeated };
            kept.push(repeating(sequence, text, left));
        }
        assert!(!world.is_on_disk(b"SECRET"));
        world.desire(&ended(&resumed, world.wall));
        world.run(1_000 * MS);
        assert_eq!(world.track(1, 1).payloads(), kept, "{is_encrypted}");
        assert!(!world.is_on_disk(b"SECRET"));
    }
}

const RED: u8 = 98;
