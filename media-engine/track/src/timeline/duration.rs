//! How long a packet's payload sounds, by its size or by what it says of itself.

use holdfast_rtp::{Codec, CodecKind};

/// How many ticks of its codec's RTP clock a payload sounds; `None` where it does not tell.
pub(super) fn ticks(codec: &Codec, payload: &[u8]) -> Option<i64> {
    let size = i64::try_from(payload.len()).ok()?;
    match codec.kind {
        CodecKind::Pcmu | CodecKind::Pcma => Some(size / i64::from(codec.channels.max(1))),
        // RFC 3551 §4.5.2: 64 kbit/s, and a clock of 8,000 for 16,000 samples.
        CodecKind::G722 => Some(size),
        // RFC 3551 §4.5.6: 10 octets for 10 ms; a description of silence, which may come last or alone,
        // has 2 and stands for one frame.
        CodecKind::G729 => Some((size / 10 + i64::from(size % 10 == 2)) * 80),
        CodecKind::G723 => g723_ticks(payload),
        // RFC 3551 §4.5.8: 33 octets for 20 ms.
        CodecKind::Gsm => Some(size / 33 * 160),
        CodecKind::L16 => Some(size / 2 / i64::from(codec.channels.max(1))),
        CodecKind::Opus => opus_ticks(payload),
        _ => None,
    }
}

/// RFC 3551 §4.5.3: frames of 30 ms, each as long as the two lowest bits of its first octet say.
fn g723_ticks(payload: &[u8]) -> Option<i64> {
    let (mut at, mut frames) = (0, 0);
    while let Some(first) = payload.get(at) {
        at += match first & 3 {
            0 => 24,
            1 => 20,
            2 => 4,
            _ => return None,
        };
        frames += 1;
    }
    (at == payload.len()).then_some(frames * 240)
}

/// RFC 6716 §3.1 and §3.2: the first octet says how long a frame is and how many there are, the clock is
/// 48,000 whatever the band (RFC 7587 §4.1), and no packet is longer than 120 ms.
fn opus_ticks(payload: &[u8]) -> Option<i64> {
    let first = payload.first()?;
    let config = usize::from(first >> 3);
    let frame = match config {
        0..12 => [480, 960, 1_920, 2_880][config & 3],
        12..16 => [480, 960][config & 1],
        _ => [120, 240, 480, 960][config & 3],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(payload.get(1)? & 0x3f),
    };
    let ticks = frame * frames;
    (1..=OPUS_TICKS_MAX).contains(&ticks).then_some(ticks)
}

/// 120 ms.
const OPUS_TICKS_MAX: i64 = 5_760;

#[cfg(test)]
mod tests {
    use holdfast_rtp::ClockRate;

    use super::*;

    fn of(kind: CodecKind, hertz: u32, payload: &[u8]) -> Option<i64> {
        let codec = Codec {
            kind,
            clock_rate: ClockRate::new(hertz).unwrap(),
            channels: 1,
        };
        ticks(&codec, payload)
    }

    #[test]
    fn the_first_octet_of_opus_says_how_long_it_sounds() {
        let table: [(&[u8], Option<i64>); 15] = [
            // SILK, narrow band: 10, 20, 40 and 60 ms, one frame.
            (&[0 << 3, 0], Some(480)),
            (&[1 << 3, 0], Some(960)),
            (&[2 << 3, 0], Some(1_920)),
            (&[3 << 3, 0], Some(2_880)),
            // Hybrid: 10 and 20 ms.
            (&[14 << 3, 0], Some(480)),
            (&[15 << 3, 0], Some(960)),
            // CELT, full band: 2.5 to 20 ms.
            (&[28 << 3, 0], Some(120)),
            (&[31 << 3, 0], Some(960)),
            // Stereo (bit 2) sounds as long.
            (&[31 << 3 | 4, 0], Some(960)),
            // Two frames, of one size and of two; six frames.
            (&[31 << 3 | 1, 0], Some(1_920)),
            (&[31 << 3 | 2, 1, 0], Some(1_920)),
            (&[31 << 3 | 3, 6, 0], Some(5_760)),
            // None, more than 120 ms, and a count that is missing.
            (&[31 << 3 | 3, 0], None),
            (&[31 << 3 | 3, 7, 0], None),
            (&[31 << 3 | 3], None),
        ];
        for (payload, expected) in table {
            assert_eq!(
                of(CodecKind::Opus, 48_000, payload),
                expected,
                "{payload:?}"
            );
        }
        assert_eq!(of(CodecKind::Opus, 48_000, &[]), None);
    }

    #[test]
    fn a_description_of_silence_stands_for_a_frame_of_g_729() {
        for (size, expected) in [(10, 80), (20, 160), (12, 160), (2, 80)] {
            assert_eq!(of(CodecKind::G729, 8_000, &vec![0; size]), Some(expected));
        }
    }

    #[test]
    fn a_frame_of_g_723_says_its_size() {
        /// First octet and size of each.
        type Frames = &'static [(u8, usize)];
        let frames = |sizes: Frames| {
            let frame = |&(first, size)| {
                let mut frame = vec![0; size];
                frame[0] = first;
                frame
            };
            sizes.iter().flat_map(frame).collect::<Vec<u8>>()
        };
        let table: [(Frames, Option<i64>); 5] = [
            (&[(0, 24)], Some(240)),
            (&[(1, 20), (2, 4)], Some(480)),
            (&[(0, 24), (1, 20), (2, 4)], Some(720)),
            // Cut short, and a size that there is not.
            (&[(0, 23)], None),
            (&[(3, 24)], None),
        ];
        for (sizes, expected) in table {
            assert_eq!(of(CodecKind::G723, 8_000, &frames(sizes)), expected);
        }
    }
}
