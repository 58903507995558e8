//! Encrypted media of calls: a key for each leg, offered in its m-line (RFC 4568).
//!
//! The keys are a function of the leg, like every octet that is sent: they protect nothing from
//! anybody, and a recorder that took the key of one leg for another would show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_srtp::{MasterKey, Mki, RtpTransform};
use holdfast_units::SrtpSuite;

use crate::pattern::{self, LegKey, StreamStart};

/// The suite of all legs: the one that every client has.
pub const SUITE: SrtpSuite = SrtpSuite::AesCm128Sha1_80;

/// Octets of a master key with its salt.
pub const MASTER_SIZE: usize = 30;

/// Master key and salt of a leg.
pub fn master(leg: LegKey) -> [u8; MASTER_SIZE] {
    let mut octets = [0; MASTER_SIZE];
    octets.copy_from_slice(&pattern::payload(leg, NO_PACKET)[..MASTER_SIZE]);
    octets
}

/// What protects the packets of a leg.
///
/// # Panics
/// Never: the key has the size of the suite.
pub fn transform(leg: LegKey) -> RtpTransform {
    let master = MasterKey::new(SUITE, &master(leg)).expect("the size of the suite");
    RtpTransform::new(&master, Mki::default())
}

/// The value of the `a=crypto` line that offers the key of a leg.
pub fn crypto(leg: LegKey) -> String {
    format!("1 {SUITE} inline:{}", STANDARD.encode(master(leg)))
}

/// Where the counters of a leg begin, so that its sequence number wraps within `slots` packets, at
/// another one in each leg.
pub fn stream_start(leg: LegKey, slots: u32) -> StreamStart {
    let last = slots.clamp(2, 0x1_0000);
    let before = 1 + pattern::dice(leg, NO_PACKET, 0) % (last - 1);
    StreamStart {
        sequence: (0x1_0000 - before) as u16,
        ..pattern::stream_start(leg)
    }
}

/// A packet number that no leg comes to.
const NO_PACKET: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_has_a_key_of_its_own_and_wraps_within_its_packets() {
        assert_eq!(SUITE.master_size(), MASTER_SIZE);
        let mut keys = Vec::new();
        for (call, leg) in (0..500).flat_map(|call| [(call, 0), (call, 1)]) {
            let key = LegKey { call, leg };
            keys.push(master(key));
            for slots in [2, 50, 3_000, 100_000] {
                let first = u32::from(stream_start(key, slots).sequence);
                assert!(first < 0x1_0000 && first + slots > 0x1_0000, "{slots}");
            }
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 1_000);
    }
}
