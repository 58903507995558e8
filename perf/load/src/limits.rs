//! Every bound of the load tool, with its unit and its reason.

use std::time::Duration;

/// Largest SIP message read, in octets: what one UDP datagram can carry.
pub const MESSAGE_SIZE_MAX: usize = 65_535;

/// Most header lines of one SIP message that are kept.
pub const HEADER_COUNT_MAX: usize = 256;

/// Most calls of one run: a call number travels in six digits of its Call-ID.
pub const CALLS_MAX: u32 = 999_999;

/// Largest recording read into memory, in octets: a day of stereo G.711.
pub const WAV_SIZE_MAX: u64 = 24 * 3_600 * 16_000 + 4_096;

/// Largest manifest read, in octets.
pub const MANIFEST_SIZE_MAX: u64 = 64 * 1_024 * 1_024;

/// How many leading packets of a leg are tried when its place in a channel is sought: a recorder
/// that lost more than a second at the start has failed anyhow.
pub const ALIGN_PACKETS_MAX: u32 = 50;

/// Problems printed one by one; all are counted.
pub const PROBLEMS_SHOWN_MAX: usize = 20;

/// RFC 3261 T1, the estimate of the round trip.
pub const T1: Duration = Duration::from_millis(500);

/// RFC 3261 T2, the longest interval of a non-INVITE retransmission.
pub const T2: Duration = Duration::from_secs(4);

/// RFC 3261 timers B and F: 64 * T1.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(64 * 500);

/// Longest sleep of the media thread while streams run: due packets leave in batches of this width.
pub const SEND_BATCH: Duration = Duration::from_millis(1);

/// How long after an answer the recorder is asked again whether it is there, where another one stands by.
pub const STANDBY_ASK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a recorder may answer nothing before the calls go on at the other one: two copies of a
/// question are lost too.
pub const STANDBY_SILENCE_MAX: Duration = Duration::from_secs(2);

/// Most that packets may be told to leave late: an engine takes a sender that is 3 s behind for one whose
/// clock stood still.
pub const JITTER_MAX: Duration = Duration::from_millis(1_000);
