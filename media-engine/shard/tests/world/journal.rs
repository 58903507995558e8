//! The journal's disk: segment files, and what of them a power cut leaves.

use std::collections::BTreeMap;

use holdfast_journal::{
    JournalId, Output, PAGE_SIZE, Recovery, RecoverySettings, SegmentFile, SegmentNumber, Shard,
    segment_name,
};

use super::rng::Rng;

#[derive(Clone, Debug, Default)]
pub struct File {
    /// What a power cut leaves.
    pub stable: Vec<u8>,
    /// Writes that have completed and are not synced.
    pub pending: Vec<(usize, Vec<u8>)>,
}

/// The files of the journal's folder by name.
#[derive(Clone, Debug, Default)]
pub struct JournalDisk {
    pub files: BTreeMap<String, File>,
    /// Removed, and the folder not synced since.
    deleted: BTreeMap<String, File>,
}

/// Something that the journal has asked for.
#[derive(Debug)]
pub enum Op {
    Open {
        number: SegmentNumber,
        reuse: Option<SegmentNumber>,
        header: Vec<u8>,
        size: usize,
    },
    Write {
        segment: SegmentNumber,
        offset: usize,
        block: Vec<u8>,
        len: usize,
    },
    /// Covers so many of the pending writes.
    Sync {
        segment: SegmentNumber,
        covered: usize,
    },
    Delete {
        number: SegmentNumber,
    },
}

fn name(number: SegmentNumber) -> String {
    segment_name(Shard(0), number)
}

impl JournalDisk {
    pub fn op(&self, output: Output<Vec<u8>>) -> (holdfast_journal::Ticket, Op) {
        match output {
            Output::OpenSegment {
                ticket,
                number,
                reuse,
                header,
            } => {
                let mut page = vec![0; PAGE_SIZE];
                header.encode(&mut page);
                let size = header.size as usize;
                let op = Op::Open {
                    number,
                    reuse,
                    header: page,
                    size,
                };
                (ticket, op)
            }
            Output::Write {
                ticket,
                segment,
                offset,
                block,
                len,
            } => {
                let offset = offset as usize;
                let op = Op::Write {
                    segment,
                    offset,
                    block,
                    len,
                };
                (ticket, op)
            }
            Output::Sync { ticket, segment } => {
                let covered = self.files[&name(segment)].pending.len();
                (ticket, Op::Sync { segment, covered })
            }
            Output::DeleteSegment { ticket, number } => (ticket, Op::Delete { number }),
        }
    }

    fn file(&mut self, number: SegmentNumber) -> &mut File {
        self.files
            .get_mut(&name(number))
            .expect("the segment is there")
    }

    /// Does it; gives the block of a write back.
    pub fn perform(&mut self, op: Op) -> Option<Vec<u8>> {
        match op {
            Op::Open {
                number,
                reuse,
                header,
                size,
            } => {
                let old = reuse.and_then(|old| self.files.remove(&name(old)));
                let mut file = old.unwrap_or_default();
                file.flush();
                file.stable.resize(size, 0);
                apply(&mut file.stable, 0, &header);
                self.files.insert(name(number), file);
                // The folder is synced.
                self.deleted.clear();
                None
            }
            Op::Write {
                segment,
                offset,
                block,
                len,
            } => {
                let bytes = block[..len].to_vec();
                self.file(segment).pending.push((offset, bytes));
                Some(block)
            }
            Op::Sync { segment, covered } => {
                let file = self.file(segment);
                let covered = covered.min(file.pending.len());
                for (offset, bytes) in file.pending.drain(..covered).collect::<Vec<_>>() {
                    apply(&mut file.stable, offset, &bytes);
                }
                None
            }
            Op::Delete { number } => {
                if let Some(file) = self.files.remove(&name(number)) {
                    self.deleted.insert(name(number), file);
                }
                None
            }
        }
    }

    /// Of an operation that never ended any part may have happened; the block of a write is given
    /// back.
    pub fn interrupt(&mut self, op: Op, rng: &mut Rng) -> Option<Vec<u8>> {
        match op {
            Op::Open {
                number,
                reuse,
                header,
                size,
            } => {
                let steps = rng.below(4);
                if steps > 0 {
                    let old = reuse.and_then(|old| self.files.remove(&name(old)));
                    let mut file = old.unwrap_or_default();
                    if steps > 1 {
                        file.stable.resize(size, 0);
                    }
                    if steps > 2 {
                        file.pending.push((0, header));
                    }
                    self.files.insert(name(number), file);
                }
                None
            }
            Op::Write {
                segment,
                offset,
                block,
                len,
            } => {
                let survive = [0, 50, 100][rng.index(3)];
                let file = self.file(segment);
                for (index, sector) in block[..len].chunks(512).enumerate() {
                    if rng.chance(survive) {
                        file.pending.push((offset + index * 512, sector.to_vec()));
                    }
                }
                Some(block)
            }
            // Whether it ended or not: what it covers is synced by chance at a power cut.
            Op::Sync { .. } => None,
            Op::Delete { number } => {
                if rng.chance(50) {
                    self.perform(Op::Delete { number });
                }
                None
            }
        }
    }

    /// The power goes: of what was not synced, any sectors are there.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        for (name, file) in std::mem::take(&mut self.deleted) {
            if rng.chance(30) {
                self.files.entry(name).or_insert(file);
            }
        }
        let survive = [0, 30, 70, 97, 100][rng.index(5)];
        for file in self.files.values_mut() {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                for (index, sector) in bytes.chunks(512).enumerate() {
                    if rng.chance(survive) {
                        file.write(offset + index * 512, sector);
                    }
                }
            }
        }
    }

    /// Makes all segments durable.
    pub fn sync(&mut self) {
        self.files.values_mut().for_each(File::flush);
    }

    /// Files as a reader sees them.
    pub fn visible(&self) -> Vec<(String, Vec<u8>)> {
        let one = |(name, file): (&String, &File)| (name.clone(), file.visible());
        self.files.iter().map(one).collect()
    }

    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.files.values().chain(self.deleted.values());
        all.flat_map(|file| {
            let pending = file.pending.iter().map(|(_, bytes)| bytes.as_slice());
            pending.chain([file.stable.as_slice()])
        })
    }

    pub fn recovery<'a>(
        visible: &'a [(String, Vec<u8>)],
        journal: Option<JournalId>,
        segment_size: u64,
    ) -> Recovery<&'a [u8]> {
        let settings = RecoverySettings {
            shard: Shard(0),
            journal,
            segment_size,
        };
        let file = |(name, content): &'a (String, Vec<u8>)| SegmentFile {
            name: name.clone(),
            content: content.as_slice(),
        };
        Recovery::open(settings, visible.iter().map(file).collect()).expect("of this version")
    }
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.stable.len() < end {
            self.stable.resize(end, 0);
        }
        apply(&mut self.stable, offset, bytes);
    }

    fn flush(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            self.write(offset, &bytes);
        }
    }

    fn visible(&self) -> Vec<u8> {
        let mut copy = self.clone();
        copy.flush();
        copy.stable
    }
}

fn apply(content: &mut [u8], offset: usize, bytes: &[u8]) {
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}
