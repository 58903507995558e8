//! The numbers of RTP, a type each.
//!
//! What wraps on the wire has no order; what is ordered never wraps.

/// Sequence number as it travels: 16 bits, wraps. No `Ord`: half of the comparisons would lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireSeq(pub u16);

/// The same number counted since the source began. Ordered, never wraps.
///
/// The first packet of a source is in the second cycle (65,536 and up), so that packets that were
/// sent before it and arrive after it have a number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtSeq(u64);

/// Timestamp as it travels: 32 bits of sampling clock, random start, wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RtpTimestamp(pub u32);

/// The same timestamp without the wrap. Ordered; as with [`ExtSeq`] the first is in cycle one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtTimestamp(u64);

/// Synchronisation source (RFC 3550 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

/// Payload type, 0 to 127. 0 is PCMU and never means "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

/// Ticks per second of an RTP timestamp; for G.722 not the rate of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockRate(u32);

impl WireSeq {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl ExtSeq {
    /// What the first number of a source stands for.
    pub const fn first(wire: WireSeq) -> Self {
        Self(1 << 16 | wire.0 as u64)
    }

    /// A number that was written down earlier.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// What it looks like on the wire.
    pub const fn wire(self) -> WireSeq {
        WireSeq(self.0 as u16)
    }

    /// The value nearest to `self` whose low 16 bits are `wire`; `None` if before the start.
    pub fn nearest(self, wire: WireSeq) -> Option<Self> {
        let step = wire.0.wrapping_sub(self.0 as u16) as i16;
        self.0.checked_add_signed(i64::from(step)).map(Self)
    }

    /// The number `steps` further on.
    pub const fn forward(self, steps: u64) -> Self {
        Self(self.0.saturating_add(steps))
    }

    /// The number `steps` earlier; the first of all numbers where there is none.
    pub const fn back(self, steps: u64) -> Self {
        Self(self.0.saturating_sub(steps))
    }

    /// How many numbers lie from `earlier` to `self`; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl RtpTimestamp {
    /// Ticks from `earlier` to `self` the short way round: negative where `self` is before it.
    pub const fn ticks_since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

impl ExtTimestamp {
    /// What the first timestamp of a source stands for.
    pub const fn first(wire: RtpTimestamp) -> Self {
        Self(1 << 32 | wire.0 as u64)
    }

    /// A timestamp that was written down earlier.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The timestamp itself.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// What it looks like on the wire.
    pub const fn wire(self) -> RtpTimestamp {
        RtpTimestamp(self.0 as u32)
    }

    /// The value nearest to `self` whose low 32 bits are `wire`; `None` if before the start.
    pub fn nearest(self, wire: RtpTimestamp) -> Option<Self> {
        let step = wire.ticks_since(self.wire());
        self.0.checked_add_signed(i64::from(step)).map(Self)
    }

    /// The timestamp `ticks` further on.
    pub const fn forward(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }

    /// The timestamp `ticks` earlier; the first of all where there is none.
    pub const fn back(self, ticks: u64) -> Self {
        Self(self.0.saturating_sub(ticks))
    }

    /// Ticks from `earlier` to `self`; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl PayloadType {
    /// The payload type with this number; `None` above 127.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 128 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The payload type in the second octet of a packet, whose top bit is the marker.
    pub const fn from_octet(octet: u8) -> Self {
        Self(octet & 0x7f)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl ClockRate {
    /// 8,000 Hz, the clock of telephony.
    pub const TELEPHONY: Self = Self(8_000);

    /// A rate in hertz; `None` for 0 and above [`crate::limits::CLOCK_RATE_MAX`].
    pub const fn new(hertz: u32) -> Option<Self> {
        if hertz == 0 || hertz > crate::limits::CLOCK_RATE_MAX {
            None
        } else {
            Some(Self(hertz))
        }
    }

    /// The rate in hertz.
    pub const fn hertz(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_sequence_number_over_the_wrap_both_ways() {
        for (from, wire, expected) in [
            (65_536, 0, Some(65_536)),
            (65_536, 65_535, Some(65_535)),
            (131_071, 0, Some(131_072)),
            (131_072, 32_767, Some(163_839)),
            (131_072, 32_768, Some(98_304)),
            (3, 65_535, None),
        ] {
            assert_eq!(
                ExtSeq(from).nearest(WireSeq(wire)),
                expected.map(ExtSeq),
                "{from} {wire}"
            );
        }
    }

    #[test]
    fn nearest_timestamp_over_the_wrap_both_ways() {
        let first = ExtTimestamp::first(RtpTimestamp(u32::MAX));
        let after = first.nearest(RtpTimestamp(159)).unwrap();
        assert_eq!(after.since(first), 160);
        assert_eq!(after.nearest(RtpTimestamp(u32::MAX)), Some(first));
        assert_eq!(ExtTimestamp(1).nearest(RtpTimestamp(u32::MAX)), None);
    }

    #[test]
    fn payload_type_ignores_the_marker_and_knows_zero() {
        assert_eq!(PayloadType::from_octet(0x80), PayloadType(0));
        assert_eq!(PayloadType::new(127).map(PayloadType::number), Some(127));
        assert_eq!(PayloadType::new(128), None);
    }

    #[test]
    fn a_clock_of_zero_is_none() {
        assert_eq!(ClockRate::new(0), None);
        assert_eq!(ClockRate::new(u32::MAX), None);
        assert_eq!(ClockRate::new(8_000), Some(ClockRate::TELEPHONY));
    }
}
