//! What a packet holds: by its payload type, or inside of the redundancy that it is wrapped in.

use holdfast_rtp::{ClockRate, Codec, CodecKind, PayloadType, Redundancy, RtpPacket};

use super::run::Length;
use super::source::{Item, Sound};
use super::{RATE, Sink, Timeline};

/// What a packet says.
pub(super) struct Content<'a> {
    pub(super) payload_type: PayloadType,
    pub(super) codec: Option<Codec>,
    pub(super) sound: Sound,
    pub(super) payload: &'a [u8],
    /// What it says again.
    pub(super) redundancy: Option<Redundancy<'a>>,
}

impl Content<'_> {
    /// The clock of its timestamp.
    pub(super) fn clock(&self) -> ClockRate {
        self.codec
            .map_or(ClockRate::TELEPHONY, |codec| codec.clock_rate)
    }
}

impl Timeline {
    /// What a payload type stands for now.
    fn codec(&self, payload_type: PayloadType) -> Option<Codec> {
        let negotiated = self.codecs.codec(payload_type).copied();
        negotiated.or_else(|| Codec::from_static(payload_type))
    }

    /// What a packet says: of a redundant one its primary block (RFC 2198 §3).
    pub(super) fn content<'a>(&self, packet: &RtpPacket<'a>) -> Content<'a> {
        let mut content = Content {
            payload_type: packet.payload_type(),
            codec: self.codec(packet.payload_type()),
            sound: Sound::Nothing,
            payload: packet.payload(),
            redundancy: None,
        };
        let is_red = |codec: Option<Codec>| codec.is_some_and(|it| it.kind == CodecKind::Red);
        if is_red(content.codec) {
            let Ok(redundancy) = Redundancy::parse(packet.payload()) else {
                return content;
            };
            (content.payload_type, content.payload) = redundancy.primary();
            content.codec = self.codec(content.payload_type);
            content.redundancy = Some(redundancy);
            if is_red(content.codec) {
                return content;
            }
        }
        content.sound = Sound::of(content.codec.as_ref(), packet.marker(), content.payload);
        content
    }

    /// T-59: puts what a packet says again where it is missing. `item` has been placed.
    pub(super) fn recover(
        &mut self,
        index: usize,
        redundancy: &Redundancy<'_>,
        item: &Item<'_>,
        sink: &mut Sink<'_>,
    ) {
        let source = &self.sources[index];
        if source.pending.is_some() {
            return;
        }
        let run_index = source.run;
        for block in redundancy.earlier() {
            let codec = self.codec(block.payload_type);
            let sound = Sound::of(codec.as_ref(), false, block.payload);
            let (Sound::Audio(Some(law), length), Some(codec)) = (sound, codec) else {
                continue;
            };
            let ticks = i64::from(block.offset) * RATE / i64::from(codec.clock_rate.hertz());
            // What was said while the recording was paused is not for it, said again neither.
            let said_at = item.arrived_at.saturating_sub(ticks);
            let ts = item.ts.back(u64::from(block.offset));
            let run = &mut self.runs[run_index];
            let (Length::Exact(samples), true) = (length, self.resumed_at <= Some(said_at)) else {
                continue;
            };
            let Some(seq) = run.missing_at(ts, samples) else {
                continue;
            };
            let (until, arrived_at, room) = (run.audio_end, item.arrived_at, &mut self.room);
            let Some(placed) = run.fill(seq, Some(ts), Some(length), until, arrived_at, room)
            else {
                continue;
            };
            self.totals.recovered += 1;
            self.totals.count_law(law);
            self.hand_on(run_index, law, &placed, block.payload, sink);
        }
    }
}
