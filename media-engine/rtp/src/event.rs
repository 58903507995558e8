//! Telephone-events (RFC 4733): many packets become one digit.
//!
//! ```text
//!   |     event     |E|R|  volume   |          duration             |   one block, or several
//! ```
//!
//! Packets with one timestamp are one event, whatever their number or order (§2.5.2.2); two equal
//! digits in a row differ by timestamp alone. A digit
//! comes out once, when it has ended: by its E bit, by a later event, or because its packets have
//! stopped. It is never taken for audio.

use crate::limits;
use crate::number::{ClockRate, ExtTimestamp};

/// One event that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Its code: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for A to D, 16 for flash, …
    pub event: u8,
    /// When it began.
    pub start: ExtTimestamp,
    /// How long it lasted, in ticks, as far as its packets say.
    pub duration: u64,
    /// Its end was seen; else it was ended by silence or by the next event.
    pub ended: bool,
}

/// Collects the telephone-events of one SSRC.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    clock: ClockRate,
    open: Option<Open>,
    /// The latest that were reported, newest last.
    reported: [Option<(ExtTimestamp, u8)>; limits::EVENTS_REMEMBERED],
}

/// The event that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    event: u8,
    /// When it began.
    start: ExtTimestamp,
    /// When its present segment began: longer events come in several (§2.5.1.3).
    segment: ExtTimestamp,
    /// Of the segment, as of its latest packet.
    duration: u16,
    /// Ticks between its packets, as far as seen.
    interval: u64,
}

/// One block of a payload.
#[derive(Clone, Copy, Debug)]
struct Block {
    event: u8,
    end: bool,
    duration: u16,
}

/// The digits that one input completed, in order.
#[derive(Clone, Debug, Default)]
pub struct Digits {
    digits: [Option<Digit>; limits::EVENTS_PER_PACKET_MAX + 1],
    taken: usize,
    used: usize,
}

impl Digit {
    /// Its symbol on a keypad, if it has one.
    pub const fn symbol(&self) -> Option<char> {
        match self.event {
            digit @ 0..=9 => Some((b'0' + digit) as char),
            10 => Some('*'),
            11 => Some('#'),
            letter @ 12..=15 => Some((b'A' + letter - 12) as char),
            _ => None,
        }
    }
}

impl EventReceiver {
    /// A receiver for events with this clock, which need not be that of the audio.
    pub const fn new(clock: ClockRate) -> Self {
        Self {
            clock,
            open: None,
            reported: [None; limits::EVENTS_REMEMBERED],
        }
    }

    /// Takes the payload of one packet. Damaged tails are ignored.
    pub fn handle_packet(
        &mut self,
        timestamp: ExtTimestamp,
        marker: bool,
        payload: &[u8],
    ) -> Digits {
        let mut digits = Digits::default();
        let mut start = timestamp;
        let blocks = payload.as_chunks::<BLOCK_BYTES>().0;
        for (index, octets) in blocks
            .iter()
            .take(limits::EVENTS_PER_PACKET_MAX)
            .enumerate()
        {
            let block = Block::read(*octets);
            self.handle_block(start, marker && index == 0, block, &mut digits);
            // §2.5.1.5: further blocks follow without a pause.
            start = start.forward(u64::from(block.duration));
        }
        digits
    }

    /// Tells how far the stream has gone on, by the timestamp of any packet: an event whose end was
    /// lost is over when three updates in a row have not come.
    pub fn handle_progress(&mut self, timestamp: ExtTimestamp) -> Option<Digit> {
        let open = self.open?;
        let known_until = open.segment.forward(u64::from(open.duration));
        let patience = MISSED_UPDATES * open.interval;
        if timestamp.since(known_until) < patience {
            None
        } else {
            self.finish(false)
        }
    }

    /// Ends what goes on: no more packets will come, or the recording is paused.
    pub fn flush(&mut self) -> Option<Digit> {
        self.finish(false)
    }

    fn handle_block(
        &mut self,
        start: ExtTimestamp,
        marker: bool,
        block: Block,
        digits: &mut Digits,
    ) {
        // §2.3.5: only of a state does a duration of zero mean something.
        if block.duration == 0 && !STATE_EVENTS.contains(&block.event) {
            return;
        }
        if self.was_reported(start, block.event) {
            return;
        }
        match &mut self.open {
            Some(open) if open.event == block.event && open.segment == start => open.update(block),
            Some(open) if open.goes_on(start, marker, block) => {
                open.segment = start;
                open.duration = 0;
                open.update(block);
            }
            // Late, of an event that was lost before the present one: all that is known of it.
            Some(open) if start < open.start => {
                let duration = u64::from(block.duration);
                let digit = Digit {
                    event: block.event,
                    start,
                    duration,
                    ended: block.end,
                };
                self.remember(start, block.event);
                digits.push(digit);
                return;
            }
            // Late, of an earlier segment of this event.
            Some(open) if open.event == block.event && start < open.segment => return,
            Some(_) | None => {
                digits.extend(self.finish(false));
                let interval = u64::from(self.clock.hertz()) / UPDATES_PER_SECOND;
                let mut open = Open {
                    event: block.event,
                    start,
                    segment: start,
                    duration: 0,
                    interval,
                };
                open.update(block);
                self.open = Some(open);
            }
        }
        if block.end {
            digits.extend(self.finish(true));
        }
    }

    fn finish(&mut self, ended: bool) -> Option<Digit> {
        let open = self.open.take()?;
        self.remember(open.start, open.event);
        if open.segment != open.start {
            // So that the repeated end of its last segment is recognised too.
            self.remember(open.segment, open.event);
        }
        let duration = open.segment.since(open.start) + u64::from(open.duration);
        Some(Digit {
            event: open.event,
            start: open.start,
            duration,
            ended,
        })
    }

    fn was_reported(&self, start: ExtTimestamp, event: u8) -> bool {
        self.reported.contains(&Some((start, event)))
    }

    fn remember(&mut self, start: ExtTimestamp, event: u8) {
        self.reported.rotate_left(1);
        if let Some(last) = self.reported.last_mut() {
            *last = Some((start, event));
        }
    }
}

impl Open {
    fn update(&mut self, block: Block) {
        let step = u64::from(block.duration.saturating_sub(self.duration));
        if self.duration > 0 && step > 0 && !block.end {
            self.interval = self.interval.max(step);
        }
        self.duration = self.duration.max(block.duration);
    }

    /// §2.5.1.3: the segment was full, or ended where the new one begins, and the new one is not
    /// marked as the beginning of an event.
    fn goes_on(&self, start: ExtTimestamp, marker: bool, block: Block) -> bool {
        let elapsed = start.since(self.segment);
        self.event == block.event
            && !marker
            && elapsed > 0
            && (elapsed == SEGMENT_TICKS || elapsed == u64::from(self.duration))
    }
}

impl Block {
    fn read([event, flags, high, low]: [u8; BLOCK_BYTES]) -> Self {
        Self {
            event,
            end: flags & END_BIT != 0,
            duration: u16::from_be_bytes([high, low]),
        }
    }
}

impl Digits {
    fn push(&mut self, digit: Digit) {
        if let Some(slot) = self.digits.get_mut(self.used) {
            *slot = Some(digit);
            self.used += 1;
        }
    }

    fn extend(&mut self, digit: Option<Digit>) {
        if let Some(digit) = digit {
            self.push(digit);
        }
    }
}

impl Iterator for Digits {
    type Item = Digit;

    fn next(&mut self) -> Option<Digit> {
        let digit = self.digits.get(self.taken).copied().flatten()?;
        self.taken += 1;
        Some(digit)
    }
}

const BLOCK_BYTES: usize = 4;
const END_BIT: u8 = 0x80;
/// A segment that is full (§2.5.1.3).
const SEGMENT_TICKS: u64 = 0xffff;
/// Updates that may be missing before an event counts as ended (§2.5.2).
const MISSED_UPDATES: u64 = 3;
/// 50 ms, the recommended interval, until the packets tell theirs.
const UPDATES_PER_SECOND: u64 = 20;
/// The ABCD bits of trunks (RFC 5244): states, which last until another comes.
const STATE_EVENTS: std::ops::RangeInclusive<u8> = 144..=159;

#[cfg(test)]
mod tests;
