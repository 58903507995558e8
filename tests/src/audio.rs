//! Audio as published: any WAV file, the laws of G.711, and which packet of a leg is where.
//!
//! The tables of G.711 are made here from the recommendation, not taken from the server.

use std::ops::Range;
use std::path::Path;

use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{PACKET_SAMPLES, payload};
use holdfast_load::verify::check_channel;
use holdfast_manifest::{Gap, GapCause};

/// A WAV file of any format with whole octets in a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// wFormatTag; of the extensible form, that of its sub-format.
    pub tag: u16,
    /// Bits of a sample.
    pub bits: u16,
    /// Samples per second.
    pub rate: u32,
    /// The octets of each channel.
    pub channels: Vec<Vec<u8>>,
}

impl Audio {
    /// Reads the audio of a published recording.
    ///
    /// # Panics
    /// When it is no WAV file.
    pub fn of(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("audio.wav")).expect("audio.wav");
        assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
        let fmt = chunk(&bytes, b"fmt ");
        let data = chunk(&bytes, b"data");
        let u16_at = |at: usize| u16::from_le_bytes([fmt[at], fmt[at + 1]]);
        let outer = u16_at(0);
        let tag = if outer == 0xfffe { u16_at(24) } else { outer };
        let (count, bits) = (usize::from(u16_at(2)), u16_at(14));
        let rate = u32::from_le_bytes([fmt[4], fmt[5], fmt[6], fmt[7]]);
        let width = usize::from(bits) / 8;
        let mut channels = vec![Vec::new(); count];
        for frame in data.chunks_exact(count * width) {
            for (channel, sample) in channels.iter_mut().zip(frame.chunks_exact(width)) {
                channel.extend_from_slice(sample);
            }
        }
        Self {
            tag,
            bits,
            rate,
            channels,
        }
    }

    /// A channel of 16-bit linear samples.
    ///
    /// # Panics
    /// When the file has another format.
    pub fn linear(&self, channel: usize) -> Vec<i16> {
        assert_eq!((self.tag, self.bits), (1, 16), "linear PCM of 16 bits");
        self.channels[channel]
            .chunks_exact(2)
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect()
    }

    /// Samples in a channel.
    pub fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len) / usize::from(self.bits / 8)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn chunk<'a>(file: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    let mut rest = &file[12..];
    while rest.len() >= 8 {
        let size = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        if &rest[..4] == name {
            return &rest[8..8 + size];
        }
        rest = &rest[(8 + size + size % 2).min(rest.len())..];
    }
    panic!("no {} chunk", String::from_utf8_lossy(name));
}

/// G.711 mu-law to linear, 14 bits of it in 16.
pub fn from_mu_law(octet: u8) -> i16 {
    let octet = !octet;
    let (exponent, mantissa) = (octet >> 4 & 7, i16::from(octet & 0x0f));
    let magnitude = ((mantissa * 2 + 33) << exponent) - 33;
    let value = magnitude * 4;
    if octet & 0x80 == 0 { value } else { -value }
}

/// G.711 A-law to linear, 13 bits of it in 16.
pub fn from_a_law(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let (exponent, mantissa) = (octet >> 4 & 7, i16::from(octet & 0x0f));
    let magnitude = match exponent {
        0 => mantissa * 2 + 1,
        _ => (mantissa * 2 + 33) << (exponent - 1),
    };
    let value = magnitude * 8;
    if octet & 0x80 == 0 { -value } else { value }
}

/// What became of a leg's slots in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Sample at which slot 0 lies.
    pub first_sample: i64,
    /// Slots whose packet is there, each sample right.
    pub right: Vec<u32>,
    /// Slots whose packet was sent and is not there.
    pub missing: Vec<u32>,
}

impl Slots {
    /// Looks for each packet of a leg in its place.
    ///
    /// # Panics
    /// When something is there that was not sent, or nothing that was.
    pub fn of(samples: &[u8], plan: &LegPlan) -> Self {
        let verdict = check_channel(samples, plan);
        let strange = (verdict.wrong, verdict.invented, verdict.stray_samples);
        assert_eq!(strange, (0, 0, 0), "wrong, invented, stray: {verdict:?}");
        let first_sample = verdict.first_sample.expect("a packet of the leg");
        let is_there = |slot: &u32| {
            let at = first_sample + i64::from(*slot) * PACKET_SAMPLES as i64;
            let range = usize::try_from(at).ok().map(|at| at..at + PACKET_SAMPLES);
            range.and_then(|range| samples.get(range)) == Some(&payload(plan.key, *slot)[..])
        };
        let sent = (0..plan.slots).filter(|&slot| plan.is_audible(slot));
        let (right, missing) = sent.partition(is_there);
        Self {
            first_sample,
            right,
            missing,
        }
    }

    /// Those missing between the first and the last that is there: what sequence numbers can tell.
    pub fn missing_between(&self) -> Vec<u32> {
        let (first, last) = (self.right.first(), self.right.last());
        let within = |slot: &&u32| Some(*slot) > first && Some(*slot) < last;
        self.missing.iter().filter(within).copied().collect()
    }

    /// The slots that a gap of the manifest covers. Its bounds are whole milliseconds.
    pub fn covered_by(&self, gap: &Gap) -> Range<u32> {
        let slot = |ms: u64| {
            let samples = ms as i64 * 8 - self.first_sample;
            let slots = (samples as f64 / PACKET_SAMPLES as f64).round();
            slots.max(0.0) as u32
        };
        slot(gap.from_ms)..slot(gap.to_ms)
    }

    /// The slots that gaps of one cause cover, in order.
    pub fn covered(&self, gaps: &[Gap], cause: GapCause) -> Vec<u32> {
        gaps.iter()
            .filter(|gap| gap.cause == cause)
            .flat_map(|gap| self.covered_by(gap))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends and the middle of tables 2a and 1a of G.711, in 16 bits.
    #[test]
    fn the_laws_have_the_values_of_the_recommendation() {
        let mu = [
            (0x00, -32_124),
            (0x80, 32_124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x8f, 16_764),
        ];
        for (octet, value) in mu {
            assert_eq!(from_mu_law(octet), value, "{octet:#04x}");
        }
        let a = [
            (0xaa, 32_256),
            (0x2a, -32_256),
            (0xd5, 8),
            (0x55, -8),
            (0xd4, 24),
            (0x80, 5_504),
        ];
        for (octet, value) in a {
            assert_eq!(from_a_law(octet), value, "{octet:#04x}");
        }
    }
}
