//! What is known of one SSRC of a track while it is read.

use std::collections::VecDeque;

use holdfast_rtp::{
    ClockRate, Codec, CodecKind, EventReceiver, ExtSeq, ExtTimestamp, SequenceTracker,
};
use holdfast_units::WallTime;

use super::duration::ticks;
use super::run::Length;
use super::{Law, RATE};
use crate::limits::PENDING_MAX;

/// What a packet is for the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// Audio; its law where it is rendered.
    Audio(Option<Law>, Length),
    /// Comfort noise: the sender is silent until its next packet (RFC 3389).
    Quiet,
    /// A telephone-event (RFC 4733).
    Event {
        /// The clock of its timestamps.
        clock: ClockRate,
        /// Whether it says that it is the first of its event.
        marker: bool,
    },
    /// A payload type nobody negotiated: it only takes a sequence number.
    Nothing,
}

/// A packet on its way to its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) seq: ExtSeq,
    pub(crate) ts: ExtTimestamp,
    /// The arrival on the recording's timeline.
    pub(crate) arrived_at: i64,
    pub(crate) payload_type: u8,
    pub(crate) clock: ClockRate,
    pub(crate) sound: Sound,
    pub(crate) payload: &'a [u8],
}

/// The same, held back.
#[derive(Clone, Debug)]
pub(crate) struct HeldItem {
    item: Item<'static>,
    payload: Vec<u8>,
}

/// Packets held back until it is clear whether their timestamps are to be believed.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) kind: PendingKind,
    pub(crate) ahead: i64,
    pub(crate) items: VecDeque<HeldItem>,
    bytes: usize,
}

/// What is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingKind {
    /// The timestamps go on but the arrival lags behind: either the network held the packets back
    /// and the rest comes in a burst, or the sender's clock stood still.
    Stall,
    /// The timestamps jumped: either this goes on, or one packet is wrong.
    Jump,
}

/// One SSRC.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) tracker: SequenceTracker,
    /// Its present run.
    pub(crate) run: usize,
    /// Its first run.
    pub(crate) first_run: usize,
    /// The timestamp of its highest packet.
    pub(crate) ts: ExtTimestamp,
    /// Where its highest packet of audio arrived.
    pub(crate) arrived_at: i64,
    pub(crate) pending: Option<Pending>,
    /// A packet far off, which the next one may confirm.
    pub(crate) suspect: Option<HeldItem>,
    pub(crate) events: Option<EventReceiver>,
    pub(crate) event_clock: ClockRate,
    pub(crate) audio_type: Option<u8>,
    /// How its last audio was rendered, if it was.
    pub(crate) law: Option<Law>,
    /// The recording was paused: little disagreement is enough to go by the arrival again.
    pub(crate) resumed: bool,
    pub(crate) first_seen: WallTime,
    pub(crate) last_seen: WallTime,
    pub(crate) packets: u64,
    pub(crate) cname: Option<String>,
    /// By how many samples it lies behind its sender's clock, one for each report.
    pub(crate) delays: Vec<i64>,
}

impl Sound {
    /// How long it sounds; `None` for what takes no time of its own.
    pub(crate) const fn length(self) -> Option<Length> {
        match self {
            Self::Audio(_, length) => Some(length),
            Self::Quiet | Self::Event { .. } | Self::Nothing => None,
        }
    }

    /// Whether its timestamp follows the sending.
    pub(crate) const fn keeps_time(self) -> bool {
        matches!(self, Self::Audio(..) | Self::Quiet)
    }

    /// What a payload is by its codec.
    pub(crate) fn of(codec: Option<&Codec>, marker: bool, payload: &[u8]) -> Self {
        let Some(codec) = codec else {
            return Self::Nothing;
        };
        let law = match codec.kind {
            CodecKind::Pcmu => Some(Law::Mu),
            CodecKind::Pcma => Some(Law::A),
            CodecKind::TelephoneEvent => {
                return Self::Event {
                    clock: codec.clock_rate,
                    marker,
                };
            }
            CodecKind::ComfortNoise => return Self::Quiet,
            _ => None,
        };
        let law = law.filter(|_| codec.clock_rate == ClockRate::TELEPHONY && codec.channels == 1);
        if payload.is_empty() {
            return Self::Nothing;
        }
        let length = ticks(codec, payload).map_or(Length::Unknown, |ticks| {
            Length::Exact(ticks.saturating_mul(RATE) / i64::from(codec.clock_rate.hertz()))
        });
        Self::Audio(law, length)
    }
}

impl Item<'_> {
    /// Its timestamp, if that says where it is: all packets of a telephone-event bear the time of its start.
    pub(crate) fn timestamp(&self) -> Option<ExtTimestamp> {
        self.sound.keeps_time().then_some(self.ts)
    }

    /// Keeps it for later.
    pub(crate) fn hold(&self) -> HeldItem {
        HeldItem {
            item: Item {
                payload: &[],
                ..*self
            },
            payload: self.payload.to_vec(),
        }
    }
}

impl HeldItem {
    /// The packet again.
    pub(crate) fn item(&self) -> Item<'_> {
        Item {
            payload: &self.payload,
            ..self.item
        }
    }
}

impl Pending {
    /// Begins with the packet that raised the doubt.
    pub(crate) fn new(kind: PendingKind, ahead: i64, item: &Item<'_>) -> Self {
        let mut pending = Self {
            kind,
            ahead,
            items: VecDeque::new(),
            bytes: 0,
        };
        pending.push(item);
        pending
    }

    /// Adds a packet.
    pub(crate) fn push(&mut self, item: &Item<'_>) {
        self.bytes += item.payload.len();
        self.items.push_back(item.hold());
    }

    /// Whether no more may be held.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= PENDING_MAX || self.bytes >= PENDING_BYTES_MAX
    }

    /// How long the doubt has lasted, in samples of arrival.
    pub(crate) fn lasted(&self, item: &Item<'_>) -> i64 {
        let since = self
            .items
            .front()
            .map_or(item.arrived_at, |first| first.item.arrived_at);
        item.arrived_at.saturating_sub(since)
    }

    /// Whether `item` goes on as the last packet held does: by timestamp as by arrival.
    pub(crate) fn goes_on(&self, item: &Item<'_>) -> bool {
        let Some(last) = self.items.back().map(|held| held.item) else {
            return false;
        };
        let ticks = i64::from(item.ts.wire().ticks_since(last.ts.wire()));
        let step = ticks.saturating_mul(RATE) / i64::from(item.clock.hertz());
        let arrival_step = item.arrived_at.saturating_sub(last.arrived_at);
        step >= 0 && step.saturating_sub(arrival_step).abs() < RATE
    }
}

/// A held packet is rarely longer than 2 KiB.
const PENDING_BYTES_MAX: usize = PENDING_MAX * 2_048;
