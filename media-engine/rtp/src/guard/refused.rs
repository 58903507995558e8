//! Why packets were refused, and how many of each.

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Empty, a keepalive of RFC 6263 §4.1, or shorter than its header.
    TooShort,
    /// An RTP version other than 2.
    Version,
    /// Padding that does not fit.
    Padding,
    /// A header extension that does not fit.
    Extension,
    /// A payload type that is not negotiated: may be a keepalive (RFC 6263 §4.6).
    PayloadType,
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// ZRTP, TURN, QUIC.
    OtherProtocol,
    /// RTCP on the RTP port of a stream that does not share it.
    StrayRtcp,
    /// Something else on the RTCP port.
    NotRtcp,
    /// A source that is not the latched one.
    Foreign,
    /// The first packet of an unknown source that never sent a second.
    Unproven,
    /// An SSRC that the policy does not take.
    Ssrc,
    /// The stream is paused: it must not reach the disk in any form.
    Paused,
    /// Larger than a packet of this stream can be.
    Oversize,
    /// More packets or octets than the stream is good for.
    RateCap,
}

/// How many datagrams were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [u64; Reason::ALL.len()],
}

impl Reason {
    /// Every reason, in the order of its number. Appended to, never reordered: the numbers are
    /// written down.
    pub const ALL: [Self; 16] = [
        Self::TooShort,
        Self::Version,
        Self::Padding,
        Self::Extension,
        Self::PayloadType,
        Self::Stun,
        Self::Dtls,
        Self::OtherProtocol,
        Self::StrayRtcp,
        Self::NotRtcp,
        Self::Foreign,
        Self::Unproven,
        Self::Ssrc,
        Self::Paused,
        Self::Oversize,
        Self::RateCap,
    ];

    /// Its name in manifests and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::Version => "version",
            Self::Padding => "padding",
            Self::Extension => "extension",
            Self::PayloadType => "payload_type",
            Self::Stun => "stun",
            Self::Dtls => "dtls",
            Self::OtherProtocol => "other_protocol",
            Self::StrayRtcp => "stray_rtcp",
            Self::NotRtcp => "not_rtcp",
            Self::Foreign => "foreign_source",
            Self::Unproven => "unproven_source",
            Self::Ssrc => "ssrc",
            Self::Paused => "paused",
            Self::Oversize => "oversize",
            Self::RateCap => "rate_cap",
        }
    }
}

impl Refused {
    /// Counts that were written down earlier, in the order of [`Reason::ALL`].
    pub const fn from_counts(counts: [u64; Reason::ALL.len()]) -> Self {
        Self { counts }
    }

    /// The counts in the order of [`Reason::ALL`].
    pub const fn counts(&self) -> &[u64; Reason::ALL.len()] {
        &self.counts
    }

    /// How many were refused for this reason.
    pub const fn of(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many were refused.
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.of(reason)))
            .filter(|row| row.1 > 0)
    }

    /// Takes what others have counted.
    pub fn add(&mut self, other: &Self) {
        for (slot, count) in self.counts.iter_mut().zip(other.counts) {
            *slot = slot.saturating_add(count);
        }
    }

    /// Counts one more.
    pub const fn count(&mut self, reason: Reason) {
        let slot = &mut self.counts[reason as usize];
        *slot = slot.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_its_place_and_has_a_name_of_its_own() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
            let same = Reason::ALL
                .into_iter()
                .filter(|other| other.name() == reason.name());
            assert_eq!(same.count(), 1, "{reason:?}");
        }
    }

    #[test]
    fn only_what_occurred_is_listed() {
        let mut refused = Refused::default();
        refused.count(Reason::Stun);
        refused.count(Reason::Stun);
        assert_eq!(refused.iter().collect::<Vec<_>>(), [(Reason::Stun, 2)]);
        assert_eq!(refused.total(), 2);
        assert_eq!(Refused::from_counts(*refused.counts()), refused);
        let mut sum = refused;
        sum.count(Reason::Ssrc);
        sum.add(&refused);
        let added = [(Reason::Stun, 4), (Reason::Ssrc, 1)];
        assert_eq!(sum.iter().collect::<Vec<_>>(), added);
    }
}
