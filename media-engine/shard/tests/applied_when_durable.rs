//! Signaling is told that a revision is in force when the journal has it, and not before.

mod world;

use holdfast_control::RefusalReason;
use world::build::{ended, id, paused, recording, stream, with_streams};
use world::{MS, World};

#[test]
fn applied_waits_for_the_journal() {
    let mut world = World::new(2);
    world.connect(&[]);
    world.run(50 * MS);
    world.faults.journal_stalls = true;
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.write_document(1, "0001.xml", b"<recording/>");
    world.desire(&call);
    world.run(500 * MS);
    assert!(world.is_port_open(call.streams[0].rtp_port));
    assert_eq!(world.applied(id(1)), []);
    world.faults.journal_stalls = false;
    // The tracks' disk has no part in it.
    world.faults.disk_stalls = true;
    world.run(10 * MS);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
}

#[test]
fn applied_survives_a_failing_segment() {
    let mut world = World::new(3);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.faults.journal_writes = 2;
    world.desire(&call);
    world.run(2_000 * MS);
    assert_eq!(world.applied(id(1)), [(1, vec![])]);
    let sent = world.talk(&call.streams, 0..20);
    world.desire(&ended(&call, world.wall));
    world.run(2_000 * MS);
    assert_eq!(world.track(1, 1).payloads(), sent[0]);
}

#[test]
fn a_revision_said_again_is_confirmed_again_and_changes_nothing() {
    let mut world = World::new(4);
    world.connect(&[]);
    let first = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&first);
    world.run(200 * MS);
    let second = with_streams(&first, &[paused(&first.streams[0])]);
    world.desire(&second);
    world.run(200 * MS);
    let before = world.shard().next_lsn();
    world.desire(&second);
    // Late, and older: the stream stays paused.
    world.desire(&first);
    world.run(200 * MS);
    let revisions: Vec<u64> = world.applied(id(1)).iter().map(|one| one.0).collect();
    assert_eq!(revisions, [1, 2, 2, 1]);
    assert_eq!(world.shard().next_lsn(), before, "nothing was written");
    world.send(&first.streams[0], 1);
    assert_eq!(world.shard().next_lsn(), before, "still paused");
}

#[test]
fn after_its_end_a_recording_is_confirmed_as_ended_and_never_as_active() {
    let mut world = World::new(5);
    world.connect(&[]);
    let call = recording(1, 1, &[stream(1, 1, 0)]);
    world.desire(&call);
    world.run(200 * MS);
    let end = ended(&call, world.wall);
    world.desire(&end);
    world.desire(&end);
    let late = with_streams(&end, &[]);
    let again = holdfast_control::Recording {
        life: holdfast_control::Life::Active,
        ..late
    };
    world.desire(&again);
    world.run(100 * MS);
    assert_eq!(world.applied_revision(id(1)), Some(2));
    let refused = RefusalReason::Invalid("the recording has ended".into());
    assert_eq!(world.refusals(id(1)), [(3, refused)]);
    world.run(1_000 * MS);
    assert_eq!(world.published[&id(1)], 1);
}
