//! What a track tells besides audio: telephone-events, RTCP, marks of the engine.

use holdfast_manifest::{Direction, DirectionChange, GapCause, MarkKind};
use holdfast_rtp::rtcp::{Compound, RtcpPacket};
use holdfast_rtp::{ClockRate, Digit, EventReceiver};
use holdfast_units::WallTime;

use super::reports::SenderReport;
use super::source::Item;
use super::{Overlay, RATE, SKEW_MAX, Sink, Span, Timeline, payload_map, samples_between};
use crate::format::{Flags, Record};
use crate::limits::{EARLY_REPORTS_MAX, GAPS_MAX, MARKS_MAX, OVERLAYS_MAX};
use crate::payload::TrackMark;

impl Timeline {
    /// Takes one packet of a telephone-event.
    pub(super) fn take_event(
        &mut self,
        index: usize,
        clock: ClockRate,
        marker: bool,
        item: &Item<'_>,
    ) {
        let source = &mut self.sources[index];
        source.event_clock = clock;
        let events = source
            .events
            .get_or_insert_with(|| EventReceiver::new(clock));
        for digit in events.handle_packet(item.ts, marker, item.payload) {
            self.note_digit(index, digit, Some(item.arrived_at));
        }
    }

    /// Ends a telephone-event that goes on.
    pub(super) fn flush_events(&mut self, index: usize) {
        if let Some(digit) = self.sources[index]
            .events
            .as_mut()
            .and_then(EventReceiver::flush)
        {
            self.note_digit(index, digit, None);
        }
    }

    /// Notes a digit; `arrived_at` is that of its last packet, where it is that which ended it.
    pub(super) fn note_digit(&mut self, index: usize, digit: Digit, arrived_at: Option<i64>) {
        let source = &self.sources[index];
        let hertz = u64::from(source.event_clock.hertz()).max(1);
        let samples = digit.duration.saturating_mul(RATE as u64) / hertz;
        let samples = i64::try_from(samples)
            .unwrap_or(i64::MAX)
            .min(EVENT_SAMPLES_MAX);
        let run = &self.runs[source.run];
        let mut at = run.position(digit.start);
        // Some senders count events by another clock than the audio; then the arrival must do.
        let end = arrived_at.unwrap_or(run.audio_end);
        if at.saturating_add(samples).saturating_sub(end).abs() > SKEW_MAX {
            at = end.saturating_sub(samples);
        }
        let digit_text = digit.symbol().map_or(digit.event.to_string(), String::from);
        let duration_ms = samples.unsigned_abs() / 8;
        self.marks.add(
            at,
            MarkKind::TelephoneEvent {
                digit: digit_text,
                duration_ms,
            },
        );
        if self.event_spans.len() < GAPS_MAX {
            self.event_spans.push(Span {
                from: at,
                to: at.saturating_add(samples),
            });
        }
    }

    /// Takes an RTCP packet: clocks, names and goodbyes of sources.
    pub(super) fn handle_rtcp(&mut self, record: &Record<'_>) {
        if record.flags.contains(Flags::OUTBOUND) || record.flags.contains(Flags::PROTECTED) {
            return;
        }
        let Ok(compound) = Compound::parse(record.payload, true) else {
            return;
        };
        for part in compound {
            match part {
                RtcpPacket::SourceDescription(chunks) => {
                    for (ssrc, cname) in chunks {
                        let Some(cname) = cname else { continue };
                        let cname = String::from_utf8_lossy(cname).into_owned();
                        if let Some(index) = self.find(ssrc.0) {
                            self.sources[index].cname = Some(cname);
                        } else if self.early_names.len() < EARLY_REPORTS_MAX {
                            self.early_names.push((ssrc.0, cname));
                        }
                    }
                }
                RtcpPacket::Goodbye { sources, .. } => {
                    for ssrc in sources.iter() {
                        self.marks
                            .add_at(record.arrival, MarkKind::RtcpBye { ssrc: ssrc.0 });
                    }
                }
                RtcpPacket::SenderReport { ssrc, ntp, rtp, .. } => {
                    self.handle_sender_report(SenderReport {
                        ssrc: ssrc.0,
                        ntp,
                        rtp,
                        arrival: record.arrival,
                    });
                }
                RtcpPacket::ReceiverReport { .. }
                | RtcpPacket::Application { .. }
                | RtcpPacket::Feedback { .. }
                | RtcpPacket::ExtendedReport { .. }
                | RtcpPacket::Unknown { .. } => {}
            }
        }
    }

    /// Takes a mark of the engine.
    pub(super) fn handle_mark(&mut self, at: WallTime, mark: TrackMark, sink: &mut Sink<'_>) {
        let position = |time| samples_between(self.started, time);
        // What the stream begins with is no change.
        let is_change = self.begun != Some(at);
        match mark {
            TrackMark::Pause => {
                let here = position(at);
                self.paused_at.get_or_insert(here);
                for index in 0..self.sources.len() {
                    self.settle(index, sink);
                    self.flush_events(index);
                }
                self.marks.add_at(at, MarkKind::Pause);
            }
            TrackMark::Resume => {
                self.resume(position(at));
                self.marks.add_at(at, MarkKind::Resume);
            }
            TrackMark::Codecs(codecs) => {
                self.codecs = payload_map(&codecs);
                if is_change {
                    self.marks.add_at(at, MarkKind::CodecsChange);
                }
            }
            TrackMark::Label(label) => {
                if is_change {
                    self.marks.add_at(at, MarkKind::LabelChange { label });
                }
            }
            TrackMark::Direction(direction) => {
                if self.directions.len() < MARKS_MAX {
                    self.directions.push(DirectionChange { at, direction });
                }
                if is_change {
                    self.marks
                        .add_at(at, MarkKind::DirectionChange { direction });
                } else if direction == Direction::Inactive {
                    // It begins paused: nothing is to come until it goes on.
                    self.paused_at.get_or_insert(position(at));
                }
            }
            TrackMark::EngineRestart => self.marks.add_at(at, MarkKind::EngineRestart),
            TrackMark::Outage { from, to } => {
                let span = Span {
                    from: position(from),
                    to: position(to),
                };
                self.lay_over(span, GapCause::Outage);
                let duration_ms = span.len().unsigned_abs() / 8;
                self.marks.add_at(from, MarkKind::Outage { duration_ms });
            }
            TrackMark::Dropped { from, to, packets } => {
                let span = Span {
                    from: position(from),
                    to: position(to),
                };
                self.lay_over(span, GapCause::Dropped);
                self.marks.add_at(from, MarkKind::Dropped { packets });
            }
            TrackMark::RingOverflow { from, to, packets } => {
                let span = Span {
                    from: position(from),
                    to: position(to),
                };
                self.lay_over(span, GapCause::Dropped);
                let duration_ms = span.len().unsigned_abs() / 8;
                self.marks.add_at(
                    from,
                    MarkKind::RingOverflow {
                        duration_ms,
                        packets,
                    },
                );
            }
            TrackMark::SourceChange { remote } => self.note_remote(at, remote),
        }
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self, at: i64) {
        let Some(from) = self.paused_at.take() else {
            return;
        };
        self.resumed_at = Some(at);
        self.lay_over(Span { from, to: at }, GapCause::Paused);
        for source in &mut self.sources {
            source.resumed = true;
        }
    }

    fn lay_over(&mut self, span: Span, cause: GapCause) {
        if self.overlays.len() < OVERLAYS_MAX {
            self.overlays.push(Overlay { span, cause });
        }
    }
}

/// Longest telephone-event that is believed: 10 minutes.
const EVENT_SAMPLES_MAX: i64 = 600 * RATE;
