//! Documents: whole, in pieces, broken, before their recording, and never completed.

mod world;

use std::time::Duration;

use holdfast_control::RefusalReason;
use holdfast_shard::Command;
use world::build::{document, ended, id, recording, stream, with_streams};
use world::{Crash, MS, World};

fn piece(world: &mut World, name: &str, offset: u32, last: bool, bytes: &[u8]) {
    let piece = document(1, name, offset, last, bytes);
    world.command(Command::Document(piece));
}

fn is_invalid(reason: &RefusalReason, why: &str) -> bool {
    matches!(reason, RefusalReason::Invalid(text) if text.contains(why))
}

#[test]
fn in_pieces_replaced_and_published() {
    let mut world = World::new(40);
    world.connect(&[]);
    let long: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
    for (index, chunk) in long.chunks(60_000).enumerate() {
        let offset = index * 60_000;
        let last = offset + chunk.len() == long.len();
        piece(&mut world, "0001.xml", offset as u32, last, chunk);
    }
    piece(&mut world, "empty.xml", 0, true, b"");
    piece(&mut world, "call.json", 0, true, b"{\"first\": 1}");
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(300 * MS);
    piece(&mut world, "call.json", 0, true, b"{}");
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    assert_eq!(world.applied_revision(id(1)), Some(2));
    assert_eq!(world.published_document(1, "0001.xml"), Some(long));
    assert_eq!(world.published_document(1, "empty.xml"), Some(vec![]));
    assert_eq!(
        world.published_document(1, "call.json"),
        Some(b"{}".to_vec())
    );
}

#[test]
fn a_broken_sequence_is_told_once_with_the_next_revision() {
    let broken: [&[(u32, bool)]; 4] = [
        // A piece is missing, comes twice, has no beginning, or the end does not come.
        &[(0, false), (20, true)],
        &[(0, false), (10, false), (10, true)],
        &[(10, true)],
        &[(0, false), (10, false)],
    ];
    for (case, pieces) in broken.into_iter().enumerate() {
        let mut world = World::new(41);
        world.config.checkpoint_interval = 200 * MS;
        world.restart(Crash::Kill);
        world.connect(&[]);
        let call = recording(1, 1, &[stream(1, 1, 0)]);
        world.desire(&call);
        world.run(300 * MS);
        for &(offset, last) in pieces {
            piece(&mut world, "0001.xml", offset, last, b"0123456789");
        }
        let next = with_streams(&call, &[stream(1, 1, 0), stream(2, 2, 1)]);
        world.desire(&next);
        world.run(300 * MS);
        let refusals = world.refusals(id(1));
        assert_eq!(refusals.len(), 1, "case {case}");
        assert!(is_invalid(&refusals[0].1, "0001.xml"), "{refusals:?}");
        assert!(!world.is_port_open(stream(2, 2, 1).rtp_port));
        // The journal is not kept for what never comes.
        let segment = world.shard().next_lsn();
        world.talk(&call.streams, 0..50);
        assert!(checkpoint(&world) > segment.0, "case {case}");
        // Sent again it is well.
        piece(&mut world, "0001.xml", 0, false, b"0123456789");
        piece(&mut world, "0001.xml", 10, true, b"ABC");
        world.desire(&next);
        world.desire(&ended(&next, world.wall));
        world.run(1_500 * MS);
        assert_eq!(world.applied_revision(id(1)), Some(3));
        let found = world.published_document(1, "0001.xml");
        assert_eq!(found, Some(b"0123456789ABC".to_vec()));
    }
}

fn checkpoint(world: &World) -> u64 {
    let bytes = world.files.read(world::files::CHECKPOINT).unwrap();
    holdfast_shard::Checkpoint::decode(bytes).unwrap().lsn
}

#[test]
fn one_document_may_not_interrupt_another() {
    let mut world = World::new(42);
    world.connect(&[]);
    piece(&mut world, "0001.xml", 0, false, b"half of it");
    piece(&mut world, "0002.xml", 0, true, b"whole");
    let call = recording(1, 1, &[]);
    world.desire(&call);
    world.run(200 * MS);
    assert!(is_invalid(&world.refusals(id(1))[0].1, "0002.xml"));
}

#[test]
fn the_end_of_a_recording_is_refused_for_its_document_and_then_taken() {
    let mut world = World::new(43);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    piece(&mut world, "0002.xml", 7, true, b"no beginning");
    let end = ended(&call, world.wall);
    world.desire(&end);
    world.run(200 * MS);
    assert_eq!(world.refusals(id(1)).len(), 1);
    world.desire(&end);
    world.run(1_000 * MS);
    assert!(world.is_published(1));
}

#[test]
fn who_never_says_the_end_again_is_not_needed_for_it() {
    let mut world = World::new(44);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    piece(&mut world, "0002.xml", 7, true, b"no beginning");
    world.desire(&ended(&call, world.wall));
    for second in 0..70 {
        world.send(&call.streams[0], second);
        world.run(1_000 * MS);
    }
    assert!(world.is_published(1));
}

#[test]
fn documents_whose_recording_never_comes_are_removed_with_their_sender() {
    let mut world = World::new(45);
    world.connect(&[]);
    piece(&mut world, "0001.xml", 0, true, b"whole");
    piece(&mut world, "0002.xml", 0, false, b"half");
    world.run(500 * MS);
    assert_eq!(world.files.recordings(), [id(1)]);
    world.command(Command::Disconnected);
    world.run(500 * MS);
    assert_eq!(world.files.recordings(), []);
    // What is then said of the recording stands alone.
    world.connect(&[recording(1, 1, &[])]);
    world.run(500 * MS);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
}

#[test]
fn half_a_document_does_not_hold_the_journal_for_ever() {
    #[derive(Clone, Copy, PartialEq)]
    enum Case {
        SignalingHangs,
        SignalingIsReplaced,
        EngineIsReplaced,
    }
    for case in [
        Case::SignalingHangs,
        Case::SignalingIsReplaced,
        Case::EngineIsReplaced,
    ] {
        let mut world = World::new(46);
        world.config.checkpoint_interval = 200 * MS;
        world.restart(Crash::Kill);
        world.connect(&[]);
        let call = recording(1, 1, &[stream(1, 1, 0)]);
        world.desire(&call);
        piece(&mut world, "0001.xml", 0, false, b"half");
        match case {
            Case::SignalingHangs => world.run(Duration::from_secs(11)),
            Case::SignalingIsReplaced => world.connect(std::slice::from_ref(&call)),
            Case::EngineIsReplaced => {
                world.run(150 * MS);
                world.restart(Crash::Kill);
                world.connect(std::slice::from_ref(&call));
            }
        }
        let half = world.shard().next_lsn().0;
        world.talk(&call.streams, 0..100);
        assert!(checkpoint(&world) > half + 50);
        world.desire(&ended(&call, world.wall));
        world.run(1_000 * MS);
        // Whoever sent it is told; nobody else is.
        let told = usize::from(case == Case::SignalingHangs);
        assert_eq!(world.refusals(id(1)).len(), told);
    }
}

#[test]
fn a_document_that_straddles_a_checkpoint_outlives_a_power_cut() {
    let mut world = World::new(49);
    world.config.checkpoint_interval = 200 * MS;
    world.restart(Crash::Kill);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    piece(&mut world, "0001.xml", 0, false, b"first half, ");
    world.talk(&call.streams, 0..50);
    world.faults.disk_stalls = true;
    piece(&mut world, "0001.xml", 12, true, b"second half");
    let next = with_streams(&call, &call.streams);
    world.desire(&next);
    world.run(200 * MS);
    assert_eq!(world.applied_revision(id(1)), Some(2));
    world.faults.disk_stalls = false;
    world.restart(Crash::PowerCut);
    world.connect(std::slice::from_ref(&next));
    world.desire(&ended(&next, world.wall));
    world.run(1_000 * MS);
    let found = world.published_document(1, "0001.xml");
    assert_eq!(found, Some(b"first half, second half".to_vec()));
}

#[test]
fn a_document_that_the_journal_does_not_take_is_told_with_the_next_revision() {
    let mut world = World::new(47);
    world.blocks = 1;
    world.restart(Crash::Kill);
    world.connect(&[]);
    world.faults.journal_stalls = true;
    let big = vec![b'x'; 60_000];
    for number in 0..3 {
        piece(&mut world, &format!("{number:04}.xml"), 0, true, &big);
    }
    world.faults.journal_stalls = false;
    world.run(300 * MS);
    // The recording is new: nothing but its documents was ever seen of it.
    let call = recording(1, 1, &[]);
    world.desire(&call);
    world.run(300 * MS);
    assert_eq!(world.refusals(id(1)), [(1, RefusalReason::Journal)]);
    assert_eq!(world.applied(id(1)), []);
    piece(&mut world, "0002.xml", 0, true, &big);
    world.desire(&call);
    world.run(300 * MS);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
}

#[test]
fn a_recording_that_was_refused_can_be_tried_again_at_once() {
    let mut world = World::new(50);
    world.connect(&[]);
    world.command(Command::Willing(Some(
        holdfast_control::Unwilling::DiskFull,
    )));
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    piece(&mut world, "0001.xml", 0, true, b"first try");
    world.desire(&call);
    world.command(Command::Willing(None));
    piece(&mut world, "0001.xml", 0, true, b"second try");
    world.desire(&call);
    world.run(200 * MS);
    assert_eq!(world.refusals(id(1)).len(), 1);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
    let sent = world.talk(&call.streams, 0..10);
    world.desire(&ended(&call, world.wall));
    world.run(1_000 * MS);
    let found = world.published_document(1, "0001.xml");
    assert_eq!(found, Some(b"second try".to_vec()));
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
}

#[test]
fn what_is_held_is_named_by_size() {
    let mut world = World::new(48);
    world.connect(&[]);
    piece(&mut world, "0001.xml", 0, false, b"01234");
    piece(&mut world, "0001.xml", 5, true, b"56789");
    let call = recording(1, 3, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    world.told.clear();
    world.connect(&[]);
    let held = world.held();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].id, held[0].revision), (id(1), 3));
    assert_eq!(held[0].ports, [20_000, 20_001]);
    let documents: Vec<(&str, u32)> = held[0]
        .documents
        .iter()
        .map(|document| (document.name.as_str(), document.size))
        .collect();
    assert_eq!(documents, [("0001.xml", 10)]);
}
