//! Days, as recordings are filed.

use std::fmt;
use std::path::PathBuf;

use holdfast_units::WallTime;

/// A day in UTC, as recordings are filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// The day that a moment lies in.
    pub const fn of(at: WallTime) -> Self {
        let (year, month, day) = at.utc_date();
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
        }
    }

    /// Its folder below the recordings.
    pub fn folder(self) -> PathBuf {
        PathBuf::from(format!(
            "{:04}/{:02}/{:02}",
            self.year, self.month, self.day
        ))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Reads a day, which means its begin, or a moment of RFC 3339.
///
/// # Errors
///
/// It is written otherwise; the text says how.
pub fn parse_moment(text: &str) -> Result<WallTime, String> {
    let read = match parse_day(text) {
        Ok(day) => holdfast_manifest::time::parse(&format!("{day}T00:00:00Z")),
        Err(_) => holdfast_manifest::time::parse(text),
    };
    read.map_err(|_| "2026-11-22 or 2026-11-22T10:00:00Z".to_owned())
}

/// Reads `YYYY-MM-DD`.
///
/// # Errors
///
/// It is written otherwise; the text says how.
pub fn parse_day(text: &str) -> Result<Day, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, count: usize| {
        (part.len() == count && part.bytes().all(|octet| octet.is_ascii_digit())).then_some(())
    };
    let read = || {
        let [year, month, day] = parts.as_slice() else {
            return None;
        };
        digits(year, 4).and(digits(month, 2)).and(digits(day, 2))?;
        let day = Day {
            year: year.parse().ok()?,
            month: month.parse().ok()?,
            day: day.parse().ok()?,
        };
        ((1..=12).contains(&day.month) && (1..=31).contains(&day.day)).then_some(day)
    };
    read().ok_or_else(|| "a day is written YYYY-MM-DD".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        assert_eq!(
            parse_day("2026-11-22").unwrap().folder(),
            PathBuf::from("2026/11/22")
        );
        for wrong in [
            "",
            "2026-11",
            "2026-13-01",
            "2026-01-32",
            "26-01-01",
            "2026-1-1",
            "../..-1",
        ] {
            assert!(parse_day(wrong).is_err(), "{wrong}");
        }
    }
}
