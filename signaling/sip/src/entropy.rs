//! Chance, as an argument: a run is a function of its seed.

use std::fmt::Write as _;

/// A source of random octets. The shell passes the operating system's, a test a seeded one.
///
/// Tags and branches are made from it, so a guessable source lets strangers forge dialogs.
pub trait Entropy {
    /// Overwrites every octet of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// A token of `N` random octets in lower-case hex.
pub(crate) fn token<const N: usize>(rng: &mut dyn Entropy) -> String {
    let mut octets = [0; N];
    rng.fill(&mut octets);
    octets
        .iter()
        .fold(String::with_capacity(2 * N), |mut text, octet| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        })
}

/// A number from 0 to `max`, both included. The bias of the remainder is far below what a
/// back-off can notice.
pub(crate) fn up_to(rng: &mut dyn Entropy, max: u32) -> u32 {
    let mut octets = [0; 8];
    rng.fill(&mut octets);
    let range = u64::from(max) + 1;
    u32::try_from(u64::from_le_bytes(octets) % range).unwrap_or(max)
}
