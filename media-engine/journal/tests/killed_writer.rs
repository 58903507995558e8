//! A writer dies with records in its blocks: whoever has the memory reads them.

use holdfast_journal::{
    JournalId, Lsn, NewRecord, SegmentNumber, Shard, Start, Writer, WriterConfig, records_in_memory,
};
use holdfast_units::{MonoTime, StreamId, WallTime};
use std::time::Duration;

const BLOCK_SIZE: usize = holdfast_journal::BLOCK_SIZE_MIN;
const JOURNAL: JournalId = JournalId([7; 16]);

/// Blocks that can be read while a writer has them.
struct Pool(Vec<std::rc::Rc<std::cell::RefCell<Vec<u8>>>>);

/// A block that copies what is written to where the test can see it when it is dropped.
struct Block(Vec<u8>, std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Block {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.1.borrow_mut().clone_from(&self.0);
    }
}

fn writer(pool: &mut Pool, next: u64) -> Writer<Block> {
    let config = WriterConfig {
        shard: Shard(0),
        journal: JOURNAL,
        segment_size: 4 << 20,
        segments_max: 8,
        reusable_max: 1,
        block_size: BLOCK_SIZE,
        commit_interval: Duration::from_millis(100),
    };
    let start = Start {
        next: Lsn(next),
        checkpoint: Lsn(next),
        next_segment: SegmentNumber(5),
        segments: Vec::new(),
    };
    let mut writer = Writer::new(config, start);
    for _ in 0..3 {
        let seen = std::rc::Rc::default();
        pool.0.push(std::rc::Rc::clone(&seen));
        writer.offer_block(Block(vec![0; BLOCK_SIZE], seen));
    }
    writer
}

fn append(writer: &mut Writer<Block>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let record = NewRecord {
            kind: 1,
            flags: 2,
            source: 3,
            stream: StreamId(number),
            arrival: WallTime(number * 10),
        };
        let payload = [number as u8; 160];
        let lsn = writer.append(MonoTime(0), &record, &[&payload]).unwrap();
        assert_eq!(lsn, Lsn(number));
    }
}

fn found(pool: &Pool, near: u64, segments: (u64, u64)) -> Vec<(u64, u64)> {
    let blocks: Vec<Vec<u8>> = pool.0.iter().map(|it| it.borrow().clone()).collect();
    let segments = SegmentNumber(segments.0)..=SegmentNumber(segments.1);
    let blocks = blocks.iter().map(Vec::as_slice);
    let records = records_in_memory(JOURNAL, segments, Lsn(near), blocks);
    let is_whole = |it: &holdfast_journal::RecordRef<'_>| it.payload == [it.lsn.0 as u8; 160];
    assert!(records.iter().all(is_whole));
    records.iter().map(|it| (it.lsn.0, it.stream.0)).collect()
}

#[test]
fn all_that_was_appended_is_read_in_order_and_nothing_else() {
    // Beyond what 40 bits hold.
    let first = (1 << 41) + 7;
    let mut pool = Pool(Vec::new());
    let mut writer = writer(&mut pool, first);
    append(&mut writer, first..first + 2_000);
    drop(writer);
    let expected: Vec<(u64, u64)> = (first..first + 2_000).map(|it| (it, it)).collect();
    assert_eq!(found(&pool, first - 100, (1, 9)), expected);
    assert_eq!(found(&pool, first - 100, (6, 9)), [], "of other segments");
}

#[test]
fn a_record_that_was_being_written_ends_its_block() {
    let mut pool = Pool(Vec::new());
    let mut writer = writer(&mut pool, 0);
    append(&mut writer, 0..100);
    drop(writer);
    let record = 64 + 60 * 192;
    let is_filled = |it: &&std::rc::Rc<std::cell::RefCell<Vec<u8>>>| {
        it.borrow()[64..128].iter().any(|&octet| octet != 0)
    };
    let block = pool.0.iter().find(is_filled).unwrap().clone();
    block.borrow_mut()[record + 50] ^= 1;
    assert_eq!(found(&pool, 0, (5, 5)).len(), 60);
    block.borrow_mut()[64 + 50] ^= 1;
    assert_eq!(found(&pool, 0, (5, 5)).len(), 0);
}

#[test]
fn memory_that_is_no_block_has_no_records() {
    let nothing: [&[u8]; 4] = [&[], &[1; 64], &[0; 4_096], &[0xff; 4_096]];
    let segments = SegmentNumber(0)..=SegmentNumber(20);
    let records = records_in_memory(JOURNAL, segments, Lsn(0), nothing.into_iter());
    assert_eq!(records, []);
}
