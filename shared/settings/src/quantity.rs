//! Quantities as they are written: a whole number and a unit, `"200 ms"`, `"64 MiB"`, `"90 %"`.
//!
//! No fractions, no sums, no bare numbers: one way to write each, so that a search finds it.

use std::time::Duration;

/// Reads a duration; `None` where it is not one or does not fit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATION_UNITS).map(Duration::from_micros)
}

/// Reads a size in octets; `None` where it is not one or does not fit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

/// Reads a percentage; `None` where it is not one.
pub(crate) fn parse_percent(text: &str) -> Option<u8> {
    let (count, unit) = split(text)?;
    (unit == "%")
        .then_some(count)
        .and_then(|count| u8::try_from(count).ok())
}

/// Writes a duration in the largest unit that leaves a whole number.
pub fn display_duration(value: Duration) -> String {
    if value.is_zero() {
        return "0 s".to_owned();
    }
    // Beyond u64 microseconds lies no value that was read here.
    written(
        u64::try_from(value.as_micros()).unwrap_or(u64::MAX),
        &DURATION_UNITS,
    )
}

/// Writes a size in the largest unit that leaves a whole number.
pub fn display_size(octets: u64) -> String {
    written(octets, &SIZE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (count, unit) = split(text)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*scale)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start_matches(' ')))
}

fn written(count: u64, units: &[(&str, u64)]) -> String {
    // The smallest unit is 1, and stands last: something always fits.
    let fits = |(_, scale): &&(&str, u64)| count >= *scale && count.is_multiple_of(*scale);
    match units.iter().find(fits) {
        Some((unit, scale)) => format!("{} {unit}", count / scale),
        None => format!("{count} {}", units[units.len() - 1].0),
    }
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_are_read_and_that_are_not() {
        for (text, expected) in [
            ("200 ms", Some(Duration::from_millis(200))),
            ("200ms", Some(Duration::from_millis(200))),
            ("0 s", Some(Duration::ZERO)),
            ("2 min", Some(Duration::from_secs(120))),
            ("250 us", Some(Duration::from_micros(250))),
            ("7 d", Some(Duration::from_secs(604_800))),
            ("", None),
            ("200", None),
            ("ms", None),
            ("-1 s", None),
            ("+1 s", None),
            ("1.5 s", None),
            ("1 s 500 ms", None),
            ("1 S", None),
            (" 1 s", None),
            ("1 s ", None),
            ("18446744073709551615 d", None),
            ("18446744073709551616 us", None),
            ("1 µs", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_have_binary_units_only() {
        for (text, expected) in [
            ("64 MiB", Some(64 << 20)),
            ("9000 B", Some(9_000)),
            ("1TiB", Some(1 << 40)),
            ("64 MB", None),
            ("64 mib", None),
            ("64", None),
            ("17179869184 TiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn percentages() {
        for (text, expected) in [
            ("90 %", Some(90)),
            ("90%", Some(90)),
            ("0 %", Some(0)),
            ("256 %", None),
            ("90", None),
        ] {
            assert_eq!(parse_percent(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [
            0,
            1,
            999,
            1_000,
            90_000_000,
            1_800_000_000,
            86_400_000_000,
            u64::MAX,
        ] {
            let value = Duration::from_micros(micros);
            assert_eq!(parse_duration(&display_duration(value)), Some(value));
            assert_eq!(parse_size(&display_size(micros)), Some(micros));
        }
        assert_eq!(display_duration(Duration::from_secs(90)), "90 s");
        assert_eq!(display_size(0), "0 B");
    }
}
