//! From a recording's two tracks to its audio: packets read and placed, channels brought together.

use std::io::Read;

use holdfast_track::wav::WavHeader;
use holdfast_track::{
    Flags, Kind, Lsn, Record, RecordReader, RecordingTime, SourceAddresses, StreamHeader, Timeline,
    TrackInput, encode_record, render,
};
use holdfast_units::{RecordingId, StreamId, WallTime};

use super::demux_guard::payload_map;
use crate::feed::{HEADER_SIZE, LOCAL, PACKET_NANOS, Random, SAMPLES, STARTED, remote, stamp};
use crate::stage::{BATCH, Stage};

/// Both tracks read, each packet's samples given their place.
pub(crate) struct Depacketise {
    tracks: [Leg; CHANNELS],
    placed: u64,
}

impl Depacketise {
    pub(crate) fn new() -> Self {
        let tracks = std::array::from_fn(Leg::new);
        Self { tracks, placed: 0 }
    }
}

impl Stage for Depacketise {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets / BATCH {
            for track in &self.tracks {
                let mut reader = RecordReader::new(track.file.as_slice());
                let mut timeline = Timeline::new(STARTED, payload_map());
                let (mut samples, mut reach) = (0, 0);
                let mut sink = |placement: holdfast_track::Placement<'_>| {
                    samples += placement.payload.len();
                    reach = placement.at + placement.payload.len() as i64;
                };
                // Of a track that does not read, packets are missing at the end.
                while let Ok(Some(record)) = reader.next() {
                    timeline.handle_record(&record, &mut sink);
                }
                timeline.handle_end(ENDED, &mut sink);
                if reach == samples as i64 {
                    self.placed += (samples / SAMPLES) as u64;
                }
            }
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        self.placed
    }
}

/// The recording planned, and written as mu-law WAV with two channels.
pub(crate) struct Render {
    tracks: [Leg; CHANNELS],
    wav: Vec<u8>,
    rendered: u64,
}

impl Render {
    pub(crate) fn new() -> Self {
        Self {
            tracks: std::array::from_fn(Leg::new),
            wav: Vec::new(),
            rendered: 0,
        }
    }

    /// Whether every sample of both channels is where it was sent.
    fn is_exact(&self) -> bool {
        let Ok(header) = WavHeader::read(&mut self.wav.as_slice()) else {
            return false;
        };
        let frames = &self.wav[header.data_offset() as usize..];
        self.tracks.iter().enumerate().all(|(channel, track)| {
            let samples = frames.iter().skip(channel).step_by(CHANNELS);
            samples.eq(track.samples.iter())
        })
    }
}

impl Stage for Render {
    fn run(&mut self, packets: u64) {
        for _ in 0..packets / BATCH {
            let mut inputs = inputs(&self.tracks);
            let rendered = render(TIME, CHANNELS as u16, &mut inputs, &mut self.wav);
            self.rendered += if rendered.is_ok() { BATCH } else { 0 };
        }
    }

    fn finish(self: Box<Self>) -> u64 {
        if self.is_exact() { self.rendered } else { 0 }
    }
}

/// One side of the call.
struct Leg {
    /// Its track.
    file: Vec<u8>,
    /// What it said.
    samples: Vec<u8>,
}

impl Leg {
    fn new(channel: usize) -> Self {
        let mut leg = Self {
            file: Vec::new(),
            samples: Vec::new(),
        };
        let mut payload = Vec::new();
        let header = StreamHeader {
            recording: RecordingId::from_bytes([1; 16]),
            stream: StreamId(channel as u64),
            number: channel as u32 + 1,
            description: Vec::new(),
        };
        header.encode(&mut payload);
        leg.record(0, Kind::Header, &payload);
        payload.clear();
        let addresses = SourceAddresses {
            remote: remote(channel),
            local: (LOCAL, 10_000).into(),
        };
        addresses.encode(&mut payload);
        leg.record(0, Kind::Source, &payload);
        let mut random = Random(channel as u64 + 1);
        for number in 0..LEG_PACKETS {
            let mut packet = random.packet();
            stamp(&mut packet, number, channel as u32);
            leg.record(number, Kind::Packet, &packet);
            leg.samples.extend_from_slice(&packet[HEADER_SIZE..]);
        }
        leg
    }

    fn record(&mut self, number: u32, kind: Kind, payload: &[u8]) {
        let record = Record {
            kind,
            source: 1,
            flags: Flags::NONE,
            lsn: Lsn(u64::from(number)),
            arrival: WallTime(STARTED.0 + u64::from(number) * PACKET_NANOS),
            payload,
        };
        encode_record(&mut self.file, &record).expect("a packet fits into a record");
    }
}

fn inputs(tracks: &[Leg; CHANNELS]) -> Vec<TrackInput<'_>> {
    let channels = tracks.iter().zip(0..);
    channels
        .map(|(track, channel)| input(track, channel))
        .collect()
}

fn input(track: &Leg, channel: u16) -> TrackInput<'_> {
    let file = track.file.as_slice();
    TrackInput {
        channel: Some(channel),
        codecs: payload_map(),
        open: Box::new(move || Ok(Box::new(file) as Box<dyn Read>)),
    }
}

/// One for each side.
const CHANNELS: usize = 2;
/// Packets of a side: 80 s.
const LEG_PACKETS: u32 = BATCH as u32 / CHANNELS as u32;
const TIME: RecordingTime = RecordingTime {
    started: STARTED,
    ended: ENDED,
};
const ENDED: WallTime = WallTime(STARTED.0 + LEG_PACKETS as u64 * PACKET_NANOS);
