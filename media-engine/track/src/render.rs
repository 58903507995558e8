//! From the tracks of a recording to one audio file, bit-exact and in bounded memory.
//!
//! [`plan`] reads the tracks and finds out how long the recording is, which law it keeps, who is heard where
//! and what is missing; [`RenderPlan::write`] puts every octet in its place. Of short recordings the plan keeps
//! the audio itself; the tracks of others are read once more. Where two sources sound in one channel at the same time, the one that began first is heard; the other is
//! heard where the first has been silent for a second, and never in between.

mod kept;
mod window;

use std::collections::BTreeMap;
use std::io::{self, Read};

use holdfast_rtp::PayloadMap;
use holdfast_units::WallTime;

use self::kept::Kept;
use self::window::{Audio, TrackCursor, Window};
use crate::align::align;
use crate::limits::{CHANNELS_MAX, KEPT_SIZE_MAX, OVERHANG_SAMPLES_MAX, TIMELINE_SAMPLES_MAX};
use crate::reader::{ReadTrackError, RecordReader};
use crate::report::{TrackFate, TrackReport};
use crate::timeline::{
    Placement, RATE, Span, Timeline, join, samples_between, subtract, wall_time,
};
use crate::wav::{SAMPLE_RATE, SampleFormat, WavHeader, WriteAt};

/// Opens a track from its beginning; asked once or twice.
pub type OpenTrack<'a> = Box<dyn FnMut() -> io::Result<Box<dyn Read + 'a>> + 'a>;

/// One track of a recording.
pub struct TrackInput<'a> {
    /// The channel it is heard in; none for what only has to be accounted for.
    pub channel: Option<u16>,
    /// The codecs negotiated at its beginning, see [`crate::payload_map`].
    pub codecs: PayloadMap,
    /// Opens it.
    pub open: OpenTrack<'a>,
}

/// When a recording began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingTime {
    /// Its beginning: zero of the timeline.
    pub started: WallTime,
    /// Its end.
    pub ended: WallTime,
}

/// Why a recording was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// More channels than are put into one file.
    #[error("{channels} channels, at most {CHANNELS_MAX} go into one file")]
    TooManyChannels {
        /// How many.
        channels: u32,
    },
    /// The disk.
    #[error("writing the audio")]
    Write(#[from] io::Error),
}

/// How a recording is going to be rendered, and all that is to be said of its tracks.
#[derive(Debug)]
pub struct RenderPlan {
    header: WavHeader,
    whole: Span,
    time: RecordingTime,
    tracks: Vec<TrackPlan>,
    reports: Vec<TrackReport>,
}

#[derive(Debug)]
struct TrackPlan {
    channel: Option<u16>,
    runs: Vec<RunPlan>,
    /// Its audio, where it was kept.
    audio: Option<Kept>,
}

/// What becomes of one run.
#[derive(Clone, Debug, Default)]
struct RunPlan {
    /// Samples by which it is moved: with its track, and so that it begins behind the source it
    /// replaces.
    shift: i64,
    /// Where it is heard, if not everywhere.
    heard: Option<Vec<Span>>,
}

/// Reads all tracks and plans the rendering. A track that can't be read does not keep the others
/// from being rendered: its report says so.
pub fn plan(
    time: RecordingTime,
    channels: u16,
    tracks: &mut [TrackInput<'_>],
) -> Result<RenderPlan, RenderError> {
    plan_within(time, channels, tracks, KEPT_SIZE_MAX)
}

/// The same, keeping at most so many octets of the tracks' audio in all.
pub fn plan_within(
    time: RecordingTime,
    channels: u16,
    tracks: &mut [TrackInput<'_>],
    kept_size_max: usize,
) -> Result<RenderPlan, RenderError> {
    let assigned = tracks.iter().filter_map(|track| track.channel).max();
    let needed = assigned
        .map_or(1, |channel| u32::from(channel) + 1)
        .max(u32::from(channels));
    let channels = u16::try_from(needed)
        .ok()
        .filter(|&channels| channels <= CHANNELS_MAX);
    let Some(channels) = channels else {
        return Err(RenderError::TooManyChannels { channels: needed });
    };
    let mut kept_left = kept_size_max;
    let mut read: Vec<_> = tracks
        .iter_mut()
        .map(|track| read_track(time, track, &mut kept_left))
        .collect();
    let kept: Vec<_> = read.iter_mut().map(|read| read.audio.take()).collect();
    let channel_by_track: Vec<_> = tracks.iter().map(|track| track.channel).collect();
    let (mut plans, hidden) = plan_runs(&read, &channel_by_track);
    let timelines = read.iter().map(|read| &read.timeline);
    let alignments = align(
        &timelines
            .zip(channel_by_track.iter().copied())
            .collect::<Vec<_>>(),
    );
    let shifts: Vec<i64> = alignments
        .iter()
        .map(|it| it.map_or(0, |it| it.shift))
        .collect();
    for (plans, shift) in plans.iter_mut().zip(&shifts) {
        plans.iter_mut().for_each(|plan| plan.move_by(*shift));
    }
    let whole = extent(time, &read, &plans);
    let format = sample_format(&read, &channel_by_track);
    let frames = whole.len().unsigned_abs();
    let header = WavHeader {
        format,
        channels,
        sample_rate: SAMPLE_RATE,
        frames,
    };
    let mut reports = Vec::with_capacity(read.len());
    for (index, read) in read.into_iter().enumerate() {
        let (channel, shift) = (channel_by_track[index], shifts[index]);
        let own_shifts: Vec<_> = plans[index].iter().map(|run| run.shift - shift).collect();
        let fate = TrackFate {
            alignment: alignments[index],
            shifts: &own_shifts,
            hidden_samples: hidden[index],
            whole: whole.moved(-shift),
            channel,
        };
        let mut report = TrackReport::new(read.timeline, &fate);
        report.damage = read.damage;
        report.last_lsn = read.last_lsn;
        if !report.damage.is_empty() {
            report.flags.push("track_damaged".into());
        }
        if let Some(error) = read.error {
            report.flags.push("track_unreadable".into());
            report.not_rendered_reason = Some(describe(&error));
        }
        if report.rendered && format == SampleFormat::Pcm16 {
            report.flags.push("decoded".into());
        }
        reports.push(report);
    }
    let tracks = channel_by_track
        .into_iter()
        .zip(plans)
        .zip(kept)
        .map(|((channel, runs), audio)| TrackPlan {
            channel,
            runs,
            audio,
        })
        .collect();
    Ok(RenderPlan {
        header,
        whole,
        time,
        tracks,
        reports,
    })
}

/// Plans and writes in one go.
pub fn render(
    time: RecordingTime,
    channels: u16,
    tracks: &mut [TrackInput<'_>],
    out: &mut dyn WriteAt,
) -> Result<RenderPlan, RenderError> {
    let plan = plan(time, channels, tracks)?;
    plan.write(tracks, out)?;
    Ok(plan)
}

impl RunPlan {
    fn move_by(&mut self, samples: i64) {
        self.shift += samples;
        for span in self.heard.iter_mut().flatten() {
            *span = span.moved(samples);
        }
    }
}

impl RenderPlan {
    /// The header of the file: its format, channels and length.
    pub const fn header(&self) -> &WavHeader {
        &self.header
    }

    /// Zero of the timeline: when the recording began, or a little earlier where audio did.
    pub fn started(&self) -> WallTime {
        wall_time(self.time.started, self.whole.from)
    }

    /// The end of the timeline: when the recording ended, or a little later where audio did.
    pub fn ended(&self) -> WallTime {
        wall_time(self.time.started, self.whole.to)
    }

    /// Length of the timeline.
    pub const fn duration_ms(&self) -> u64 {
        self.header.frames / (RATE as u64 / 1_000)
    }

    /// Whether any audio is rendered; else the file would be all silence.
    pub fn has_audio(&self) -> bool {
        self.reports.iter().any(|report| report.rendered)
    }

    /// Whether the audio is decoded to linear samples, because both laws are in it.
    pub const fn is_decoded(&self) -> bool {
        matches!(self.header.format, SampleFormat::Pcm16)
    }

    /// What is to be said of each track, in the order they were given.
    pub fn reports(&self) -> &[TrackReport] {
        &self.reports
    }

    /// Writes the file. The tracks are the ones that were planned, unchanged, in the same order.
    pub fn write(
        &self,
        tracks: &mut [TrackInput<'_>],
        out: &mut dyn WriteAt,
    ) -> Result<(), RenderError> {
        out.write_at(0, &self.header.encode())?;
        let mut window = Window::new(self.header, self.whole.from, out);
        let mut cursors = Vec::new();
        for (track, plan) in tracks.iter_mut().zip(&self.tracks) {
            let Some(channel) = plan.channel else {
                continue;
            };
            let audio = match &plan.audio {
                Some(kept) => Audio::Kept(kept.pieces()),
                None => {
                    // What can't be opened any more is silent; the plan has read it, so this is rare.
                    let Ok(input) = (track.open)() else { continue };
                    let timeline = Timeline::new(self.time.started, track.codecs.clone());
                    Audio::read(input, timeline, self.time.ended)
                }
            };
            cursors.push(TrackCursor::new(channel, audio, &plan.runs));
        }
        while !window.is_done() {
            for cursor in &mut cursors {
                cursor.fill(&mut window)?;
            }
            window.slide()?;
        }
        window.finish()?;
        Ok(())
    }
}

/// A track that was read to its end, or as far as it could be.
struct ReadTrack {
    timeline: Timeline,
    damage: Vec<crate::reader::Damage>,
    last_lsn: Option<crate::format::Lsn>,
    error: Option<ReadTrackError>,
    /// What is heard of it, unless that is too much to be kept.
    audio: Option<Kept>,
}

/// Reads a track, and keeps its audio where it has a channel and `kept_left` octets are enough.
fn read_track(time: RecordingTime, track: &mut TrackInput<'_>, kept_left: &mut usize) -> ReadTrack {
    let timeline = Timeline::new(time.started, track.codecs.clone());
    let mut audio = track.channel.map(|_| Kept::default());
    let mut sink = |placement: Placement<'_>| {
        let kept = audio.as_mut().map(|it| it.push(&placement, *kept_left));
        if let Some(Err(_)) = kept {
            audio = None;
        }
    };
    let mut read = ReadTrack {
        timeline,
        damage: Vec::new(),
        last_lsn: None,
        error: None,
        audio: None,
    };
    match (track.open)() {
        Ok(input) => {
            let mut reader = RecordReader::new(input);
            loop {
                match reader.next() {
                    Ok(Some(record)) => {
                        read.last_lsn = Some(record.lsn);
                        read.timeline.handle_record(&record, &mut sink);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        read.error = Some(error);
                        break;
                    }
                }
            }
            read.damage = reader.damage().to_vec();
        }
        Err(error) => read.error = Some(ReadTrackError::Read(error)),
    }
    read.timeline.handle_end(time.ended, &mut sink);
    *kept_left -= audio.as_ref().map_or(0, Kept::size);
    read.audio = audio;
    read
}

fn describe(error: &ReadTrackError) -> String {
    match error {
        ReadTrackError::OtherVersion { .. } => error.to_string(),
        ReadTrackError::Read(source) => format!("{error}: {source}"),
    }
}

/// Decides for each run of each track where it is heard; the answer has also how many samples of
/// each track are not.
fn plan_runs(read: &[ReadTrack], channels: &[Option<u16>]) -> (Vec<Vec<RunPlan>>, Vec<u64>) {
    let mut plans: Vec<_> = read
        .iter()
        .map(|read| vec![RunPlan::default(); read.timeline.runs.len()])
        .collect();
    let mut hidden = vec![0; read.len()];
    // A track without a channel has one of its own: its runs are told apart all the same.
    let mut tracks_by_channel: BTreeMap<(Option<u16>, usize), Vec<usize>> = BTreeMap::new();
    for (track, channel) in channels.iter().enumerate() {
        let alone = if channel.is_some() { 0 } else { track };
        tracks_by_channel
            .entry((*channel, alone))
            .or_default()
            .push(track);
    }
    for tracks in tracks_by_channel.values() {
        let mut order: Vec<_> = tracks
            .iter()
            .flat_map(|&track| {
                let runs = read[track].timeline.runs.iter().enumerate();
                runs.map(move |(run_index, run)| (run.from, track, run_index))
            })
            .collect();
        order.sort_unstable();
        let mut taken: Vec<Span> = Vec::new();
        for (from, track, run_index) in order {
            let run = &read[track].timeline.runs[run_index];
            let plan = &mut plans[track][run_index];
            let end = taken.last().map_or(i64::MIN, |last| last.to);
            if from < end && end.saturating_sub(from) <= HANDOVER_SAMPLES && run.audio_end > end {
                plan.shift = end - from;
            }
            let spans = run
                .spans
                .sorted()
                .into_iter()
                .map(|span| span.moved(plan.shift));
            let spans: Vec<Span> = spans.collect();
            if spans.first().is_none_or(|first| first.from >= end) {
                taken.extend(spans);
                continue;
            }
            let free = spans
                .iter()
                .flat_map(|span| subtract(*span, &taken))
                .collect::<Vec<_>>();
            let length = |spans: &[Span]| spans.iter().map(|span| span.len()).sum::<i64>();
            let lost = length(&spans).saturating_sub(length(&free)).unsigned_abs();
            if lost > 0 {
                hidden[track] += lost;
                plan.heard = Some(free);
            }
            taken.extend(spans);
            taken = join(taken, 0);
        }
    }
    (plans, hidden)
}

/// The whole timeline: from start to end, and what audio reaches beyond.
fn extent(time: RecordingTime, read: &[ReadTrack], plans: &[Vec<RunPlan>]) -> Span {
    let end = samples_between(time.started, time.ended).clamp(0, TIMELINE_SAMPLES_MAX);
    let mut whole = Span { from: 0, to: end };
    for (read, plans) in read.iter().zip(plans) {
        for (run, plan) in read.timeline.runs.iter().zip(plans) {
            whole.from = whole.from.min(run.from.saturating_add(plan.shift));
            whole.to = whole.to.max(run.audio_end.saturating_add(plan.shift));
        }
    }
    whole.from = whole.from.max(-OVERHANG_SAMPLES_MAX);
    whole.to = whole.to.min(end + OVERHANG_SAMPLES_MAX);
    whole
}

/// One law is kept as it is; both together are decoded.
fn sample_format(read: &[ReadTrack], channels: &[Option<u16>]) -> SampleFormat {
    let heard = read
        .iter()
        .zip(channels)
        .filter(|(_, channel)| channel.is_some());
    let totals = heard.map(|(read, _)| read.timeline.totals);
    let (mu_law, a_law) = totals.fold((false, false), |(mu_law, a_law), totals| {
        (mu_law || totals.mu_law > 0, a_law || totals.a_law > 0)
    });
    match (mu_law, a_law) {
        (true, true) => SampleFormat::Pcm16,
        (false, true) => SampleFormat::ALaw,
        (true | false, false) => SampleFormat::MuLaw,
    }
}

/// A source that begins at most so long before the end of the one it replaces begins at that end:
/// 200 ms.
const HANDOVER_SAMPLES: i64 = RATE / 5;
