//! P-35: what packets repeat (RFC 2198) of what was said while nothing was to be recorded.
//!
//! The first packets after a pause say again what the last ones in it said. All that was sent before the
//! first packet that was taken is of the pause: a packet that reaches back behind the timestamp of that
//! one is kept without what it repeats. Arrivals are not asked: of a packet that the network held back,
//! what it repeats would look younger than it is.
//!
//! Plain packets lose it before the journal, encrypted ones between the journal, which has them as they
//! came, and the track.

use holdfast_control::{Stream, StreamMode};
use holdfast_rtp::redundancy::OFFSET_MAX;
use holdfast_rtp::{CodecKind, PayloadMap, PayloadType, Redundancy, RtpPacket, RtpTimestamp, Ssrc};

/// Whether packets may repeat what was said before anything was to be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AfterPause {
    /// They can't.
    #[default]
    Over,
    /// No packet has been taken yet.
    Begins,
    /// Since this one.
    Since {
        /// Its source.
        ssrc: Ssrc,
        /// Its timestamp.
        timestamp: RtpTimestamp,
    },
}

impl AfterPause {
    /// Where recording begins, or goes on, with these formats.
    pub(crate) fn begin(desired: &Stream, codecs: &PayloadMap) -> Self {
        match desired.mode {
            StreamMode::Record if has_redundancy(codecs) => Self::Begins,
            StreamMode::Record | StreamMode::Pause => Self::Over,
        }
    }

    /// Follows a stream from what it was to what it is.
    pub(crate) fn change(
        &mut self,
        (former, former_codecs): (&Stream, &PayloadMap),
        (desired, codecs): (&Stream, &PayloadMap),
    ) {
        let is_anew = desired.mode != former.mode
            || desired.srtp.is_some() != former.srtp.is_some()
            || has_redundancy(codecs) != has_redundancy(former_codecs);
        if is_anew {
            *self = Self::begin(desired, codecs);
        }
    }

    /// Whether no packet has to be looked at.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }

    /// The parts of a packet that are to be kept: the header, the header of its primary block, the rest.
    pub(crate) fn kept<'a>(&mut self, codecs: &PayloadMap, bytes: &'a [u8]) -> [&'a [u8]; 3] {
        let whole = [bytes, &[], &[]];
        let Ok(packet) = RtpPacket::parse(bytes) else {
            return whole;
        };
        let is = |kind: CodecKind, number: PayloadType| {
            codecs.codec(number).is_some_and(|it| it.kind == kind)
        };
        if !is(CodecKind::Red, packet.payload_type()) {
            return whole;
        }
        let Ok(redundancy) = Redundancy::parse(packet.payload()) else {
            return whole;
        };
        let back = redundancy.earlier().map(|block| block.offset).max();
        // All packets of a telephone-event bear the time of its start, which may lie in the pause.
        let keeps_time = !is(CodecKind::TelephoneEvent, redundancy.primary().0);
        let (header, primary) = redundancy.primary_at();
        let begin = bytes.len() - packet.padding_len() - packet.payload().len();
        if self.reaches_back(packet.ssrc(), packet.timestamp(), back, keeps_time) {
            let (head, payload) = bytes.split_at(begin);
            [head, &payload[header..=header], &payload[primary..]]
        } else {
            whole
        }
    }

    /// Leaves of a packet what is to be kept.
    pub(crate) fn strip(&mut self, codecs: &PayloadMap, bytes: &mut Vec<u8>) {
        let [head, header, rest] = self.kept(codecs, bytes);
        if let [primary] = *header {
            let (head, rest) = (head.len(), bytes.len() - rest.len());
            bytes[head] = primary;
            bytes.drain(head + 1..rest);
        }
    }

    fn reaches_back(
        &mut self,
        ssrc: Ssrc,
        timestamp: RtpTimestamp,
        back: Option<u16>,
        keeps_time: bool,
    ) -> bool {
        let since = match *self {
            Self::Over => return false,
            Self::Since {
                ssrc: known,
                timestamp: since,
            } if known == ssrc => {
                let ticks = timestamp.ticks_since(since);
                (ticks >= -i32::from(OFFSET_MAX)).then_some(ticks)
            }
            Self::Since { .. } | Self::Begins => None,
        };
        match since {
            _ if !keeps_time => {}
            None => *self = Self::Since { ssrc, timestamp },
            Some(ticks) if ticks > i32::from(OFFSET_MAX) => *self = Self::Over,
            Some(_) => {}
        }
        let ticks = since.filter(|_| keeps_time).unwrap_or(0);
        back.is_some_and(|back| i32::from(back) > ticks)
    }
}

/// Whether packets may repeat anything.
fn has_redundancy(codecs: &PayloadMap) -> bool {
    let numbers = (0..128).filter_map(PayloadType::new);
    numbers
        .filter_map(|number| codecs.codec(number))
        .any(|codec| codec.kind == CodecKind::Red)
}

#[cfg(test)]
mod tests {
    use holdfast_rtp::{ClockRate, Codec};

    use super::*;

    const RED: u8 = 98;

    fn codecs() -> PayloadMap {
        let mut map = PayloadMap::new();
        for (number, kind) in [
            (0, CodecKind::Pcmu),
            (RED, CodecKind::Red),
            (101, CodecKind::TelephoneEvent),
        ] {
            let codec = Codec {
                kind,
                clock_rate: ClockRate::TELEPHONY,
                channels: 1,
            };
            map.insert(PayloadType::new(number).unwrap(), codec)
                .unwrap();
        }
        map
    }

    /// A packet with two octets of padding that says `!` and repeats what was said so far back.
    fn packet(ssrc: u8, timestamp: u32, primary: u8, back: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0xa0, RED, 0, 1];
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, ssrc]);
        for back in back {
            bytes.extend((1 << 31 | back << 10 | 1).to_be_bytes());
        }
        bytes.push(primary);
        bytes.extend(back.iter().map(|_| b'?'));
        bytes.extend([b'!', 0, 2]);
        bytes
    }

    fn alone(ssrc: u8, timestamp: u32, primary: u8) -> Vec<u8> {
        packet(ssrc, timestamp, primary, &[])
    }

    #[test]
    fn what_reaches_back_behind_the_first_packet_is_kept_alone() {
        let codecs = codecs();
        let mut state = AfterPause::Begins;
        let first = u32::MAX - 100;
        let at = |ticks: i32| first.wrapping_add_signed(ticks);
        for (ssrc, ticks, primary, back, is_whole) in [
            // A telephone-event that began in the pause is no beginning.
            (1, -8_000, 101, &[160][..], false),
            (1, 0, 0, &[320, 160], false),
            (1, 160, 0, &[320, 160], false),
            (1, 160, 0, &[160], true),
            (1, 320, 0, &[320, 160], true),
            (1, 320, 101, &[160], false),
            // One that comes late, and one that repeats nothing.
            (1, -160, 0, &[160], false),
            (1, 320, 0, &[], true),
            // Another source, and the first again, have nothing in common with each other's clock.
            (2, 90_000, 0, &[160], false),
            (1, 480, 0, &[160], false),
            (1, 640, 0, &[160], true),
            // A clock that is set far back begins anew.
            (1, -100_000, 0, &[160], false),
            (1, -99_840, 0, &[160], true),
        ] {
            let bytes = packet(ssrc, at(ticks), primary, back);
            let (mut same, mut stripped) = (state, bytes.clone());
            let kept = state.kept(&codecs, &bytes).concat();
            same.strip(&codecs, &mut stripped);
            assert_eq!((&stripped, same), (&kept, state));
            let expected = if is_whole {
                bytes
            } else {
                alone(ssrc, at(ticks), primary)
            };
            assert_eq!(kept, expected, "{ssrc} {ticks} {primary} {back:?}");
            assert!(!state.is_over());
        }
    }

    #[test]
    fn it_is_over_when_nothing_reaches_back_any_more() {
        let codecs = codecs();
        let mut state = AfterPause::Begins;
        let farthest = u32::from(OFFSET_MAX);
        for (ticks, is_over) in [(0, false), (farthest, false), (farthest + 1, true)] {
            let bytes = packet(1, ticks, 0, &[farthest]);
            let kept = state.kept(&codecs, &bytes).concat();
            assert_eq!((kept == bytes, state.is_over()), (ticks > 0, is_over));
        }
        assert!(has_redundancy(&codecs) && !has_redundancy(&PayloadMap::new()));
    }

    #[test]
    fn what_does_not_read_and_what_is_no_redundancy_stays_whole() {
        let codecs = codecs();
        let mut plain = packet(1, 0, 0, &[160]);
        plain[1] = 0;
        let mut broken = packet(1, 0, 0, &[160]);
        broken[15] = 0xff;
        for bytes in [plain, broken, vec![0x80; 5], Vec::new()] {
            let mut state = AfterPause::Begins;
            assert_eq!(state.kept(&codecs, &bytes).concat(), bytes);
            assert_eq!(state, AfterPause::Begins);
        }
    }
}
