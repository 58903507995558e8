//! Everything that can be wrong with a segment: recognised, reported with file and offset, and
//! losing nothing but its own records.

mod common;

use std::collections::BTreeMap;
use std::io;

use common::*;
use holdfast_journal::*;

const PAGE: u64 = PAGE_SIZE as u64;
/// Bytes of a record of 172 bytes of payload.
const RECORD: usize = 208;

/// Four batches of 30 records in segment 1: two pages each, at pages 1, 3, 5 and 7.
fn journal() -> Disk {
    let mut shell = Shell::fresh();
    for _ in 0..4 {
        shell.batch(30, 172);
    }
    assert_eq!(shell.committed.len(), 120);
    shell.disk
}

/// Five segments of 1000-byte records: as many as fit, and the next one open.
fn long_journal() -> (Disk, u64) {
    let mut shell = Shell::new(
        WriterConfig {
            segments_max: 9,
            ..config()
        },
        Start::fresh(),
        Disk::default(),
        8,
    );
    while shell.disk.files.len() < 6 {
        shell.batch(60, 1000);
    }
    let end = shell.writer.next_lsn().0;
    (shell.disk, end)
}

fn finding(number: u64, offset: u64, kind: FindingKind, lost: Option<(u64, u64)>) -> Finding {
    let lost = lost.map(|(first, end)| LsnRange {
        first: Lsn(first),
        end: Lsn(end),
    });
    Finding {
        file: Disk::name(number),
        offset,
        kind,
        lost,
    }
}

/// All but the records lost are there, and these are the findings.
fn expect(disk: &Disk, end: u64, findings: &[Finding]) -> Outcome {
    let (records, outcome) = disk.recover();
    assert_eq!(outcome.findings, findings);
    let is_lost = |lsn: &u64| {
        findings
            .iter()
            .any(|f| f.lost.is_some_and(|lost| lost.contains(Lsn(*lsn))))
    };
    let expected: Vec<u64> = (0..end).filter(|lsn| !is_lost(lsn)).collect();
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), expected);
    assert_eq!(outcome.records, expected.len() as u64);
    for (lsn, record) in &records {
        assert_eq!(*record, sample(*lsn, record.payload.len()));
    }
    assert_eq!(outcome.start.next, Lsn(end));
    outcome
}

#[test]
fn an_intact_journal_has_no_findings() {
    let outcome = expect(&journal(), 120, &[]);
    assert_eq!(outcome.journal, Some(JOURNAL));
    assert_eq!(outcome.start.next_segment, SegmentNumber(3));
}

#[test]
fn one_flipped_bit_in_a_durable_record_loses_that_record() {
    for (lsn, bit) in [
        (0, 0),
        (3, 40),
        (31, 8 * 31),
        (59, 8 * 203),
        (75, 8 * 100 + 7),
    ] {
        let mut disk = journal();
        let (batch, index) = (lsn / 30, lsn % 30);
        let at = (1 + 2 * batch) * PAGE_SIZE + 64 + index * RECORD;
        disk.file(1).stable[at + bit / 8] ^= 1 << (bit % 8);
        let lsn = lsn as u64;
        let found = finding(1, at as u64, FindingKind::BitFlip, Some((lsn, lsn + 1)));
        let outcome = expect(&disk, 120, &[found]);
        let old = outcome.start.segments[0];
        assert!(!old.sound, "a file that flips bits is not used again");
    }
}

#[test]
fn a_flipped_bit_in_the_zeros_after_a_batch_is_nothing() {
    let mut disk = journal();
    disk.file(1).stable[3 * PAGE_SIZE - 1] ^= 1;
    expect(&disk, 120, &[]);
}

#[test]
fn a_flipped_bit_in_a_batch_header_loses_nothing() {
    for (batch, bit) in [(0, 0), (1, 32), (2, 64), (1, 8 * 50), (2, 8 * 63), (3, 70)] {
        let mut disk = journal();
        let at = (1 + 2 * batch) * PAGE_SIZE;
        disk.file(1).stable[at + bit / 8] ^= 1 << (bit % 8);
        expect(
            &disk,
            120,
            &[finding(1, at as u64, FindingKind::BitFlip, None)],
        );
    }
}

#[test]
fn a_flipped_bit_in_a_segment_header_loses_nothing() {
    for bit in [0, 64, 100, 8 * 20, 8 * 30, 8 * 45, 8 * 75, 8 * 4000] {
        let mut disk = journal();
        disk.file(1).stable[bit / 8] ^= 1 << (bit % 8);
        let outcome = expect(&disk, 120, &[finding(1, 0, FindingKind::BitFlip, None)]);
        assert_eq!(outcome.journal, Some(JOURNAL));
    }
}

#[test]
fn a_lost_page_of_durable_records_loses_what_touches_it() {
    let mut disk = journal();
    disk.file(1).stable[4 * PAGE_SIZE..5 * PAGE_SIZE].fill(0);
    // The second page of the second batch, whose records begin at 64: 19 are before its end.
    let offset = 3 * PAGE + 64 + 19 * RECORD as u64;
    expect(
        &disk,
        120,
        &[finding(1, offset, FindingKind::BitFlip, Some((49, 60)))],
    );
}

#[test]
fn a_batch_that_was_never_written_is_a_gap_with_its_place() {
    let mut disk = journal();
    disk.file(1).stable[3 * PAGE_SIZE..5 * PAGE_SIZE].fill(0);
    expect(
        &disk,
        120,
        &[finding(1, 3 * PAGE, FindingKind::BitFlip, Some((30, 60)))],
    );
}

#[test]
fn a_torn_last_batch_is_told_from_flipped_bits() {
    let mut disk = journal();
    let at = 7 * PAGE_SIZE + 1024;
    disk.file(1).stable[at..at + 512].fill(0);
    // The sector holds the end of record 4 and the begin of record 7.
    let offset = 7 * PAGE + 64 + 4 * RECORD as u64;
    let outcome = expect(
        &disk,
        120,
        &[finding(1, offset, FindingKind::Torn, Some((94, 98)))],
    );
    assert!(outcome.findings[0].kind.is_harmless());
    assert!(outcome.start.segments[0].sound);
}

#[test]
fn a_batch_written_to_the_wrong_place_is_not_read_there() {
    let mut disk = journal();
    let bytes = &mut disk.file(1).stable;
    bytes.copy_within(5 * PAGE_SIZE..7 * PAGE_SIZE, 3 * PAGE_SIZE);
    expect(
        &disk,
        120,
        &[finding(1, 3 * PAGE, FindingKind::BitFlip, Some((30, 60)))],
    );
}

#[test]
fn a_truncated_segment_loses_what_was_cut_off() {
    // In a record, in a batch header, at the begin of a batch, before any batch, in the header.
    for size in [
        2 * PAGE_SIZE + 7,
        17 * PAGE_SIZE + 20,
        33 * PAGE_SIZE,
        PAGE_SIZE,
        100,
        0,
    ] {
        let (mut disk, end) = long_journal();
        let batch = BatchHeader::decode(&disk.file(2).stable[PAGE_SIZE..]).unwrap();
        let first_of_2 = batch.first.0;
        disk.file(1).stable.truncate(size);
        let (records, outcome) = disk.recover();
        let lost = &outcome.findings[0];
        let FindingKind::Truncated { expected, found } = lost.kind else {
            panic!("{:?}", outcome.findings);
        };
        assert_eq!((expected, found), (SEGMENT, size as u64));
        assert_eq!(lost.file, Disk::name(1));
        // All after it is there; of it, what lies before the cut.
        assert!((first_of_2..end).all(|lsn| records.contains_key(&lsn)));
        let whole = size.saturating_sub(PAGE_SIZE + 64) / 1032;
        assert!(
            (0..whole.min(60) as u64).all(|lsn| records.contains_key(&lsn)),
            "{size}"
        );
        let missing: Vec<u64> = (0..end).filter(|lsn| !records.contains_key(lsn)).collect();
        let named: u64 = outcome
            .findings
            .iter()
            .filter_map(|f| f.lost)
            .map(LsnRange::count)
            .sum();
        assert_eq!(
            missing.len() as u64,
            named,
            "every lost record is named once"
        );
        let old = outcome
            .start
            .segments
            .iter()
            .find(|s| s.number == SegmentNumber(1));
        assert!(!old.unwrap().sound);
    }
}

#[test]
fn a_truncated_last_segment_is_reported_too() {
    let mut disk = journal();
    disk.file(1).stable.truncate(9 * PAGE_SIZE);
    let kind = FindingKind::Truncated {
        expected: SEGMENT,
        found: 9 * PAGE,
    };
    expect(&disk, 120, &[finding(1, 9 * PAGE, kind, None)]);
}

#[test]
fn missing_segments_are_named_with_the_records_they_had() {
    let (disk, end) = long_journal();
    let first_of = |number: u64| {
        let page = &disk.files[&Disk::name(number)].stable[PAGE_SIZE..];
        BatchHeader::decode(page).unwrap().first.0
    };
    for gone in [vec![1], vec![2], vec![2, 3], vec![1, 2], vec![4]] {
        let mut damaged = disk.clone();
        for &number in &gone {
            damaged.files.remove(&Disk::name(number));
        }
        let (first, last) = (gone[0], gone[gone.len() - 1]);
        let lost = Some((first_of(first), first_of(last + 1)));
        // Before the oldest one, how many there were is not known.
        let first = if first == 1 { last } else { first };
        let (first_number, last) = (SegmentNumber(first), SegmentNumber(last));
        let kind = FindingKind::MissingSegment {
            first: first_number,
            last,
        };
        expect(&damaged, end, &[finding(first, 0, kind, lost)]);
    }
}

#[test]
fn the_last_segment_missing_is_seen_by_the_one_opened_ahead() {
    let (mut disk, end) = long_journal();
    // Segment 6 is open ahead; 5 has the last records. What 6 knows to be durable lies before 5.
    assert!(disk.file(6).stable[PAGE_SIZE..].iter().all(|&b| b == 0));
    let first = BatchHeader::decode(&disk.file(5).stable[PAGE_SIZE..])
        .unwrap()
        .first
        .0;
    disk.files.remove(&Disk::name(5));
    let (records, outcome) = disk.recover();
    assert_eq!(records.len() as u64, first);
    assert!(outcome.start.next.0 <= end);
}

#[test]
fn foreign_files_are_left_alone() {
    let mut disk = journal();
    let add = |disk: &mut Disk, name: &str, stable: Vec<u8>| {
        disk.files.insert(
            name.to_owned(),
            File {
                stable,
                pending: Vec::new(),
            },
        );
    };
    add(&mut disk, "core", vec![1; 10_000]);
    add(
        &mut disk,
        "journal-1-00000000000000000001.seg",
        vec![2; 10_000],
    );
    add(&mut disk, &Disk::name(7), vec![3; SEGMENT as usize]);
    let mut other = Shell::new(
        WriterConfig {
            journal: JournalId([9; 16]),
            ..config()
        },
        Start {
            next_segment: SegmentNumber(8),
            ..Start::fresh()
        },
        Disk::default(),
        4,
    );
    other.batch(5, 100);
    add(&mut disk, &Disk::name(8), other.disk.file(8).stable.clone());
    let copy = disk.file(1).stable.clone();
    add(&mut disk, &Disk::name(9), copy);
    let mut of_shard_3 = disk.file(2).stable.clone();
    let header = SegmentHeader::decode(&of_shard_3).unwrap();
    SegmentHeader {
        shard: Shard(3),
        ..header
    }
    .encode(&mut of_shard_3[..PAGE_SIZE]);
    add(&mut disk, &Disk::name(10), of_shard_3);

    let (records, outcome) = disk.recover();
    assert_eq!(records.len(), 120);
    let mut found: BTreeMap<String, FindingKind> = BTreeMap::new();
    for finding in outcome.findings {
        assert_eq!(finding.lost, None);
        found.insert(finding.file, finding.kind);
    }
    let foreign = [
        ("core".to_owned(), ForeignReason::Name),
        (
            "journal-1-00000000000000000001.seg".to_owned(),
            ForeignReason::OtherShard(Shard(1)),
        ),
        (Disk::name(7), ForeignReason::NotASegment),
        (Disk::name(8), ForeignReason::OtherJournal),
        (Disk::name(9), ForeignReason::Duplicate(SegmentNumber(1))),
        (Disk::name(10), ForeignReason::OtherShard(Shard(3))),
    ];
    let foreign = foreign.map(|(name, reason)| (name, FindingKind::Foreign(reason)));
    assert_eq!(found, BTreeMap::from(foreign));
    let mine: Vec<u64> = outcome.start.segments.iter().map(|s| s.number.0).collect();
    assert_eq!(mine, [1, 2], "no writer may use the others");
    assert_eq!(
        outcome.start.next_segment,
        SegmentNumber(11),
        "and their names are taken"
    );
}

#[test]
fn a_segment_of_a_newer_format_refuses_the_start() {
    let mut disk = journal();
    let page = &mut disk.file(2).stable[..PAGE_SIZE];
    page[8] = 2;
    // The checksum lies at 72 in every version.
    page[72..76].fill(0);
    let crc = crc32c::crc32c(page);
    page[72..76].copy_from_slice(&crc.to_le_bytes());
    let RecoveryError::TooNew {
        file,
        found,
        supported,
    } = disk.recovery().unwrap_err();
    assert_eq!((file, found, supported), (Disk::name(2), 2, VERSION));
}

#[test]
fn a_file_under_the_wrong_name_is_read_by_its_header() {
    let (mut disk, end) = long_journal();
    let file = disk.files.remove(&Disk::name(2)).unwrap();
    disk.files.insert(Disk::name(12), file);
    let outcome = expect(&disk, end, &[]);
    assert_eq!(outcome.start.next_segment, SegmentNumber(13));
    assert!(
        outcome
            .start
            .segments
            .iter()
            .any(|s| s.number == SegmentNumber(12))
    );
}

#[test]
fn files_that_were_being_made_are_no_damage() {
    let mut disk = journal();
    let blank = File {
        stable: vec![0; SEGMENT as usize],
        pending: Vec::new(),
    };
    disk.files.insert(Disk::name(3), blank);
    let outcome = expect(&disk, 120, &[]);
    assert!(outcome.start.segments.iter().all(|segment| segment.sound));
    disk.files.insert(Disk::name(4), File::default());
    let kind = FindingKind::Truncated {
        expected: SEGMENT,
        found: 0,
    };
    expect(&disk, 120, &[finding(4, 0, kind, None)]);
}

/// A file of which some pages cannot be read.
struct Failing<'a> {
    content: &'a [u8],
    bad: Vec<u64>,
}

impl ReadAt for Failing<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        // At most three pages a time, as a disk may.
        let len = into.len().min(3 * PAGE_SIZE);
        let touched = offset / PAGE..(offset + len as u64).div_ceil(PAGE);
        if self.bad.iter().any(|page| touched.contains(page)) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.content.read_at(offset, &mut into[..len])
    }
}

#[test]
fn an_unreadable_page_loses_only_itself() {
    let disk = journal();
    let settings = RecoverySettings {
        shard: Shard(0),
        journal: None,
        segment_size: SEGMENT,
    };
    let content = Failing {
        content: &disk.files[&Disk::name(1)].stable,
        bad: vec![4, 40],
    };
    let files = vec![SegmentFile {
        name: Disk::name(1),
        content,
    }];
    let outcome = Recovery::open(settings, files).unwrap().finish();
    let unreadable = FindingKind::Unreadable {
        error: io::ErrorKind::InvalidData,
    };
    let offset = 3 * PAGE + 64 + 19 * RECORD as u64;
    assert_eq!(
        outcome.findings,
        [
            finding(1, offset, FindingKind::BitFlip, Some((49, 60))),
            finding(1, 4 * PAGE, unreadable.clone(), None),
            finding(1, 40 * PAGE, unreadable, None),
        ]
    );
    assert_eq!(outcome.records, 109);
}

#[test]
fn two_recoveries_say_the_same_also_with_a_writer_between_them() {
    let mut disk = journal();
    let at = 7 * PAGE_SIZE + 1024;
    disk.file(1).stable[at..at + 512].fill(0);
    let (records, first) = disk.recover();
    let mut shell = Shell::new(config(), first.start, disk, 4);
    shell.batch(10, 172);
    let (again, second) = shell.disk.recover();
    assert_eq!(
        second.findings, first.findings,
        "a torn write stays a torn write"
    );
    assert!(
        records
            .keys()
            .chain(&(120..130).collect::<Vec<_>>())
            .eq(again.keys())
    );
}

#[test]
fn a_write_of_a_killed_run_that_lands_late_takes_no_number_again() {
    let mut shell = Shell::fresh();
    shell.batch(30, 172);
    for lsn in 30..60 {
        shell.append(&sample(lsn, 172)).unwrap();
    }
    shell.writer.request_commit(shell.now);
    shell.poll();
    let [
        (
            _,
            Op::Write {
                segment: 1,
                offset,
                ref block,
                len,
            },
        ),
    ] = shell.in_flight[..]
    else {
        panic!("one write is in flight");
    };
    let late = block[..len].to_vec();
    let (records, outcome) = shell.disk.recover();
    assert_eq!((records.len(), outcome.start.next), (30, Lsn(30)));
    let mut next = Shell::new(config(), outcome.start, shell.disk, 4);
    for lsn in 30..50 {
        assert_eq!(next.append(&sample(lsn + 1000, 172)), Ok(Lsn(lsn)));
    }
    next.commit();
    apply(&mut next.disk.file(1).stable, offset, &late);
    let (records, outcome) = next.disk.recover();
    assert_eq!(outcome.findings, []);
    assert_eq!(records.len(), 50);
    assert_eq!(records[&40], sample(1040, 172));
}
