//! Figures of packets that were refused or lost would be worth nothing.

use holdfast_benches::{BATCH, NAMES, Running};

#[test]
fn every_stage_takes_every_packet() {
    for name in NAMES {
        for streams in [1, 100] {
            let mut stage = Running::begin(name, streams).unwrap();
            stage.run(BATCH);
            stage.finish();
        }
    }
}

#[test]
fn a_stage_that_does_not_exist_is_none() {
    assert!(Running::begin("no such stage", 1).is_none());
}

#[test]
#[should_panic(expected = "packets come in")]
fn part_of_a_batch_is_refused() {
    Running::begin("feed", 1).unwrap().run(BATCH + 1);
}
