//! What a payload type stands for: the static table of RFC 3551 §6 and the map of one stream.
//!
//! It names codecs, it doesn't decode them. A map says "not negotiated" by an empty slot; no
//! payload type, 0 least of all, is ever used to say "none".

use crate::limits;
use crate::number::{ClockRate, PayloadType};

/// The codecs that something here or above treats in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecKind {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// DTMF and other events (RFC 4733).
    TelephoneEvent,
    /// Comfort noise (RFC 3389).
    ComfortNoise,
    /// Opus (RFC 7587).
    Opus,
    /// G.722: its RTP clock says 8,000, its audio has 16,000.
    G722,
    /// G.723.1.
    G723,
    /// G.726, any rate.
    G726,
    /// G.728.
    G728,
    /// G.729, with or without annexes A and B.
    G729,
    /// GSM full rate.
    Gsm,
    /// iLBC.
    Ilbc,
    /// Speex.
    Speex,
    /// AMR narrowband.
    Amr,
    /// AMR wideband.
    AmrWb,
    /// EVS.
    Evs,
    /// Linear PCM of 16 bits in network order.
    L16,
    /// Redundant audio (RFC 2198).
    Red,
    /// Any other: kept as packets.
    Other,
}

/// One codec as SDP describes it: a=rtpmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Which one.
    pub kind: CodecKind,
    /// Ticks per second of its timestamps.
    pub clock_rate: ClockRate,
    /// Channels of its audio.
    pub channels: u8,
}

/// The payload types that one stream has negotiated.
///
/// A bit per payload type, so that the check of a packet is one load, where the owner of the map
/// keeps what is needed for each packet. There, too, is the codec that was negotiated first: most
/// packets have it. Equal codecs share an entry of the table.
#[derive(Clone, Debug)]
pub struct PayloadMap {
    /// Bit n is payload type n.
    negotiated: u128,
    first: Option<(PayloadType, Codec)>,
    table: Box<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    /// Index into `codecs`; of a payload type that is not negotiated it means nothing.
    slots: [u8; 128],
    codecs: [Codec; limits::CODECS_MAX],
    count: u8,
}

/// More distinct codecs than [`limits::CODECS_MAX`] on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream has at most {} distinct codecs", limits::CODECS_MAX)]
pub struct MapFull;

impl CodecKind {
    /// The kind with this encoding name, in any case.
    pub fn from_name(name: &str) -> Self {
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Other, |(_, kind)| *kind)
    }

    /// Its encoding name; `None` for [`CodecKind::Other`].
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map(|(name, _)| *name)
    }

    /// The octet that is silence in a companded law; `None` for all other codecs.
    pub const fn silence(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(crate::g711::ULAW_SILENCE),
            Self::Pcma => Some(crate::g711::ALAW_SILENCE),
            _ => None,
        }
    }
}

impl Codec {
    /// What a static payload type stands for without an rtpmap (RFC 3551 §6).
    pub fn from_static(payload_type: PayloadType) -> Option<Self> {
        let (_, name, hertz, channels) = *static_row(payload_type)?;
        let clock_rate = ClockRate::new(hertz)?;
        Some(Self {
            kind: CodecKind::from_name(name),
            clock_rate,
            channels,
        })
    }

    /// Samples per second of its audio.
    ///
    /// RFC 3551 §4.5.2: "Even though the actual sampling rate for G.722 audio is 16,000 Hz, the RTP
    /// clock rate for the G722 payload format is 8,000 Hz".
    pub const fn audio_hertz(&self) -> u32 {
        match self.kind {
            CodecKind::G722 => 16_000,
            _ => self.clock_rate.hertz(),
        }
    }

    /// The clock to measure jitter with; `None` where timestamps do not follow the sending: all
    /// packets of one telephone-event carry the time of its start.
    pub const fn jitter_clock(&self) -> Option<ClockRate> {
        match self.kind {
            CodecKind::TelephoneEvent => None,
            _ => Some(self.clock_rate),
        }
    }
}

impl PayloadMap {
    /// A map in which nothing is negotiated.
    pub fn new() -> Self {
        let unused = Codec {
            kind: CodecKind::Other,
            clock_rate: ClockRate::TELEPHONY,
            channels: 1,
        };
        Self {
            negotiated: 0,
            first: None,
            table: Box::new(Table {
                slots: [0; 128],
                codecs: [unused; limits::CODECS_MAX],
                count: 0,
            }),
        }
    }

    /// Negotiates a payload type, anew where it was.
    pub fn insert(&mut self, payload_type: PayloadType, codec: Codec) -> Result<(), MapFull> {
        let table = &mut *self.table;
        let used = usize::from(table.count);
        let index = match table.codecs[..used]
            .iter()
            .position(|known| *known == codec)
        {
            Some(index) => index,
            None => {
                *table.codecs.get_mut(used).ok_or(MapFull)? = codec;
                table.count += 1;
                used
            }
        };
        table.slots[place(payload_type)] = index as u8;
        match self.first {
            Some((first, _)) if first != payload_type => {}
            Some(_) | None => self.first = Some((payload_type, codec)),
        }
        self.negotiated |= 1 << place(payload_type);
        Ok(())
    }

    /// Whether a payload type is negotiated.
    #[inline]
    pub const fn contains(&self, payload_type: PayloadType) -> bool {
        self.negotiated >> place(payload_type) & 1 != 0
    }

    /// What a payload type stands for.
    #[inline]
    pub fn codec(&self, payload_type: PayloadType) -> Option<&Codec> {
        match &self.first {
            Some((first, codec)) if *first == payload_type => Some(codec),
            Some(_) => self.codec_of_table(payload_type),
            None => None,
        }
    }

    fn codec_of_table(&self, payload_type: PayloadType) -> Option<&Codec> {
        let table = &*self.table;
        let slot = table.slots[place(payload_type)];
        self.contains(payload_type)
            .then_some(&table.codecs[usize::from(slot)])
    }

    /// All that is negotiated, by payload type.
    pub fn iter(&self) -> impl Iterator<Item = (PayloadType, &Codec)> {
        (0..128).filter_map(|number| {
            let payload_type = PayloadType::from_octet(number);
            self.codec(payload_type).map(|codec| (payload_type, codec))
        })
    }
}

impl Default for PayloadMap {
    fn default() -> Self {
        Self::new()
    }
}

const fn place(payload_type: PayloadType) -> usize {
    (payload_type.number() & 0x7f) as usize
}

/// The encoding name of a static payload type.
pub fn static_name(payload_type: PayloadType) -> Option<&'static str> {
    static_row(payload_type).map(|(_, name, _, _)| *name)
}

fn static_row(payload_type: PayloadType) -> Option<&'static (u8, &'static str, u32, u8)> {
    STATIC_TYPES
        .iter()
        .find(|row| row.0 == payload_type.number())
}

const NAMES: &[(&str, CodecKind)] = &[
    ("PCMU", CodecKind::Pcmu),
    ("PCMA", CodecKind::Pcma),
    ("telephone-event", CodecKind::TelephoneEvent),
    ("CN", CodecKind::ComfortNoise),
    ("opus", CodecKind::Opus),
    ("G722", CodecKind::G722),
    ("G723", CodecKind::G723),
    ("G726-32", CodecKind::G726),
    ("G726-16", CodecKind::G726),
    ("G726-24", CodecKind::G726),
    ("G726-40", CodecKind::G726),
    ("G728", CodecKind::G728),
    ("G729", CodecKind::G729),
    ("GSM", CodecKind::Gsm),
    ("iLBC", CodecKind::Ilbc),
    ("speex", CodecKind::Speex),
    ("AMR", CodecKind::Amr),
    ("AMR-WB", CodecKind::AmrWb),
    ("EVS", CodecKind::Evs),
    ("L16", CodecKind::L16),
    ("red", CodecKind::Red),
];

/// RFC 3551 §6, tables 4 and 5: number, encoding name, clock rate, channels (1 for video).
///
/// 19 is reserved there because drafts had comfort noise in it, and 2 because RFC 1890 had G.721,
/// which is G.726 at 32 kbit/s. Gateways still send both as just that, and nothing else claims the
/// numbers.
const STATIC_TYPES: &[(u8, &str, u32, u8)] = &[
    (0, "PCMU", 8_000, 1),
    (2, "G726-32", 8_000, 1),
    (3, "GSM", 8_000, 1),
    (4, "G723", 8_000, 1),
    (5, "DVI4", 8_000, 1),
    (6, "DVI4", 16_000, 1),
    (7, "LPC", 8_000, 1),
    (8, "PCMA", 8_000, 1),
    (9, "G722", 8_000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (12, "QCELP", 8_000, 1),
    (13, "CN", 8_000, 1),
    (14, "MPA", 90_000, 1),
    (15, "G728", 8_000, 1),
    (16, "DVI4", 11_025, 1),
    (17, "DVI4", 22_050, 1),
    (18, "G729", 8_000, 1),
    (19, "CN", 8_000, 1),
    (25, "CelB", 90_000, 1),
    (26, "JPEG", 90_000, 1),
    (28, "nv", 90_000, 1),
    (31, "H261", 90_000, 1),
    (32, "MPV", 90_000, 1),
    (33, "MP2T", 90_000, 1),
    (34, "H263", 90_000, 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pt(number: u8) -> PayloadType {
        PayloadType::new(number).unwrap()
    }

    #[test]
    fn static_types_have_their_clock_and_g722_its_lie() {
        for (number, kind, hertz, audio) in [
            (0, CodecKind::Pcmu, 8_000, 8_000),
            (8, CodecKind::Pcma, 8_000, 8_000),
            (9, CodecKind::G722, 8_000, 16_000),
            (10, CodecKind::L16, 44_100, 44_100),
            (13, CodecKind::ComfortNoise, 8_000, 8_000),
            (18, CodecKind::G729, 8_000, 8_000),
            (34, CodecKind::Other, 90_000, 90_000),
        ] {
            let codec = Codec::from_static(pt(number)).unwrap();
            assert_eq!(codec.kind, kind, "{number}");
            assert_eq!(codec.clock_rate.hertz(), hertz, "{number}");
            assert_eq!(codec.audio_hertz(), audio, "{number}");
        }
        for number in [1, 20, 24, 27, 35, 72, 76, 77, 95, 96, 127] {
            assert_eq!(Codec::from_static(pt(number)), None, "{number}");
        }
        assert_eq!(static_name(pt(26)), Some("JPEG"));
    }

    #[test]
    fn names_are_found_in_any_case_and_unknown_ones_are_other() {
        assert_eq!(CodecKind::from_name("pcmu"), CodecKind::Pcmu);
        assert_eq!(CodecKind::from_name("OPUS"), CodecKind::Opus);
        assert_eq!(
            CodecKind::from_name("Telephone-Event"),
            CodecKind::TelephoneEvent
        );
        assert_eq!(CodecKind::from_name("x-private"), CodecKind::Other);
        assert_eq!(CodecKind::AmrWb.name(), Some("AMR-WB"));
        assert_eq!(CodecKind::Other.name(), None);
    }

    #[test]
    fn an_empty_map_has_no_payload_type_zero() {
        let map = PayloadMap::new();
        assert!(!map.contains(pt(0)));
        assert_eq!(map.codec(pt(0)), None);
        assert_eq!(map.iter().count(), 0);
    }

    #[test]
    fn a_payload_type_that_is_negotiated_anew_stands_for_what_it_was_given_last() {
        let [first, second, third] =
            [0, 8, 9].map(|number| Codec::from_static(pt(number)).unwrap());
        let mut map = PayloadMap::new();
        map.insert(pt(96), first).unwrap();
        map.insert(pt(97), first).unwrap();
        assert_eq!(map.codec(pt(98)), None);
        map.insert(pt(96), second).unwrap();
        map.insert(pt(97), third).unwrap();
        assert_eq!(map.codec(pt(96)), Some(&second));
        assert_eq!(map.codec(pt(97)), Some(&third));
        let all: Vec<_> = map.iter().collect();
        assert_eq!(all, [(pt(96), &second), (pt(97), &third)]);
    }

    #[test]
    fn equal_codecs_share_an_entry_and_the_map_has_an_end() {
        let mut map = PayloadMap::new();
        let codec = Codec::from_static(pt(0)).unwrap();
        for number in 0..128 {
            map.insert(pt(number), codec).unwrap();
        }
        assert_eq!(map.iter().count(), 128);
        let other = |hertz| Codec {
            clock_rate: ClockRate::new(hertz).unwrap(),
            ..codec
        };
        for extra in 1..limits::CODECS_MAX as u32 {
            map.insert(pt(96), other(extra)).unwrap();
        }
        assert_eq!(map.insert(pt(97), other(50_000)), Err(MapFull));
        assert_eq!(
            map.codec(pt(97)),
            Some(&codec),
            "a refused change changes nothing"
        );
    }
}
