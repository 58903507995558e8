//! When to send RTCP (RFC 3550 §6.2, §6.3).
//!
//! ```text
//!   Td = max(Tmin, average size · receivers / their bandwidth)     Tmin 5 s, at first 2.5 s
//!   T  = Td · (0.5 … 1.5) / 1.21828
//! ```
//!
//! When T has passed it is drawn anew, and a report goes out only if that would be over as well
//! ("timer reconsideration"); the divisor makes up for it. So the first report leaves after 1.0 to
//! 3.1 s, the others 2.1 to 6.2 s apart, and two calls never keep step.

use std::time::Duration;

use holdfast_units::MonoTime;

use crate::limits;

/// A number that the shell has drawn evenly from all 32-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance(pub u32);

/// What RTCP may use, as the signaling says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcpBandwidth {
    /// Nothing was said: 5 % of the session's, which for audio is always enough for Tmin.
    #[default]
    Default,
    /// b=RR (RFC 3556): bits per second of all receivers together. 0 silences them.
    Receivers(u32),
}

/// When to send the next report of one stream.
#[derive(Clone, Debug)]
pub struct RtcpScheduler {
    bandwidth: RtcpBandwidth,
    /// The last report; at first when the stream began.
    last: MonoTime,
    next: MonoTime,
    initial: bool,
    /// Octets of an average compound with its UDP and IP headers, times 16.
    average_size: u32,
}

impl RtcpScheduler {
    /// Begins with the stream.
    pub fn new(now: MonoTime, bandwidth: RtcpBandwidth, chance: Chance) -> Self {
        let average_size = 16 * FIRST_SIZE;
        let mut scheduler = Self {
            bandwidth,
            last: now,
            next: now,
            initial: true,
            average_size,
        };
        scheduler.next = now + scheduler.interval(chance);
        scheduler
    }

    /// The signaling has changed what RTCP may use.
    pub fn set_bandwidth(&mut self, now: MonoTime, bandwidth: RtcpBandwidth, chance: Chance) {
        if self.bandwidth != bandwidth {
            self.bandwidth = bandwidth;
            self.next = self.last.max(now) + self.interval(chance);
        }
    }

    /// Whether RTCP is not to be sent at all (RFC 3556 §2).
    pub fn is_silent(&self) -> bool {
        self.bandwidth == RtcpBandwidth::Receivers(0)
    }

    /// When to ask again; never if silent.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        (!self.is_silent()).then_some(self.next)
    }

    /// Whether to send now (§6.3.6). After a yes, call [`RtcpScheduler::handle_sent`].
    pub fn handle_timeout(&mut self, now: MonoTime, chance: Chance) -> bool {
        if self.is_silent() || now < self.next {
            return false;
        }
        let reconsidered = self.last + self.interval(chance);
        if reconsidered > now {
            self.next = reconsidered;
            return false;
        }
        true
    }

    /// A compound of `len` octets was sent.
    pub fn handle_sent(&mut self, now: MonoTime, len: usize, chance: Chance) {
        self.count_size(len);
        self.initial = false;
        self.last = now;
        self.next = now + self.interval(chance);
    }

    /// A compound of `len` octets was received (§6.3.3).
    pub fn handle_received(&mut self, len: usize) {
        self.count_size(len);
    }

    /// avg_rtcp_size = 1/16 · size + 15/16 · avg_rtcp_size.
    fn count_size(&mut self, len: usize) {
        let size = u32::try_from(len)
            .unwrap_or(u32::MAX)
            .saturating_add(UDP_AND_IP);
        let kept = self.average_size - self.average_size / 16;
        self.average_size = kept.saturating_add(size);
    }

    fn interval(&self, chance: Chance) -> Duration {
        let least = if self.initial {
            limits::RTCP_INTERVAL / 2
        } else {
            limits::RTCP_INTERVAL
        };
        let by_bandwidth = match self.bandwidth {
            RtcpBandwidth::Default | RtcpBandwidth::Receivers(0) => Duration::ZERO,
            RtcpBandwidth::Receivers(bits) => {
                let size_bits = u64::from(self.average_size / 16) * 8;
                Duration::from_nanos(size_bits.saturating_mul(NANOS) / u64::from(bits))
            }
        };
        let td = by_bandwidth
            .clamp(least, limits::RTCP_INTERVAL_MAX)
            .as_nanos();
        // 2^31 to 3 · 2^31 over 2^32: a half to one and a half.
        let factor = (1 << 31) + u128::from(chance.0);
        let nanos = ((td * factor) >> 32) * 100_000 / 121_828;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const NANOS: u64 = 1_000_000_000;
/// IPv4 without options; six octets of Ethernet more or less change nothing.
const UDP_AND_IP: u32 = 28;
/// RFC 3550 §6.3.2: "the probable size of the first RTCP packet": RR of one block, SDES.
const FIRST_SIZE: u32 = 32 + 28 + UDP_AND_IP;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: MonoTime) -> f64 {
        time.0 as f64 / 1e9
    }

    #[test]
    fn first_interval_is_half_and_all_lie_where_the_rfc_puts_them() {
        for (chance, first, later) in [(0, 1.026, 2.052), (u32::MAX, 3.078, 6.156)] {
            let chance = Chance(chance);
            let mut scheduler = RtcpScheduler::new(MonoTime::ZERO, RtcpBandwidth::Default, chance);
            let due = scheduler.poll_timeout().unwrap();
            assert!((seconds(due) - first).abs() < 0.001, "{due:?}");
            assert!(!scheduler.handle_timeout(MonoTime(due.0 - 1), chance));
            assert!(scheduler.handle_timeout(due, chance));
            scheduler.handle_sent(due, 52, chance);
            let next = scheduler.poll_timeout().unwrap();
            assert!(
                (seconds(next) - seconds(due) - later).abs() < 0.001,
                "{next:?}"
            );
        }
    }

    #[test]
    fn a_longer_draw_at_the_timeout_postpones() {
        let mut scheduler = RtcpScheduler::new(MonoTime::ZERO, RtcpBandwidth::Default, Chance(0));
        let due = scheduler.poll_timeout().unwrap();
        assert!(!scheduler.handle_timeout(due, Chance(u32::MAX)));
        let postponed = scheduler.poll_timeout().unwrap();
        assert!(postponed > due);
        assert!(scheduler.handle_timeout(postponed, Chance(u32::MAX)));
    }

    /// §6.3.1: the divisor makes the average of the reconsidered intervals Td itself.
    #[test]
    fn intervals_average_to_td() {
        let mut random = crate::fuzz::XorShift::new(7);
        let mut chance = || Chance(random.next() as u32);
        let mut scheduler = RtcpScheduler::new(MonoTime::ZERO, RtcpBandwidth::Default, chance());
        let mut sent = 0;
        while sent < 4_000 {
            let due = scheduler.poll_timeout().unwrap();
            if scheduler.handle_timeout(due, chance()) {
                scheduler.handle_sent(due, 52, chance());
                sent += 1;
            }
        }
        let average = seconds(scheduler.last) / 4_000.0;
        assert!((4.9..5.1).contains(&average), "{average}");
    }

    #[test]
    fn bandwidth_zero_silences_and_little_of_it_slows() {
        let silent = RtcpScheduler::new(MonoTime::ZERO, RtcpBandwidth::Receivers(0), Chance(0));
        assert_eq!(silent.poll_timeout(), None);
        let mut waking = silent.clone();
        assert!(!waking.handle_timeout(MonoTime(u64::MAX), Chance(0)));
        waking.set_bandwidth(MonoTime(1), RtcpBandwidth::Default, Chance(0));
        assert!(waking.poll_timeout().is_some());
        // 88 octets at 10 bit/s: Td is 70.4 s.
        let slow = RtcpScheduler::new(
            MonoTime::ZERO,
            RtcpBandwidth::Receivers(10),
            Chance(1 << 31),
        );
        assert!((seconds(slow.poll_timeout().unwrap()) - 57.787).abs() < 0.01);
        let crawl = RtcpScheduler::new(MonoTime::ZERO, RtcpBandwidth::Receivers(1), Chance(0));
        assert!(seconds(crawl.poll_timeout().unwrap()) < 600.0);
    }
}
