//! Two clocks that never mix: one for deadlines, one for what is written down.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Monotonic time for deadlines: nanoseconds since an arbitrary start, never set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(pub u64);

/// Wall-clock time that is written down: nanoseconds since 1970-01-01T00:00:00Z, leap seconds
/// not counted. Good until the year 2554.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl MonoTime {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// How long ago `earlier` was; zero where it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;

    fn add(self, step: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<MonoTime> for MonoTime {
    type Output = Duration;

    fn sub(self, earlier: MonoTime) -> Duration {
        self.since(earlier)
    }
}

impl WallTime {
    /// How long ago `earlier` was; zero where it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970.
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Calendar date in UTC as (year, month, day), by the proleptic Gregorian calendar.
    pub const fn utc_date(self) -> (u32, u32, u32) {
        // Days are counted in eras of 400 years that begin on 1 March, so that the leap day is
        // the last day of a year.
        let days = (self.unix_seconds() / 86_400) as i64 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
        (year as u32, month as u32, day as u32)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, step: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// RFC 3339 in UTC with nanoseconds: `2026-11-22T10:00:00.000000000Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.utc_date();
        let seconds = self.unix_seconds() % 86_400;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let nanos = self.0 % 1_000_000_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_dates_of_known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (1_795_342_203, "2026-11-22T10:10:03.000000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(WallTime(seconds * 1_000_000_000).to_string(), text);
        }
    }

    #[test]
    fn a_clock_set_back_yields_zero_not_a_panic() {
        assert_eq!(WallTime(5).since(WallTime(9)), Duration::ZERO);
        assert_eq!(MonoTime(5) - MonoTime(9), Duration::ZERO);
    }
}
