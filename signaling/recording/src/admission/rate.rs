//! How often somebody may do something.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_sip::transport::source_of;
use holdfast_units::MonoTime;

/// Fills with time and is emptied by what happens. A token is counted in nanoseconds of its rate,
/// so that no fraction of one is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    nanos_per_token: u64,
    nanos_max: u64,
    nanos: u64,
    seen_at: MonoTime,
}

impl Bucket {
    /// A full one: `burst` at once, then `per_second`. Both are at least 1.
    pub fn new(now: MonoTime, per_second: u32, burst: u32) -> Self {
        let nanos_per_token = NANOS_PER_SECOND / u64::from(per_second.max(1));
        let nanos_max = nanos_per_token.saturating_mul(u64::from(burst.max(1)));
        Self {
            nanos_per_token,
            nanos_max,
            nanos: nanos_max,
            seen_at: now,
        }
    }

    /// Takes a token; `false` where there is none.
    pub fn take(&mut self, now: MonoTime) -> bool {
        self.fill(now);
        let rest = self.nanos.checked_sub(self.nanos_per_token);
        self.nanos = rest.unwrap_or(self.nanos);
        rest.is_some()
    }

    fn is_full(&mut self, now: MonoTime) -> bool {
        self.fill(now);
        self.nanos == self.nanos_max
    }

    fn fill(&mut self, now: MonoTime) {
        let passed = now.0.saturating_sub(self.seen_at.0);
        self.nanos = self.nanos.saturating_add(passed).min(self.nanos_max);
        self.seen_at = self.seen_at.max(now);
    }
}

/// A bucket for each source.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    per_second: u32,
    burst: u32,
    bucket_by_source: BTreeMap<IpAddr, Bucket>,
    /// For sources that have none of their own, because too many others have.
    shared: Bucket,
    /// When those of quiet sources may be looked for again.
    sweep_at: MonoTime,
}

impl Rates {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            bucket_by_source: BTreeMap::new(),
            shared: Bucket::new(MonoTime::ZERO, per_second, burst),
            sweep_at: MonoTime::ZERO,
        }
    }

    /// Whether a source may do one thing more.
    pub(super) fn take(&mut self, now: MonoTime, ip: IpAddr) -> bool {
        let source = source_of(ip);
        if let Some(bucket) = self.bucket_by_source.get_mut(&source) {
            return bucket.take(now);
        }
        if self.bucket_by_source.len() >= SOURCES_MAX && now >= self.sweep_at {
            self.sweep_at = now + SWEEP_INTERVAL;
            // Whoever has been quiet is as good as unknown.
            self.bucket_by_source
                .retain(|_, bucket| !bucket.is_full(now));
        }
        if self.bucket_by_source.len() >= SOURCES_MAX {
            return self.shared.take(now);
        }
        let mut bucket = Bucket::new(now, self.per_second, self.burst);
        let is_welcome = bucket.take(now);
        self.bucket_by_source.insert(source, bucket);
        is_welcome
    }
}

/// A look at all sources takes some milliseconds: not for every request.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Sources with a bucket of their own. Each takes about a hundred octets.
const SOURCES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let mut bucket = Bucket::new(at(0), 10, 3);
        for (millis, is_taken) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (99, false),
            (100, true),
            (100, false),
            (10_000, true),
            (10_000, true),
            (10_000, true),
            (10_000, false),
            // Time that goes back gives nothing.
            (5_000, false),
        ] {
            assert_eq!(bucket.take(at(millis)), is_taken, "at {millis} ms");
        }
    }

    #[test]
    fn the_rate_holds_over_any_time() {
        for per_second in [1, 3, 7, 1_000, 100_000] {
            let mut bucket = Bucket::new(at(0), per_second, 1);
            let taken = (0..100_000_u64)
                .filter(|step| bucket.take(MonoTime(step * 100_000)))
                .count();
            // Ten seconds in steps of 0.1 ms.
            let expected = (per_second as usize * 10).min(100_000);
            assert!(
                taken.abs_diff(expected) <= 1 + expected / 1_000,
                "{taken} of {expected}"
            );
        }
    }

    #[test]
    fn sources_do_not_take_from_each_other_and_are_bounded() {
        let mut rates = Rates::new(1, 1);
        let ip = |number: u32| IpAddr::from(number.to_be_bytes());
        assert!(rates.take(at(0), ip(1)) && !rates.take(at(0), ip(1)) && rates.take(at(0), ip(2)));
        for number in 2..SOURCES_MAX as u32 {
            rates.take(at(1), ip(100 + number));
        }
        assert!(rates.bucket_by_source.len() <= SOURCES_MAX);
        assert!(
            rates.take(at(1), ip(u32::MAX)),
            "the shared one has a token"
        );
        assert!(!rates.take(at(1), ip(u32::MAX - 1)), "and only one");
        assert!(rates.take(at(5_000), ip(u32::MAX)));
        assert!(
            rates.bucket_by_source.len() < 10,
            "the quiet ones are forgotten"
        );
    }
}
