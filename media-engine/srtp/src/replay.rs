//! Which packets of a source have been there (RFC 3711 §3.3.2).

use crate::limits::WINDOW;
use crate::transform::SrtpError;

const WORDS: usize = WINDOW as usize / 64;

/// The highest index that was there, and which of those below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// The highest index; meaningful once anything was taken.
    highest: u64,
    /// Bit `n`: the index `n` below the highest.
    seen: [u64; WORDS],
}

/// Octets of a window that is written down.
pub(crate) const STATE_SIZE: usize = 8 + 8 * WORDS;

impl Window {
    /// A window of which one index was taken.
    pub(crate) fn first(index: u64) -> Self {
        let mut seen = [0; WORDS];
        seen[0] = 1;
        Self {
            highest: index,
            seen,
        }
    }

    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether a packet of this index may be taken.
    pub(crate) fn check(&self, index: u64) -> Result<(), SrtpError> {
        let Some(behind) = self.highest.checked_sub(index) else {
            return Ok(());
        };
        if behind >= WINDOW {
            return Err(SrtpError::TooOld);
        }
        let is_seen = self.seen[behind as usize / 64] >> (behind % 64) & 1 != 0;
        if is_seen {
            Err(SrtpError::Replay)
        } else {
            Ok(())
        }
    }

    /// Takes an index that [`Self::check`] let pass.
    pub(crate) fn take(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(ahead) => {
                self.shift(ahead);
                self.highest = index;
                self.seen[0] |= 1;
            }
            None => {
                let behind = self.highest - index;
                if let Some(word) = self.seen.get_mut(behind as usize / 64) {
                    *word |= 1 << (behind % 64);
                }
            }
        }
    }

    fn shift(&mut self, by: u64) {
        if by == 1 {
            // The usual case.
            let mut carry = 0;
            for word in &mut self.seen {
                (*word, carry) = (*word << 1 | carry, *word >> 63);
            }
            return;
        }
        if by >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        let (words, bits) = (by as usize / 64, by % 64);
        for at in (0..WORDS).rev() {
            let low = at.checked_sub(words).map_or(0, |from| self.seen[from]);
            let below = at.checked_sub(words + 1).map_or(0, |from| self.seen[from]);
            self.seen[at] = match bits {
                0 => low,
                _ => low << bits | below >> (64 - bits),
            };
        }
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.highest.to_le_bytes());
        for word in self.seen {
            into.extend(word.to_le_bytes());
        }
    }

    pub(crate) fn decode(bytes: &[u8; STATE_SIZE]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut window = Self::default();
        if let [highest, seen @ ..] = words {
            window.highest = u64::from_le_bytes(*highest);
            for (word, octets) in window.seen.iter_mut().zip(seen) {
                *word = u64::from_le_bytes(*octets);
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A model: all that were ever taken, and the highest of them.
    #[test]
    fn agrees_with_a_set_of_all_that_were_taken() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for _ in 0..200 {
            let start = 100_000 + draw(1_000);
            let mut window = Window::first(start);
            let mut taken = BTreeSet::from([start]);
            for _ in 0..400 {
                let highest = *taken.last().unwrap();
                let reach = [2, 70, 300, 1_000][draw(4) as usize];
                let index = highest + draw(reach) - draw(reach).min(99_000);
                let expected = if index + WINDOW <= highest {
                    Err(SrtpError::TooOld)
                } else if taken.contains(&index) {
                    Err(SrtpError::Replay)
                } else {
                    Ok(())
                };
                assert_eq!(window.check(index), expected, "{index} of {highest}");
                if expected.is_ok() {
                    window.take(index);
                    taken.insert(index);
                }
                let mut bytes = Vec::new();
                window.encode(&mut bytes);
                assert_eq!(Window::decode(&bytes.try_into().unwrap()), window);
            }
        }
    }
}
