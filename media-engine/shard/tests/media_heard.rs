//! How long nothing has come for a recording: what signaling asks before it gives up a peer.

mod world;

use std::time::Duration;

use holdfast_control::FromEngine;
use holdfast_shard::Command;
use world::build::{id, paused, recording, stream, with_streams};
use world::{MS, World};

/// What the engine answers now.
fn silence(world: &mut World, number: u8) -> Option<Duration> {
    world.told.clear();
    world.command(Command::AskMedia(id(number)));
    world.run(5 * MS);
    let answers: Vec<_> = world
        .told
        .iter()
        .filter_map(|told| match told {
            FromEngine::Media {
                recording,
                silent_for,
            } if *recording == id(number) => Some(*silent_for),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "{:?}", world.told);
    answers[0]
}

#[test]
fn a_packet_of_any_stream_is_a_sign_of_life_recorded_or_paused() {
    let mut world = World::new(41);
    world.connect(&[]);
    let streams = [stream(1, 1, 0), stream(2, 2, 1)];
    let call = recording(1, 1, &streams);
    world.desire(&call);
    world.run(10_000 * MS);
    let since = silence(&mut world, 1).expect("it receives");
    assert!(since >= Duration::from_secs(9), "since it began: {since:?}");

    for sequence in 0..200 {
        world.send(&streams[1], sequence);
        world.run(20 * MS);
    }
    let since = silence(&mut world, 1).unwrap();
    assert!(since <= Duration::from_secs(1), "{since:?}");
    world.run(30_000 * MS);
    let since = silence(&mut world, 1).unwrap();
    let (least, most) = (Duration::from_secs(29), Duration::from_secs(31));
    assert!((least..most).contains(&since), "{since:?}");

    let streams = [paused(&streams[0]), paused(&streams[1])];
    world.desire(&with_streams(&call, &streams));
    for sequence in 200..300 {
        world.send(&streams[1], sequence);
        world.run(20 * MS);
    }
    let since = silence(&mut world, 1).unwrap();
    assert!(since <= Duration::from_secs(1), "paused: {since:?}");
}

#[test]
fn of_what_it_does_not_receive_the_engine_knows_nothing() {
    let mut world = World::new(42);
    world.connect(&[]);
    assert_eq!(silence(&mut world, 9), None, "no such recording");
    world.desire(&recording(1, 1, &[]));
    world.run(100 * MS);
    assert_eq!(silence(&mut world, 1), None, "no stream");
}
