//! How the parties of a call behave: when they are silent, and which keys they press.

use std::ops::Range;

use crate::pattern::{self, LegKey, PACKET_SAMPLES};

/// A key that is pressed (RFC 4733): while it is held, telephone-events are sent in the place of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPress {
    /// The event code, 0 to 15: 0 to 9, `*`, `#`, A to D (RFC 4733 section 3.2).
    pub event: u8,
    /// The slot in which it begins.
    pub from: u32,
    /// The slots for which it is held, at least 1.
    pub slots: u32,
}

impl KeyPress {
    /// The slots without audio.
    pub const fn span(&self) -> Range<u32> {
        self.from..self.from + self.slots
    }

    /// The slots behind it in which its final packet is sent again, beside the audio: RFC 4733 section
    /// 2.5.1.4 wants it "a total of three times at the interval used by the source for updates".
    pub const fn repeats(&self) -> Range<u32> {
        self.from + self.slots..self.from + self.slots + 2
    }

    /// What is written on the key.
    pub fn digit(&self) -> char {
        DIGITS.get(usize::from(self.event)).copied().unwrap_or('?')
    }

    /// Ticks of 8,000 Hz for which it was held at the end of `slot`.
    pub const fn held(&self, slot: u32) -> u32 {
        (slot + 1 - self.from) * PACKET_SAMPLES as u32
    }

    /// The payload of its packet in `slot` (RFC 4733 section 2.3).
    pub fn payload(&self, slot: u32) -> [u8; 4] {
        let is_end = slot + 1 >= self.from + self.slots;
        let [high, low] = (self.held(slot) as u16).to_be_bytes();
        [self.event, if is_end { END } else { 0 } | VOLUME, high, low]
    }
}

/// The silences of a party that speaks in spurts of 1.5 s and is silent for 1 s, both on average and
/// exponentially distributed. The first slots and the last one are not among them.
pub fn silences(key: LegKey, slots: u32, seed: u64) -> Vec<Range<u32>> {
    let mut silences = Vec::new();
    let mut at = 0;
    for number in 0.. {
        let length = |salt, mean| {
            let slots = pattern::exponential(key, number, seed ^ salt, mean);
            (slots as u32).max(LENGTH_MIN)
        };
        let from = at + length(SPURT, SPURT_SLOTS);
        let to = from + length(SILENCE, SILENCE_SLOTS);
        if to + 1 > slots {
            break;
        }
        silences.push(from..to);
        at = to;
    }
    silences
}

/// The keys that a party presses now and then, every 2 s on average and only while it is not in one of
/// these silences.
pub fn key_presses(key: LegKey, slots: u32, silences: &[Range<u32>], seed: u64) -> Vec<KeyPress> {
    let mut presses = Vec::new();
    let mut at = LENGTH_MIN;
    for number in 0.. {
        let pause = pattern::exponential(key, number, seed ^ PRESS, PRESS_SLOTS) as u32;
        let dice = pattern::dice(key, number, seed ^ PRESS);
        let press = KeyPress {
            event: (dice % DIGITS.len() as u32) as u8,
            from: at + pause.max(LENGTH_MIN),
            slots: 3 + dice / 16 % 6,
        };
        // What comes behind it belongs to it, and a packet of audio is before it and behind.
        let taken = press.from - 1..press.repeats().end + 1;
        if taken.end >= slots {
            break;
        }
        at = taken.end;
        let is_apart =
            |silence: &Range<u32>| silence.end <= taken.start || silence.start >= taken.end;
        if silences.iter().all(is_apart) {
            presses.push(press);
        }
    }
    presses
}

/// By event code.
const DIGITS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

/// The E bit (RFC 4733 section 2.3.2).
const END: u8 = 0x80;

/// -10 dBm0 (RFC 4733 section 2.3.4).
const VOLUME: u8 = 10;

/// Mean lengths in slots of 20 ms.
const SPURT_SLOTS: f64 = 75.0;
const SILENCE_SLOTS: f64 = 50.0;
const PRESS_SLOTS: f64 = 100.0;

/// No spurt, silence or pause between keys is shorter, in slots: the packets by which a recorder learns
/// the source are there, and a silence is longer than jitter.
const LENGTH_MIN: u32 = 6;

/// Make different dice of one seed.
const SPURT: u64 = 0x7370_7572_7400;
const SILENCE: u64 = 0x7369_6c65_6e00;
const PRESS: u64 = 0x7072_6573_7300;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LegKey = LegKey { call: 4, leg: 1 };

    #[test]
    fn spurts_and_silences_take_turns_and_have_their_means() {
        let slots = 100_000;
        let silences = silences(KEY, slots, 9);
        assert!(silences[0].start >= LENGTH_MIN);
        for pair in silences.windows(2) {
            assert!(pair[0].end + LENGTH_MIN <= pair[1].start, "{pair:?}");
        }
        assert!(silences.iter().all(|it| it.len() >= LENGTH_MIN as usize));
        assert!(
            silences.last().unwrap().end < slots,
            "the last slot is sent"
        );
        let silent: usize = silences.iter().map(ExactSizeIterator::len).sum();
        // 1 s of 2.5 s.
        assert!((37_000..43_000).contains(&silent), "{silent}");
        assert!((720..880).contains(&silences.len()), "{}", silences.len());
    }

    #[test]
    fn keys_are_pressed_while_the_party_speaks_and_none_twice_at_once() {
        let silences = silences(KEY, 30_000, 9);
        let presses = key_presses(KEY, 30_000, &silences, 9);
        assert!(presses.len() > 50, "{}", presses.len());
        for pair in presses.windows(2) {
            assert!(pair[0].repeats().end < pair[1].from, "{pair:?}");
        }
        for press in &presses {
            let taken = press.from - 1..press.repeats().end + 1;
            let is_apart = |it: &Range<u32>| it.end <= taken.start || taken.end <= it.start;
            assert!(silences.iter().all(is_apart), "{press:?}");
        }
        let digits: std::collections::BTreeSet<_> = presses.iter().map(KeyPress::digit).collect();
        assert_eq!(digits.len(), 16);
        assert_eq!(key_presses(KEY, 10, &[], 9), []);
    }

    #[test]
    fn a_key_s_packets_say_how_long_it_is_held_and_the_last_one_that_it_ends() {
        let press = KeyPress {
            event: 11,
            from: 40,
            slots: 3,
        };
        let payloads: Vec<_> = press.span().map(|slot| press.payload(slot)).collect();
        let expected = [[11, 10, 0, 160], [11, 10, 1, 64], [11, 0x8a, 1, 224]];
        assert_eq!(payloads, expected);
        assert_eq!((press.digit(), press.repeats()), ('#', 43..45));
    }
}
