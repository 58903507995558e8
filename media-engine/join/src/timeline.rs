//! Which part each channel is heard from at each moment.
//!
//! ```text
//!   part 1   |======================|            recorded from … to
//!   part 2                      |=======__====|  (__ lost there)
//!   channel   1111111111111111111 2222222 1 …     the later one, from its first packet on
//! ```
//!
//! The later part is heard where it has audio, the earlier one where the later has not: each moment
//! once, nothing mixed. What either was told not to record is silent, whatever the other has.

use std::time::Duration;

use holdfast_manifest::{Gap, GapCause, Manifest};
use holdfast_track::wav::SAMPLE_RATE;
use holdfast_units::WallTime;

use crate::parts::Part;

/// Samples from `from` up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What the audio file of a part has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) channels: u16,
    pub(crate) frames: u64,
}

/// A stretch of one channel, of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) span: Span,
    /// Index of the part.
    pub(crate) part: usize,
    /// Channel in its file.
    pub(crate) channel: u16,
}

/// Where everything lies in what is joined.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Where each part begins.
    pub(crate) offsets: Vec<u64>,
    /// For each part, which channel each of its own is.
    pub(crate) channels: Vec<Vec<u16>>,
    /// For each channel, its pieces in order.
    pub(crate) pieces: Vec<Vec<Piece>>,
    /// Samples of each channel.
    pub(crate) frames: u64,
}

impl Timeline {
    /// Of parts in the order in which they began.
    pub(crate) fn new(parts: &[Part], sources: &[Source]) -> Self {
        let manifests: Vec<&Manifest> = parts.iter().map(|part| &part.manifest).collect();
        Self::of(&manifests, sources)
    }

    fn of(manifests: &[&Manifest], sources: &[Source]) -> Self {
        let sources: Vec<Source> = manifests
            .iter()
            .zip(sources)
            .map(|(manifest, source)| Source {
                frames: source.frames.min(extent(manifest)),
                ..*source
            })
            .collect();
        let sources = sources.as_slice();
        let origin = manifests.first().map_or(WallTime(0), |first| first.started);
        let offsets: Vec<u64> = manifests
            .iter()
            .map(|manifest| samples_since(manifest.started, origin))
            .collect();
        let channels = crate::merge::map_channels(manifests, sources);
        let count = channels.iter().flatten().max().map_or(1, |last| last + 1);
        let ends = manifests.iter().zip(sources).zip(&offsets);
        let frames = ends
            .map(|((manifest, source), offset)| {
                let length = (manifest.duration_ms * RATE / 1_000).min(extent(manifest));
                offset + source.frames.max(length)
            })
            .max();
        let mut timeline = Self {
            offsets,
            channels,
            pieces: Vec::new(),
            frames: frames.unwrap_or_default(),
        };
        timeline.pieces = (0..count)
            .map(|channel| timeline.pieces_of(channel, manifests, sources))
            .collect();
        timeline
    }

    fn pieces_of(&self, wanted: u16, manifests: &[&Manifest], sources: &[Source]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut withheld = Vec::new();
        for (part, manifest) in manifests.iter().enumerate() {
            let Some(own) = self.channels[part].iter().position(|it| *it == wanted) else {
                continue;
            };
            let channel = own as u16;
            let offset = self.offsets[part];
            let whole = Span {
                from: offset,
                to: offset + sources[part].frames,
            };
            withheld.extend(withheld_of(manifest, channel, offset));
            let others: Vec<Span> = pieces.iter().map(|piece| piece.span).collect();
            // Alone it is taken whole. Beside an earlier one, where it has audio.
            let present = present(manifest, channel, whole);
            let mut own_spans = subtract(vec![whole], &others);
            let overlap = subtract(present, &own_spans);
            pieces = cut(pieces, &overlap);
            own_spans.extend(overlap);
            pieces.extend(own_spans.into_iter().map(|span| Piece {
                span,
                part,
                channel,
            }));
        }
        let mut pieces = cut(pieces, &withheld);
        pieces.sort_by_key(|piece| piece.span);
        pieces
    }
}

/// Samples of a part that may hold something: what nobody ended goes on in silence until that was
/// found. The last packet sounds for a while.
fn extent(manifest: &Manifest) -> u64 {
    let until = manifest.recorded_until();
    match until < manifest.ended {
        true => samples_since(until + LAST_PACKET_MAX, manifest.started),
        false => u64::MAX,
    }
}

/// Where a channel of a part has audio: where one of its streams has.
fn present(manifest: &Manifest, channel: u16, whole: Span) -> Vec<Span> {
    let mut missing: Option<Vec<Span>> = None;
    for stream in &manifest.streams {
        if stream.channel != Some(channel) || !stream.rendered {
            continue;
        }
        let gaps: Vec<Span> = gap_spans(&stream.gaps, manifest.started, whole.from).collect();
        missing = Some(match missing {
            None => gaps,
            // Missing is what all of them lack.
            Some(others) => {
                let beside = subtract(vec![whole], &gaps);
                subtract(others, &beside)
            }
        });
    }
    missing.map_or_else(Vec::new, |missing| subtract(vec![whole], &missing))
}

/// What a part was told not to record of a channel.
fn withheld_of(manifest: &Manifest, channel: u16, offset: u64) -> Vec<Span> {
    let started = manifest.started;
    let streams = manifest.streams.iter();
    let gaps = streams
        .filter(|stream| stream.channel == Some(channel))
        .flat_map(|stream| stream.gaps.iter())
        .filter(|gap| gap.cause == GapCause::Paused);
    let pauses = manifest.call.pauses.iter().map(|pause| Span {
        from: offset + samples_since(pause.from, started),
        to: offset + samples_since(pause.to.unwrap_or(manifest.ended), started),
    });
    gaps.map(|gap| gap_span(gap, started, offset))
        .chain(pauses)
        .collect()
}

fn gap_spans(gaps: &[Gap], started: WallTime, offset: u64) -> impl Iterator<Item = Span> {
    gaps.iter().map(move |gap| gap_span(gap, started, offset))
}

fn gap_span(gap: &Gap, started: WallTime, offset: u64) -> Span {
    Span {
        from: offset + samples_since(gap.from, started),
        to: offset + samples_since(gap.to, started),
    }
}

/// To the nearest sample.
fn samples_since(time: WallTime, origin: WallTime) -> u64 {
    let nanos = u128::from(time.0.saturating_sub(origin.0));
    let samples = (nanos * u128::from(RATE) + SECOND / 2) / SECOND;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// What of `spans` is in none of `others`.
fn subtract(spans: Vec<Span>, others: &[Span]) -> Vec<Span> {
    let mut left = spans;
    for other in others.iter().filter(|other| other.from < other.to) {
        left = left
            .into_iter()
            .flat_map(|span| {
                let before = Span {
                    from: span.from,
                    to: span.to.min(other.from),
                };
                let behind = Span {
                    from: span.from.max(other.to),
                    to: span.to,
                };
                [before, behind]
            })
            .filter(|span| span.from < span.to)
            .collect();
    }
    left
}

fn cut(pieces: Vec<Piece>, away: &[Span]) -> Vec<Piece> {
    pieces
        .into_iter()
        .flat_map(|piece| {
            let left = subtract(vec![piece.span], away);
            left.into_iter().map(move |span| Piece { span, ..piece })
        })
        .collect()
}

const RATE: u64 = SAMPLE_RATE as u64;
const SECOND: u128 = 1_000_000_000;
/// From the arrival of a packet until it has sounded, at most.
const LAST_PACKET_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
