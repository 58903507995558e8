//! How loud each channel of a rendered file is.

use std::io::{self, Read};

use holdfast_rtp::g711::{ALAW_TO_LINEAR, ULAW_TO_LINEAR};

use crate::wav::{ReadWavError, SampleFormat, WavHeader};

/// Loudness of one channel, in decibels relative to full scale (a constant 32,768 is 0 dBFS).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLevel {
    /// Root mean square over the whole file; negative infinity where every sample is zero.
    pub rms_dbfs: f64,
    /// Highest magnitude; negative infinity where every sample is zero.
    pub peak_dbfs: f64,
}

/// Loudness of all channels of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// What the file's header says.
    pub header: WavHeader,
    /// Frames that were there; fewer than the header says in a file that was cut short.
    pub frames: u64,
    /// One entry for each channel.
    pub channels: Vec<ChannelLevel>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    squares: u128,
    peak: u16,
}

/// Measures a WAVE file from its beginning.
pub fn levels(mut input: impl Read) -> Result<Levels, ReadWavError> {
    let header = WavHeader::read(&mut input)?;
    let frame_size = usize::try_from(header.frame_size()).map_err(|_| ReadWavError::NotWave)?;
    let mut sums = vec![Sum::default(); usize::from(header.channels)];
    let mut input = input.take(header.data_size());
    let mut buffer = vec![0; frame_size.saturating_mul(CHUNK_FRAMES)];
    let (mut held, mut frames) = (0, 0);
    loop {
        let len = match input.read(&mut buffer[held..]) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        held += len;
        let whole = held - held % frame_size;
        for frame in buffer[..whole].chunks_exact(frame_size) {
            add(&mut sums, header.format, frame);
        }
        frames += (whole / frame_size) as u64;
        buffer.copy_within(whole..held, 0);
        held -= whole;
        if len == 0 {
            break;
        }
    }
    let channels = sums.iter().map(|sum| sum.level(frames)).collect();
    Ok(Levels {
        header,
        frames,
        channels,
    })
}

fn add(sums: &mut [Sum], format: SampleFormat, frame: &[u8]) {
    let samples = frame.chunks_exact(usize::from(format.sample_size()));
    for (sum, sample) in sums.iter_mut().zip(samples) {
        let linear = match (format, sample) {
            (SampleFormat::MuLaw, [octet]) => ULAW_TO_LINEAR[usize::from(*octet)],
            (SampleFormat::ALaw, [octet]) => ALAW_TO_LINEAR[usize::from(*octet)],
            (SampleFormat::Pcm16, [low, high]) => i16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        let magnitude = linear.unsigned_abs();
        sum.squares += u128::from(u32::from(magnitude) * u32::from(magnitude));
        sum.peak = sum.peak.max(magnitude);
    }
}

impl Sum {
    fn level(self, frames: u64) -> ChannelLevel {
        let decibels = |amplitude: f64| 20.0 * (amplitude / FULL_SCALE).log10();
        let mean = if frames == 0 {
            0.0
        } else {
            self.squares as f64 / frames as f64
        };
        ChannelLevel {
            rms_dbfs: decibels(mean.sqrt()),
            peak_dbfs: decibels(f64::from(self.peak)),
        }
    }
}

const FULL_SCALE: f64 = 32_768.0;
const CHUNK_FRAMES: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(format: SampleFormat, channels: u16, samples: &[u8]) -> Vec<u8> {
        let frame = usize::from(channels * format.sample_size());
        let frames = (samples.len() / frame) as u64;
        let mut file = WavHeader {
            format,
            channels,
            sample_rate: 8_000,
            frames,
        }
        .encode();
        file.extend_from_slice(samples);
        file
    }

    #[test]
    fn a_square_wave_has_equal_peak_and_rms() {
        let wave: Vec<u8> = [16_384_i16, 0, -16_384, 0]
            .map(i16::to_le_bytes)
            .concat()
            .repeat(9);
        let levels = levels(&file(SampleFormat::Pcm16, 2, &wave)[..]).unwrap();
        assert_eq!(levels.frames, 18);
        let half = 20.0 * 0.5_f64.log10();
        assert!((levels.channels[0].rms_dbfs - half).abs() < 1e-9);
        assert!((levels.channels[0].peak_dbfs - half).abs() < 1e-9);
        assert_eq!(levels.channels[1].rms_dbfs, f64::NEG_INFINITY);
    }

    #[test]
    fn silence_of_both_laws_is_below_70_decibels_and_full_scale_is_near_zero() {
        for (format, silence, loud) in [
            (SampleFormat::MuLaw, 0xff, 0x80),
            (SampleFormat::ALaw, 0xd5, 0xaa),
        ] {
            let levels = levels(&file(format, 2, &[silence, loud].repeat(50_000))[..]).unwrap();
            assert!(levels.channels[0].peak_dbfs < -70.0, "{levels:?}");
            assert!(
                (-0.3..0.0).contains(&levels.channels[1].rms_dbfs),
                "{levels:?}"
            );
        }
    }

    #[test]
    fn a_file_cut_short_counts_what_is_there() {
        let whole = file(SampleFormat::MuLaw, 2, &[0x80; 1_000]);
        let levels = levels(&whole[..whole.len() - 501]).unwrap();
        assert_eq!((levels.frames, levels.header.frames), (249, 500));
    }
}
