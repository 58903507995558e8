//! RTCP (RFC 3550 §6): read what senders report, send what a receiver owes.
//!
//! A recorder only receives, and still owes receiver reports: senders that obey RFC 8083 stop
//! without them. [`wire`] knows the octets, [`RtcpScheduler`] the time, [`RtcpSession`] holds both
//! together for one stream.

use holdfast_units::{MonoTime, WallTime};

use crate::number::RtpTimestamp;

mod schedule;
mod session;
pub mod wire;

pub use schedule::{Chance, RtcpBandwidth, RtcpScheduler};
pub use session::{Peer, RtcpConfig, RtcpEvent, RtcpSession};
pub use wire::{Compound, NoRoom, ReportBlock, RtcpError, RtcpPacket};

/// A time in NTP format: seconds since 1900 in the upper half, fractions in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

/// A moment on two clocks of a sender, and when we heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPair {
    /// Its wall clock; may be relative to anything, or 0.
    pub ntp: NtpTime,
    /// Its media clock.
    pub rtp: RtpTimestamp,
    /// When the report arrived here.
    pub at: MonoTime,
}

/// The name of an endpoint in its reports (RFC 7022): ours is random and says nothing of us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cname {
    bytes: [u8; Cname::BYTES_MAX],
    len: u8,
}

impl NtpTime {
    /// The time as wall-clock time; none for 0, which says that the sender has none, and for what
    /// does not lie between 1970 and 2106.
    pub fn to_wall(self) -> Option<WallTime> {
        let seconds = self.0 >> 32;
        // RFC 4330 §3: with the top bit clear, the era that began in 2036.
        let era = if seconds >> 31 == 0 { 1 << 32 } else { 0 };
        let unix = (seconds + era).checked_sub(SECONDS_1900_TO_1970)?;
        let nanos = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        (self.0 != 0).then(|| WallTime(unix * 1_000_000_000 + nanos))
    }

    /// A wall-clock time in NTP format, of whichever era it falls into.
    pub const fn from_wall(wall: WallTime) -> Self {
        let (seconds, nanos) = (wall.0 / 1_000_000_000, wall.0 % 1_000_000_000);
        let fraction = (nanos << 32) / 1_000_000_000;
        Self((seconds + SECONDS_1900_TO_1970) << 32 | fraction)
    }

    /// The middle 32 bits, which a report block gives back (LSR).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

impl Cname {
    /// Octets of the longest: a UUID as URN has 45. Peers may have longer ones.
    pub const BYTES_MAX: usize = 47;

    /// RFC 7022 §4.2: 96 random bits in base64, without a host name in it.
    pub fn from_random(random: [u8; 12]) -> Self {
        let mut name = Self {
            bytes: [0; Self::BYTES_MAX],
            len: 16,
        };
        let quads = name.bytes.as_chunks_mut::<4>().0;
        for (quad, [a, b, c]) in quads.iter_mut().zip(random.as_chunks::<3>().0) {
            let bits = u32::from_be_bytes([0, *a, *b, *c]);
            *quad = [18, 12, 6, 0].map(|shift| BASE64[(bits >> shift) as usize & 63]);
        }
        name
    }

    /// A name as it came; `None` where it is empty or too long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut name = Self {
            bytes: [0; Self::BYTES_MAX],
            len: u8::try_from(bytes.len()).ok()?,
        };
        name.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(name)
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Cname {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cname(\"{}\")", self.as_bytes().escape_ascii())
    }
}

const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_in_both_eras_and_none_at_zero() {
        assert_eq!(NtpTime(0).to_wall(), None);
        assert_eq!(
            NtpTime(SECONDS_1900_TO_1970 << 32).to_wall(),
            Some(WallTime(0))
        );
        let half = NtpTime((SECONDS_1900_TO_1970 + 5) << 32 | 0x8000_0000);
        assert_eq!(half.to_wall(), Some(WallTime(5_500_000_000)));
        // 2036-02-07T06:28:17Z is second 1 of era 1.
        assert_eq!(
            NtpTime(1 << 32).to_wall(),
            Some(WallTime(2_085_978_497 * 1_000_000_000))
        );
        assert!(NtpTime(u64::MAX).to_wall().is_some());
        for wall in [0, 5_500_000_000, 2_085_978_497 * 1_000_000_000] {
            assert_eq!(
                NtpTime::from_wall(WallTime(wall)).to_wall(),
                Some(WallTime(wall))
            );
        }
        assert_eq!(NtpTime(0x1122_3344_5566_7788).middle(), 0x3344_5566);
    }

    #[test]
    fn cname_is_96_bits_in_base64() {
        let name = Cname::from_random(*b"Man is dist\xff");
        assert_eq!(name.as_bytes(), b"TWFuIGlzIGRpc3T/");
        assert_eq!(Cname::from_bytes(b""), None);
        assert_eq!(Cname::from_bytes(&[b'a'; 48]), None);
        let longest = Cname::from_bytes(&[b'a'; 47]).unwrap();
        assert_eq!(longest.as_bytes().len(), 47);
    }
}
