//! What packets are read with on this machine, and what one costs: for the log at start.

use std::hint::black_box;
use std::time::Duration;

use holdfast_units::SrtpSuite;

use crate::master::{MasterKey, Mki};
use crate::rtp::{Protected, RtpTransform};

/// Whose ciphers they are, with versions.
pub const IMPLEMENTATION: &str =
    "RustCrypto aes 0.9.2, ctr 0.10.1, aes-gcm 0.11.1, ghash 0.6.0, hmac 0.13.0, sha1 0.11.0";

/// What the processor has of the instructions that these ciphers use where they are there: for AES,
/// for GHASH, for SHA-1. Empty: none, and packets cost many times as much.
pub fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        use std::arch::is_x86_feature_detected as is_there;
        for (name, is_there) in [
            ("aes", is_there!("aes")),
            ("pclmulqdq", is_there!("pclmulqdq")),
            ("sha", is_there!("sha") && is_there!("sse4.1")),
        ] {
            found.extend(is_there.then_some(name));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        use std::arch::is_aarch64_feature_detected as is_there;
        for (name, is_there) in [
            ("aes", is_there!("aes")),
            ("pmull", is_there!("pmull")),
            ("sha2", is_there!("sha2")),
        ] {
            found.extend(is_there.then_some(name));
        }
    }
    found
}

/// What it costs to authenticate and decrypt one packet of 172 octets, its keys in the cache: the least
/// of some rounds, a tenth of a millisecond in all. The clock is one that does not go back.
///
/// # Panics
/// Never: the key has the size of the suite, and the packet is one of RTP.
pub fn packet_cost(suite: SrtpSuite, clock: &mut dyn FnMut() -> Duration) -> Duration {
    let master = MasterKey::new(suite, &[0x5c; 46][..suite.master_size()]).expect("its size");
    let transform = RtpTransform::new(&master, Mki::default());
    let mut plain = vec![0x80, 0];
    plain.resize(172, 0x5c);
    let (mut protected, mut out) = (Vec::new(), Vec::new());
    transform
        .protect(&plain, 0, &mut protected)
        .expect("a packet of RTP");
    let mut round = || {
        let begin = clock();
        for _ in 0..ROUND {
            let packet = Protected::parse(black_box(&protected)).expect("a packet of RTP");
            transform
                .unprotect(&packet, 0, &mut out)
                .expect("the same key");
        }
        clock().saturating_sub(begin)
    };
    let least = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    least / ROUND
}

/// Packets of a round.
const ROUND: u32 = 25;
const ROUNDS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_that_are_built_in() {
        let lock = include_str!("../../../Cargo.lock");
        let parts = IMPLEMENTATION.strip_prefix("RustCrypto ").unwrap();
        for part in parts.split(", ") {
            let (name, version) = part.split_once(' ').unwrap();
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(
                lock.contains(&entry),
                "{part}: cost.rs has to say what Cargo.lock says"
            );
        }
    }

    #[test]
    fn the_cost_is_that_of_the_fastest_round() {
        for suite in SrtpSuite::ALL {
            let mut now = 0;
            // The first four rounds take 25 us each, the others ten times that.
            let mut clock = || {
                now += 1;
                Duration::from_micros(if now <= 8 { 25 * now } else { 250 * now })
            };
            assert_eq!(packet_cost(suite, &mut clock), Duration::from_micros(1));
        }
    }
}
