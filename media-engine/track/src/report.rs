//! What a track turned out to hold, in the words of the manifest.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_manifest::{
    Aligned, DirectionChange, Gap, GapCause, JitterMs, Mark, SsrcSeen, Stream,
};

use crate::align::Alignment;
use crate::format::Lsn;
use crate::limits::SOURCES_MAX;
use crate::payload::{Counters, SourceAddresses, StreamHeader};
use crate::reader::Damage;
use crate::timeline::gaps::{GapInput, assemble};
use crate::timeline::{Span, Timeline, Totals, wall_time};

/// What a track holds, and what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackReport {
    /// Who the stream is, if its header reads.
    pub header: Option<StreamHeader>,
    /// The last counters that were written.
    pub counters: Option<Counters>,
    /// Between which addresses packets travelled.
    pub addresses: Vec<SourceAddresses>,
    /// Sources that were heard, in the order of their first packets.
    pub ssrcs: Vec<SsrcSeen>,
    /// RTP packets, duplicates not counted.
    pub packets: u64,
    /// Octets of them.
    pub bytes: u64,
    /// Sequence numbers that never came while the stream was to be recorded.
    pub lost: u64,
    /// Sequence numbers missing where the recorder could not keep what came.
    pub dropped: u64,
    /// Packets that did not come, or not in time, of which a later one brought the audio.
    pub recovered: u64,
    /// Samples that are not rendered because their packets claim to sound beyond the next one.
    pub overlapped_samples: u64,
    /// Packets that came after a later one.
    pub late: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets that found no place on the timeline.
    pub unplaced: u64,
    /// Jitter of the source that was heard last, and the highest of all.
    pub jitter_ms: JitterMs,
    /// What is missing, in order of time.
    pub gaps: Vec<Gap>,
    /// Gaps that are not listed.
    pub gaps_omitted: u64,
    /// What happened, in order of time.
    pub marks: Vec<Mark>,
    /// Each direction that was answered.
    pub directions: Vec<DirectionChange>,
    /// Marks that are not listed.
    pub marks_omitted: u64,
    /// How it was aligned with the other tracks; none: it lies where it arrived.
    pub aligned: Option<Aligned>,
    /// Channel it is heard in, if it is.
    pub channel: Option<u16>,
    /// Whether audio of it was rendered.
    pub rendered: bool,
    /// Why not, or why not all of it.
    pub not_rendered_reason: Option<String>,
    /// Samples that were not rendered because an earlier source sounds at the same time.
    pub hidden_samples: u64,
    /// What a reader should know at a glance.
    pub flags: Vec<String>,
    /// Damaged places of the file, the first of them.
    pub damage: Vec<Damage>,
    /// Log sequence number of the last record.
    pub last_lsn: Option<Lsn>,
}

/// What the plan of the rendering says of one track.
pub(crate) struct TrackFate<'a> {
    /// How it was moved as a whole.
    pub(crate) alignment: Option<Alignment>,
    /// By how much each run was moved within it.
    pub(crate) shifts: &'a [i64],
    /// Samples hidden by other sources.
    pub(crate) hidden_samples: u64,
    /// The whole recording, in positions of the track before it was moved.
    pub(crate) whole: Span,
    /// Where it is rendered.
    pub(crate) channel: Option<u16>,
}

impl TrackReport {
    /// Makes the report of a track that was read to its end.
    pub(crate) fn new(timeline: Timeline, fate: &TrackFate<'_>) -> Self {
        let totals = timeline.totals;
        let rendered = fate.channel.is_some() && totals.mu_law + totals.a_law > 0;
        let list = assemble(&GapInput {
            runs: &timeline.runs,
            shifts: fate.shifts,
            whole: fate.whole,
            overlays: &timeline.overlays,
            events: &timeline.event_spans,
            unrendered: &timeline.unrendered,
        });
        let mut report = Self {
            packets: totals.packets,
            bytes: totals.bytes,
            lost: list.lost,
            dropped: list.dropped,
            recovered: totals.recovered,
            overlapped_samples: totals.overlapped,
            unplaced: totals.unplaced,
            gaps_omitted: list.omitted,
            aligned: fate.alignment.map(Alignment::described),
            channel: fate.channel,
            rendered,
            not_rendered_reason: not_rendered_reason(&timeline, fate.channel),
            hidden_samples: fate.hidden_samples,
            ..Self::default()
        };
        let (started, origin) = (timeline.started, fate.whole.from);
        let shift = fate.alignment.map_or(0, |it| it.shift);
        let ms = |at: i64| at.saturating_sub(origin).max(0).unsigned_abs() / 8;
        report.gaps = list
            .gaps
            .iter()
            .map(|gap| Gap {
                from_ms: ms(gap.span.from),
                to_ms: ms(gap.span.to),
                from: wall_time(started, gap.span.from + shift),
                to: wall_time(started, gap.span.to + shift),
                cause: gap.cause,
                packets: gap.packets,
            })
            .collect();
        report.count_sources(&timeline);
        report.raise_flags(&timeline, totals);
        (report.marks, report.marks_omitted) = timeline.marks.into_list(origin, shift);
        report.directions = timeline.directions;
        report.header = timeline.header;
        report.counters = timeline.counters;
        report.addresses = timeline.addresses;
        report
    }

    fn count_sources(&mut self, timeline: &Timeline) {
        for source in &timeline.sources {
            let statistics = source.tracker.statistics();
            self.late += statistics.late;
            self.duplicate += statistics.duplicates;
            let hertz = f64::from(timeline.runs[source.run].clock().hertz());
            let jitter_ms = |ticks: u32| f64::from(ticks) * 1_000.0 / hertz;
            self.jitter_ms.last = jitter_ms(statistics.jitter);
            self.jitter_ms.max = self.jitter_ms.max.max(jitter_ms(statistics.jitter_max));
            self.ssrcs.push(SsrcSeen {
                ssrc: source.ssrc,
                cname: source.cname.clone(),
                first_seen: source.first_seen,
                last_seen: source.last_seen,
                packets: source.packets,
            });
        }
    }

    fn raise_flags(&mut self, timeline: &Timeline, totals: Totals) {
        let overlaps: u64 = timeline.runs.iter().map(|run| run.overlaps).sum();
        for (flag, raised) in [
            ("simultaneous_sources", self.hidden_samples > 0),
            ("timestamp_overlap", overlaps > 0 || totals.overlapped > 0),
            ("packets_dropped", self.dropped > 0),
            ("unknown_payload_type", totals.unknown_type > 0),
            ("sources_limit", timeline.sources.len() >= SOURCES_MAX),
            ("mixed_laws", totals.mu_law > 0 && totals.a_law > 0),
        ] {
            if raised {
                self.flags.push(flag.into());
            }
        }
    }

    /// The gaps for one cause.
    pub fn gaps_by_cause(&self, cause: GapCause) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(move |gap| gap.cause == cause)
    }

    /// Writes what is known into the manifest's entry of the stream. What the receiver counted and
    /// left out of the track (duplicates, refusals, drops) is added to what the track shows.
    pub fn fill(&self, stream: &mut Stream) {
        let counters = self.counters.clone().unwrap_or_default();
        stream.packets = self.packets;
        stream.bytes = self.bytes;
        stream.lost = self.lost;
        stream.dropped = self.dropped;
        stream.recovered = self.recovered;
        stream.overlapped_ms = self.overlapped_samples.div_ceil(8);
        stream.late = self.late;
        stream.duplicate = self.duplicate.saturating_add(counters.duplicates);
        stream.unplaced = self.unplaced;
        stream.refused = counters.refused;
        stream.kernel_drops = counters.kernel_drops;
        stream.jitter_ms = self.jitter_ms;
        stream.ssrcs = self.ssrcs.clone();
        stream.gaps = self.gaps.clone();
        stream.gaps_omitted = self.gaps_omitted;
        stream.marks = self.marks.clone();
        stream.directions = self.directions.clone();
        stream.marks_omitted = self.marks_omitted;
        stream.aligned = self.aligned;
        stream.channel = self.channel;
        stream.rendered = self.rendered;
        stream.not_rendered_reason = self.not_rendered_reason.clone();
        for addresses in &self.addresses {
            add_new(&mut stream.remote, addresses.remote);
            add_new(&mut stream.local, addresses.local);
        }
        for flag in &self.flags {
            if !stream.flags.contains(flag) {
                stream.flags.push(flag.clone());
            }
        }
    }
}

fn add_new(list: &mut Vec<SocketAddr>, address: SocketAddr) {
    if !list.contains(&address) {
        list.push(address);
    }
}

fn not_rendered_reason(timeline: &Timeline, channel: Option<u16>) -> Option<String> {
    let totals = timeline.totals;
    let rendered = totals.mu_law + totals.a_law;
    if channel.is_none() && rendered > 0 {
        return Some("no channel is assigned".into());
    }
    if totals.unrendered == 0 {
        let silent = rendered == 0;
        return silent.then(|| "no audio was received".into());
    }
    let mut names: BTreeMap<String, ()> = BTreeMap::new();
    for (payload_type, kind) in &timeline.unrendered_codecs {
        let name = kind
            .name()
            .map_or_else(|| format!("payload type {payload_type}"), String::from);
        names.insert(name, ());
    }
    let names = names.into_keys().collect::<Vec<_>>().join(", ");
    let count = totals.unrendered;
    Some(format!(
        "{count} packets are kept in the track, not rendered: {names}"
    ))
}
