//! Recordings that nobody claims.

mod world;

use std::time::Duration;

use holdfast_control::{Life, Recording};
use holdfast_manifest::EndReason;
use holdfast_shard::{Command, Notice, SavedRecording};
use world::build::{id, paused, recording, stream};
use world::{Crash, MS, World};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn begin(world: &mut World) -> Recording {
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    call
}

fn end_reason(world: &World) -> EndReason {
    let path = format!("{}state", world::files::published(id(1)));
    let saved = SavedRecording::decode(world.files.read(&path).unwrap()).unwrap();
    match saved.recording.life {
        Life::Ended { reason, .. } => reason,
        Life::Active => panic!("it goes on"),
    }
}

/// Packets, one a second.
fn hear(world: &mut World, call: &Recording, seconds: std::ops::Range<u16>) {
    for sequence in seconds {
        world.send(&call.streams[0], sequence);
        world.run(1_000 * MS);
    }
}

#[test]
fn not_claimed_it_ends_although_there_is_media() {
    let mut world = World::new(50);
    let call = begin(&mut world);
    world.command(Command::Connected);
    hear(&mut world, &call, 0..30);
    // The time counts from the end of the reconciliation.
    world.command(Command::ReconcileDone);
    hear(&mut world, &call, 30..88);
    assert!(!world.is_published(1));
    hear(&mut world, &call, 88..95);
    assert!(world.is_published(1));
    assert_eq!(end_reason(&world), EndReason::Orphaned);
    let is_orphan = |notice: &&Notice| matches!(notice, Notice::Orphaned(_));
    assert_eq!(world.notices.iter().filter(is_orphan).count(), 1);
    assert_eq!(world.track(1, 1).packets.len(), 91);
}

#[test]
fn while_signaling_is_away_media_keeps_it() {
    let mut world = World::new(51);
    let call = begin(&mut world);
    world.command(Command::Disconnected);
    hear(&mut world, &call, 0..200);
    assert!(!world.is_published(1));
    world.run(seconds(58));
    assert!(!world.is_published(1));
    world.run(seconds(5));
    assert!(world.is_published(1));
    assert_eq!(end_reason(&world), EndReason::Orphaned);
}

#[test]
fn while_it_reconciles_media_keeps_it_however_long_that_takes() {
    let mut world = World::new(52);
    let call = begin(&mut world);
    world.command(Command::Connected);
    hear(&mut world, &call, 0..100);
    world.desire(&call);
    world.command(Command::ReconcileDone);
    world.run(seconds(200));
    assert!(!world.is_published(1), "it was claimed");
}

#[test]
fn a_paused_sender_is_a_sign_of_life() {
    let mut world = World::new(53);
    world.connect(&[]);
    let call = recording(1, 1, &[paused(&stream(1, 1, 0))]);
    world.desire(&call);
    world.run(200 * MS);
    world.command(Command::Disconnected);
    hear(&mut world, &call, 0..100);
    assert!(!world.is_published(1));
    world.run(seconds(65));
    assert!(world.is_published(1));
}

#[test]
fn claimed_again_it_goes_on() {
    let mut world = World::new(54);
    let call = begin(&mut world);
    world.command(Command::Disconnected);
    world.run(seconds(50));
    world.connect(std::slice::from_ref(&call));
    world.run(seconds(300));
    assert!(!world.is_published(1), "silence alone ends nothing");
    assert_eq!(world.shard().unknown_records(), 0);
}

#[test]
fn a_new_process_waits_for_signaling_as_long_as_there_is_media() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = World::new(55);
        let call = begin(&mut world);
        world.restart(crash);
        hear(&mut world, &call, 0..100);
        assert!(!world.is_published(1));
        world.run(seconds(65));
        assert!(world.is_published(1));
        assert_eq!(world.track(1, 1).packets.len(), 100);
    }
}

#[test]
fn a_full_journal_puts_the_end_off() {
    let mut world = World::new(56);
    world.blocks = 2;
    world.restart(Crash::Kill);
    let call = begin(&mut world);
    world.command(Command::Disconnected);
    world.faults.journal_stalls = true;
    for sequence in 0..2_000 {
        world.send(&call.streams[0], sequence);
        world.run(5 * MS);
    }
    assert!(world.statistics.unwritten > 0);
    world.run(seconds(80));
    assert!(!world.is_published(1));
    world.faults.journal_stalls = false;
    world.run(seconds(10));
    assert!(world.is_published(1));
}
