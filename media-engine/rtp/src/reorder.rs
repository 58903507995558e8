//! Puts the packets of a track back into the order in which they were sent.
//!
//! It waits for a missing packet as long as its window allows, in packets and in time, then says
//! how many are missing and goes on. What it gives out only rises; what comes too late for that is
//! handed back to the caller, never dropped silently. It holds at most a window of items.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_units::WallTime;

use crate::number::ExtSeq;

/// How long to wait for a missing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReorderWindow {
    /// Numbers between the next one and the highest; at least 1.
    pub packets: u32,
    /// Time between the arrivals of the first that waits and of the last that came.
    pub time: Duration,
}

/// Gives items back in the order of their numbers.
#[derive(Debug)]
pub struct ReorderBuffer<T> {
    window: ReorderWindow,
    /// The number to give next; none before the first, while an earlier one may still come.
    next: Option<ExtSeq>,
    /// Numbers just before `next` that were given up and not yet told of.
    missing: u64,
    waiting: BTreeMap<ExtSeq, (WallTime, T)>,
    latest: WallTime,
    flushing: bool,
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released<T> {
    /// The next item.
    Item {
        /// Its number.
        ext_seq: ExtSeq,
        /// The item.
        item: T,
    },
    /// Numbers that did not come.
    Gap {
        /// The first of them.
        first: ExtSeq,
        /// How many.
        count: u64,
    },
}

/// An item that can't be put in order any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unordered<T> {
    /// Its place has been given out, as an item or in a gap.
    TooLate(T),
    /// Another with its number waits.
    Duplicate(T),
}

impl<T> ReorderBuffer<T> {
    /// An empty buffer.
    pub fn new(window: ReorderWindow) -> Self {
        let window = ReorderWindow {
            packets: window.packets.max(1),
            ..window
        };
        let waiting = BTreeMap::new();
        let latest = WallTime::default();
        Self {
            window,
            next: None,
            missing: 0,
            waiting,
            latest,
            flushing: false,
        }
    }

    /// Takes an item. Call [`ReorderBuffer::pop`] until it gives nothing before the next one; that
    /// keeps the buffer within its window.
    pub fn push(&mut self, ext_seq: ExtSeq, at: WallTime, item: T) -> Result<(), Unordered<T>> {
        if self.next.is_some_and(|next| ext_seq < next) {
            return Err(Unordered::TooLate(item));
        }
        if self.waiting.contains_key(&ext_seq) {
            return Err(Unordered::Duplicate(item));
        }
        self.waiting.insert(ext_seq, (at, item));
        self.latest = self.latest.max(at);
        self.flushing = false;
        Ok(())
    }

    /// The next item or gap, if it need not be waited for. A gap is followed by an item.
    pub fn pop(&mut self) -> Option<Released<T>> {
        let (&first, &(at, _)) = self.waiting.first_key_value()?;
        let (&last, _) = self.waiting.last_key_value()?;
        let next = self.next.unwrap_or(first);
        let out_of_time = self.flushing || self.latest.since(at) >= self.window.time;
        // Numbers below this one have fallen out of the window, whether they came or not.
        let low = last.back(u64::from(self.window.packets - 1));
        if self.next.is_none() && !out_of_time && low <= first {
            return None;
        }
        let next = if out_of_time {
            first
        } else {
            next.max(low.min(first))
        };
        if let Some(before) = self.next {
            self.missing += next.since(before);
        }
        self.next = Some(next);
        if next < first {
            return None;
        }
        if self.missing > 0 {
            let count = std::mem::take(&mut self.missing);
            return Some(Released::Gap {
                first: next.back(count),
                count,
            });
        }
        let (ext_seq, (_, item)) = self.waiting.pop_first()?;
        self.next = Some(ext_seq.forward(1));
        Some(Released::Item { ext_seq, item })
    }

    /// Nothing more will come: what waits is given out by the following [`ReorderBuffer::pop`]s.
    pub fn flush(&mut self) {
        self.flushing = true;
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: ReorderWindow = ReorderWindow {
        packets: 8,
        time: Duration::from_millis(100),
    };

    fn at(ms: u64) -> WallTime {
        WallTime(ms * 1_000_000)
    }

    fn drain(buffer: &mut ReorderBuffer<u64>, out: &mut Vec<Released<u64>>) {
        out.extend(std::iter::from_fn(|| buffer.pop()));
    }

    fn run(arrivals: &[(u64, u64)]) -> Vec<Released<u64>> {
        let (mut buffer, mut out) = (ReorderBuffer::new(WINDOW), Vec::new());
        for (number, ms) in arrivals {
            buffer.push(ExtSeq::new(*number), at(*ms), *number).unwrap();
            drain(&mut buffer, &mut out);
        }
        buffer.flush();
        drain(&mut buffer, &mut out);
        out
    }

    fn item(number: u64) -> Released<u64> {
        Released::Item {
            ext_seq: ExtSeq::new(number),
            item: number,
        }
    }

    fn gap(first: u64, count: u64) -> Released<u64> {
        Released::Gap {
            first: ExtSeq::new(first),
            count,
        }
    }

    #[test]
    fn swapped_packets_come_out_in_order_also_at_the_very_start() {
        let out = run(&[(11, 0), (10, 1), (13, 40), (12, 41), (14, 60)]);
        assert_eq!(out, (10..15).map(item).collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_packet_becomes_a_gap_after_the_window() {
        let mut arrivals: Vec<_> = (0..6).map(|n| (n, n * 20)).collect();
        arrivals.extend((8..20).map(|n| (n, n * 20)));
        let out = run(&arrivals);
        let mut expected: Vec<_> = (0..6).map(item).collect();
        expected.push(gap(6, 2));
        expected.extend((8..20).map(item));
        assert_eq!(out, expected);
    }

    #[test]
    fn a_huge_jump_costs_one_gap_and_no_memory() {
        let out = run(&[(1, 0), (1 << 40, 20), ((1 << 40) + 1, 40)]);
        let far = 1 << 40;
        assert_eq!(out, [item(1), gap(2, far - 2), item(far), item(far + 1)]);
    }

    #[test]
    fn what_comes_after_its_gap_or_twice_is_handed_back() {
        let mut buffer = ReorderBuffer::new(WINDOW);
        let mut out = Vec::new();
        buffer.push(ExtSeq::new(1), at(0), 1).unwrap();
        buffer.push(ExtSeq::new(1), at(0), 7).unwrap_err();
        buffer.push(ExtSeq::new(3), at(200), 3).unwrap();
        drain(&mut buffer, &mut out);
        assert_eq!(out, [item(1)], "2 may still come");
        assert_eq!(
            buffer.push(ExtSeq::new(3), at(201), 3),
            Err(Unordered::Duplicate(3))
        );
        buffer.push(ExtSeq::new(4), at(301), 4).unwrap();
        drain(&mut buffer, &mut out);
        assert_eq!(out, [item(1), gap(2, 1), item(3), item(4)]);
        assert_eq!(
            buffer.push(ExtSeq::new(2), at(302), 2),
            Err(Unordered::TooLate(2))
        );
    }

    /// Against the reference: sort, drop repeats, name what is missing.
    #[test]
    fn random_order_within_the_window_equals_a_sort() {
        let mut random = crate::fuzz::XorShift::new(0x5eed);
        for round in 0..200 {
            let kept = (100..400)
                .filter(|_| random.below(10) > 0)
                .collect::<Vec<u64>>();
            // Nobody is overtaken by a number 7 above its own.
            let mut numbers = kept.clone();
            numbers.sort_by_cached_key(|number| number + random.below(7));
            let (mut buffer, mut out) = (ReorderBuffer::new(WINDOW), Vec::new());
            let mut late = 0;
            for (index, number) in numbers.iter().enumerate() {
                let time = at(index as u64 * 5);
                late += usize::from(buffer.push(ExtSeq::new(*number), time, *number).is_err());
                drain(&mut buffer, &mut out);
                assert!(buffer.len() <= WINDOW.packets as usize);
            }
            buffer.flush();
            drain(&mut buffer, &mut out);
            let mut expected = Vec::new();
            for pair in kept.windows(2) {
                expected.push(item(pair[0]));
                if pair[1] > pair[0] + 1 {
                    expected.push(gap(pair[0] + 1, pair[1] - pair[0] - 1));
                }
            }
            expected.extend(kept.last().copied().map(item));
            assert_eq!((late, out), (0, expected), "round {round}");
        }
    }
}
