//! The part of the audio that is being rendered, and the tracks that are read into it.
//!
//! ```text
//!   written          | first half | second half |            not yet
//!   late: sample by sample        | held until the window comes
//! ```
//!
//! Each half keeps the channels apart, and brings them together when it is written: then the window
//! moves on by that half. A packet that is later than that is written straight to its place.

use std::collections::VecDeque;
use std::io::{self, Read};

use holdfast_rtp::g711::{ALAW_TO_LINEAR, ULAW_TO_LINEAR};
use holdfast_units::WallTime;

use super::RunPlan;
use super::kept::Pieces;
use crate::limits::{READ_BUFFER_SIZE, WINDOW_FRAMES};
use crate::reader::RecordReader;
use crate::timeline::{Law, RATE, Sink, Span, Timeline};
use crate::wav::{SampleFormat, WavHeader, WriteAt};

/// What is in memory of the file.
pub(super) struct Window<'a> {
    header: WavHeader,
    /// Position of the first frame of the file.
    origin: i64,
    /// Position of the first frame in memory.
    begin: i64,
    /// Position after the last frame of the file.
    end: i64,
    /// The two halves; in each one channel after the other.
    halves: [Vec<u8>; 2],
    /// Which half comes first.
    first: usize,
    /// Where channels are brought together.
    frames: Vec<u8>,
    out: &'a mut dyn WriteAt,
}

impl<'a> Window<'a> {
    /// Begins at the position of the first frame.
    pub(super) fn new(header: WavHeader, origin: i64, out: &'a mut dyn WriteAt) -> Self {
        let size = WINDOW_FRAMES * header.frame_size() as usize;
        let half = vec![header.format.silence(); size];
        Self {
            header,
            origin,
            begin: origin,
            end: origin.saturating_add_unsigned(header.frames),
            halves: [half.clone(), half.clone()],
            first: 0,
            frames: half,
            out,
        }
    }

    /// Whether every frame is written.
    pub(super) const fn is_done(&self) -> bool {
        self.begin >= self.end
    }

    /// Position after the last frame in memory.
    pub(super) const fn reach(&self) -> i64 {
        self.begin + 2 * WINDOW_FRAMES as i64
    }

    /// Writes the first half and moves on by it.
    pub(super) fn slide(&mut self) -> io::Result<()> {
        let offset = self.offset(self.begin);
        let left = usize::try_from(self.end - self.begin).unwrap_or(0);
        let size = WINDOW_FRAMES.min(left) * self.header.frame_size() as usize;
        let half = &mut self.halves[self.first];
        interleave(half, &mut self.frames, &self.header);
        self.out.write_at(offset, &self.frames[..size])?;
        half.fill(self.header.format.silence());
        self.first = 1 - self.first;
        self.begin += WINDOW_FRAMES as i64;
        Ok(())
    }

    /// Makes the length even, as the header says it is (F-04).
    pub(super) fn finish(self) -> io::Result<()> {
        let offset = self.header.data_offset() + self.header.data_size();
        if self.header.data_size() % 2 == 1 {
            self.out.write_at(offset, &[0])?;
        }
        Ok(())
    }

    /// Puts samples into a channel, as far as they lie in the file and before [`Window::reach`].
    fn put(&mut self, channel: u16, at: i64, law: Law, payload: &[u8]) -> io::Result<()> {
        let whole = Span {
            from: at,
            to: at.saturating_add_unsigned(payload.len() as u64),
        };
        let part = |span: Span| {
            let common = whole.common(span);
            let from = usize::try_from(common.from - at).ok()?;
            payload
                .get(from..usize::try_from(common.to - at).ok()?)
                .map(|part| (common.from, part))
        };
        let written = Span {
            from: self.origin,
            to: self.begin.min(self.end),
        };
        if at < self.begin
            && let Some((at, late)) = part(written)
        {
            self.put_late(channel, at, law, late)?;
        }
        let held = Span {
            from: self.begin,
            to: self.reach().min(self.end),
        };
        if let Some((at, samples)) = part(held) {
            let frame = usize::try_from(at - self.begin).unwrap_or(0);
            self.put_held(channel, frame, law, samples);
        }
        Ok(())
    }

    fn put_held(&mut self, channel: u16, frame: usize, law: Law, samples: &[u8]) {
        let (half, frame) = if frame < WINDOW_FRAMES {
            (self.first, frame)
        } else {
            (1 - self.first, frame - WINDOW_FRAMES)
        };
        let (samples, beyond) = samples.split_at(samples.len().min(WINDOW_FRAMES - frame));
        let sample_size = usize::from(self.header.format.sample_size());
        let begin = (usize::from(channel) * WINDOW_FRAMES + frame) * sample_size;
        let place = &mut self.halves[half][begin..begin + samples.len() * sample_size];
        if self.header.format == SampleFormat::Pcm16 {
            let table = linear_table(law);
            for (place, octet) in place.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
                *place = table[usize::from(*octet)].to_le_bytes();
            }
        } else {
            place.copy_from_slice(samples);
        }
        if !beyond.is_empty() && half == self.first {
            self.put_held(channel, WINDOW_FRAMES, law, beyond);
        }
    }

    fn put_late(&mut self, channel: u16, at: i64, law: Law, samples: &[u8]) -> io::Result<()> {
        let sample_size = u64::from(self.header.format.sample_size());
        for (at, octet) in (at..).zip(samples) {
            let offset = self.offset(at) + u64::from(channel) * sample_size;
            if self.header.format == SampleFormat::Pcm16 {
                let linear = linear_table(law)[usize::from(*octet)];
                self.out.write_at(offset, &linear.to_le_bytes())?;
            } else {
                self.out.write_at(offset, &[*octet])?;
            }
        }
        Ok(())
    }

    /// Where the frame at a position is in the file.
    fn offset(&self, at: i64) -> u64 {
        let frame = u64::try_from(at - self.origin).unwrap_or(0);
        self.header.data_offset() + frame * self.header.frame_size()
    }
}

/// Samples whose window has not come yet.
struct Held {
    at: i64,
    law: Law,
    payload: Vec<u8>,
}

/// The audio of one track.
pub(super) enum Audio<'a> {
    /// As the plan has kept it.
    Kept(Pieces<'a>),
    /// To be read from the track.
    Track(Box<Track<'a>>),
}

/// A track that is read once more.
pub(super) struct Track<'a> {
    reader: RecordReader<Box<dyn Read + 'a>>,
    timeline: Timeline,
    ended: WallTime,
}

impl<'a> Audio<'a> {
    /// Reads `input` from its beginning.
    pub(super) fn read(input: Box<dyn Read + 'a>, timeline: Timeline, ended: WallTime) -> Self {
        let reader = RecordReader::new(input);
        Self::Track(Box::new(Track {
            reader,
            timeline,
            ended,
        }))
    }

    /// Hands on what comes next; answers whether there may be more.
    fn advance(&mut self, sink: &mut Sink<'_>) -> bool {
        match self {
            Self::Kept(pieces) => pieces.next().map(sink).is_some(),
            Self::Track(track) => {
                // What could not be read was reported by the plan, which stopped at the same place.
                if let Ok(Some(record)) = track.reader.next() {
                    track.timeline.handle_record(&record, sink);
                    return true;
                }
                track.timeline.handle_end(track.ended, sink);
                false
            }
        }
    }
}

/// Takes the audio of one track as far as the window reaches.
pub(super) struct TrackCursor<'a> {
    channel: u16,
    audio: Audio<'a>,
    runs: &'a [RunPlan],
    held: VecDeque<Held>,
    is_read: bool,
}

impl<'a> TrackCursor<'a> {
    /// Takes audio from its beginning, placing it as the plan of its runs says.
    pub(super) fn new(channel: u16, audio: Audio<'a>, runs: &'a [RunPlan]) -> Self {
        Self {
            channel,
            audio,
            runs,
            held: VecDeque::new(),
            is_read: false,
        }
    }

    /// Puts into the window all that belongs there.
    pub(super) fn fill(&mut self, window: &mut Window<'_>) -> io::Result<()> {
        let Self {
            channel,
            audio,
            runs,
            held,
            is_read,
        } = self;
        let mut hold = Hold {
            reach: window.reach(),
            held: VecDeque::new(),
            bytes: 0,
            far: false,
        };
        for samples in std::mem::take(held) {
            hold.put(window, *channel, samples.at, samples.law, &samples.payload)?;
        }
        let mut result = Ok(());
        while !*is_read && !hold.is_enough() && result.is_ok() {
            let mut sink = |placement: crate::timeline::Placement<'_>| {
                let Some(run) = runs.get(placement.run) else {
                    return;
                };
                let at = placement.at.saturating_add(run.shift);
                for_each_heard(run, at, placement.payload, |at, part| {
                    if let Err(error) = hold.put(window, *channel, at, placement.law, part) {
                        result = Err(error);
                    }
                });
            };
            *is_read = !audio.advance(&mut sink);
        }
        *held = hold.held;
        result
    }
}

/// Hands on the parts of a packet that are heard.
fn for_each_heard<'p>(
    run: &RunPlan,
    at: i64,
    payload: &'p [u8],
    mut hand_on: impl FnMut(i64, &'p [u8]),
) {
    let Some(heard) = &run.heard else {
        return hand_on(at, payload);
    };
    let whole = Span {
        from: at,
        to: at.saturating_add_unsigned(payload.len() as u64),
    };
    let first = heard.partition_point(|span| span.to <= whole.from);
    for span in heard
        .iter()
        .skip(first)
        .take_while(|span| span.from < whole.to)
    {
        let common = whole.common(*span);
        let from = usize::try_from(common.from - at).unwrap_or(0);
        let to = usize::try_from(common.to - at).unwrap_or(0);
        if let Some(part) = payload.get(from..to) {
            hand_on(common.from, part);
        }
    }
}

/// Brings the channels of one half together, frame by frame.
fn interleave(half: &[u8], frames: &mut [u8], header: &WavHeader) {
    let sample_size = usize::from(header.format.sample_size());
    let plane_size = WINDOW_FRAMES * sample_size;
    match (header.channels, sample_size) {
        (1, _) => frames.copy_from_slice(half),
        (2, 1) => {
            let (left, right) = half.split_at(plane_size);
            let frames = frames.as_chunks_mut::<2>().0;
            for (frame, (left, right)) in frames.iter_mut().zip(left.iter().zip(right)) {
                *frame = [*left, *right];
            }
        }
        (channels, _) => {
            let frame_size = usize::from(channels) * sample_size;
            for (channel, plane) in half.chunks_exact(plane_size).enumerate() {
                let from = channel * sample_size;
                let samples = plane.chunks_exact(sample_size);
                for (frame, sample) in frames.chunks_exact_mut(frame_size).zip(samples) {
                    frame[from..from + sample_size].copy_from_slice(sample);
                }
            }
        }
    }
}

fn linear_table(law: Law) -> &'static [i16; 256] {
    match law {
        Law::Mu => &ULAW_TO_LINEAR,
        Law::A => &ALAW_TO_LINEAR,
    }
}

/// What lies beyond the window while it is filled.
struct Hold {
    reach: i64,
    held: VecDeque<Held>,
    bytes: usize,
    /// Something lies so far beyond that the track was surely read far enough.
    far: bool,
}

impl Hold {
    fn put(
        &mut self,
        window: &mut Window<'_>,
        channel: u16,
        at: i64,
        law: Law,
        payload: &[u8],
    ) -> io::Result<()> {
        if at < self.reach {
            window.put(channel, at, law, payload)?;
        }
        let inside = usize::try_from(self.reach.saturating_sub(at)).unwrap_or(0);
        if let Some(beyond) = payload.get(inside..).filter(|beyond| !beyond.is_empty()) {
            let at = at.max(self.reach);
            self.bytes += beyond.len();
            self.far |= at >= self.reach.saturating_add(RATE);
            self.held.push_back(Held {
                at,
                law,
                payload: beyond.to_vec(),
            });
        }
        Ok(())
    }

    const fn is_enough(&self) -> bool {
        self.far || self.bytes >= READ_BUFFER_SIZE
    }
}
