//! The disk beside the journal fails: what could not be written is written later, and nothing is
//! published without it.

mod world;

use std::time::Duration;

use holdfast_control::Recording;
use holdfast_shard::{Checkpoint, Notice};
use world::build::{ended, id, recording, stream, with_streams};
use world::{Crash, Faults, MS, World};

fn new_world(seed: u64) -> World {
    let mut world = World::dark(seed);
    world.config.checkpoint_interval = 200 * MS;
    world.start();
    world.connect(&[]);
    world
}

fn begin(world: &mut World, number: u8) -> Recording {
    world.write_document(number, "0001.xml", b"<recording/>");
    let call = recording(number, 1, &[stream(number.into(), 1, number.into())]);
    world.desire(&call);
    world.run(100 * MS);
    call
}

fn checkpoint(world: &World) -> u64 {
    let bytes = world.files.read(world::files::CHECKPOINT).unwrap();
    Checkpoint::decode(bytes).unwrap().lsn
}

fn failures(world: &World) -> usize {
    let is_failure = |notice: &&Notice| matches!(notice, Notice::Failed(..));
    world.notices.iter().filter(is_failure).count()
}

#[test]
fn pieces_of_a_track_are_written_again_and_then_it_is_published_whole() {
    for seed in 60..70 {
        let mut world = new_world(seed);
        let call = begin(&mut world, 1);
        let mut sent = Vec::new();
        for round in 0..10 {
            world.faults.tracks = world.rng.below(5) as u32;
            let more = world.talk(&call.streams, round * 40..round * 40 + 40);
            sent.extend(more[0].clone());
        }
        world.faults.tracks = 4;
        world.desire(&ended(&call, world.wall));
        world.run(500 * MS);
        assert!(!world.is_published(1), "something is not written");
        world.run(5_000 * MS);
        assert!(failures(&world) > 0);
        assert_eq!(world.track(1, 1).payloads(), sent);
        assert_eq!(world.published[&id(1)], 1);
    }
}

#[test]
fn while_a_piece_is_not_written_no_checkpoint_passes_it() {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let mut world = new_world(70);
        let call = begin(&mut world, 1);
        let mut sent = world.talk(&call.streams, 0..100);
        world.faults.tracks = u32::MAX;
        let before = checkpoint(&world);
        sent[0].extend(world.talk(&call.streams, 100..300).swap_remove(0));
        assert!(checkpoint(&world) <= before + 30, "only what was under way");
        world.faults = Faults::default();
        world.restart(crash);
        world.connect(std::slice::from_ref(&call));
        world.desire(&ended(&call, world.wall));
        world.run(3_000 * MS);
        let payloads = world.track(1, 1).payloads();
        assert!(payloads.len() >= 290, "{}", payloads.len());
        assert_eq!(payloads[..], sent[0][..payloads.len()]);
    }
}

#[test]
fn a_recovery_that_cannot_write_keeps_the_journal() {
    let mut world = new_world(71);
    let call = begin(&mut world, 1);
    let mut sent = world.talk(&call.streams, 0..100);
    world.crash(Crash::Kill);
    world.faults.tracks = 3;
    world.faults.states = 1;
    world.start();
    world.connect(std::slice::from_ref(&call));
    sent[0].extend(world.talk(&call.streams, 100..150).swap_remove(0));
    // Again, before anything was tried again, and then for good.
    world.crash(Crash::PowerCut);
    world.faults = Faults::default();
    world.start();
    world.connect(std::slice::from_ref(&call));
    world.desire(&ended(&call, world.wall));
    world.run(3_000 * MS);
    let payloads = world.track(1, 1).payloads();
    assert!(payloads.len() >= 140);
    assert_eq!(payloads[..], sent[0][..payloads.len()]);
}

#[test]
fn states_and_documents_are_written_again_before_publishing() {
    let mut world = new_world(72);
    let call = begin(&mut world, 1);
    // No stream, no piece: nothing else would hold the publisher back.
    let empty = with_streams(&call, &[]);
    world.desire(&empty);
    world.run(300 * MS);
    world.faults.states = 2;
    world.faults.documents = 3;
    world.write_document(1, "call.json", b"{\"last\": true}");
    world.write_document(1, "0002.xml", b"<last/>");
    world.desire(&ended(&empty, world.wall));
    world.run(800 * MS);
    assert!(!world.is_published(1));
    world.run(6_000 * MS);
    assert_eq!(world.published[&id(1)], 1);
    let json = world.published_document(1, "call.json");
    assert_eq!(json, Some(b"{\"last\": true}".to_vec()));
    let xml = world.published_document(1, "0002.xml");
    assert_eq!(xml, Some(b"<last/>".to_vec()));
    assert_eq!(failures(&world), 2 + 3 + 2, "and two tries to publish");
}

#[test]
fn a_document_that_was_not_written_does_not_come_in_the_place_of_a_newer_one() {
    let mut world = new_world(73);
    let call = begin(&mut world, 1);
    world.faults.disk_stalls = true;
    world.write_document(1, "call.json", b"old");
    world.run(200 * MS);
    world.write_document(1, "call.json", b"new");
    world.run(200 * MS);
    // The old one fails, the new one does not.
    world.faults.documents = 1;
    world.faults.disk_stalls = false;
    world.run(3_000 * MS);
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(
        world.published_document(1, "call.json"),
        Some(b"new".to_vec())
    );
}

#[test]
fn a_publication_that_fails_is_tried_again() {
    let mut world = new_world(74);
    let call = begin(&mut world, 1);
    let sent = world.talk(&call.streams, 0..20);
    world.faults.publishes = 3;
    world.desire(&ended(&call, world.wall));
    world.run(2_000 * MS);
    assert!(!world.is_published(1));
    world.run(4_000 * MS);
    assert_eq!(world.published_told(id(1)).len(), 1);
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
    assert_eq!(world.files.recordings(), []);
}

#[test]
fn one_that_can_never_be_published_does_not_hold_back_the_others() {
    let mut world = new_world(75);
    let first = begin(&mut world, 1);
    world.faults.unpublishable = Some(id(1));
    world.desire(&ended(&first, world.wall));
    world.run(1_000 * MS);
    let second = begin(&mut world, 2);
    let before = checkpoint(&world);
    // Several times what the journal holds.
    for round in 0..40 {
        world.talk(&second.streams, round * 250..round * 250 + 250);
    }
    assert!(checkpoint(&world) > before + 9_500);
    assert_eq!(world.statistics.unwritten, 0);
    world.desire(&ended(&second, world.wall));
    world.run(1_000 * MS);
    assert!(world.is_published(2));
    assert_eq!(world.track(2, 1).packets.len(), 10_000);
    // It is not forgotten either.
    world.faults.unpublishable = None;
    world.restart(Crash::PowerCut);
    world.run(1_000 * MS);
    assert!(world.is_published(1));
}

#[test]
fn syncs_and_checkpoints_that_fail_are_made_up_for() {
    let mut world = new_world(76);
    let call = begin(&mut world, 1);
    for round in 0..20 {
        world.faults.syncs = u32::from(round % 3 == 0);
        world.faults.checkpoints = u32::from(round % 4 == 0);
        world.talk(&call.streams, round * 10..round * 10 + 10);
    }
    world.run(Duration::from_secs(2));
    assert!(checkpoint(&world) >= 200);
    world.restart(Crash::PowerCut);
    world.connect(std::slice::from_ref(&call));
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.track(1, 1).packets.len(), 200);
}

#[test]
fn a_slow_sync_speaks_only_for_what_came_before_it() {
    for seed in 77..97 {
        let mut world = new_world(seed);
        let call = begin(&mut world, 1);
        world.faults.syncs_stall = true;
        let mut sent = world.talk(&call.streams, 0..60);
        // The one that is under way is given up; after it more is written.
        world.faults.states = 1;
        let next = with_streams(&call, &[call.streams[0].clone(), stream(9, 2, 9)]);
        world.desire(&next);
        sent[0].extend(world.talk(&call.streams, 60..400).swap_remove(0));
        world.faults.syncs_stall = false;
        // Just enough for the first answers to come.
        for _ in 0..world.rng.below(12) {
            world.work_one();
            world.tick(5 * MS);
        }
        world.restart(Crash::PowerCut);
        world.connect(std::slice::from_ref(&next));
        world.desire(&ended(&next, world.wall));
        world.run(2_000 * MS);
        let payloads = world.track(1, 1).payloads();
        assert!(payloads.len() >= 390, "seed {seed}: {}", payloads.len());
        assert_eq!(payloads[..], sent[0][..payloads.len()], "seed {seed}");
    }
}
