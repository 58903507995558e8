//! What a fuzzer calls, and what replays its corpus.

use crate::format::{batch, record, segment};
use crate::ids::{JournalId, SegmentNumber, Shard};
use crate::limits::PAGE_SIZE;
use crate::recovery::{Recovery, RecoverySettings, SegmentFile};
use crate::{segment_name, writer::Writer, writer::WriterConfig};

/// Recovers a journal of one or two segments made of `bytes`, as they are and once more with every
/// checksum made right, and returns how many records came out.
///
/// # Panics
///
/// Where recovery breaks a promise: numbers that do not go up, a start that no writer takes.
pub fn replay_any(bytes: &[u8]) -> u64 {
    let half = bytes.len() / 2 / PAGE_SIZE * PAGE_SIZE;
    let (first, second) = bytes.split_at(half);
    let mut mended = bytes.to_vec();
    mend(&mut mended);
    recover(&[bytes]) + recover(&[first, second]) + recover(&[&mended])
}

fn recover(segments: &[&[u8]]) -> u64 {
    let files = segments
        .iter()
        .zip(1..)
        .map(|(&content, number)| SegmentFile {
            name: segment_name(Shard(0), SegmentNumber(number)),
            content,
        });
    let settings = RecoverySettings {
        shard: Shard(0),
        journal: None,
        segment_size: SEGMENT_SIZE,
    };
    let Ok(mut recovery) = Recovery::open(settings, files.collect()) else {
        return 0;
    };
    let mut next = recovery.checkpoint();
    while let Some(record) = recovery.next_record() {
        assert!(record.lsn >= next, "numbers go up");
        next = record.lsn.plus(1);
    }
    let outcome = recovery.finish();
    assert!(outcome.start.next >= next, "no number is given twice");
    start_writer(outcome.journal, outcome.start);
    outcome.records
}

/// A writer takes every start that recovery can give.
fn start_writer(journal: Option<JournalId>, start: crate::writer::Start) {
    let config = WriterConfig {
        shard: Shard(0),
        journal: journal.unwrap_or(JournalId([0; 16])),
        segment_size: SEGMENT_SIZE,
        segments_max: 4,
        reusable_max: 1,
        block_size: crate::limits::BLOCK_SIZE_MIN,
        commit_interval: std::time::Duration::from_millis(200),
    };
    let (next, checkpoint) = (start.next, start.checkpoint);
    let mut writer = Writer::<Vec<u8>>::new(config, start);
    writer.checkpoint(next);
    assert!(
        checkpoint <= next && writer.committed() == next,
        "it begins where recovery ended"
    );
    while writer.poll_output().is_some() {}
}

/// Makes checksums right, so that what lies behind them is reached too.
fn mend(bytes: &mut [u8]) {
    let Some(page) = bytes.get_mut(..PAGE_SIZE) else {
        return;
    };
    segment::seal(page);
    let header = segment::SegmentHeader::decode(page);
    let key = header.map_or(
        record::Key::new(JournalId([0; 16]), SegmentNumber(1)),
        |header| record::Key::new(header.journal, header.number),
    );
    for page in bytes[PAGE_SIZE..].chunks_mut(PAGE_SIZE) {
        if batch::has_magic(page) && page.len() >= batch::HEADER_SIZE {
            batch::seal(page);
            mend_records(key, &mut page[batch::HEADER_SIZE..]);
        }
    }
}

fn mend_records(key: record::Key, mut bytes: &mut [u8]) {
    while let Some(length) = record::payload_len(bytes) {
        let (size, padded) = (record::HEADER_SIZE + length, record::encoded_size(length));
        if padded > bytes.len() {
            return;
        }
        record::seal(key, &mut bytes[..size]);
        bytes = &mut bytes[padded..];
    }
}

const SEGMENT_SIZE: u64 = 64 * PAGE_SIZE as u64;
