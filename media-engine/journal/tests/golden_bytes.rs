//! The bytes of format version 1. They never change: another layout is another version.
//! `BLESS=1` writes the files anew.

mod common;

use common::*;
use holdfast_journal::*;

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap()
}

/// Header page, a batch of two records, and one of three.
fn segment() -> Vec<u8> {
    let mut shell = Shell::fresh();
    shell.batch(2, 5);
    shell.writer.checkpoint(Lsn(1));
    shell.batch(3, 172);
    shell.disk.file(1).stable[..3 * PAGE_SIZE].to_vec()
}

#[test]
fn a_segment_is_written_as_ever() {
    let bytes = segment();
    assert_eq!(golden("segment_v1.bin", &bytes), bytes);
}

#[test]
fn a_segment_of_version_1_is_read_as_ever() {
    let bytes = golden("segment_v1.bin", &segment());
    let header = SegmentHeader::decode(&bytes).unwrap();
    assert_eq!((header.shard, header.number), (Shard(0), SegmentNumber(1)));
    assert_eq!((header.journal, header.size), (JOURNAL, SEGMENT));
    let batch = BatchHeader::decode(&bytes[2 * PAGE_SIZE..]).unwrap();
    assert_eq!((batch.page, batch.segment), (2, SegmentNumber(1)));
    assert_eq!(
        (batch.first, batch.record_count, batch.checkpoint),
        (Lsn(2), 3, Lsn(1))
    );

    let mut disk = Disk::default();
    let file = File {
        stable: bytes,
        pending: Vec::new(),
    };
    disk.files.insert(Disk::name(1), file);
    let (records, _) = disk.recover();
    let expected = [(1, 5), (2, 172), (3, 172), (4, 172)];
    assert!(
        records
            .into_iter()
            .eq(expected.map(|(lsn, len)| (lsn, sample(lsn, len))))
    );
}

#[test]
fn fields_lie_where_the_drawings_say() {
    let bytes = segment();
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    // Segment header.
    assert_eq!(&bytes[..8], b"HFJRNSEG");
    assert_eq!(
        (u32_at(8), u32_at(12), u64_at(16)),
        (1, 0, 1),
        "version, shard, number"
    );
    assert_eq!(bytes[24..40], JOURNAL.0);
    assert_eq!(
        (u64_at(40), u64_at(48), u64_at(56)),
        (0, 0, 0),
        "first, run, checkpoint"
    );
    assert_eq!(u64_at(64), SEGMENT);
    // Second batch header.
    let at = 2 * PAGE_SIZE;
    assert_eq!(&bytes[at..at + 4], b"HJB1");
    assert_eq!((u32_at(at + 4), u64_at(at + 8)), (2, 1), "page, segment");
    assert_eq!(bytes[at + 16..at + 32], JOURNAL.0);
    assert_eq!(
        (u64_at(at + 32), u64_at(at + 40)),
        (2, 1),
        "first, checkpoint"
    );
    let length = 64 + 3 * (32 + 176);
    assert_eq!(
        (u32_at(at + 48), u32_at(at + 52), u32_at(at + 56)),
        (3, length, 0)
    );
    assert_eq!(u32_at(at + 60), crc32c::crc32c(&bytes[at..at + 60]));
    // Its second record.
    let at = at + 64 + 32 + 176;
    let Copy { head, payload } = sample(3, 172);
    let crc = crc32c::crc32c(&JOURNAL.0);
    let crc = crc32c::crc32c_append(crc, &bytes[at + 4..at + 32 + 172]);
    assert_eq!(u32_at(at), crc ^ 0x9e37_79b1, "masked for segment 1");
    assert_eq!(u32_at(at + 4), 172 | u32::from(head.kind) << 24);
    let word = 3 | u64::from(head.flags) << 40 | u64::from(head.source) << 48;
    assert_eq!(u64_at(at + 8), word);
    assert_eq!(
        (u64_at(at + 16), u64_at(at + 24)),
        (head.stream.0, head.arrival.0)
    );
    assert_eq!(bytes[at + 32..at + 32 + 172], payload);
    assert_eq!(bytes[at + 32 + 172..at + 32 + 176], [0; 4]);
}

#[test]
fn a_header_page_is_told_from_everything_else() {
    let mut page = segment()[..PAGE_SIZE].to_vec();
    assert!(SegmentHeader::decode(&page).is_ok());
    assert_eq!(
        SegmentHeader::decode(&page[1..]),
        Err(SegmentHeaderError::Short)
    );
    assert_eq!(
        SegmentHeader::decode(&[0; PAGE_SIZE]),
        Err(SegmentHeaderError::Blank)
    );
    assert_eq!(
        SegmentHeader::decode(&[7; PAGE_SIZE]),
        Err(SegmentHeaderError::NotASegment)
    );
    for bit in (8 * 8)..(8 * PAGE_SIZE) {
        page[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            SegmentHeader::decode(&page),
            Err(SegmentHeaderError::Checksum),
            "bit {bit}"
        );
        page[bit / 8] ^= 1 << (bit % 8);
    }
}
