//! Both parties of a call speak: a packet each 20 ms on an absolute clock, until told otherwise.
//!
//! What was sent when is the truth that a recording is held against, so it is written down by the
//! thread that sends it: [`Talk::finish`] gives a plan for each leg in the words of the load tool.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_load::invite::Codec;
use holdfast_load::media::{DATAGRAM, LegPlan, Packet, PortPair};
use holdfast_load::pattern::{LegKey, stream_start};
use holdfast_load::verify::{CallTruth, LegTruth, Published, check_recording};

use crate::caller::Call;
use crate::system::System;
use crate::wait::wait_until;

/// What the parties do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They speak, and are to be heard.
    Speak = 0,
    /// They are silent: no packets; time goes on.
    Silent = 1,
    /// They speak, and must not be heard.
    Withheld = 2,
    /// They are gone.
    Over = 3,
}

/// A conversation under way.
#[derive(Debug)]
pub struct Talk {
    wanted: Arc<AtomicU8>,
    in_force: Arc<AtomicU8>,
    slot: Arc<AtomicU32>,
    thread: JoinHandle<Vec<LegTruth>>,
}

struct Leg {
    label: String,
    plan: LegPlan,
    ports: Arc<PortPair>,
    target: SocketAddr,
    sequence: u32,
    was_silent: bool,
}

impl Talk {
    /// Begins to speak on every line that has a port.
    pub fn start(call: &Call) -> Self {
        let legs = call
            .offer
            .legs
            .iter()
            .zip(&call.answer.lines)
            .zip(&call.ports)
            .zip(0..)
            .filter_map(|(((offered, answered), ports), leg)| {
                let key = LegKey {
                    call: call.number,
                    leg,
                };
                Some(Leg {
                    label: offered.label.clone(),
                    plan: LegPlan::plain(key, offered.codec, 0),
                    ports: ports.clone(),
                    target: answered.rtp?,
                    sequence: 0,
                    was_silent: true,
                })
            })
            .collect();
        let (wanted, in_force) = (Arc::default(), Arc::default());
        let slot = Arc::default();
        let (asked, told, count) = (
            Arc::clone(&wanted),
            Arc::clone(&in_force),
            Arc::clone(&slot),
        );
        let thread = std::thread::spawn(move || speak(legs, &asked, &told, &count));
        Self {
            wanted,
            in_force,
            slot,
            thread,
        }
    }

    /// Changes what the parties do; in force when this returns.
    pub fn set(&self, mode: Mode) {
        self.wanted.store(mode as u8, Ordering::Release);
        wait_until("the parties take notice", || {
            self.in_force.load(Ordering::Acquire) == mode as u8
        });
    }

    /// The slot that is sent next.
    pub fn slot(&self) -> u32 {
        self.slot.load(Ordering::Acquire)
    }

    /// Ends the conversation: what was said on each line.
    ///
    /// # Panics
    /// When the sending thread did.
    pub fn finish(self) -> Vec<LegTruth> {
        self.wanted.store(Mode::Over as u8, Ordering::Release);
        self.thread.join().expect("the sending thread")
    }
}

/// What a call holds when its parties have said so much.
pub fn truth(call: &Call, legs: Vec<LegTruth>) -> CallTruth {
    CallTruth {
        call_id: call.call_id.clone(),
        legs,
        // Tests say whatever they like of who takes part, and look at it themselves.
        metadata: None,
    }
}

/// Waits for the recording of a call and holds it against what was said: every sample and count.
///
/// # Panics
/// When anything is amiss.
pub fn assert_recorded(system: &System, call: &Call, legs: Vec<LegTruth>) -> Published {
    let published = system.published(&call.call_id);
    let verdict = check_recording(&published, &truth(call, legs));
    assert_eq!(verdict.problems, [""; 0], "{}", call.call_id);
    published
}

/// Speaks for a while: the whole conversation of a call.
pub fn converse(call: &Call, duration: Duration) -> Vec<LegTruth> {
    let talk = Talk::start(call);
    std::thread::sleep(duration);
    talk.finish()
}

fn speak(
    mut legs: Vec<Leg>,
    wanted: &AtomicU8,
    in_force: &AtomicU8,
    count: &AtomicU32,
) -> Vec<LegTruth> {
    let begin = Instant::now();
    for slot in 0.. {
        let due = begin + SLOT * slot;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mode = match wanted.load(Ordering::Acquire) {
            0 => Mode::Speak,
            1 => Mode::Silent,
            2 => Mode::Withheld,
            _ => break,
        };
        for leg in &mut legs {
            leg.step(slot, mode);
        }
        count.store(slot + 1, Ordering::Release);
        // Behind the packets of this slot: who waits for silence has it.
        in_force.store(mode as u8, Ordering::Release);
    }
    legs.into_iter()
        .map(|leg| LegTruth {
            label: leg.label,
            plan: leg.plan,
        })
        .collect()
}

impl Leg {
    fn step(&mut self, slot: u32, mode: Mode) {
        match mode {
            Mode::Silent | Mode::Over => {
                self.was_silent = true;
                return;
            }
            Mode::Withheld => extend(&mut self.plan.withheld, slot),
            Mode::Speak => {}
        }
        // A plan ends with the last packet: silence counts once something follows it.
        for silent in self.plan.slots..slot {
            extend(&mut self.plan.unsent, silent);
        }
        self.plan.slots = slot + 1;
        let packet = Packet {
            slot,
            sequence: self.sequence,
            marker: std::mem::take(&mut self.was_silent),
        };
        self.sequence += 1;
        let mut datagram = [0; DATAGRAM];
        let first = stream_start(self.plan.key);
        let length = self.plan.write(first, packet, &mut datagram);
        let send = || self.ports.rtp.send_to(&datagram[..length], self.target);
        // A datagram that found nobody makes the next one fail in its stead: offer that again.
        let _ = send().or_else(|_| send());
    }
}

fn extend(ranges: &mut Vec<Range<u32>>, slot: u32) {
    match ranges.last_mut() {
        Some(last) if last.end == slot => last.end += 1,
        _ => ranges.push(slot..slot + 1),
    }
}

/// Octets of silence of a law, for comparison.
pub fn is_silent(samples: &[u8], codec: Codec) -> bool {
    samples.iter().all(|&octet| octet == codec.silence())
}

/// Length of a packet.
pub const SLOT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_and_begin_anew() {
        let mut ranges = Vec::new();
        for slot in [3, 4, 5, 9, 11, 12] {
            extend(&mut ranges, slot);
        }
        assert_eq!(ranges, [3..6, 9..10, 11..13]);
    }
}
