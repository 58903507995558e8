//! The journal's blocks of shards whose packets come from plain sockets: what was taken from a socket
//! is nowhere else until it is on disk, so signaling holds a descriptor of that memory, and the next
//! engine reads what a killed one had appended.

use std::sync::Arc;

use holdfast_journal::{JournalId, Lsn, RecordRef, SegmentNumber, records_in_memory};
use holdfast_lifeline::{Kept, Lifeline};
use holdfast_sys::SharedBlock;
use tracing::{error, info, warn};

use crate::block::Block;

/// What their keys begin with; the shard follows.
const KEY_PREFIX: &str = "blocks-";

/// What a dead engine had in the blocks of a shard.
pub struct KeptBlocks {
    shard: u16,
    journal: JournalId,
    octets: Vec<u8>,
    block_size: usize,
}

impl KeptBlocks {
    /// Picks the blocks from what was kept; the rest stays in `kept`.
    pub fn pick(kept: &mut Vec<Kept>) -> Vec<Self> {
        let (blocks, others): (Vec<Kept>, Vec<Kept>) = std::mem::take(kept)
            .into_iter()
            .partition(|it| it.key.starts_with(KEY_PREFIX));
        *kept = others;
        let read = |it: Kept| {
            let key = it.key.clone();
            let blocks = Self::read(it);
            if blocks.is_none() {
                error!(
                    key,
                    "kept blocks that do not read: what was not on disk is lost"
                );
            }
            blocks
        };
        blocks.into_iter().filter_map(read).collect()
    }

    fn read(mut kept: Kept) -> Option<Self> {
        let shard = kept.key.strip_prefix(KEY_PREFIX)?.parse().ok()?;
        let (journal, block_size, count): ([u8; 16], u32, u32) =
            postcard::from_bytes(&kept.note).ok()?;
        let (block_size, count) = (block_size as usize, count as usize);
        let octets = SharedBlock::read_all(kept.descriptors.pop()?, block_size, count).ok()?;
        Some(Self {
            shard,
            journal: JournalId(journal),
            octets,
            block_size,
        })
    }

    /// The records of a shard that may not be on disk, in their order.
    pub fn records<'a>(
        all: &'a [Self],
        shard: u16,
        journal: Option<JournalId>,
        segments: std::ops::RangeInclusive<SegmentNumber>,
        near: Lsn,
    ) -> Vec<RecordRef<'a>> {
        let Some(kept) = all.iter().find(|it| it.shard == shard) else {
            return Vec::new();
        };
        if journal.is_some_and(|it| it != kept.journal) {
            warn!(shard, "the blocks of another journal are not read");
            return Vec::new();
        }
        let blocks = kept.octets.chunks_exact(kept.block_size);
        records_in_memory(kept.journal, segments, near, blocks)
    }
}

/// Blocks that signaling keeps; of this process alone where that cannot be.
pub fn make(
    lifeline: &Lifeline,
    shard: u16,
    journal: JournalId,
    block_size: usize,
    count: usize,
) -> Vec<Block> {
    match SharedBlock::create(block_size, count) {
        Ok((blocks, descriptor)) => {
            let note = (journal.0, block_size as u32, count as u32);
            let note = postcard::to_stdvec(&note).expect("plain data serialises into memory");
            let key = format!("{KEY_PREFIX}{shard}");
            lifeline.deposit(key, note, vec![Arc::new(descriptor)]);
            blocks.into_iter().map(Block::from).collect()
        }
        Err(error) => {
            warn!(shard, %error, "what is not on disk dies with this process");
            std::iter::repeat_with(|| Block::new(block_size))
                .take(count)
                .collect()
        }
    }
}

/// Says what came of them.
pub fn tell(shard: u16, records: u64) {
    if records > 0 {
        info!(shard, records, "were in memory and not on disk");
    }
}
