//! The audio of parts, written as one file.
//!
//! Where all parts have the same form of samples they stay as they are, octet for octet; else all are
//! made linear.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use holdfast_catalogue::hex;
use holdfast_manifest::AUDIO_FILE;
use holdfast_rtp::g711::{ALAW_TO_LINEAR, ULAW_TO_LINEAR};
use holdfast_track::wav::{SAMPLE_RATE, SampleFormat, WavHeader};
use sha2::{Digest, Sha256};

use crate::parts::Part;
use crate::timeline::{Piece, Source, Timeline};
use crate::{JoinError, Step, disk};

/// The files of the parts.
pub(crate) struct Audio {
    inputs: Vec<Option<Input>>,
    format: SampleFormat,
    is_decoded: bool,
}

struct Input {
    path: PathBuf,
    file: File,
    header: WavHeader,
    /// Where its samples begin.
    offset: u64,
}

impl Audio {
    /// Opens what the parts have.
    pub(crate) fn open(parts: &[Part]) -> Result<Self, JoinError> {
        let mut inputs = Vec::new();
        for part in parts {
            let is_there = |file: &holdfast_manifest::File| file.name == AUDIO_FILE;
            let path = part.path.join(AUDIO_FILE);
            inputs.push(match part.manifest.files.iter().any(is_there) {
                true => Some(Input::open(path)?),
                false => None,
            });
        }
        let mut formats = inputs.iter().flatten().map(|input| input.header.format);
        let first = formats.next().unwrap_or(SampleFormat::Pcm16);
        let is_decoded = formats.any(|format| format != first);
        Ok(Self {
            inputs,
            format: if is_decoded {
                SampleFormat::Pcm16
            } else {
                first
            },
            is_decoded,
        })
    }

    /// What each part has.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let source = |input: &Option<Input>| {
            input.as_ref().map_or_else(Source::default, |input| Source {
                channels: input.header.channels,
                frames: input.header.frames,
            })
        };
        self.inputs.iter().map(source).collect()
    }

    /// Whether samples had to be made linear.
    pub(crate) const fn is_decoded(&self) -> bool {
        self.is_decoded
    }

    /// Writes the one file, durably; `None` where no part has audio.
    pub(crate) fn write(
        &self,
        folder: &Path,
        timeline: &Timeline,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Option<holdfast_manifest::File>, JoinError> {
        if self.inputs.iter().all(Option::is_none) {
            return Ok(None);
        }
        let path = folder.join(AUDIO_FILE);
        let file = File::create(&path).map_err(disk(&path))?;
        let mut out = Hashed {
            inner: BufWriter::with_capacity(256 << 10, file),
            hash: Sha256::new(),
            size: 0,
        };
        let header = WavHeader {
            format: self.format,
            channels: timeline.pieces.len() as u16,
            sample_rate: SAMPLE_RATE,
            frames: timeline.frames,
        };
        out.write_all(&header.encode()).map_err(disk(&path))?;
        let mut from = 0;
        while from < timeline.frames {
            let to = timeline.frames.min(from + WINDOW);
            let window = self.window(timeline, from, to)?;
            out.write_all(&window).map_err(disk(&path))?;
            from = to;
            tell(Step::Writing {
                octets: out.size,
                of: header.data_size(),
            });
        }
        if header.data_size() & 1 == 1 {
            out.write_all(&[0]).map_err(disk(&path))?;
        }
        out.flush().map_err(disk(&path))?;
        out.inner.get_ref().sync_all().map_err(disk(&path))?;
        Ok(Some(holdfast_manifest::File {
            name: AUDIO_FILE.to_owned(),
            bytes: out.size,
            sha256: hex(&out.hash.finalize()),
        }))
    }

    /// The octets of the frames from `from` up to `to`.
    fn window(&self, timeline: &Timeline, from: u64, to: u64) -> Result<Vec<u8>, JoinError> {
        let sample = usize::from(self.format.sample_size());
        let channels = timeline.pieces.len();
        let mut octets = vec![self.format.silence(); (to - from) as usize * channels * sample];
        for (part, input) in self.inputs.iter().enumerate() {
            let Some(input) = input else { continue };
            let own =
                |piece: &&Piece| piece.part == part && piece.span.from < to && piece.span.to > from;
            let pieces = || {
                let all = timeline.pieces.iter().enumerate();
                all.flat_map(|(channel, pieces)| {
                    pieces.iter().filter(own).map(move |piece| (channel, piece))
                })
            };
            let Some(begin) = pieces().map(|(_, piece)| piece.span.from.max(from)).min() else {
                continue;
            };
            let end = pieces().map(|(_, piece)| piece.span.to.min(to)).max();
            let offset = timeline.offsets[part];
            let frames = input.read(begin - offset, end.unwrap_or(begin) - offset)?;
            let (size, read_sample) = (
                input.header.frame_size() as usize,
                usize::from(input.header.format.sample_size()),
            );
            for (channel, piece) in pieces() {
                for at in piece.span.from.max(from)..piece.span.to.min(to) {
                    let read =
                        (at - begin) as usize * size + usize::from(piece.channel) * read_sample;
                    let written = ((at - from) as usize * channels + channel) * sample;
                    self.put(
                        &mut octets[written..written + sample],
                        &frames[read..read + read_sample],
                        input.header.format,
                    );
                }
            }
        }
        Ok(octets)
    }

    fn put(&self, out: &mut [u8], sample: &[u8], format: SampleFormat) {
        match (format == self.format, format, sample) {
            (false, SampleFormat::MuLaw, [octet]) => {
                out.copy_from_slice(&ULAW_TO_LINEAR[usize::from(*octet)].to_le_bytes());
            }
            (false, SampleFormat::ALaw, [octet]) => {
                out.copy_from_slice(&ALAW_TO_LINEAR[usize::from(*octet)].to_le_bytes());
            }
            _ => out.copy_from_slice(sample),
        }
    }
}

impl Input {
    fn open(path: PathBuf) -> Result<Self, JoinError> {
        let mut file = File::open(&path).map_err(disk(&path))?;
        let header = match WavHeader::read(&mut file) {
            Ok(header) => header,
            Err(source) => return Err(JoinError::Audio { path, source }),
        };
        if header.sample_rate != SAMPLE_RATE {
            return Err(JoinError::Rates {
                one: SAMPLE_RATE,
                other: header.sample_rate,
            });
        }
        let offset = file.stream_position().map_err(disk(&path))?;
        Ok(Self {
            path,
            file,
            header,
            offset,
        })
    }

    /// The octets of its frames from `from` up to `to`.
    fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, JoinError> {
        let size = self.header.frame_size();
        let mut octets = vec![0; ((to - from) * size) as usize];
        self.file
            .read_exact_at(&mut octets, self.offset + from * size)
            .map_err(disk(&self.path))?;
        Ok(octets)
    }
}

/// Counts and hashes what is written.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(octets)?;
        self.hash.update(&octets[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Frames that are in memory at once.
const WINDOW: u64 = 16_384;
