//! Times as the recording client wrote them (RFC 7865 §6.9: RFC 3339 with capital T and Z).
//!
//! The text is kept as given and never replaced by an arrival time: it is the client's clock. It
//! is read leniently, because clients send local times without a zone, `+0300` and lower case.

use holdfast_units::WallTime;
use serde::{Deserialize, Serialize};

use super::id::is_xml_space;

/// A point in time on the recording client's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SourceTime {
    text: String,
    reading: Option<Reading>,
}

/// How a time was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeForm {
    /// As RFC 3339 and RFC 7865 §6.9 ask.
    Rfc3339,
    /// A spelling that is nearly right: `+0300`, a blank for the T, lower case.
    Loose,
    /// No zone: read in the zone that the reader assumes.
    NoZone,
    /// Not a time.
    Unreadable,
}

/// Difference of a local time from UTC in minutes, east positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset(pub i16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    /// Seconds since 1970 of the clock face, before its offset is taken away.
    local_seconds: i64,
    nanos: u32,
    offset: Option<UtcOffset>,
    is_exact: bool,
}

impl SourceTime {
    /// Reads a time; never fails, an unreadable one keeps its text.
    pub fn read(text: &str) -> Self {
        let text = text.trim_matches(is_xml_space);
        Self {
            text: text.to_owned(),
            reading: Scanner {
                rest: text,
                is_exact: true,
            }
            .read(),
        }
    }

    /// The text as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it was written.
    pub fn form(&self) -> TimeForm {
        match self.reading {
            None => TimeForm::Unreadable,
            Some(Reading { offset: None, .. }) => TimeForm::NoZone,
            Some(Reading { is_exact: true, .. }) => TimeForm::Rfc3339,
            Some(Reading {
                is_exact: false, ..
            }) => TimeForm::Loose,
        }
    }

    /// The moment it means; `assumed` is the zone of a time without one. `None` where the text is
    /// no time or lies before 1970.
    pub fn wall(&self, assumed: UtcOffset) -> Option<WallTime> {
        let reading = self.reading?;
        let offset = i64::from(reading.offset.unwrap_or(assumed).0) * 60;
        let seconds = u64::try_from(reading.local_seconds.checked_sub(offset)?).ok()?;
        let nanos = seconds
            .checked_mul(1_000_000_000)?
            .checked_add(u64::from(reading.nanos))?;
        Some(WallTime(nanos))
    }

    /// Whether both mean the same moment, however spelled.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text || self.order(other).is_some_and(|order| order.is_eq())
    }

    /// Whether this one is earlier; `false` where either can't be read.
    pub fn is_before(&self, other: &Self) -> bool {
        self.order(other).is_some_and(|order| order.is_lt())
    }

    /// A time with a zone and one without can't be compared: the assumed zone is not known here.
    fn order(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let (a, b) = (self.reading?, other.reading?);
        if a.offset.is_some() != b.offset.is_some() {
            return None;
        }
        let key = |r: Reading| {
            (
                r.local_seconds - i64::from(r.offset.unwrap_or_default().0) * 60,
                r.nanos,
            )
        };
        Some(key(a).cmp(&key(b)))
    }
}

impl From<String> for SourceTime {
    fn from(text: String) -> Self {
        Self::read(&text)
    }
}

impl From<SourceTime> for String {
    fn from(time: SourceTime) -> Self {
        time.text
    }
}

/// Reads one time from the front; everything it accepts beyond RFC 3339 clears `is_exact`.
struct Scanner<'a> {
    rest: &'a str,
    is_exact: bool,
}

impl Scanner<'_> {
    fn read(mut self) -> Option<Reading> {
        let year = self.digits(4)?;
        self.expect('-')?;
        let month = self.digits(2)?;
        self.expect('-')?;
        let day = self.digits(2)?;
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return None;
        }
        match self.take()? {
            'T' => {}
            't' | ' ' => self.is_exact = false,
            _ => return None,
        }
        let hour = self.digits(2)?;
        self.expect(':')?;
        let minute = self.digits(2)?;
        self.expect(':')?;
        let second = self.digits(2)?;
        // RFC 3339 §5.7: a leap second is written 60.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let nanos = self.fraction()?;
        let offset = self.offset()?;
        let local_seconds =
            days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Reading {
            local_seconds,
            nanos,
            offset,
            is_exact: self.is_exact,
        })
    }

    fn fraction(&mut self) -> Option<u32> {
        if !self.rest.starts_with('.') {
            return Some(0);
        }
        self.take();
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        if digits.is_empty() {
            return None;
        }
        // Digits beyond nanoseconds are dropped, missing ones are zero.
        let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
        Some(padded.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    /// The zone: outer `None` is an error, inner `None` is no zone.
    fn offset(&mut self) -> Option<Option<UtcOffset>> {
        let Some(sign) = self.take() else {
            return Some(None);
        };
        let sign = match sign {
            'Z' | 'z' if self.rest.is_empty() => {
                self.is_exact &= sign == 'Z';
                return Some(Some(UtcOffset(0)));
            }
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let hours = self.digits(2)?;
        if self.rest.starts_with(':') {
            self.take();
        } else {
            self.is_exact = false;
        }
        let minutes = if self.rest.is_empty() {
            0
        } else {
            self.digits(2)?
        };
        if !self.rest.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        Some(Some(UtcOffset(
            sign * i16::try_from(hours * 60 + minutes).ok()?,
        )))
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        (self.take()? == wanted).then_some(())
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next();
        self.rest = chars.as_str();
        first
    }
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days are counted in eras of 400 years that begin on 1 March, so that the leap day comes last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<String> {
        SourceTime::read(text)
            .wall(UtcOffset(0))
            .map(|wall| wall.to_string())
    }

    #[test]
    fn spellings_of_the_field_are_read_and_their_form_is_told() {
        for (text, form, wall) in [
            (
                "2026-01-02T03:04:05Z",
                TimeForm::Rfc3339,
                "2026-01-02T03:04:05.000000000Z",
            ),
            (
                "2026-01-02T03:04:05.123Z",
                TimeForm::Rfc3339,
                "2026-01-02T03:04:05.123000000Z",
            ),
            (
                "2026-01-02T03:04:05+02:00",
                TimeForm::Rfc3339,
                "2026-01-02T01:04:05.000000000Z",
            ),
            (
                "2026-01-02T03:04:05-05:30",
                TimeForm::Rfc3339,
                "2026-01-02T08:34:05.000000000Z",
            ),
            (
                "2026-01-02T03:04:05+0300",
                TimeForm::Loose,
                "2026-01-02T00:04:05.000000000Z",
            ),
            (
                "2026-01-02T03:04:05+03",
                TimeForm::Loose,
                "2026-01-02T00:04:05.000000000Z",
            ),
            (
                "2026-01-02t03:04:05z",
                TimeForm::Loose,
                "2026-01-02T03:04:05.000000000Z",
            ),
            (
                "2026-01-02 03:04:05Z",
                TimeForm::Loose,
                "2026-01-02T03:04:05.000000000Z",
            ),
            (
                "2026-01-02T03:04:05",
                TimeForm::NoZone,
                "2026-01-02T03:04:05.000000000Z",
            ),
            (
                " 1970-05-13T03:29:05Z\n",
                TimeForm::Rfc3339,
                "1970-05-13T03:29:05.000000000Z",
            ),
            (
                "2016-12-31T23:59:60Z",
                TimeForm::Rfc3339,
                "2017-01-01T00:00:00.000000000Z",
            ),
            (
                "2024-02-29T00:00:00.1234567891Z",
                TimeForm::Rfc3339,
                "2024-02-29T00:00:00.123456789Z",
            ),
        ] {
            assert_eq!(SourceTime::read(text).form(), form, "{text}");
            assert_eq!(utc(text).as_deref(), Some(wall), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_keeps_its_text() {
        for text in [
            "",
            "now",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-02-29T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05Zulu",
            "2026-01-02T03:04:05+",
            "2026-01-02T03:04:05+1:00",
            "20é6-01-02T03:04:05Z",
            "-026-01-02T03:04:05Z",
            "+026-01-02T03:04:05Z",
        ] {
            let time = SourceTime::read(text);
            assert_eq!((time.form(), time.text()), (TimeForm::Unreadable, text));
            assert_eq!(time.wall(UtcOffset(0)), None);
        }
    }

    #[test]
    fn a_time_without_a_zone_is_read_in_the_assumed_one() {
        let time = SourceTime::read("2026-01-02T03:04:05");
        let wall = time.wall(UtcOffset(-300)).unwrap().to_string();
        assert_eq!(wall, "2026-01-02T08:04:05.000000000Z");
    }

    #[test]
    fn times_that_no_wall_clock_holds_have_none() {
        assert_eq!(utc("1969-12-31T23:59:59Z"), None);
        assert_eq!(utc("9999-12-31T23:59:59Z"), None);
        assert_eq!(utc("0000-01-01T00:00:00Z"), None);
    }

    #[test]
    fn equal_moments_are_the_same_and_zones_are_not_mixed() {
        let read = SourceTime::read;
        assert!(read("2026-01-02T03:00:00Z").is_same(&read("2026-01-02T05:00:00+02:00")));
        assert!(read("2026-01-02T03:00:00Z").is_before(&read("2026-01-02T03:00:00.001Z")));
        assert!(!read("2026-01-02T03:00:00").is_before(&read("2026-01-02T05:00:00Z")));
        assert!(read("soon").is_same(&read("soon")));
        assert!(!read("soon").is_same(&read("later")));
    }
}
