//! A disk that exists only in memory, and a shell that drives a writer on it.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use holdfast_journal::*;
use holdfast_units::{MonoTime, StreamId, WallTime};

pub const JOURNAL: JournalId = JournalId(*b"example journal!");
pub const BLOCK: usize = BLOCK_SIZE_MIN;
pub const SEGMENT: u64 = 64 * PAGE_SIZE as u64;
pub const MS: Duration = Duration::from_millis(1);

/// Seeds of a model test: `SEED` replays one, `SEEDS` sets how many.
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SEEDS").unwrap_or(count)).collect(),
    }
}

/// Runs a model for each seed; where it fails, the seed that replays it is told.
pub fn for_each_seed(count: u64, mut run: impl FnMut(u64)) {
    for seed in seeds(count) {
        let body = std::panic::AssertUnwindSafe(|| run(seed));
        if let Err(panic) = std::panic::catch_unwind(body) {
            eprintln!("SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// xorshift64*, enough for a test.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A record as a test remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub head: NewRecord,
    pub payload: Vec<u8>,
}

impl From<&RecordRef<'_>> for Copy {
    fn from(r: &RecordRef<'_>) -> Self {
        let RecordRef {
            kind,
            flags,
            source,
            stream,
            arrival,
            payload,
            ..
        } = *r;
        let head = NewRecord {
            kind,
            flags,
            source,
            stream,
            arrival,
        };
        Self {
            head,
            payload: payload.to_vec(),
        }
    }
}

/// A record that depends on its number alone.
pub fn sample(lsn: u64, len: usize) -> Copy {
    let mut rng = Rng::new(lsn + 1);
    let mut payload = Vec::with_capacity(len + 8);
    while payload.len() < len {
        payload.extend_from_slice(&rng.next().to_le_bytes());
    }
    payload.truncate(len);
    let head = NewRecord {
        kind: lsn as u8,
        flags: (lsn >> 3) as u8,
        source: lsn as u16 ^ 0xa5a5,
        stream: StreamId(lsn % 7 + 1),
        arrival: WallTime(1_790_000_000_000_000_000 + lsn * 20_000_000),
    };
    Copy { head, payload }
}

pub fn config() -> WriterConfig {
    WriterConfig {
        shard: Shard(0),
        journal: JOURNAL,
        segment_size: SEGMENT,
        segments_max: 4,
        reusable_max: 2,
        block_size: BLOCK,
        commit_interval: 200 * MS,
    }
}

#[derive(Clone, Default)]
pub struct File {
    /// What a power cut leaves.
    pub stable: Vec<u8>,
    /// Writes that have completed and are not synced.
    pub pending: Vec<(usize, Vec<u8>)>,
}

/// The files of a folder by name.
#[derive(Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<String, File>,
}

impl Disk {
    pub fn name(number: u64) -> String {
        segment_name(Shard(0), SegmentNumber(number))
    }

    pub fn file(&mut self, number: u64) -> &mut File {
        self.files
            .get_mut(&Self::name(number))
            .expect("the file is there")
    }

    pub fn recovery(&self) -> Result<Recovery<&[u8]>, RecoveryError> {
        let settings = RecoverySettings {
            shard: Shard(0),
            journal: None,
            segment_size: SEGMENT,
        };
        let files = self.files.iter().map(|(name, file)| SegmentFile {
            name: name.clone(),
            content: file.stable.as_slice(),
        });
        Recovery::open(settings, files.collect())
    }

    /// All records, and what else was found.
    pub fn recover(&self) -> (BTreeMap<u64, Copy>, Outcome) {
        let mut recovery = self.recovery().expect("a journal that can be read");
        let mut records = BTreeMap::new();
        let mut last = None;
        while let Some(record) = recovery.next_record() {
            assert!(last < Some(record.lsn), "records come in order and once");
            last = Some(record.lsn);
            records.insert(record.lsn.0, Copy::from(&record));
        }
        (records, recovery.finish())
    }
}

pub fn apply(content: &mut [u8], offset: usize, bytes: &[u8]) {
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Applies a random choice of the sectors of a write.
pub fn tear(rng: &mut Rng, survive: u64, content: &mut [u8], offset: usize, bytes: &[u8]) {
    for (index, sector) in bytes.chunks(512).enumerate() {
        if rng.chance(survive) {
            apply(content, offset + index * 512, sector);
        }
    }
}

pub enum Op {
    Open {
        number: u64,
        reuse: Option<u64>,
        header: Vec<u8>,
        size: usize,
    },
    Write {
        segment: u64,
        offset: usize,
        block: Vec<u8>,
        len: usize,
    },
    /// Covers this many of the pending writes.
    Sync {
        segment: u64,
        covered: usize,
    },
    Delete {
        number: u64,
    },
}

/// A shell without a clock: a writer, its disk, and what is in flight.
pub struct Shell {
    pub writer: Writer<Vec<u8>>,
    pub disk: Disk,
    pub now: MonoTime,
    pub in_flight: Vec<(Ticket, Op)>,
    pub committed: BTreeMap<u64, Copy>,
    pub outputs: Vec<String>,
}

impl Shell {
    pub fn new(config: WriterConfig, start: Start, disk: Disk, blocks: usize) -> Self {
        let mut writer = Writer::new(config, start);
        for _ in 0..blocks {
            let mut block = vec![0; BLOCK];
            block.fill(0xee);
            writer.offer_block(block);
        }
        let (in_flight, committed, outputs) = Default::default();
        Self {
            writer,
            disk,
            now: MonoTime(1),
            in_flight,
            committed,
            outputs,
        }
    }

    pub fn fresh() -> Self {
        Self::new(config(), Start::fresh(), Disk::default(), 8)
    }

    pub fn append(&mut self, record: &Copy) -> Result<Lsn, Full> {
        let (a, b) = record.payload.split_at(record.payload.len() / 3);
        self.writer.append(self.now, &record.head, &[a, b])
    }

    /// Takes all that the writer asks for.
    pub fn poll(&mut self) {
        while let Some(output) = self.writer.poll_output() {
            self.outputs.push(describe(&output));
            let (ticket, op) = match output {
                Output::OpenSegment {
                    ticket,
                    number,
                    reuse,
                    header,
                } => {
                    let mut page = vec![0; PAGE_SIZE];
                    header.encode(&mut page);
                    let (size, reuse) = (header.size as usize, reuse.map(|number| number.0));
                    (
                        ticket,
                        Op::Open {
                            number: number.0,
                            reuse,
                            header: page,
                            size,
                        },
                    )
                }
                Output::Write {
                    ticket,
                    segment,
                    offset,
                    block,
                    len,
                } => {
                    assert!(offset % 4096 == 0 && len % 4096 == 0, "whole pages");
                    assert!(offset + len as u64 <= SEGMENT, "within the segment");
                    let (segment, offset) = (segment.0, offset as usize);
                    (
                        ticket,
                        Op::Write {
                            segment,
                            offset,
                            block,
                            len,
                        },
                    )
                }
                Output::Sync { ticket, segment } => {
                    let segment = segment.0;
                    let covered = self.disk.file(segment).pending.len();
                    (ticket, Op::Sync { segment, covered })
                }
                Output::DeleteSegment { ticket, number } => {
                    (ticket, Op::Delete { number: number.0 })
                }
            };
            self.in_flight.push((ticket, op));
        }
    }

    /// Does what is in flight at `index` and reports it.
    pub fn complete(&mut self, index: usize) {
        let (ticket, op) = self.in_flight.swap_remove(index);
        let block = match op {
            Op::Open {
                number,
                reuse,
                header,
                size,
            } => {
                let old = reuse.and_then(|old| self.disk.files.remove(&Disk::name(old)));
                let mut file = old.unwrap_or_default();
                file.stable.resize(size, 0);
                apply(&mut file.stable, 0, &header);
                self.disk.files.insert(Disk::name(number), file);
                None
            }
            Op::Write {
                segment,
                offset,
                block,
                len,
            } => {
                self.disk
                    .file(segment)
                    .pending
                    .push((offset, block[..len].to_vec()));
                Some(block)
            }
            Op::Sync { segment, covered } => {
                let file = self.disk.file(segment);
                for (offset, bytes) in file.pending.drain(..covered) {
                    apply(&mut file.stable, offset, &bytes);
                }
                None
            }
            Op::Delete { number } => {
                self.disk.files.remove(&Disk::name(number));
                None
            }
        };
        self.writer.handle_completion(self.now, ticket, Ok(block));
        self.drain();
    }

    /// Does half of what is in flight at `index`, as chance will have it, and reports a failure.
    pub fn fail(&mut self, index: usize, rng: &mut Rng) {
        let (ticket, op) = self.in_flight.swap_remove(index);
        let block = self.disk.interrupt(op, rng, 50);
        let error = io::ErrorKind::StorageFull;
        self.writer
            .handle_completion(self.now, ticket, Err(Failure { block, error }));
        self.drain();
    }

    /// Takes all that is committed and gives the blocks back.
    pub fn drain(&mut self) {
        while let Some(batch) = self.writer.poll_committed() {
            let next = self.committed.keys().next_back().map(|last| last + 1);
            let range = batch.range();
            assert!(
                next.is_none_or(|next| next == range.first.0),
                "committed in order"
            );
            assert!(range.end <= self.writer.committed());
            assert_eq!(batch.records().len() as u64, range.count());
            for record in batch.records() {
                self.committed.insert(record.lsn.0, Copy::from(&record));
            }
            self.writer.offer_block(batch.into_block());
        }
    }

    /// Completes everything until the writer asks for nothing.
    pub fn settle(&mut self) {
        self.poll();
        while !self.in_flight.is_empty() {
            self.complete(0);
            self.poll();
        }
    }

    /// Completes the openings only.
    pub fn settle_opens(&mut self) {
        self.poll();
        let is_open = |(_, op): &(Ticket, Op)| matches!(op, Op::Open { .. });
        while let Some(index) = self.in_flight.iter().position(is_open) {
            self.complete(index);
            self.poll();
        }
    }

    pub fn commit(&mut self) {
        self.writer.request_commit(self.now);
        self.settle();
    }

    /// Appends `count` records of this payload size and commits them as one batch.
    pub fn batch(&mut self, count: u64, len: usize) {
        for _ in 0..count {
            let lsn = self.writer.next_lsn();
            assert_eq!(self.append(&sample(lsn.0, len)), Ok(lsn));
        }
        self.commit();
        assert_eq!(self.writer.committed(), self.writer.next_lsn());
    }

    pub fn sleep(&mut self, duration: Duration) {
        self.now = self.now + duration;
        if self
            .writer
            .poll_timeout()
            .is_some_and(|deadline| deadline.at <= self.now)
        {
            self.writer.handle_timeout(self.now);
        }
    }
}

impl Disk {
    /// An operation that never ended: any part of it may have happened.
    pub fn interrupt(&mut self, op: Op, rng: &mut Rng, survive: u64) -> Option<Vec<u8>> {
        match op {
            Op::Open {
                number,
                reuse,
                header,
                size,
            } => {
                let steps = rng.below(4);
                if steps > 0 {
                    let old = reuse.and_then(|old| self.files.remove(&Disk::name(old)));
                    let mut file = old.unwrap_or_default();
                    if steps > 1 {
                        file.stable.resize(size, 0);
                    }
                    if steps > 2 {
                        tear(rng, survive, &mut file.stable, 0, &header);
                    }
                    self.files.insert(Disk::name(number), file);
                }
                None
            }
            Op::Write {
                segment,
                offset,
                block,
                len,
            } => {
                tear(
                    rng,
                    survive,
                    &mut self.file(segment).stable,
                    offset,
                    &block[..len],
                );
                Some(block)
            }
            Op::Sync { segment, covered } => {
                // What a failed sync covered counts as clean from then on: it is never retried.
                let file = self.file(segment);
                let covered = covered.min(file.pending.len());
                for (offset, bytes) in file.pending.drain(..covered) {
                    tear(rng, survive, &mut file.stable, offset, &bytes);
                }
                None
            }
            Op::Delete { number } => {
                if rng.chance(50) {
                    self.files.remove(&Disk::name(number));
                }
                None
            }
        }
    }

    /// The power goes: of what was not synced, any sectors are there.
    pub fn power_cut(&mut self, in_flight: Vec<(Ticket, Op)>, rng: &mut Rng) {
        let survive = [0, 30, 70, 97, 100][rng.below(5) as usize];
        for (_, op) in in_flight {
            self.interrupt(op, rng, survive);
        }
        for file in self.files.values_mut() {
            for (offset, bytes) in file.pending.drain(..) {
                tear(rng, survive, &mut file.stable, offset, &bytes);
            }
        }
    }
}

fn describe(output: &Output<Vec<u8>>) -> String {
    match output {
        Output::OpenSegment {
            number,
            reuse: None,
            ..
        } => format!("open {number}"),
        Output::OpenSegment {
            number,
            reuse: Some(old),
            ..
        } => format!("open {number} from {old}"),
        Output::Write {
            segment,
            offset,
            len,
            ..
        } => {
            format!("write {segment} {}+{}", offset / 4096, len / 4096)
        }
        Output::Sync { segment, .. } => format!("sync {segment}"),
        Output::DeleteSegment { number, .. } => format!("delete {number}"),
    }
}
