//! Every bound of this crate, with its unit, its reason and how it relates to the others.

use std::time::Duration;

/// Octets of the largest datagram that is looked at: an Ethernet jumbo frame.
pub const PACKET_BYTES_MAX: usize = 9_000;

/// Octets of a packet that can be kept while its source is still unproven. A larger one proves its
/// source all the same, but is itself not kept: audio at 200 ms of G.711 has 1,612.
pub const HELD_BYTES_MAX: usize = 1_680;

/// Sources that may be waiting for their second packet at the same time. More than one, so that
/// one stranger can't keep another from proving itself.
pub const CANDIDATES_MAX: usize = 2;

/// How long a first packet waits for its successor.
pub const PROOF_WITHIN: Duration = Duration::from_secs(2);

/// Silence of the latched port after which another port of the same host with the same SSRC is
/// the same sender that has moved. Shorter would let two ports alternate (RFC 3550 §8.2).
pub const MOVE_AFTER: Duration = Duration::from_millis(100);

/// RTCP packets taken per stream and second; RFC 3550 §6.2 gives a peer about one in 5 s.
pub const RTCP_PACKETS_PER_SECOND_MAX: u32 = 50;

/// RTCP octets taken per stream and second.
pub const RTCP_BYTES_PER_SECOND_MAX: u32 = 64 * 1_024;

/// Distinct codecs (name, clock rate, channels) of one stream; payload types may share one.
pub const CODECS_MAX: usize = 32;

/// Hertz of the fastest RTP clock that is believed. The fastest in use is 192,000.
pub const CLOCK_RATE_MAX: u32 = 1_000_000;

/// Sequence numbers back from the highest within which a duplicate is recognised. At 20 ms it is
/// 41 s: more than any network holds back.
pub const DUPLICATE_WINDOW: usize = 2_048;

/// RFC 3550 A.1: a step forward below this is loss.
pub const DROPOUT_MAX: u16 = 3_000;

/// RFC 3550 A.1: a step back up to this is reordering.
pub const MISORDER_MAX: u16 = 100;

/// Seconds by which timestamp and arrival may disagree over a long loss that is still taken for
/// one, and not for a restart.
pub const LOSS_SKEW_SECONDS_MAX: u32 = 1;

/// Seconds by which a packet may be early or late and still be a jitter sample. Beyond it the
/// sender's timestamp has jumped.
pub const JITTER_SECONDS_MAX: u32 = 10;

/// SSRCs that one stream keeps account of.
pub const SOURCES_MAX: usize = 8;

/// Silence of the current SSRC after which another one that is heard becomes the current one.
/// Longer than the jitter between two that speak at the same time.
pub const SWITCH_AFTER: Duration = Duration::from_millis(200);

/// RFC 3550 §6.2: the least of Td. The first interval has half of it.
pub const RTCP_INTERVAL: Duration = Duration::from_secs(5);

/// The longest Td, whatever bandwidth `b=RR` leaves.
pub const RTCP_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// Octets of the largest compound packet that is built: a full report, a full CNAME, a BYE.
pub const RTCP_OUT_BYTES_MAX: usize = 512;

/// Times that a peer may make us choose another SSRC. A sender that mirrors ours for ever is not
/// worth a BYE each time.
pub const COLLISIONS_MAX: u8 = 8;

/// Telephone-events that are remembered after they were reported, so that their late and repeated
/// packets don't report them again.
pub const EVENTS_REMEMBERED: usize = 8;

/// Telephone-event blocks read from one packet (RFC 4733 §2.5.1.5).
pub const EVENTS_PER_PACKET_MAX: usize = 8;

const _: () = assert!(DUPLICATE_WINDOW.is_power_of_two() && DUPLICATE_WINDOW.is_multiple_of(64));
const _: () = assert!((MISORDER_MAX as usize) < DUPLICATE_WINDOW);
const _: () = assert!((DROPOUT_MAX as usize) > DUPLICATE_WINDOW);
const _: () = assert!(
    SOURCES_MAX <= 31,
    "one compound packet has room for 31 report blocks"
);
const _: () = assert!(HELD_BYTES_MAX <= PACKET_BYTES_MAX && HELD_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(
    CODECS_MAX < u8::MAX as usize,
    "a slot holds an index plus one"
);
// RR with a block per source, SDES with the longest CNAME, BYE.
const _: () = assert!(8 + 24 * SOURCES_MAX + 12 + 256 + 8 <= RTCP_OUT_BYTES_MAX);
