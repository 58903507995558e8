//! Nonces that need no memory until somebody has used one rightly (RFC 7616 §3.3).
//!
//! ```text
//!   48 hexadecimal digits each: | issued at, ms | number | cut HMAC-SHA-256 of both |
//!                                 8 octets        8        16
//! ```
//!
//! The number makes each nonce another one; what is remembered of a used one is which counts of it
//! have been seen. That is bounded: the oldest are forgotten, and are then no good any more.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use holdfast_units::MonoTime;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::algorithm::hex;

/// Makes nonces and knows them again.
#[derive(Clone)]
pub(super) struct Nonces {
    secret: [u8; 32],
    lifetime: Duration,
    issued: u64,
    /// By number. Numbers grow with time, so the first is the oldest.
    used: BTreeMap<u64, Used>,
    /// Numbers up to here are forgotten.
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Used {
    expires: MonoTime,
    /// The highest count seen.
    highest: u32,
    /// Of the counts below it, which have been seen: bit 0 is the highest itself.
    window: u64,
}

/// A nonce that is ours and good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    number: u64,
    expires: MonoTime,
}

impl Nonces {
    pub(super) const fn new(secret: [u8; 32], lifetime: Duration) -> Self {
        Self {
            secret,
            lifetime,
            issued: 0,
            used: BTreeMap::new(),
            forgotten: 0,
        }
    }

    pub(super) fn issue(&mut self, now: MonoTime) -> String {
        self.issued += 1;
        let open = open_part(now, self.issued);
        format!("{}{}", hex(&open), hex(&self.seal(&open)))
    }

    /// `None` for one that is not ours, too old, or forgotten.
    pub(super) fn recognise(&self, now: MonoTime, text: &str) -> Option<Nonce> {
        let octets = unhex::<32>(text)?;
        let (open, seal) = octets.split_at_checked(16)?;
        if !bool::from(self.seal(open).ct_eq(seal)) {
            return None;
        }
        let (at, number) = open.split_at_checked(8)?;
        let at = u64::from_be_bytes(at.try_into().ok()?);
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let issued = MonoTime::ZERO + Duration::from_millis(at);
        let expires = issued + self.lifetime;
        (now < expires && number > self.forgotten).then_some(Nonce { number, expires })
    }

    /// Notes that a count of a nonce was used, rightly; `false` where it had been before, or may
    /// have been.
    pub(super) fn take(&mut self, now: MonoTime, nonce: Nonce, count: u32) -> bool {
        self.forget(now);
        let used = self.used.entry(nonce.number).or_insert(Used {
            expires: nonce.expires,
            highest: 0,
            window: 0,
        });
        if count > used.highest {
            let step = count - used.highest;
            used.window = used.window.checked_shl(step).unwrap_or(0) | 1;
            used.highest = count;
            return true;
        }
        let behind = used.highest - count;
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        if count == 0 || bit == 0 || used.window & bit != 0 {
            return false;
        }
        used.window |= bit;
        true
    }

    /// Forgets what has expired and, where all the room is taken, the oldest.
    fn forget(&mut self, now: MonoTime) {
        while let Some(oldest) = self.used.first_entry() {
            if oldest.get().expires > now && self.used.len() < USED_MAX {
                return;
            }
            if let Some((number, _)) = self.used.pop_first() {
                self.forgotten = number;
            }
        }
    }

    fn seal(&self, open: &[u8]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key of any length");
        mac.update(open);
        let full = mac.finalize().into_bytes();
        std::array::from_fn(|index| full[index])
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces")
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

fn open_part(now: MonoTime, number: u64) -> [u8; 16] {
    let mut open = [0; 16];
    let at = now.0 / NANOS_PER_MILLI;
    open[..8].copy_from_slice(&at.to_be_bytes());
    open[8..].copy_from_slice(&number.to_be_bytes());
    open
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *octet = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(octets)
}

/// Used nonces that are remembered: each is a client that has authenticated within the lifetime.
const USED_MAX: usize = 65_536;

const NANOS_PER_MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn each_count_is_good_once_in_whatever_order() {
        let mut nonces = Nonces::new([7; 32], LIFETIME);
        let text = nonces.issue(at(1));
        let nonce = nonces.recognise(at(2), &text).expect("ours");
        for (count, is_new) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (0, false),
            (70, true),
            (6, false),
            (7, true),
            (7, false),
            (u32::MAX, true),
            (70, false),
            (u32::MAX, false),
        ] {
            assert_eq!(nonces.take(at(2), nonce, count), is_new, "count {count}");
        }
    }

    #[test]
    fn a_nonce_is_ours_whole_and_young() {
        let mut nonces = Nonces::new([7; 32], LIFETIME);
        let text = nonces.issue(at(1));
        assert_eq!(text.len(), 64);
        assert!(nonces.recognise(at(60), &text).is_some());
        assert!(nonces.recognise(at(61), &text).is_none(), "too old");
        let other = Nonces::new([8; 32], LIFETIME);
        assert!(other.recognise(at(2), &text).is_none(), "another's");
        for at_digit in 0..text.len() {
            let mut octets = text.clone().into_bytes();
            octets[at_digit] = if octets[at_digit] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(octets).expect("digits");
            assert!(nonces.recognise(at(2), &forged).is_none(), "{at_digit}");
        }
        assert!(nonces.recognise(at(2), &text[1..]).is_none());
        assert!(nonces.recognise(at(2), "").is_none());
        assert_ne!(nonces.issue(at(1)), text, "never the same");
    }

    #[test]
    fn what_is_forgotten_is_not_taken_again() {
        let mut nonces = Nonces::new([7; 32], LIFETIME);
        let first = nonces.issue(at(1));
        let nonce = nonces.recognise(at(1), &first).expect("ours");
        assert!(nonces.take(at(1), nonce, 1));
        for _ in 0..USED_MAX {
            let text = nonces.issue(at(2));
            let nonce = nonces.recognise(at(2), &text).expect("ours");
            assert!(nonces.take(at(2), nonce, 1));
        }
        assert!(nonces.used.len() <= USED_MAX);
        assert!(nonces.recognise(at(2), &first).is_none());
    }
}
