//! The octets of every packet: a function of call, leg and packet number, nothing else.
//!
//! A checker can therefore tell for any 160 samples of any recording whether they are right, missing,
//! or another call's, without having kept what was sent.

/// Which leg of which call a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegKey {
    /// Number of the call within its run, from 0.
    pub call: u32,
    /// Number of the leg within its call, from 0.
    pub leg: u8,
}

/// Where a stream's counters begin; as RFC 3550 section 5.1 wants them, they do not begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number of packet 0.
    pub sequence: u16,
    /// RTP timestamp of packet 0.
    pub timestamp: u32,
}

/// Samples, and octets of G.711, in one packet: 20 ms at 8,000 Hz.
pub const PACKET_SAMPLES: usize = 160;

/// The payload of one packet.
pub type Payload = [u8; PACKET_SAMPLES];

/// The payload of packet `index` of a leg.
pub fn payload(leg: LegKey, index: u32) -> Payload {
    let mut state = seed(leg, index);
    let mut octets = [0; PACKET_SAMPLES];
    for chunk in octets.chunks_exact_mut(8) {
        state = xorshift(state);
        chunk.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    octets
}

/// Where the counters of a leg begin. Some legs wrap their sequence number within a minute.
pub fn stream_start(leg: LegKey) -> StreamStart {
    let first = xorshift(seed(leg, u32::MAX));
    let second = xorshift(first);
    StreamStart {
        ssrc: (first >> 32) as u32,
        sequence: (second >> 48) as u16,
        timestamp: second as u32,
    }
}

/// A number in 0..1,000,000 that depends on the leg, the packet and `salt` alone.
pub fn dice(leg: LegKey, index: u32, salt: u64) -> u32 {
    (xorshift(seed(leg, index) ^ mix(salt)).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
        % 1_000_000
}

/// A length with this mean, exponentially distributed, that depends on the leg, the number and `salt`
/// alone: the time to the next of events that know nothing of each other.
pub fn exponential(leg: LegKey, index: u32, salt: u64, mean: f64) -> f64 {
    let bits = xorshift(seed(leg, index) ^ mix(salt)).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
    // Above 0, whose logarithm there is none of, up to 1.
    let uniform = (bits + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln() * mean
}

/// One of 2^64 - 1 states of the generator; never 0, which is its fixed point.
fn seed(leg: LegKey, index: u32) -> u64 {
    let packed = (u64::from(leg.call) << 40) ^ (u64::from(leg.leg) << 32) ^ u64::from(index);
    mix(packed).max(1)
}

/// The finaliser of splitmix64: neighbouring inputs give unrelated outputs.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Marsaglia's xorshift64.
const fn xorshift(state: u64) -> u64 {
    let mut x = state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_payload_is_the_same_every_time_and_no_two_are_alike() {
        let mut seen = BTreeSet::new();
        for call in [0, 1, 299] {
            for leg in 0..2 {
                for index in 0..500 {
                    let key = LegKey { call, leg };
                    assert_eq!(payload(key, index), payload(key, index));
                    assert!(
                        seen.insert(payload(key, index)),
                        "call {call} leg {leg} {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_octets_use_the_whole_range_so_that_no_packet_passes_for_silence() {
        let values: BTreeSet<u8> = (0..100)
            .flat_map(|index| payload(LegKey { call: 7, leg: 1 }, index))
            .collect();
        assert_eq!(values.len(), 256);
        for index in 0..10_000 {
            let silent = payload(LegKey { call: 3, leg: 0 }, index)
                .iter()
                .all(|&b| b == 0xff);
            assert!(!silent);
        }
    }

    #[test]
    fn payload_bytes_never_change_between_versions() {
        // Recordings of an earlier run stay checkable only while this holds.
        let first = payload(LegKey { call: 1, leg: 1 }, 1);
        assert_eq!(first[..8], GOLDEN);
    }

    /// Computed once by another implementation of the description above.
    const GOLDEN: [u8; 8] = [85, 147, 222, 10, 194, 175, 22, 221];

    #[test]
    fn dice_fall_evenly() {
        let leg = LegKey { call: 5, leg: 0 };
        let hits = (0..100_000)
            .filter(|&index| dice(leg, index, 9) < 50_000)
            .count();
        assert!((4_700..5_300).contains(&hits), "{hits} of 5,000 expected");
    }

    #[test]
    fn exponential_lengths_have_their_mean_and_never_a_sign() {
        let leg = LegKey { call: 5, leg: 1 };
        let lengths: Vec<f64> = (0..100_000)
            .map(|index| exponential(leg, index, 7, 2.0))
            .collect();
        let mean = lengths.iter().sum::<f64>() / 100_000.0;
        assert!((1.96..2.04).contains(&mean), "{mean}");
        // Of an exponential distribution 1 / e are longer than the mean.
        let longer = lengths.iter().filter(|&&length| length > 2.0).count();
        assert!((36_000..37_600).contains(&longer), "{longer}");
        assert!(lengths.iter().all(|length| (0.0..80.0).contains(length)));
    }
}
