//! A journal whose tracks are behind: full is an answer, and room comes back with a checkpoint.

mod common;

use common::*;
use holdfast_journal::*;

fn fill(shell: &mut Shell) -> FullReason {
    for _ in 0..100_000 {
        let lsn = shell.writer.next_lsn();
        if let Err(Full { reason }) = shell.append(&sample(lsn.0, 1000)) {
            shell.settle();
            if let Err(Full { reason: still }) = shell.append(&sample(lsn.0, 1000)) {
                assert_eq!(reason, still);
                return reason;
            }
        }
    }
    panic!("it never gets full");
}

#[test]
fn a_full_journal_refuses_and_a_checkpoint_makes_room() {
    let mut shell = Shell::fresh();
    assert_eq!(fill(&mut shell), FullReason::NoSegment);
    shell.commit();
    let committed = shell.writer.committed();
    assert!(committed > Lsn(0) && committed < shell.writer.next_lsn());
    let occupancy = shell.writer.occupancy();
    assert_eq!((occupancy.segments_used, occupancy.segment_files), (4, 4));
    assert_eq!(occupancy.oldest_lsn, Lsn(0));
    assert!(shell.disk.files.len() <= 4, "never more files than allowed");

    shell.writer.checkpoint(committed);
    shell.commit();
    assert_eq!(
        shell.writer.committed(),
        shell.writer.next_lsn(),
        "what waited is committed"
    );
    shell.batch(10, 1000);
    assert!(shell.disk.files.len() <= 4);
    let (records, outcome) = shell.disk.recover();
    assert_eq!(outcome.start.checkpoint, committed);
    assert!(
        records
            .keys()
            .copied()
            .eq(committed.0..shell.writer.next_lsn().0)
    );
}

#[test]
fn recovery_of_a_full_journal_goes_on_where_it_was() {
    let mut shell = Shell::fresh();
    fill(&mut shell);
    shell.commit();
    let committed = shell.writer.committed();
    let (records, outcome) = shell.disk.recover();
    assert_eq!(records, shell.committed);
    assert_eq!(outcome.start.next, committed);
    let mut next = Shell::new(config(), outcome.start, shell.disk, 8);
    next.append(&sample(committed.0, 100)).unwrap();
    next.commit();
    assert_eq!(next.writer.committed(), committed, "no room yet");
    next.writer.checkpoint(committed);
    next.commit();
    assert_eq!(next.writer.committed(), committed.plus(1));
}
