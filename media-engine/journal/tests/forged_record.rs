//! A peer that sends bytes that look like records must not get them into a recording.

mod common;

use common::*;
use holdfast_journal::*;

/// The record that a peer would make who knows the format, and the number, but not the journal.
fn forged(lsn: u64, journal: JournalId) -> Vec<u8> {
    let mut other = Shell::new(
        WriterConfig {
            journal,
            ..config()
        },
        Start {
            next: Lsn(lsn),
            ..Start::fresh()
        },
        Disk::default(),
        2,
    );
    other.append(&sample(lsn, 100)).unwrap();
    other.commit();
    other.disk.file(1).stable[PAGE_SIZE + 64..][..32 + 104].to_vec()
}

fn recovered_with_forgery(journal: JournalId) -> usize {
    let mut shell = Shell::fresh();
    let mut carrier = sample(0, 0);
    carrier.payload = forged(0, journal);
    shell.append(&carrier).unwrap();
    shell.append(&sample(1, 100)).unwrap();
    shell.commit();
    // The carrier is damaged, so recovery looks for the next record in its payload.
    shell.disk.file(1).stable[PAGE_SIZE + 64] ^= 1;
    let (records, _) = shell.disk.recover();
    assert_eq!(records.get(&1), Some(&sample(1, 100)));
    records.len()
}

#[test]
fn a_record_in_a_payload_is_none_without_the_id_of_the_journal() {
    assert_eq!(recovered_with_forgery(JournalId([7; 16])), 1);
    // The forgery itself is right: who knows the id gets it in.
    assert_eq!(recovered_with_forgery(JOURNAL), 2);
}
