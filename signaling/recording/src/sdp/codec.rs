//! Payload types and the codecs behind them (RFC 3551 §6, RFC 8866 §6.6).

use serde::{Deserialize, Serialize};
use std::fmt;

/// An RTP payload type: 0 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct PayloadType(u8);

/// What an `a=rtpmap` says about a payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpMap {
    /// The encoding's name in its registered spelling where it is known, else as written.
    pub name: String,
    /// The clock rate of the RTP timestamps. G.722 counts at 8000 (RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// Audio channels.
    pub channels: u8,
}

/// A codec of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// Its payload type.
    pub payload_type: PayloadType,
    /// Its name in the registered spelling where it is known, else as written.
    pub name: String,
    /// The clock rate of its RTP timestamps.
    pub clock_hz: u32,
    /// Audio channels.
    pub channels: u8,
    /// Its `a=fmtp` value.
    pub fmtp: Option<String>,
}

/// What the packets of a codec are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecRole {
    /// They carry the media.
    Media,
    /// Telephone events or tones (RFC 4733).
    Event,
    /// Comfort noise (RFC 3389).
    Noise,
    /// Redundancy, repair or retransmission of another codec.
    Repair,
}

impl PayloadType {
    /// From a number of at most 127.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// The number.
    pub const fn value(self) -> u8 {
        self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(Self::new)
    }

    /// Whether it clashes with RTCP where both share a port (RFC 5761 §4).
    pub const fn clashes_with_rtcp(self) -> bool {
        self.0 >= 64 && self.0 <= 95
    }

    /// Whether its codec is assigned by an rtpmap alone.
    pub const fn is_dynamic(self) -> bool {
        self.0 >= 96
    }
}

/// A number above 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload type is at most 127")]
pub struct NotAPayloadType;

impl TryFrom<u8> for PayloadType {
    type Error = NotAPayloadType;

    fn try_from(value: u8) -> Result<Self, NotAPayloadType> {
        Self::new(value).ok_or(NotAPayloadType)
    }
}

impl From<PayloadType> for u8 {
    fn from(payload_type: PayloadType) -> Self {
        payload_type.0
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl RtpMap {
    /// Reads `name/rate[/channels]`, and whether it had to be repaired: a rate such as `8000a`
    /// loses its tail, one that is missing is the static one's or 8000.
    pub(super) fn parse(payload_type: PayloadType, text: &str) -> Option<(Self, bool)> {
        let mut fields = text.trim().split('/');
        let name = fields
            .next()
            .map(str::trim)
            .filter(|name| !name.is_empty())?;
        if name.len() > NAME_BYTES_MAX || name.contains(char::is_whitespace) {
            return None;
        }
        let rate = fields.next().unwrap_or_default().trim();
        let end = rate
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rate.len());
        let (digits, tail) = rate.split_at(end);
        let assigned = Self::of_static(payload_type);
        let stated = digits.parse().ok().filter(|&clock_hz: &u32| clock_hz > 0);
        let mut odd = !tail.is_empty() || stated.is_none();
        let fallback = assigned
            .as_ref()
            .map_or(DEFAULT_CLOCK_HZ, |map| map.clock_hz);
        let mut clock_hz = stated.unwrap_or(fallback);
        let name = registered(name);
        if name == "G722" && clock_hz != DEFAULT_CLOCK_HZ {
            // Written by those who take the sampling rate for the clock rate.
            (clock_hz, odd) = (DEFAULT_CLOCK_HZ, true);
        }
        let channels = fields
            .next()
            .unwrap_or("1")
            .trim()
            .parse()
            .unwrap_or(1)
            .max(1);
        Some((
            Self {
                name: name.to_owned(),
                clock_hz,
                channels,
            },
            odd,
        ))
    }

    /// The codec that RFC 3551 §6 assigns to a payload type.
    pub fn of_static(payload_type: PayloadType) -> Option<Self> {
        let (name, clock_hz, channels) = match payload_type.value() {
            0 => ("PCMU", 8_000, 1),
            3 => ("GSM", 8_000, 1),
            4 => ("G723", 8_000, 1),
            5 => ("DVI4", 8_000, 1),
            6 => ("DVI4", 16_000, 1),
            7 => ("LPC", 8_000, 1),
            8 => ("PCMA", 8_000, 1),
            9 => ("G722", 8_000, 1),
            10 => ("L16", 44_100, 2),
            11 => ("L16", 44_100, 1),
            12 => ("QCELP", 8_000, 1),
            13 => ("CN", 8_000, 1),
            14 => ("MPA", 90_000, 1),
            15 => ("G728", 8_000, 1),
            16 => ("DVI4", 11_025, 1),
            17 => ("DVI4", 22_050, 1),
            18 => ("G729", 8_000, 1),
            25 => ("CelB", 90_000, 1),
            26 => ("JPEG", 90_000, 1),
            28 => ("nv", 90_000, 1),
            31 => ("H261", 90_000, 1),
            32 => ("MPV", 90_000, 1),
            33 => ("MP2T", 90_000, 1),
            34 => ("H263", 90_000, 1),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            clock_hz,
            channels,
        })
    }

    /// Whether it names the codec that the payload type has by RFC 3551.
    pub(super) fn agrees_with_static(&self, payload_type: PayloadType) -> bool {
        Self::of_static(payload_type).is_none_or(|map| map.name == self.name)
    }
}

impl Codec {
    /// What its packets are good for.
    pub fn role(&self) -> CodecRole {
        match self.name.to_ascii_lowercase().as_str() {
            "telephone-event" | "tone" => CodecRole::Event,
            "cn" => CodecRole::Noise,
            "red"
            | "ulpfec"
            | "parityfec"
            | "flexfec"
            | "flexfec-03"
            | "1d-interleaved-parityfec"
            | "rtx" => CodecRole::Repair,
            _ => CodecRole::Media,
        }
    }

    /// Whether the name is one that is registered: what a recording of it can be made of later.
    pub fn is_known(&self) -> bool {
        NAMES
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&self.name))
    }

    /// Whether both are the same encoding; payload type and parameters may differ.
    pub fn same_encoding(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.clock_hz == other.clock_hz
            && self.channels == other.channels
    }
}

/// The registered spelling of a name; names are compared without regard to case.
fn registered(name: &str) -> &str {
    NAMES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .copied()
        .unwrap_or(name)
}

const DEFAULT_CLOCK_HZ: u32 = 8_000;
const NAME_BYTES_MAX: usize = 64;

/// Encoding names as IANA lists them, those a call can meet.
const NAMES: [&str; 75] = [
    "PCMU",
    "PCMA",
    "G722",
    "G729",
    "opus",
    "telephone-event",
    "CN",
    "red",
    "GSM",
    "G723",
    "G728",
    "iLBC",
    "AMR",
    "AMR-WB",
    "AMR-WB+",
    "EVS",
    "speex",
    "DVI4",
    "LPC",
    "L8",
    "L16",
    "L20",
    "L24",
    "QCELP",
    "MPA",
    "GSM-EFR",
    "GSM-HR-08",
    "G7221",
    "G719",
    "G726-16",
    "G726-24",
    "G726-32",
    "G726-40",
    "G729D",
    "G729E",
    "G7291",
    "AAL2-G726-32",
    "PCMU-WB",
    "PCMA-WB",
    "G711-0",
    "BV16",
    "BV32",
    "SILK",
    "isac",
    "EVRC",
    "EVRC0",
    "EVRC1",
    "EVRCB",
    "EVRCWB",
    "EVRCNW",
    "SMV",
    "VMR-WB",
    "MELP2400",
    "CLEARMODE",
    "MP4A-LATM",
    "mpeg4-generic",
    "ac3",
    "tone",
    "rtx",
    "ulpfec",
    "parityfec",
    "H261",
    "H263",
    "H263-1998",
    "H263-2000",
    "H264",
    "H265",
    "VP8",
    "VP9",
    "AV1",
    "JPEG",
    "MP2T",
    "MPV",
    "t140",
    "t140c",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn map(number: u8, text: &str) -> Option<(String, u32, u8, bool)> {
        let payload_type = PayloadType::new(number).unwrap();
        RtpMap::parse(payload_type, text)
            .map(|(map, odd)| (map.name, map.clock_hz, map.channels, odd))
    }

    #[test]
    fn rtpmaps_are_read_and_repaired() {
        for (number, text, name, clock_hz, channels, odd) in [
            (0, "pcmu/8000a", "PCMU", 8_000, 1, true),
            (8, "PCMA/8000/1", "PCMA", 8_000, 1, false),
            (96, "OPUS/48000/2", "opus", 48_000, 2, false),
            (
                96,
                "Telephone-Event/16000",
                "telephone-event",
                16_000,
                1,
                false,
            ),
            (6, "DVI4", "DVI4", 16_000, 1, true),
            (97, "X-Unheard/0", "X-Unheard", 8_000, 1, true),
            (9, "G722/16000", "G722", 8_000, 1, true),
            (98, "x/99999999999999999999", "x", 8_000, 1, true),
        ] {
            let expected = Some((name.to_owned(), clock_hz, channels, odd));
            assert_eq!(map(number, text), expected, "{text}");
        }
        for text in ["", "/8000", "two words/8000"] {
            assert_eq!(map(96, text), None, "{text}");
        }
    }

    #[test]
    fn static_types_follow_rfc_3551_and_reserved_ones_name_nothing() {
        let named = |number| PayloadType::new(number).and_then(RtpMap::of_static);
        assert_eq!(named(9).map(|map| map.clock_hz), Some(8_000), "T-51");
        assert_eq!(named(18).map(|map| map.name), Some("G729".to_owned()));
        assert_eq!(named(10).map(|map| map.channels), Some(2));
        for number in [1, 2, 19, 20, 24, 27, 29, 30, 35, 72, 95, 96, 127] {
            assert_eq!(named(number), None, "{number}");
        }
        assert_eq!(PayloadType::new(128), None);
    }

    #[test]
    fn roles_tell_what_carries_the_media() {
        let role = |name: &str| {
            let payload_type = PayloadType::new(96).unwrap();
            let name = name.to_owned();
            Codec {
                payload_type,
                name,
                clock_hz: 8_000,
                channels: 1,
                fmtp: None,
            }
            .role()
        };
        assert_eq!(role("PCMU"), CodecRole::Media);
        assert_eq!(role("unheard-of"), CodecRole::Media);
        assert_eq!(role("TELEPHONE-EVENT"), CodecRole::Event);
        assert_eq!(role("CN"), CodecRole::Noise);
        assert_eq!(role("RED"), CodecRole::Repair);
    }
}
