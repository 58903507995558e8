//! Builds tracks and renders them in memory.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Read;

use holdfast_manifest::{Gap, GapCause, MarkKind};
use holdfast_rtp::PayloadMap;
use holdfast_track::wav::WavHeader;
use holdfast_track::{
    CodecEntry, Flags, Kind, Lsn, Record, RecordingTime, RenderPlan, SourceAddresses, StreamHeader,
    TrackInput, TrackMark, TrackReport, encode_record, payload_map, plan_within, render,
};
use holdfast_units::{RecordingId, StreamId, WallTime};

pub const STARTED: WallTime = WallTime(1_795_342_203_000_000_000);
pub const PCMU: u8 = 0;
pub const PCMA: u8 = 8;
pub const SSRC: u32 = 0x1111_2222;

/// Milliseconds after the start of the recording.
pub fn at(ms: u64) -> WallTime {
    WallTime(STARTED.0 + ms * 1_000_000)
}

/// An RTP packet.
#[derive(Clone, Copy)]
pub struct Rtp<'a> {
    pub seq: u16,
    pub ts: u32,
    pub ssrc: u32,
    pub pt: u8,
    pub marker: bool,
    pub payload: &'a [u8],
}

impl Rtp<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.pt | u8::from(self.marker) << 7];
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.ts.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// A track that is being written.
#[derive(Clone)]
pub struct Track {
    pub bytes: Vec<u8>,
    pub lsn: u64,
}

impl Track {
    pub fn new() -> Self {
        let mut track = Self {
            bytes: Vec::new(),
            lsn: 0,
        };
        let mut payload = Vec::new();
        StreamHeader {
            recording: RecordingId::from_bytes([7; 16]),
            stream: StreamId(1),
            number: 1,
            description: Vec::new(),
        }
        .encode(&mut payload);
        track.record(Kind::Header, 0, 0, &payload);
        payload.clear();
        SourceAddresses {
            remote: "192.0.2.10:40000".parse().unwrap(),
            local: "198.51.100.1:10000".parse().unwrap(),
        }
        .encode(&mut payload);
        track.record(Kind::Source, 1, 0, &payload);
        track
    }

    pub fn record(&mut self, kind: Kind, source: u8, ms: u64, payload: &[u8]) {
        self.record_at(kind, source, at(ms), payload);
    }

    pub fn record_at(&mut self, kind: Kind, source: u8, arrival: WallTime, payload: &[u8]) {
        self.lsn += 1;
        let lsn = Lsn(self.lsn);
        let record = Record {
            kind,
            source,
            flags: Flags::NONE,
            lsn,
            arrival,
            payload,
        };
        encode_record(&mut self.bytes, &record).unwrap();
    }

    pub fn rtp(&mut self, ms: u64, rtp: Rtp<'_>) {
        self.record(Kind::Packet, 1, ms, &rtp.bytes());
    }

    /// A 20 ms packet of the usual source; its number tells sequence, timestamp and payload.
    pub fn voice(&mut self, ms: u64, number: u32) {
        self.rtp(ms, voice(number, &pattern(number)));
    }

    /// 20 ms packets that arrive in time; packet `n` at `n * 20` ms.
    pub fn talk(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.voice(u64::from(number) * 20, number);
        }
    }

    pub fn mark(&mut self, ms: u64, mark: TrackMark) {
        let mut payload = Vec::new();
        mark.encode(&mut payload);
        self.record(Kind::Mark, 0, ms, &payload);
    }
}

pub fn voice(number: u32, payload: &[u8]) -> Rtp<'_> {
    let (seq, ts) = (
        number.wrapping_add(FIRST_SEQ) as u16,
        number.wrapping_mul(160),
    );
    let ts = ts.wrapping_add(FIRST_TS);
    Rtp {
        seq,
        ts,
        ssrc: SSRC,
        pt: PCMU,
        marker: false,
        payload,
    }
}

pub const FIRST_SEQ: u32 = 1_000;
pub const FIRST_TS: u32 = 50_000;

/// What packet `number` holds: 160 octets that are in no other packet, none of them silence.
pub fn pattern(number: u32) -> Vec<u8> {
    let mut random = Random(u64::from(number) * 2 + 1);
    (0..160).map(|_| (random.next() % 200) as u8).collect()
}

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// `SEED=…` replays one.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

pub fn codecs() -> PayloadMap {
    let entry = |payload_type, name: &str, clock_rate| CodecEntry {
        payload_type,
        name: name.into(),
        clock_rate,
        channels: 1,
        fmtp: String::new(),
    };
    payload_map(&[
        entry(PCMU, "PCMU", 8_000),
        entry(PCMA, "PCMA", 8_000),
        entry(13, "CN", 8_000),
        entry(101, "telephone-event", 8_000),
        entry(96, "opus", 48_000),
    ])
}

pub fn input(channel: Option<u16>, bytes: &[u8]) -> TrackInput<'_> {
    TrackInput {
        channel,
        codecs: codecs(),
        open: Box::new(move || Ok(Box::new(bytes) as Box<dyn Read>)),
    }
}

pub struct Rendered {
    pub plan: RenderPlan,
    pub wav: Vec<u8>,
}

/// Renders tracks of a recording that lasted so long: from the audio that the plan has kept, and again with
/// room for none of it, or for a little, as long recordings are.
pub fn rendered(ms: u64, tracks: &[(Option<u16>, &Track)]) -> Rendered {
    let mut inputs: Vec<_> = tracks
        .iter()
        .map(|(channel, track)| input(*channel, &track.bytes))
        .collect();
    let mut wav = Vec::new();
    let time = RecordingTime {
        started: STARTED,
        ended: at(ms),
    };
    let plan = render(time, 0, &mut inputs, &mut wav).unwrap();
    assert_eq!(wav.len() as u64, plan.header().file_size());
    assert_eq!(WavHeader::read(&mut &wav[..]).unwrap(), *plan.header());
    for kept_size_max in [0, 20_000] {
        let plan = plan_within(time, 0, &mut inputs, kept_size_max).unwrap();
        let mut read_again = Vec::new();
        plan.write(&mut inputs, &mut read_again).unwrap();
        assert!(read_again == wav, "with {kept_size_max} octets kept");
    }
    Rendered { plan, wav }
}

/// One track in channel 0.
pub fn rendered_alone(ms: u64, track: &Track) -> Rendered {
    rendered(ms, &[(Some(0), track)])
}

impl Rendered {
    pub fn report(&self, track: usize) -> &TrackReport {
        &self.plan.reports()[track]
    }

    /// The octets of a channel of one-octet samples.
    pub fn channel(&self, channel: usize) -> Vec<u8> {
        let header = self.plan.header();
        let data = &self.wav[header.data_offset() as usize..];
        let channels = usize::from(header.channels);
        let frames = header.frames as usize;
        data.iter()
            .skip(channel)
            .step_by(channels)
            .take(frames)
            .copied()
            .collect()
    }

    pub fn causes(&self, track: usize) -> Vec<(u64, u64, GapCause, u64)> {
        gaps(&self.report(track).gaps)
    }

    pub fn marks(&self, track: usize) -> Vec<(u64, MarkKind)> {
        let marks = self.report(track).marks.iter();
        marks.map(|mark| (mark.at_ms, mark.kind.clone())).collect()
    }
}

pub fn gaps(gaps: &[Gap]) -> Vec<(u64, u64, GapCause, u64)> {
    gaps.iter()
        .map(|gap| (gap.from_ms, gap.to_ms, gap.cause, gap.packets))
        .collect()
}

pub fn silence(ms: u64) -> Vec<u8> {
    vec![0xff; ms as usize * 8]
}

/// The octets of packets one after the other.
pub fn spoken(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(pattern).collect()
}
