//! Places the packets of one track on the recording's timeline.
//!
//! The first packet of a run is where it arrived, all others are where their timestamps say, as
//! long as those can be believed (RFC 3550 §5.1: the timestamp places audio, arrival does not).
//! Nothing is resampled, moved or concealed: what is missing stays a gap with a cause. What sounds longer
//! than until the next packet is put before it all the same, as far as that takes little (see [`run`]);
//! what is cut is counted.
//!
//! ```text
//!   record ─▶ sequence number ─▶ in order, timestamp plausible ─▶ place
//!                 │                   └─ doubtful ─▶ hold back ─▶ place, or begin a new run
//!                 ├─ late ─▶ fill the hole it left
//!                 ├─ suspect ─▶ hold back ─▶ restart: begin a new run
//!                 └─ duplicate ─▶ nothing
//! ```
//!
//! The machine is a function of the records: reading a track twice places everything twice at the
//! same spot. Positions are samples at 8 kHz from the start of the recording; they never run more
//! than a few seconds ahead of the arrival, so that no timestamp can make a recording long, nor can what
//! a packet claims of its length.

mod content;
mod duration;
pub(crate) mod gaps;
mod marks;
mod placing;
mod reports;
mod run;
mod signals;
mod source;
mod spans;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_manifest::{DirectionChange, MarkKind};
use holdfast_rtp::{
    ClockRate, Codec, CodecKind, ExtTimestamp, PayloadMap, PayloadType, RtpPacket, SequenceTracker,
    Sequenced,
};
use holdfast_units::{MonoTime, WallTime};

pub(crate) use gaps::Overlay;
pub(crate) use run::{Begin, Run};
pub(crate) use spans::{Span, join, subtract};

use self::content::Content;
use self::marks::Marks;
use self::reports::SenderReport;
use self::source::{Item, Sound, Source};
use crate::format::{Flags, Kind, Record};
use crate::limits::{GAPS_MAX, RUNS_MAX, SOURCES_MAX};
use crate::payload::{CodecEntry, Counters, SourceAddresses, StreamHeader, TrackMark};

/// Samples per second of the timeline.
pub(crate) const RATE: i64 = 8_000;

/// A law of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// mu-law, PCMU.
    Mu,
    /// A-law, PCMA.
    A,
}

/// Audio that has found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// Index of the run it belongs to.
    pub run: usize,
    /// Its first sample, counted at 8 kHz from the start of the recording.
    pub at: i64,
    /// How its octets are to be read.
    pub law: Law,
    /// One octet for each sample.
    pub payload: &'a [u8],
}

/// Where audio goes that has found its place.
pub type Sink<'a> = dyn FnMut(Placement<'_>) + 'a;

/// What was counted in a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Packets, duplicates not counted.
    pub(crate) packets: u64,
    /// Octets of them.
    pub(crate) bytes: u64,
    /// Packets that found no place.
    pub(crate) unplaced: u64,
    /// Packets of each law.
    pub(crate) mu_law: u64,
    /// See above.
    pub(crate) a_law: u64,
    /// Audio packets that are not rendered.
    pub(crate) unrendered: u64,
    /// Packets of a payload type nobody negotiated.
    pub(crate) unknown_type: u64,
    /// Packets of which a later one brought the audio.
    pub(crate) recovered: u64,
    /// Samples that are not rendered because their packets claim to sound beyond the next one.
    pub(crate) overlapped: u64,
}

impl Totals {
    const fn count_law(&mut self, law: Law) {
        match law {
            Law::Mu => self.mu_law += 1,
            Law::A => self.a_law += 1,
        }
    }
}

/// Follows the records of one track.
pub struct Timeline {
    pub(crate) started: WallTime,
    pub(crate) sources: Vec<Source>,
    pub(crate) runs: Vec<Run>,
    pub(crate) totals: Totals,
    pub(crate) marks: Marks,
    /// Each direction that was answered, with its time.
    pub(crate) directions: Vec<DirectionChange>,
    /// Time of the first record.
    begun: Option<WallTime>,
    pub(crate) overlays: Vec<Overlay>,
    /// Where there is audio that is not rendered, with the number of packets.
    pub(crate) unrendered: Vec<(Span, u64)>,
    /// Codecs that were heard and are not rendered.
    pub(crate) unrendered_codecs: BTreeMap<u8, CodecKind>,
    /// Where telephone-events were.
    pub(crate) event_spans: Vec<Span>,
    pub(crate) header: Option<StreamHeader>,
    pub(crate) counters: Option<Counters>,
    pub(crate) addresses: Vec<SourceAddresses>,
    address_by_number: BTreeMap<u8, SourceAddresses>,
    codecs: PayloadMap,
    /// Index of the source that was heard last.
    current: usize,
    remote: Option<SocketAddr>,
    /// Number of the addresses that the last packet came from.
    heard_number: Option<u8>,
    paused_at: Option<i64>,
    /// Where the last pause ended.
    resumed_at: Option<i64>,
    /// Reports of sources that have not been heard.
    early_reports: Vec<SenderReport>,
    /// Names of such.
    early_names: Vec<(u32, String)>,
    /// Holes that may still be kept.
    room: usize,
}

/// The codec map that a mark or a caller describes.
pub fn payload_map(codecs: &[CodecEntry]) -> PayloadMap {
    let mut map = PayloadMap::new();
    for entry in codecs {
        let payload_type = PayloadType::new(entry.payload_type);
        if let (Some(payload_type), Some(clock_rate)) =
            (payload_type, ClockRate::new(entry.clock_rate))
        {
            let kind = CodecKind::from_name(&entry.name);
            let codec = Codec {
                kind,
                clock_rate,
                channels: entry.channels.max(1),
            };
            // A map that is full keeps what it has: the rest is static, or only kept as packets.
            let _ = map.insert(payload_type, codec);
        }
    }
    map
}

/// Samples at 8 kHz from `started` to `at`; negative where it is before.
pub(crate) fn samples_between(started: WallTime, at: WallTime) -> i64 {
    let ahead = i64::try_from(at.0.saturating_sub(started.0) / NANOS_PER_SAMPLE);
    let behind = i64::try_from(started.0.saturating_sub(at.0).div_ceil(NANOS_PER_SAMPLE));
    ahead.unwrap_or(i64::MAX) - behind.unwrap_or(i64::MAX)
}

/// The wall-clock time of a position.
pub(crate) fn wall_time(started: WallTime, at: i64) -> WallTime {
    let nanos = at.unsigned_abs().saturating_mul(NANOS_PER_SAMPLE);
    WallTime(if at < 0 {
        started.0.saturating_sub(nanos)
    } else {
        started.0.saturating_add(nanos)
    })
}

impl Timeline {
    /// Begins a track of a recording that started at `started`, with the codecs that are
    /// negotiated until a mark says otherwise.
    pub fn new(started: WallTime, codecs: PayloadMap) -> Self {
        Self {
            started,
            sources: Vec::new(),
            runs: Vec::new(),
            totals: Totals::default(),
            marks: Marks::new(started),
            directions: Vec::new(),
            begun: None,
            overlays: Vec::new(),
            unrendered: Vec::new(),
            unrendered_codecs: BTreeMap::new(),
            event_spans: Vec::new(),
            header: None,
            counters: None,
            addresses: Vec::new(),
            address_by_number: BTreeMap::new(),
            codecs,
            current: 0,
            remote: None,
            heard_number: None,
            paused_at: None,
            resumed_at: None,
            early_reports: Vec::new(),
            early_names: Vec::new(),
            room: GAPS_MAX,
        }
    }

    /// Takes the next record.
    pub fn handle_record(&mut self, record: &Record<'_>, sink: &mut Sink<'_>) {
        match record.kind {
            Kind::Packet => self.handle_packet(record, sink),
            Kind::Rtcp => self.handle_rtcp(record),
            Kind::Mark => {
                if let Ok(mark) = TrackMark::decode(record.payload) {
                    self.handle_mark(record.arrival, mark, sink);
                }
            }
            Kind::Source => {
                if let Ok(addresses) = SourceAddresses::decode(record.payload) {
                    self.address_by_number.insert(record.source, addresses);
                    self.heard_number = None;
                    if !self.addresses.contains(&addresses) && self.addresses.len() < SOURCES_MAX {
                        self.addresses.push(addresses);
                    }
                }
            }
            Kind::Header => {
                if let Ok(header) = StreamHeader::decode(record.payload) {
                    self.begun = Some(record.arrival);
                    self.header = Some(header);
                }
            }
            Kind::Counters => {
                if let Ok(counters) = Counters::decode(record.payload) {
                    self.counters = Some(counters);
                }
            }
            Kind::Pad | Kind::End | Kind::Key => {}
        }
    }

    /// The track has no more records; the recording ended at `ended`.
    pub fn handle_end(&mut self, ended: WallTime, sink: &mut Sink<'_>) {
        for index in 0..self.sources.len() {
            self.settle(index, sink);
            self.drop_suspect(index);
            self.flush_events(index);
        }
        if self.paused_at.is_some() {
            self.resume(samples_between(self.started, ended).max(0));
        }
    }

    fn handle_packet(&mut self, record: &Record<'_>, sink: &mut Sink<'_>) {
        if record.flags.contains(Flags::PROTECTED) {
            // Kept for whoever finds the keys.
            self.totals.unplaced += 1;
            return;
        }
        let Ok(packet) = RtpPacket::parse(record.payload) else {
            self.totals.unplaced += 1;
            return;
        };
        let content = self.content(&packet);
        let clock = content.clock();
        let jitter_clock = content.codec.and_then(|codec| codec.jitter_clock());
        // Differences of arrivals are all that is asked of this clock.
        let now = MonoTime(record.arrival.0);
        let ssrc = packet.ssrc().0;
        let Some(index) = self.find(ssrc) else {
            return self.begin_source(record, &packet, &content, sink);
        };
        let source = &mut self.sources[index];
        let verdict =
            source
                .tracker
                .update(now, packet.sequence(), packet.timestamp(), jitter_clock);
        let (Sequenced::Fresh { ext_seq: seq }
        | Sequenced::Late { ext_seq: seq }
        | Sequenced::Suspect { ext_seq: seq }
        | Sequenced::Restart { ext_seq: seq }) = verdict
        else {
            return;
        };
        let Some(ts) = source.ts.nearest(packet.timestamp()) else {
            self.totals.unplaced += 1;
            return;
        };
        let item = Item {
            seq,
            ts,
            arrived_at: samples_between(self.started, record.arrival),
            payload_type: content.payload_type.number(),
            clock,
            sound: content.sound,
            payload: content.payload,
        };
        source.last_seen = source.last_seen.max(record.arrival);
        source.packets += 1;
        self.count(record, content.codec, &item);
        match verdict {
            Sequenced::Fresh { .. } => {
                self.drop_suspect(index);
                self.hear(index, record.source);
                self.take_fresh(index, &item, sink);
            }
            Sequenced::Late { .. } => self.place(index, &item, sink),
            Sequenced::Suspect { .. } => {
                self.drop_suspect(index);
                self.sources[index].suspect = Some(item.hold());
            }
            Sequenced::Restart { .. } => self.restart(index, &item, sink),
            Sequenced::Duplicate { .. } => {}
        }
        if let Some(redundancy) = &content.redundancy {
            self.recover(index, redundancy, &item, sink);
        }
    }

    fn find(&self, ssrc: u32) -> Option<usize> {
        let is_current = self
            .sources
            .get(self.current)
            .is_some_and(|source| source.ssrc == ssrc);
        if is_current {
            return Some(self.current);
        }
        self.sources.iter().position(|source| source.ssrc == ssrc)
    }

    fn count(&mut self, record: &Record<'_>, codec: Option<Codec>, item: &Item<'_>) {
        self.totals.packets += 1;
        self.totals.bytes += record.payload.len() as u64;
        match item.sound {
            Sound::Audio(Some(law), _) => self.totals.count_law(law),
            Sound::Audio(None, _) => {
                self.totals.unrendered += 1;
                let kind = codec.map_or(CodecKind::Other, |codec| codec.kind);
                self.unrendered_codecs.insert(item.payload_type, kind);
            }
            // Redundancy that does not read is kept as it came.
            Sound::Nothing if codec.is_some_and(|it| it.kind == CodecKind::Red) => {
                self.totals.unplaced += 1;
            }
            Sound::Nothing => self.totals.unknown_type += u64::from(codec.is_none()),
            Sound::Quiet | Sound::Event { .. } => {}
        }
    }

    /// The first packet of an SSRC.
    fn begin_source(
        &mut self,
        record: &Record<'_>,
        packet: &RtpPacket<'_>,
        content: &Content<'_>,
        sink: &mut Sink<'_>,
    ) {
        // RFC 6263 §4.1: a payload type nobody negotiated may be a keep-alive; it is no new source.
        let full = self.sources.len() >= SOURCES_MAX || self.runs.len() >= RUNS_MAX;
        if content.sound == Sound::Nothing || full {
            self.totals.unplaced += 1;
            return;
        }
        let clock = content.clock();
        let tracker = SequenceTracker::begin(
            MonoTime(record.arrival.0),
            packet.sequence(),
            packet.timestamp(),
            content.codec.and_then(|codec| codec.jitter_clock()),
        );
        let item = Item {
            seq: tracker.highest(),
            ts: ExtTimestamp::first(packet.timestamp()),
            arrived_at: samples_between(self.started, record.arrival),
            payload_type: content.payload_type.number(),
            clock,
            sound: content.sound,
            payload: content.payload,
        };
        self.count(record, content.codec, &item);
        let from = self.sources.get(self.current).map(|source| source.ssrc);
        let begin = from.map_or(Begin::First, |from| Begin::SsrcChange { from });
        let index = self.sources.len();
        self.sources.push(Source {
            ssrc: packet.ssrc().0,
            tracker,
            run: self.runs.len(),
            first_run: self.runs.len(),
            ts: item.ts,
            arrived_at: item.arrived_at,
            pending: None,
            suspect: None,
            events: None,
            event_clock: clock,
            audio_type: None,
            law: None,
            resumed: false,
            first_seen: record.arrival,
            last_seen: record.arrival,
            packets: 1,
            cname: None,
            delays: Vec::new(),
        });
        self.hear(index, record.source);
        self.begin_run(index, begin, &item, (item.arrived_at, 0));
        self.take_early_reports(index);
        self.place(index, &item, sink);
    }

    /// The source is the one that is heard now.
    fn hear(&mut self, index: usize, address_number: u8) {
        self.current = index;
        if self.heard_number.replace(address_number) == Some(address_number) {
            return;
        }
        if let Some(addresses) = self.address_by_number.get(&address_number) {
            self.note_remote(self.sources[index].last_seen, addresses.remote);
        }
    }

    fn note_remote(&mut self, at: WallTime, remote: SocketAddr) {
        if self
            .remote
            .replace(remote)
            .is_some_and(|before| before != remote)
        {
            self.marks.add_at(at, MarkKind::SourceChange { remote });
        }
    }

    /// Begins a run at a place that is so far behind where it belongs.
    fn begin_run(&mut self, index: usize, begin: Begin, item: &Item<'_>, (at, pushed): (i64, i64)) {
        let source = &mut self.sources[index];
        let mark = match begin {
            Begin::First | Begin::ClockChange => None,
            Begin::SsrcChange { from } => Some(MarkKind::SsrcChange {
                from,
                to: source.ssrc,
            }),
            Begin::Restart => Some(MarkKind::SequenceRestart),
            Begin::Reanchor { ahead } => Some(MarkKind::Reanchored {
                ahead_ms: ahead / 8,
            }),
        };
        if let Some(mark) = mark {
            self.marks.add(at, mark);
        }
        let first = (item.seq, item.ts);
        let mut run = Run::new(index, begin, item.clock, first, at, pushed);
        if matches!(begin, Begin::Reanchor { .. } | Begin::ClockChange) {
            let before = self.runs[source.run].last_seq;
            run.missing_before = item.seq.since(before).saturating_sub(1);
        }
        source.run = self.runs.len();
        self.runs.push(run);
    }
}

/// How far timestamp and arrival may disagree before the timestamp is in doubt: 3 s.
const SKEW_MAX: i64 = 3 * RATE;

const NANOS_PER_SAMPLE: u64 = 125_000;
