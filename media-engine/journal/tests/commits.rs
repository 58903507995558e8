//! When batches are written, synced, and count as committed.

mod common;

use common::*;
use holdfast_journal::*;
use holdfast_units::MonoTime;

fn opened() -> Shell {
    let mut shell = Shell::fresh();
    shell.settle();
    shell.outputs.clear();
    shell
}

fn outputs(shell: &mut Shell) -> Vec<String> {
    shell.poll();
    std::mem::take(&mut shell.outputs)
}

#[test]
fn a_record_is_committed_after_the_sync_that_follows_its_write() {
    let mut shell = opened();
    shell.append(&sample(0, 172)).unwrap();
    assert!(outputs(&mut shell).is_empty(), "nothing is due");
    shell.writer.request_commit(shell.now);
    // A first batch takes the segment that was open ahead, so the next one is opened.
    assert_eq!(outputs(&mut shell), ["write 1 1+1", "open 2"]);
    shell.complete(0);
    assert_eq!(shell.writer.committed(), Lsn(0));
    assert_eq!(outputs(&mut shell), ["sync 1"]);
    assert_eq!(shell.writer.committed(), Lsn(0));
    shell.complete(1);
    assert_eq!(shell.writer.committed(), Lsn(1));
    assert_eq!(shell.committed[&0], sample(0, 172));
}

#[test]
fn the_interval_runs_from_the_first_record_that_no_commit_covers() {
    let mut shell = opened();
    assert_eq!(shell.writer.poll_timeout(), None);
    let start = shell.now;
    shell.append(&sample(0, 172)).unwrap();
    shell.sleep(150 * MS);
    shell.append(&sample(1, 172)).unwrap();
    let due = Deadline {
        at: start + 200 * MS,
        reason: TimerReason::CommitInterval,
    };
    assert_eq!(shell.writer.poll_timeout(), Some(due));
    shell.writer.handle_timeout(MonoTime(due.at.0 - 1));
    assert!(outputs(&mut shell).is_empty(), "not yet");
    shell.sleep(50 * MS);
    shell.settle();
    assert_eq!(shell.writer.committed(), Lsn(2));
    assert_eq!(shell.writer.poll_timeout(), None);
}

#[test]
fn the_next_commit_begins_earlier_by_what_the_last_one_took() {
    let mut shell = opened();
    shell.append(&sample(0, 172)).unwrap();
    shell.writer.request_commit(shell.now);
    shell.poll();
    shell.complete(0);
    assert_eq!(outputs(&mut shell), ["write 1 1+1", "open 2", "sync 1"]);
    shell.sleep(40 * MS);
    shell.complete(1);
    assert_eq!(shell.writer.committed(), Lsn(1));
    shell.append(&sample(1, 172)).unwrap();
    let due = shell.writer.poll_timeout().map(|deadline| deadline.at);
    assert_eq!(due, Some(shell.now + 160 * MS));
}

#[test]
fn records_go_on_while_a_commit_is_in_flight_and_get_the_next_one() {
    let mut shell = opened();
    shell.append(&sample(0, 172)).unwrap();
    shell.writer.request_commit(shell.now);
    shell.poll();
    shell.append(&sample(1, 172)).unwrap();
    shell.writer.request_commit(shell.now);
    shell.complete(0);
    shell.poll();
    shell.append(&sample(2, 172)).unwrap();
    let sync = shell
        .in_flight
        .iter()
        .position(|(_, op)| matches!(op, Op::Sync { .. }));
    shell.complete(sync.unwrap());
    assert_eq!(
        shell.writer.committed(),
        Lsn(1),
        "a commit covers what was there at its begin"
    );
    shell.settle();
    assert_eq!(shell.writer.committed(), Lsn(3));
}

#[test]
fn full_blocks_are_written_at_once_and_synced_together() {
    let mut shell = opened();
    let fits = (BLOCK - 64) / (32 + 1000);
    for lsn in 0..2 * fits as u64 + 1 {
        shell.append(&sample(lsn, 1000)).unwrap();
    }
    // A segment has room for one full block and a part of another.
    shell.settle();
    assert_eq!(
        shell.outputs,
        ["write 1 1+33", "open 2", "write 2 1+33", "open 3"]
    );
    assert_eq!(shell.writer.committed(), Lsn(0), "written is not committed");
    shell.outputs.clear();
    shell.commit();
    assert_eq!(shell.outputs, ["write 2 34+1", "sync 1", "sync 2"]);
    assert_eq!(shell.writer.committed(), shell.writer.next_lsn());
}

#[test]
fn several_batches_of_one_segment_share_a_sync() {
    let mut shell = opened();
    let largest = PAYLOAD_MAX as u64;
    for (lsn, len) in [(0, 100), (1, largest), (2, 8000), (3, 1000)] {
        shell.append(&sample(lsn, len as usize)).unwrap();
    }
    shell.commit();
    let syncs = shell
        .outputs
        .iter()
        .filter(|output| output.starts_with("sync"))
        .count();
    let writes = shell
        .outputs
        .iter()
        .filter(|output| output.starts_with("write 1"))
        .count();
    assert_eq!((writes, syncs), (2, 1), "{:?}", shell.outputs);
}

#[test]
fn nothing_to_commit_asks_for_nothing() {
    let mut shell = opened();
    shell.writer.request_commit(shell.now);
    assert!(outputs(&mut shell).is_empty());
    shell.batch(1, 10);
    shell.outputs.clear();
    shell.writer.request_commit(shell.now);
    assert!(outputs(&mut shell).is_empty());
}

#[test]
fn payloads_of_every_size_survive_and_a_larger_one_is_refused() {
    let mut shell = opened();
    for len in [0, 1, 7, 8, 9, 1499, PAYLOAD_MAX - 1, PAYLOAD_MAX] {
        shell.batch(1, len);
    }
    let too_large = Full {
        reason: FullReason::TooLarge,
    };
    assert_eq!(shell.append(&sample(8, PAYLOAD_MAX + 1)), Err(too_large));
    let (records, outcome) = shell.disk.recover();
    assert_eq!(records, shell.committed);
    assert_eq!((records.len(), outcome.findings), (8, vec![]));
}

#[test]
fn without_blocks_a_record_is_refused_and_the_next_block_takes_it() {
    let mut shell = Shell::new(config(), Start::fresh(), Disk::default(), 1);
    shell.settle();
    let mut lsn = 0;
    let full = loop {
        match shell.append(&sample(lsn, 1000)) {
            Ok(given) => lsn = given.0 + 1,
            Err(full) => break full,
        }
    };
    assert_eq!(full.reason, FullReason::NoBlock);
    shell.commit();
    assert_eq!(shell.append(&sample(lsn, 1000)), Ok(Lsn(lsn)));
    assert_eq!(shell.writer.occupancy().uncommitted_records, 1);
}
