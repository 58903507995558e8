//! Numbers of the journal: records, segments, requests.

use std::fmt;

/// Number of a record within its journal ("log sequence number"): counts up by one, never comes
/// again once a record with it was recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The first record of a journal.
    pub const ZERO: Self = Self(0);
    /// Above every record.
    pub const MAX: Self = Self(u64::MAX);

    /// The number `count` further on.
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many records lie between `earlier` and this one; zero where there are none.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The low 40 bits, which is what a record carries.
    pub(crate) const fn low(self) -> u64 {
        self.0 & LOW_MASK
    }

    /// The number nearest to `self` with these low 40 bits; `None` where there is none.
    pub(crate) const fn nearest(self, low: u64) -> Option<Self> {
        // The difference as a signed 40-bit number: shifted up to the sign bit and back.
        let step = (low.wrapping_sub(self.0) << LOW_SHIFT).cast_signed() >> LOW_SHIFT;
        match self.0.checked_add_signed(step) {
            Some(lsn) => Some(Self(lsn)),
            None => None,
        }
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Records from `first` up to, but without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsnRange {
    /// The first one.
    pub first: Lsn,
    /// The one after the last.
    pub end: Lsn,
}

impl LsnRange {
    /// How many there are.
    pub const fn count(self) -> u64 {
        self.end.since(self.first)
    }

    /// Whether `lsn` is one of them.
    pub fn contains(self, lsn: Lsn) -> bool {
        (self.first..self.end).contains(&lsn)
    }
}

impl fmt::Display for LsnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

/// Number of a segment within its journal: each opening takes a new one, also of a recycled file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which shard of the engine a journal belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// Identity of a journal: 16 random octets that never leave the machine.
///
/// It seeds the checksum of every record, so that no bytes a peer sends can pass for a record.
/// That is why it prints redacted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId(pub [u8; 16]);

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JournalId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Names one request to the disk until its completion is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

const LOW_BITS: u32 = 40;
const LOW_SHIFT: u32 = u64::BITS - LOW_BITS;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_extend_to_the_nearest_number() {
        let turn = 1 << LOW_BITS;
        for (reference, low, expected) in [
            (0, 5, Some(5)),
            (10, 5, Some(5)),
            (turn - 1, 0, Some(turn)),
            (turn, LOW_MASK, Some(turn - 1)),
            (0, LOW_MASK, None),
            (7 * turn + 3, 2, Some(7 * turn + 2)),
            (u64::MAX, 0, None),
        ] {
            assert_eq!(
                Lsn(reference).nearest(low),
                expected.map(Lsn),
                "{reference} {low}"
            );
        }
    }
}
