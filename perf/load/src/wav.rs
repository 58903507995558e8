//! Reads the G.711 WAV files a recorder publishes, RF64 included.
//!
//! It refuses every other sample format: a checker that converted samples would check its own
//! conversion.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::invite::Codec;
use crate::limits;

/// A G.711 WAV file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Law of all channels.
    pub codec: Codec,
    /// Samples per second.
    pub rate: u32,
    /// The octets of each channel; all have the same length.
    pub channels: Vec<Vec<u8>>,
}

/// Why a file can't be checked.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file can't be read.
    #[error("reading the WAV file")]
    Read(#[from] io::Error),
    /// Larger than this tool takes into memory.
    #[error("the WAV file has {0} octets, more than are read at once")]
    TooLarge(u64),
    /// Neither RIFF nor RF64.
    #[error("this is no WAV file")]
    NotWav,
    /// A chunk is missing, or does not hold what it must.
    #[error("the {0} chunk is missing or damaged")]
    Chunk(&'static str),
    /// Samples are something else than 8-bit G.711.
    #[error("format tag {tag:#06x} with {bits} bits per sample is not G.711")]
    NotG711 {
        /// wFormatTag.
        tag: u16,
        /// wBitsPerSample.
        bits: u16,
    },
    /// The sizes in the header and the file's length disagree.
    #[error("the header speaks of {said} octets of samples, the file has {there}")]
    Length {
        /// By the header.
        said: u64,
        /// In the file.
        there: u64,
    },
}

impl Wav {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        if size > limits::WAV_SIZE_MAX {
            return Err(WavError::TooLarge(size));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Reads the octets of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, WavError> {
        let is_rf64 = match (bytes.get(..4), bytes.get(8..12)) {
            (Some(b"RIFF"), Some(b"WAVE")) => false,
            (Some(b"RF64"), Some(b"WAVE")) => true,
            _ => return Err(WavError::NotWav),
        };
        let (mut format, mut data, mut data_size) = (None, None, None);
        let mut rest = &bytes[12..];
        while let Some((name, size, body)) = chunk(rest) {
            let there = body.len() as u64;
            let size = match name {
                b"ds64" => {
                    data_size = u64_at(body, 8);
                    u64::from(size)
                }
                // In RF64 the true size of the samples stands in ds64 (EBU Tech 3306).
                b"data" if is_rf64 && size == u32::MAX => {
                    data_size.ok_or(WavError::Chunk("ds64"))?
                }
                _ => u64::from(size),
            };
            if size > there {
                return Err(WavError::Length { said: size, there });
            }
            let (content, behind) = body.split_at(size as usize);
            match name {
                b"fmt " => format = Some(Format::parse(content)?),
                b"data" => data = Some(content),
                _ => {}
            }
            rest = behind.get(size as usize % 2..).unwrap_or_default();
        }
        let format = format.ok_or(WavError::Chunk("fmt "))?;
        Ok(format.split(data.ok_or(WavError::Chunk("data"))?))
    }

    /// The octets of a file with these samples: what a recorder would publish.
    pub fn encode(&self) -> Vec<u8> {
        let tag: u16 = if self.codec == Codec::Pcmu { 7 } else { 6 };
        let count = self.channels.len() as u16;
        let mut fmt = Vec::new();
        for field in [tag, count] {
            fmt.extend_from_slice(&field.to_le_bytes());
        }
        for field in [self.rate, self.rate * u32::from(count)] {
            fmt.extend_from_slice(&field.to_le_bytes());
        }
        for field in [count, 8, 0] {
            fmt.extend_from_slice(&field.to_le_bytes());
        }
        let fact = (self.len() as u32).to_le_bytes().to_vec();
        let frames = 0..self.len();
        let data = frames
            .flat_map(|at| self.channels.iter().map(move |c| c[at]))
            .collect();
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        for (name, body) in [(b"fmt ", fmt), (b"fact", fact), (b"data", data)] {
            file.extend_from_slice(name);
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(&body);
            file.extend(std::iter::repeat_n(0, body.len() % 2));
        }
        let size = (file.len() as u32 - 8).to_le_bytes();
        file[4..8].copy_from_slice(&size);
        file
    }

    /// Samples per channel.
    pub fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Whether there is no sample at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Format {
    codec: Codec,
    rate: u32,
    channels: usize,
}

impl Format {
    /// The fmt chunk; WAVE_FORMAT_EXTENSIBLE (0xfffe) has the tag in its sub-format.
    fn parse(chunk: &[u8]) -> Result<Self, WavError> {
        const ERROR: WavError = WavError::Chunk("fmt ");
        let outer = u16_at(chunk, 0).ok_or(ERROR)?;
        let tag = if outer == 0xfffe {
            u16_at(chunk, 24).ok_or(ERROR)?
        } else {
            outer
        };
        let bits = u16_at(chunk, 14).ok_or(ERROR)?;
        let codec = match (tag, bits) {
            (7, 8) => Codec::Pcmu,
            (6, 8) => Codec::Pcma,
            (tag, bits) => return Err(WavError::NotG711 { tag, bits }),
        };
        let channels = usize::from(u16_at(chunk, 2).ok_or(ERROR)?);
        let aligned = u16_at(chunk, 12).map(usize::from) == Some(channels);
        if channels == 0 || !aligned {
            return Err(ERROR);
        }
        let rate = chunk
            .get(4..8)
            .and_then(|b| Some(u32::from_le_bytes(b.try_into().ok()?)));
        Ok(Self {
            codec,
            rate: rate.ok_or(ERROR)?,
            channels,
        })
    }

    fn split(&self, data: &[u8]) -> Wav {
        let frames = data.len() / self.channels;
        let mut channels = vec![Vec::with_capacity(frames); self.channels];
        for frame in data.chunks_exact(self.channels) {
            for (channel, &sample) in channels.iter_mut().zip(frame) {
                channel.push(sample);
            }
        }
        Wav {
            codec: self.codec,
            rate: self.rate,
            channels,
        }
    }
}

/// Name, size by the header, and all that follows the header.
fn chunk(bytes: &[u8]) -> Option<(&[u8; 4], u32, &[u8])> {
    let (name, rest) = bytes.split_first_chunk::<4>()?;
    let (size, body) = rest.split_first_chunk::<4>()?;
    Some((name, u32::from_le_bytes(*size), body))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(codec: Codec, channels: &[Vec<u8>]) -> Vec<u8> {
        Wav {
            codec,
            rate: 8_000,
            channels: channels.to_vec(),
        }
        .encode()
    }

    #[test]
    fn channels_are_taken_apart() {
        let channels = vec![vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]];
        let wav = Wav::parse(&write(Codec::Pcma, &channels)).unwrap();
        assert_eq!(
            wav,
            Wav {
                codec: Codec::Pcma,
                rate: 8_000,
                channels
            }
        );
        assert_eq!(wav.len(), 3);
    }

    #[test]
    fn rf64_takes_the_size_from_ds64() {
        let mut file = write(Codec::Pcmu, &[vec![1, 2]]);
        let mut ds64 = b"ds64".to_vec();
        ds64.extend_from_slice(&28_u32.to_le_bytes());
        for size in [0_u64, 2, 2] {
            ds64.extend_from_slice(&size.to_le_bytes());
        }
        ds64.extend_from_slice(&[0; 4]);
        file.splice(12..12, ds64);
        file[..4].copy_from_slice(b"RF64");
        let size_at = file.len() - 2 - 4;
        file[size_at..size_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Wav::parse(&file).unwrap().channels, [[1, 2]]);
    }

    #[test]
    fn damage_at_every_octet_is_an_error_or_a_reading_never_a_panic() {
        let file = write(Codec::Pcmu, &[vec![1, 2, 3], vec![4, 5, 6]]);
        for end in 0..file.len() - 1 {
            assert!(Wav::parse(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = value;
                let _ = Wav::parse(&damaged);
            }
        }
    }

    #[test]
    fn linear_samples_are_refused() {
        let mut file = write(Codec::Pcmu, &[vec![1]]);
        file[20] = 1;
        let refused = WavError::NotG711 { tag: 1, bits: 8 }.to_string();
        assert_eq!(Wav::parse(&file).unwrap_err().to_string(), refused);
    }
}
