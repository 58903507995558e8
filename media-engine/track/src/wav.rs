//! WAVE headers: written for a length that is known, read whoever wrote them.
//!
//! ```text
//!   RIFF size WAVE | JUNK 28 zeros   | fmt … | fact frames | data size | samples, even
//!   RF64 -1   WAVE | ds64 28 sizes   | fmt … | fact -1     | data -1   | samples, even
//! ```
//!
//! The place for `ds64` is always kept (EBU Tech 3306), so that the samples begin at the same
//! offset whatever the length. `fact` is there for the companded laws only. More than two channels
//! take the extensible form of `fmt` with no speaker positions: a channel is a participant, not a
//! place in a room.

use std::io::{self, Read, Seek, SeekFrom, Write};

use holdfast_rtp::g711::{ALAW_SILENCE, ULAW_SILENCE};

/// Frames per second of everything that is rendered here.
pub const SAMPLE_RATE: u32 = 8_000;

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleFormat {
    /// G.711 mu-law octets, as they came.
    MuLaw,
    /// G.711 A-law octets, as they came.
    ALaw,
    /// Linear, 16 bits.
    Pcm16,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WavHeader {
    /// How a sample is stored.
    pub format: SampleFormat,
    /// Samples in a frame.
    pub channels: u16,
    /// Frames per second.
    pub sample_rate: u32,
    /// Frames.
    pub frames: u64,
}

/// Why a file is not a WAVE file that can be read here.
#[derive(Debug, thiserror::Error)]
pub enum ReadWavError {
    /// Something else.
    #[error("not a WAVE file")]
    NotWave,
    /// A form of it that is not written here.
    #[error("WAVE format {tag:#06x} with {bits} bits is not read")]
    OtherFormat {
        /// `wFormatTag`, or the first two octets of the extensible form's sub-format.
        tag: u16,
        /// Bits per sample.
        bits: u16,
    },
    /// The disk.
    #[error("reading the WAVE file")]
    Read(#[from] io::Error),
}

/// Somewhere octets can be put at any offset: a file, or a buffer in tests.
pub trait WriteAt {
    /// Writes all of `bytes` at `offset`, filling with zeros what lies before it.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// [`WriteAt`] for anything that seeks.
#[derive(Debug)]
pub struct SeekWriter<W>(pub W);

impl<W: Write + Seek> WriteAt for SeekWriter<W> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }
}

impl WriteAt for Vec<u8> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = begin
            .checked_add(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if self.len() < end {
            self.resize(end, 0);
        }
        self[begin..end].copy_from_slice(bytes);
        Ok(())
    }
}

impl SampleFormat {
    /// Octets of a sample.
    pub const fn sample_size(self) -> u16 {
        match self {
            Self::MuLaw | Self::ALaw => 1,
            Self::Pcm16 => 2,
        }
    }

    /// The octet that silence is made of.
    pub const fn silence(self) -> u8 {
        match self {
            Self::MuLaw => ULAW_SILENCE,
            Self::ALaw => ALAW_SILENCE,
            Self::Pcm16 => 0,
        }
    }

    const fn tag(self) -> u16 {
        match self {
            Self::Pcm16 => 1,
            Self::ALaw => 6,
            Self::MuLaw => 7,
        }
    }

    const fn from_tag(tag: u16, bits: u16) -> Option<Self> {
        match (tag, bits) {
            (1, 16) => Some(Self::Pcm16),
            (6, 8) => Some(Self::ALaw),
            (7, 8) => Some(Self::MuLaw),
            _ => None,
        }
    }
}

impl WavHeader {
    /// Octets of a frame.
    pub const fn frame_size(&self) -> u64 {
        self.channels as u64 * self.format.sample_size() as u64
    }

    /// Octets of all samples.
    pub const fn data_size(&self) -> u64 {
        self.frames.saturating_mul(self.frame_size())
    }

    /// Where the samples begin; the same for every number of frames.
    pub const fn data_offset(&self) -> u64 {
        let fact = if matches!(self.format, SampleFormat::Pcm16) {
            0
        } else {
            12
        };
        12 + 8 + RESERVED_SIZE as u64 + 8 + self.fmt_size() as u64 + fact + 8
    }

    /// Octets of the whole file, with the one that makes the samples even (F-04).
    pub const fn file_size(&self) -> u64 {
        let data_size = self.data_size();
        self.data_offset()
            .saturating_add(data_size)
            .saturating_add(data_size & 1)
    }

    /// Whether the sizes need the 64-bit form.
    pub const fn is_rf64(&self) -> bool {
        // 0xFFFFFFFF itself says "look into ds64".
        self.file_size() - 8 >= u32::MAX as u64
    }

    /// The octets before the samples: [`WavHeader::data_offset`] of them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data_offset() as usize);
        let rf64 = self.is_rf64();
        let short = |size: u64| if rf64 { u32::MAX } else { size as u32 }.to_le_bytes();
        out.extend_from_slice(if rf64 { b"RF64" } else { b"RIFF" });
        out.extend_from_slice(&short(self.file_size() - 8));
        out.extend_from_slice(b"WAVE");
        out.extend_from_slice(if rf64 { b"ds64" } else { b"JUNK" });
        out.extend_from_slice(&RESERVED_SIZE.to_le_bytes());
        let sizes = [self.file_size() - 8, self.data_size(), self.frames];
        for size in if rf64 { sizes } else { [0; 3] } {
            out.extend_from_slice(&size.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]); // no table: no other chunk is that large
        self.encode_fmt(&mut out);
        if self.format != SampleFormat::Pcm16 {
            out.extend_from_slice(b"fact");
            out.extend_from_slice(&4_u32.to_le_bytes());
            out.extend_from_slice(&short(self.frames));
        }
        out.extend_from_slice(b"data");
        out.extend_from_slice(&short(self.data_size()));
        assert_eq!(out.len() as u64, self.data_offset());
        out
    }

    fn encode_fmt(&self, out: &mut Vec<u8>) {
        let (size, frame_size) = (self.fmt_size(), self.frame_size() as u32);
        let bits = self.format.sample_size() * 8;
        let tag = if size == FMT_EXTENSIBLE {
            TAG_EXTENSIBLE
        } else {
            self.format.tag()
        };
        out.extend_from_slice(b"fmt ");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&self.channels.to_le_bytes());
        out.extend_from_slice(&self.sample_rate.to_le_bytes());
        out.extend_from_slice(&self.sample_rate.saturating_mul(frame_size).to_le_bytes());
        out.extend_from_slice(&(frame_size as u16).to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        if size >= FMT_LAW {
            out.extend_from_slice(&((size - FMT_LAW) as u16).to_le_bytes());
        }
        if size == FMT_EXTENSIBLE {
            out.extend_from_slice(&bits.to_le_bytes());
            out.extend_from_slice(&0_u32.to_le_bytes()); // no speaker positions
            out.extend_from_slice(&self.format.tag().to_le_bytes());
            out.extend_from_slice(&SUB_FORMAT_REST);
        }
    }

    const fn fmt_size(&self) -> u32 {
        match self.format {
            _ if self.channels > 2 => FMT_EXTENSIBLE,
            SampleFormat::MuLaw | SampleFormat::ALaw => FMT_LAW,
            SampleFormat::Pcm16 => FMT_PCM,
        }
    }

    /// Reads the octets before the samples, and leaves `input` at the first sample. Chunks that
    /// are not needed are passed over.
    pub fn read(input: &mut impl Read) -> Result<Self, ReadWavError> {
        let form: [u8; 12] = read_array(input)?;
        let rf64 = &form[..4] == b"RF64" || &form[..4] == b"BW64";
        if !(rf64 || &form[..4] == b"RIFF") || &form[8..] != b"WAVE" {
            return Err(ReadWavError::NotWave);
        }
        let (mut fmt, mut data_size_64) = (None, None);
        loop {
            let chunk: [u8; 8] = read_array(input)?;
            let [a, b, c, d, size @ ..] = chunk;
            let size = u64::from(u32::from_le_bytes(size));
            let mut rest = size + (size & 1);
            match &[a, b, c, d] {
                b"ds64" if size >= 16 => {
                    let sizes: [u8; 16] = read_array(input)?;
                    data_size_64 = sizes.last_chunk().map(|size| u64::from_le_bytes(*size));
                    rest -= 16;
                }
                b"fmt " if size >= 16 => {
                    let base: [u8; 16] = read_array(input)?;
                    rest -= 16;
                    let mut sub_format = None;
                    if rest >= 24 {
                        let extension: [u8; 24] = read_array(input)?;
                        rest -= 24;
                        sub_format = Some(u16::from_le_bytes([extension[8], extension[9]]));
                    }
                    fmt = Some(decode_fmt(&base, sub_format)?);
                }
                b"data" => {
                    let header: Self = fmt.ok_or(ReadWavError::NotWave)?;
                    let size = data_size_64.filter(|_| rf64 && size == u64::from(u32::MAX));
                    let size = size.unwrap_or(u64::from(u32::from_le_bytes([
                        chunk[4], chunk[5], chunk[6], chunk[7],
                    ])));
                    return Ok(Self {
                        frames: size / header.frame_size(),
                        ..header
                    });
                }
                _ => {}
            }
            io::copy(&mut input.by_ref().take(rest), &mut io::sink())?;
        }
    }
}

fn decode_fmt(base: &[u8; 16], sub_format: Option<u16>) -> Result<WavHeader, ReadWavError> {
    let u16_at = |at: usize| u16::from_le_bytes([base[at], base[at + 1]]);
    let tag = sub_format
        .filter(|_| u16_at(0) == TAG_EXTENSIBLE)
        .unwrap_or(u16_at(0));
    let (channels, bits) = (u16_at(2), u16_at(14));
    let format =
        SampleFormat::from_tag(tag, bits).ok_or(ReadWavError::OtherFormat { tag, bits })?;
    if channels == 0 {
        return Err(ReadWavError::NotWave);
    }
    let sample_rate = u32::from_le_bytes([base[4], base[5], base[6], base[7]]);
    Ok(WavHeader {
        format,
        channels,
        sample_rate,
        frames: 0,
    })
}

fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], ReadWavError> {
    let mut array = [0; N];
    input
        .read_exact(&mut array)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadWavError::NotWave,
            _ => ReadWavError::Read(error),
        })?;
    Ok(array)
}

const RESERVED_SIZE: u32 = 28;
const FMT_PCM: u32 = 16;
const FMT_LAW: u32 = 18;
const FMT_EXTENSIBLE: u32 = 40;
const TAG_EXTENSIBLE: u16 = 0xfffe;

/// What follows the format tag in the sub-format GUID xxxxxxxx-0000-0010-8000-00AA00389B71.
const SUB_FORMAT_REST: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: SampleFormat, channels: u16, frames: u64) -> WavHeader {
        WavHeader {
            format,
            channels,
            sample_rate: SAMPLE_RATE,
            frames,
        }
    }

    #[test]
    fn headers_are_as_they_ever_were() {
        for (header, golden) in [
            (
                header(SampleFormat::MuLaw, 2, 480_000),
                &include_bytes!("../tests/golden/wav_mulaw_stereo.bin")[..],
            ),
            (
                header(SampleFormat::ALaw, 1, 7),
                &include_bytes!("../tests/golden/wav_alaw_mono.bin")[..],
            ),
            (
                header(SampleFormat::Pcm16, 2, 8_000),
                &include_bytes!("../tests/golden/wav_pcm_stereo.bin")[..],
            ),
            (
                header(SampleFormat::MuLaw, 3, 8_000),
                &include_bytes!("../tests/golden/wav_mulaw_extensible.bin")[..],
            ),
            (
                header(SampleFormat::MuLaw, 2, 1 << 32),
                &include_bytes!("../tests/golden/wav_mulaw_rf64.bin")[..],
            ),
        ] {
            assert_eq!(header.encode(), golden, "{header:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for format in [SampleFormat::MuLaw, SampleFormat::ALaw, SampleFormat::Pcm16] {
            for channels in [1, 2, 3, 8] {
                for frames in [0, 1, 12_345, 1 << 31, 1 << 33] {
                    let header = header(format, channels, frames);
                    let bytes = header.encode();
                    assert_eq!(WavHeader::read(&mut &bytes[..]).unwrap(), header);
                }
            }
        }
    }

    #[test]
    fn the_64_bit_form_begins_exactly_where_32_bits_end() {
        let offset = header(SampleFormat::MuLaw, 1, 0).data_offset();
        // The largest even file whose size less 8 is below 0xFFFFFFFF.
        let frames = u64::from(u32::MAX) - 1 + 8 - offset;
        assert!(!header(SampleFormat::MuLaw, 1, frames).is_rf64());
        assert!(header(SampleFormat::MuLaw, 1, frames + 1).is_rf64());
        let bytes = header(SampleFormat::MuLaw, 1, frames + 1).encode();
        assert_eq!(bytes.len() as u64, offset);
        assert_eq!(&bytes[..4], b"RF64");
        assert_eq!(
            bytes[20..28],
            (frames + 2 + offset - 8).to_le_bytes(),
            "riffSize, padded"
        );
        assert_eq!(bytes[28..36], (frames + 1).to_le_bytes(), "dataSize");
        assert_eq!(bytes[36..44], (frames + 1).to_le_bytes(), "sampleCount");
    }

    #[test]
    fn no_truncated_or_flipped_header_panics() {
        let bytes = header(SampleFormat::MuLaw, 3, 1 << 33).encode();
        for len in 0..bytes.len() {
            assert!(WavHeader::read(&mut &bytes[..len]).is_err(), "{len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = WavHeader::read(&mut &flipped[..]);
        }
    }
}
