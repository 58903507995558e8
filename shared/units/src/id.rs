//! Who is who: recordings and streams.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identity of one recording: 128 random bits, written as 32 lower-case hex digits.
///
/// It names the folder of the recording and never changes, whatever process or node goes on with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId(u128);

/// Identity of one media stream (one m-line's life) within the whole system, never used again.
///
/// The upper bits come from the clock of the signaling process that made it, the lower ones count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StreamId(pub u64);

impl RecordingId {
    /// Makes an identity from 16 random octets.
    pub const fn from_bytes(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// The 16 octets it was made from.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is not 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRecordingIdError;

impl fmt::Display for ParseRecordingIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a recording id is 32 lower-case hex digits")
    }
}

impl std::error::Error for ParseRecordingIdError {}

impl FromStr for RecordingId {
    type Err = ParseRecordingIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(ParseRecordingIdError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ParseRecordingIdError)
    }
}

impl Serialize for RecordingId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.to_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RecordingId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_id_text_round_trips_and_refuses_other_spellings() {
        let id = RecordingId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "ab",
            "AB".repeat(16).as_str(),
            "+b".repeat(16).as_str(),
            "../../etc",
        ] {
            assert_eq!(
                wrong.parse::<RecordingId>(),
                Err(ParseRecordingIdError),
                "{wrong}"
            );
        }
    }
}
