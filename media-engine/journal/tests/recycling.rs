//! Segment files live many lives; what an earlier one left is never taken for the present.

mod common;

use common::*;
use holdfast_journal::*;

/// A writer whose tracks follow closely.
fn follow(shell: &mut Shell, batches: u64) {
    for _ in 0..batches {
        shell.batch(50, 1000);
        let committed = shell.writer.committed();
        shell.writer.checkpoint(committed);
    }
}

#[test]
fn files_are_used_again_and_their_number_stays_small() {
    let mut shell = Shell::fresh();
    follow(&mut shell, 60);
    let opened = shell
        .outputs
        .iter()
        .filter(|output| output.contains(" from "))
        .count();
    assert!(opened > 8, "{:?}", shell.outputs);
    assert!(shell.disk.files.len() <= 4);
    let (records, outcome) = shell.disk.recover();
    assert!(
        outcome
            .findings
            .iter()
            .all(|f| f.kind == FindingKind::StaleTail),
        "{outcome:?}"
    );
    // The last checkpoint was told after the last batch: that batch is yielded once more.
    assert!(records.keys().copied().eq(2950..3000));
}

#[test]
fn a_stale_tail_is_seen_and_named() {
    let mut shell = Shell::fresh();
    follow(&mut shell, 60);
    // The segment that fills now holds older batches behind its end.
    let (_, outcome) = shell.disk.recover();
    let tails: Vec<&Finding> = outcome.findings.iter().collect();
    assert!(!tails.is_empty());
    for finding in tails {
        assert!(finding.offset % PAGE_SIZE as u64 == 0 && finding.lost.is_none());
        assert!(finding.kind.is_harmless());
    }
}

#[test]
fn stale_records_under_a_torn_batch_are_not_taken_for_new_ones() {
    // The same batches again and again, so that old and new records lie at the same places.
    for sector in 0..400 {
        let mut shell = Shell::fresh();
        follow(&mut shell, 20);
        let before = shell.disk.clone();
        let next = shell.writer.next_lsn().0;
        for lsn in next..next + 50 {
            shell.append(&sample(lsn, 1000)).unwrap();
        }
        shell.writer.request_commit(shell.now);
        shell.poll();
        let write = shell.in_flight.drain(..).find_map(|(_, op)| match op {
            Op::Write {
                segment,
                offset,
                block,
                len,
            } => Some((segment, offset, block, len)),
            Op::Open { .. } | Op::Sync { .. } | Op::Delete { .. } => None,
        });
        let (segment, offset, block, len) = write.expect("a batch is in flight");
        if sector * 512 >= len {
            assert!(sector > 50);
            return;
        }
        // All of it is written but one sector.
        let mut disk = before;
        let bytes = &mut disk.file(segment).stable;
        let kept = bytes[offset + sector * 512..][..512].to_vec();
        apply(bytes, offset, &block[..len]);
        apply(bytes, offset + sector * 512, &kept);
        let (records, _) = disk.recover();
        for (&lsn, record) in &records {
            assert_eq!(*record, sample(lsn, 1000), "sector {sector}");
        }
        let new = records.range(next..).count();
        // The zeros at the end of the batch are nobody's.
        let expected = if sector * 512 < 64 + 50 * 1032 {
            46..50
        } else {
            50..51
        };
        assert!(expected.contains(&new), "sector {sector}: {new}");
    }
}

#[test]
fn files_beyond_what_is_kept_for_reuse_are_deleted() {
    let roomy = WriterConfig {
        segments_max: 12,
        reusable_max: 1,
        ..config()
    };
    let mut shell = Shell::new(roomy, Start::fresh(), Disk::default(), 8);
    while shell.disk.files.len() < 10 {
        shell.batch(50, 1000);
    }
    let committed = shell.writer.committed();
    shell.writer.checkpoint(committed);
    shell.settle();
    assert_eq!(
        shell.disk.files.len(),
        10,
        "the disk does not know of the checkpoint yet"
    );
    shell.batch(1, 1000);
    shell.settle();
    assert!(shell.disk.files.len() <= 4, "{:?}", shell.disk.files.keys());
    let (records, outcome) = shell.disk.recover();
    assert!(records.keys().copied().eq(committed.0..committed.0 + 1));
    assert!(
        outcome
            .findings
            .iter()
            .all(|finding| finding.kind.is_harmless())
    );
}

#[test]
fn a_crash_between_the_new_name_and_the_new_header_loses_nothing() {
    let mut shell = Shell::fresh();
    for _ in 0..6 {
        shell.batch(50, 1000);
    }
    let mut disk = shell.disk;
    let file = disk.files.remove(&Disk::name(1)).unwrap();
    disk.files.insert(Disk::name(9), file);
    let (records, outcome) = disk.recover();
    assert_eq!(records.len(), 300);
    assert_eq!(outcome.findings, []);
    assert_eq!(outcome.start.next_segment, SegmentNumber(10));
}
