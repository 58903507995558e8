//! Times in the manifest: RFC 3339 in text, nanoseconds in binary formats.
//!
//! `#[serde(with = "time")]` on a [`WallTime`], `#[serde(with = "time::option")]` on an
//! `Option<WallTime>`.

use holdfast_units::WallTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A text that is not an RFC 3339 time from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between 1970 and 2554")]
pub struct ParseTimeError;

/// Writes a time.
pub fn serialize<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(time)
    } else {
        time.serialize(serializer)
    }
}

/// Reads a time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
    if deserializer.is_human_readable() {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    } else {
        WallTime::deserialize(deserializer)
    }
}

/// The same for a time that may be absent.
pub mod option {
    use super::*;

    /// Writes a time that may be absent.
    pub fn serialize<S: Serializer>(
        time: &Option<WallTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            time.map(|time| time.to_string()).serialize(serializer)
        } else {
            time.serialize(serializer)
        }
    }

    /// Reads a time that may be absent.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<WallTime>, D::Error> {
        if deserializer.is_human_readable() {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| parse(&text).map_err(D::Error::custom))
                .transpose()
        } else {
            Option::<WallTime>::deserialize(deserializer)
        }
    }
}

/// Reads an RFC 3339 time: any offset, any number of fraction digits (those beyond nanoseconds
/// are cut off), lower-case `t` and `z` allowed (RFC 3339 §5.6). A leap second counts as the
/// second after it.
pub fn parse(text: &str) -> Result<WallTime, ParseTimeError> {
    read(text.as_bytes()).ok_or(ParseTimeError)
}

fn read(text: &[u8]) -> Option<WallTime> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let [
        _,
        _,
        _,
        _,
        b'-',
        _,
        _,
        b'-',
        _,
        _,
        b'T' | b't',
        _,
        _,
        b':',
        _,
        _,
        b':',
        _,
        _,
    ] = date_time
    else {
        return None;
    };
    let field = |from: usize, to: usize| digits(date_time.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if day == 0 || day > days_of_month(year, month)? || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = u64::try_from(local - offset_seconds(zone)?).ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(WallTime)
}

/// The fraction in nanoseconds and what follows it.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else {
        return Some((0, text));
    };
    let len = rest
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    let (fraction, zone) = rest.split_at_checked(len)?;
    if fraction.is_empty() {
        return None;
    }
    let padded = fraction
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(9);
    Some((
        padded.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0')),
        zone,
    ))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let [sign, h1, h2, b':', m1, m2] = *zone else {
        return matches!(zone, [b'Z' | b'z']).then_some(0);
    };
    let (hour, minute) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
    if hour > 23 || minute > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hour * 3_600 + minute * 60),
        b'-' => Some(-(hour * 3_600 + minute * 60)),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, octet| {
        octet
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(octet - b'0'))
    })
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days by the proleptic Gregorian calendar; years begin on 1 March so that the leap day is last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wall_time_displays_parses_back() {
        for nanos in [
            0,
            1,
            951_782_400_000_000_000,
            1_795_342_203_123_456_789,
            4_107_542_399_999_999_999,
        ] {
            let time = WallTime(nanos);
            assert_eq!(parse(&time.to_string()), Ok(time), "{time}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        for day in 0..150_000_u64 {
            let time = WallTime(day * 86_400_000_000_000);
            assert_eq!(parse(&time.to_string()), Ok(time));
        }
    }

    #[test]
    fn offsets_fractions_and_lower_case() {
        let noon = parse("2026-11-22T12:00:00Z").unwrap();
        for same in [
            "2026-11-22T12:00:00.0Z",
            "2026-11-22t12:00:00z",
            "2026-11-22T14:00:00+02:00",
            "2026-11-22T06:30:00-05:30",
            "2026-11-22T12:00:00.0000000009Z",
        ] {
            assert_eq!(parse(same), Ok(noon), "{same}");
        }
        assert_eq!(
            parse("2026-11-22T12:00:00.25Z"),
            Ok(WallTime(noon.0 + 250_000_000))
        );
        assert_eq!(parse("1990-12-31T23:59:60Z"), parse("1991-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "2026-11-22",
            "2026-11-22T12:00:00",
            "2026-13-22T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-11-00T12:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T12:00:00.Z",
            "2026-11-22T12:00:00+2:00",
            "2026-11-22T12:00:00Z ",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2026-11-22T12:00:0\u{e9}Z",
        ] {
            assert_eq!(parse(wrong), Err(ParseTimeError), "{wrong}");
        }
    }
}
