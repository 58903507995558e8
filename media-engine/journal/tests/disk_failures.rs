//! Writes, syncs and openings that fail.

mod common;

use std::io;

use common::*;
use holdfast_journal::*;

fn find(shell: &Shell, wanted: fn(&Op) -> bool) -> usize {
    shell
        .in_flight
        .iter()
        .position(|(_, op)| wanted(op))
        .expect("it is in flight")
}

fn events(shell: &mut Shell) -> Vec<Event> {
    std::iter::from_fn(|| shell.writer.poll_event()).collect()
}

fn append(shell: &mut Shell, count: u64) {
    for _ in 0..count {
        let lsn = shell.writer.next_lsn();
        shell.append(&sample(lsn.0, 172)).unwrap();
    }
}

#[test]
fn records_of_a_failed_write_are_written_to_another_segment() {
    let mut shell = Shell::fresh();
    shell.batch(10, 172);
    append(&mut shell, 20);
    shell.writer.request_commit(shell.now);
    shell.poll();
    append(&mut shell, 5);
    let mut rng = Rng::new(1);
    let write = find(&shell, |op| matches!(op, Op::Write { .. }));
    shell.fail(write, &mut rng);
    assert_eq!(shell.writer.committed(), Lsn(10));
    let records = LsnRange {
        first: Lsn(10),
        end: Lsn(35),
    };
    let (operation, error) = (Operation::Write, io::ErrorKind::StorageFull);
    let failed = Event::SegmentFailed {
        segment: SegmentNumber(1),
        operation,
        error,
        records,
    };
    assert_eq!(events(&mut shell), [failed]);
    shell.settle();
    shell.commit();
    assert_eq!(shell.writer.committed(), Lsn(35));
    assert!(
        shell.outputs.contains(&"write 2 1+2".to_owned()),
        "{:?}",
        shell.outputs
    );
    let (records, outcome) = shell.disk.recover();
    assert_eq!(records, shell.committed);
    // The copy that failed is nobody's loss.
    assert!(
        outcome
            .findings
            .iter()
            .all(|f| f.kind == FindingKind::StaleTail),
        "{outcome:?}"
    );
}

#[test]
fn a_failed_sync_commits_nothing_and_all_since_the_last_one_is_written_again() {
    let mut shell = Shell::fresh();
    shell.batch(10, 172);
    append(&mut shell, 20);
    shell.writer.request_commit(shell.now);
    shell.poll();
    let write = find(&shell, |op| matches!(op, Op::Write { .. }));
    shell.complete(write);
    shell.poll();
    let sync = find(&shell, |op| matches!(op, Op::Sync { .. }));
    shell.fail(sync, &mut Rng::new(3));
    assert_eq!(shell.writer.committed(), Lsn(10));
    assert!(matches!(
        events(&mut shell)[..],
        [Event::SegmentFailed {
            segment: SegmentNumber(1),
            operation: Operation::Sync,
            ..
        }]
    ));
    shell.settle();
    assert_eq!(shell.writer.committed(), Lsn(30));
    let (records, outcome) = shell.disk.recover();
    assert_eq!(records, shell.committed);
    assert!(
        outcome
            .findings
            .iter()
            .all(|finding| finding.kind.is_harmless())
    );
    // The segment that failed is not used again: it goes with its records.
    shell.writer.checkpoint(Lsn(30));
    shell.batch(1, 172);
    shell.settle();
    assert!(
        !shell.disk.files.contains_key(&Disk::name(1)),
        "{:?}",
        shell.outputs
    );
}

#[test]
fn the_writer_waits_for_all_that_is_in_flight_before_it_writes_again() {
    let mut shell = Shell::fresh();
    shell.settle();
    let fits = ((BLOCK - 64) / (32 + 1000)) as u64;
    for lsn in 0..2 * fits + 1 {
        shell.append(&sample(lsn, 1000)).unwrap();
    }
    shell.writer.request_commit(shell.now);
    shell.settle_opens();
    let writes = shell.in_flight.len();
    assert!(writes >= 2, "{:?}", shell.outputs);
    shell.outputs.clear();
    shell.fail(0, &mut Rng::new(5));
    shell.poll();
    assert!(
        !shell
            .outputs
            .iter()
            .any(|output| output.starts_with("write"))
    );
    shell.settle();
    shell.commit();
    assert_eq!(shell.writer.committed(), Lsn(2 * fits + 1));
    let (records, _) = shell.disk.recover();
    assert_eq!(records, shell.committed);
}

/// Lets everything fail for so many rounds; answers what was reported.
fn fail_for(shell: &mut Shell, rounds: u32, rng: &mut Rng) -> Vec<Event> {
    let mut reported = Vec::new();
    for _ in 0..rounds {
        shell.poll();
        shell.settle_opens();
        while !shell.in_flight.is_empty() {
            shell.fail(0, rng);
        }
        reported.extend(events(shell));
        shell.sleep(600 * MS);
    }
    reported
}

#[test]
fn a_disk_that_always_fails_is_reported_once_and_takes_no_more() {
    let mut shell = Shell::fresh();
    shell.batch(10, 172);
    append(&mut shell, 3);
    shell.writer.request_commit(shell.now);
    let reported = fail_for(&mut shell, 50, &mut Rng::new(7));
    let records = LsnRange {
        first: Lsn(10),
        end: Lsn(13),
    };
    let ends = reported
        .iter()
        .filter(|event| matches!(event, Event::Failed { .. }));
    assert_eq!(ends.collect::<Vec<_>>(), [&Event::Failed { records }]);
    let refused = Full {
        reason: FullReason::Failed,
    };
    assert_eq!(shell.append(&sample(13, 172)), Err(refused));
    assert!(shell.writer.is_failed());
    assert!(shell.writer.poll_output().is_none(), "it rests");
    let retry = shell.writer.poll_timeout().unwrap();
    assert_eq!(retry.reason, TimerReason::RetryWrite);
    assert_eq!(
        shell.writer.committed(),
        Lsn(10),
        "what was committed stays so"
    );
    let (recovered, _) = shell.disk.recover();
    assert!(recovered.len() >= 10);
}

#[test]
fn a_failing_disk_is_tried_ever_more_rarely() {
    let mut shell = Shell::fresh();
    shell.batch(10, 172);
    append(&mut shell, 3);
    shell.writer.request_commit(shell.now);
    let reported = fail_for(&mut shell, 100, &mut Rng::new(11));
    let tries = reported
        .iter()
        .filter(|event| matches!(event, Event::SegmentFailed { .. }));
    // Four at once, then after 1, 2, 4, 8, 16 s and every 16 s of the minute.
    assert!((7..=12).contains(&tries.count()), "{reported:?}");
}

#[test]
fn a_disk_that_is_back_gets_all_that_waited() {
    for seed in 0..20 {
        let mut shell = Shell::fresh();
        shell.batch(10, 172);
        append(&mut shell, 3);
        shell.writer.request_commit(shell.now);
        fail_for(&mut shell, 200, &mut Rng::new(seed));
        assert!(shell.writer.is_failed());
        // It needs no restart, and no file that failed keeps it from going on.
        while shell.writer.is_failed() {
            let at = shell.writer.poll_timeout().expect("it tries again").at;
            shell.now = shell.now.max(at);
            shell.writer.handle_timeout(shell.now);
            shell.settle();
        }
        let committed = Lsn(13);
        assert_eq!(
            events(&mut shell).last(),
            Some(&Event::Recovered { committed })
        );
        append(&mut shell, 5);
        shell.commit();
        assert_eq!(shell.writer.committed(), Lsn(18), "seed {seed}");
        let (records, _) = shell.disk.recover();
        assert_eq!(records, shell.committed);
    }
}

#[test]
fn a_segment_that_cannot_be_opened_is_tried_again_later() {
    let mut shell = Shell::fresh();
    shell.poll();
    shell.fail(0, &mut Rng::new(9));
    let error = io::ErrorKind::StorageFull;
    assert_eq!(
        events(&mut shell),
        [Event::OpenFailed {
            segment: SegmentNumber(1),
            error
        }]
    );
    append(&mut shell, 1);
    shell.writer.request_commit(shell.now);
    shell.outputs.clear();
    shell.poll();
    assert!(
        !shell
            .outputs
            .iter()
            .any(|output| output.starts_with("open"))
    );
    let retry = shell.writer.poll_timeout().unwrap();
    assert_eq!(retry.reason, TimerReason::RetryOpen);
    shell.now = retry.at;
    shell.writer.handle_timeout(retry.at);
    shell.settle();
    assert_eq!(shell.writer.committed(), Lsn(1));
    let (records, _) = shell.disk.recover();
    assert_eq!(records.len(), 1);
}
