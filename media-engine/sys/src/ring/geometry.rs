//! How the memory of a ring is divided into blocks.
//!
//! The kernel closes a block when it is full or [`RETIRE_AFTER`] old, however little is in it. A ring
//! that is to hold the packets of some time therefore needs a block for each such interval of it, at
//! any rate of packets: too few, and a quiet ring is full of nearly empty blocks before the journal
//! has been synced once.

use std::time::Duration;

/// Age at which the kernel hands over a block that is not full.
pub const RETIRE_AFTER: Duration = Duration::from_millis(8);

/// The largest block: it is one allocation of the kernel's.
pub const BLOCK_SIZE_MAX: u32 = 1024 * 1024;

/// What comes within [`RETIRE_AFTER`] at 100,000 packets a second. With larger blocks a ring is full of
/// half empty ones at that rate and below, and holds less; the cost of a block does not show.
const BLOCK_SIZE_ENOUGH: u32 = 256 * 1024;

/// The smallest block. The largest packet (9,000 octets and its headers) fits in.
pub const BLOCK_SIZE_MIN: u32 = 16 * 1024;

/// What the kernel is told as the size of a frame. In this version of the ring it only has to divide
/// the block.
pub(super) const FRAME_SIZE: u32 = 2048;

/// Blocks of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingGeometry {
    /// Octets of a block: a power of two.
    pub block_size: u32,
    /// How many there are.
    pub block_count: u32,
}

impl RingGeometry {
    /// A ring of about `size` octets that can hold what comes within `hold`. It is larger where so
    /// many of the smallest blocks do not fit.
    pub fn new(size: u64, hold: Duration) -> Self {
        let blocks_min = hold.as_nanos().div_ceil(RETIRE_AFTER.as_nanos());
        let blocks_min = u64::try_from(blocks_min)
            .unwrap_or(BLOCK_COUNT_MAX)
            .clamp(BLOCK_COUNT_MIN, BLOCK_COUNT_MAX);
        // The largest rings there are need larger ones.
        let enough = (size / BLOCK_COUNT_MAX).max(u64::from(BLOCK_SIZE_ENOUGH));
        let largest = (size / blocks_min)
            .min(enough)
            .clamp(u64::from(BLOCK_SIZE_MIN), u64::from(BLOCK_SIZE_MAX));
        let block_size = 1_u64 << largest.ilog2();
        let block_count = (size / block_size).clamp(blocks_min, BLOCK_COUNT_MAX);
        Self {
            block_size: block_size as u32,
            block_count: block_count as u32,
        }
    }

    /// Octets of the whole ring.
    pub const fn size(self) -> usize {
        self.block_size as usize * self.block_count as usize
    }
}

/// Two blocks are never held; with fewer than this a ring is of no use.
const BLOCK_COUNT_MIN: u64 = 8;

/// 64 GiB in the largest blocks, and a table of half a mebibyte in the kernel.
const BLOCK_COUNT_MAX: u64 = 64 * 1024;

const _: () =
    assert!(BLOCK_SIZE_MIN.is_multiple_of(FRAME_SIZE) && BLOCK_SIZE_MAX.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_a_block_for_each_interval_of_its_time_whatever_its_size() {
        let hold = Duration::from_millis(2_200);
        for (size, expected) in [
            (8 << 20, (16 << 10, 512)),
            (160_000_000, (256 << 10, 610)),
            (1 << 30, (256 << 10, 4096)),
            (64 << 30, (1 << 20, 64 << 10)),
            (0, (16 << 10, 275)),
        ] {
            let ring = RingGeometry::new(size, hold);
            assert_eq!((ring.block_size, ring.block_count), expected, "{size}");
            let blocks = hold.as_millis().div_ceil(RETIRE_AFTER.as_millis());
            assert!(u128::from(ring.block_count) >= blocks);
        }
    }

    #[test]
    fn extreme_wishes_stay_within_bounds() {
        let ring = RingGeometry::new(u64::MAX, Duration::MAX);
        assert_eq!((ring.block_size, ring.block_count), (1 << 20, 64 << 10));
        let ring = RingGeometry::new(0, Duration::ZERO);
        assert_eq!((ring.block_size, ring.block_count), (16 << 10, 8));
    }
}
