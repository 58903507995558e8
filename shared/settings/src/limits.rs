//! Every bound of a setting, with its reason.
//!
//! The shipped file repeats the ranges in its comments; a test holds both together.

use std::ops::RangeInclusive;
use std::time::Duration;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Octets of a settings file; a larger one is not a settings file.
pub const FILE_SIZE_MAX: u64 = MIB;
/// Characters of a node's name: one DNS label, because it goes into host names and file names.
pub const NODE_NAME_LENGTH_MAX: usize = 63;
/// Octets of the control socket's path: `sockaddr_un` holds 108 with the closing NUL, and those of the
/// lifelines have two more.
pub const SOCKET_PATH_LENGTH_MAX: usize = 105;

/// Servers of a store that are asked first.
pub const STORE_SERVERS_MAX: usize = 16;
/// Characters of a name within the store.
pub const STORE_NAME_LENGTH_MAX: usize = 64;
/// How long a node is taken for alive: it says so three times within. Shorter, and a pause of the
/// store is taken for a death; longer, and a call waits for its next node.
pub const STORE_LEASE: RangeInclusive<Duration> = ms(500)..=seconds(60);

/// Listening addresses of SIP: one task each.
pub const LISTEN_COUNT_MAX: usize = 16;
/// Calls at a time.
pub const CALLS: RangeInclusive<u32> = 1..=100_000;
/// m-lines of one call that may be recorded.
pub const STREAMS_PER_CALL: RangeInclusive<u32> = 1..=64;
/// RFC 3261 timer T1: an estimate of the round trip; below 100 ms retransmissions become a flood.
pub const SIP_T1: RangeInclusive<Duration> = ms(100)..=seconds(5);
/// RFC 3261 timer T2: the longest time between two retransmissions.
pub const SIP_T2: RangeInclusive<Duration> = seconds(1)..=seconds(40);
/// RFC 3261 timer T4: how long a message stays in the network.
pub const SIP_T4: RangeInclusive<Duration> = seconds(1)..=seconds(40);
/// One SIP message with its body. Below 8 KiB the usual SIPREC INVITE does not fit.
pub const SIP_MESSAGE_SIZE: RangeInclusive<u64> = 8 * KIB..=16 * MIB;
/// One metadata document.
pub const METADATA_SIZE: RangeInclusive<u64> = 4 * KIB..=8 * MIB;
/// Start-line and header fields of one message.
pub const HEADER_SIZE: RangeInclusive<u64> = 4 * KIB..=MIB;
/// Parts of one body. A SIPREC body has two, Cisco's has three.
pub const BODY_PARTS: RangeInclusive<u32> = 2..=256;
/// Multiparts within multiparts.
pub const BODY_DEPTH: RangeInclusive<u32> = 1..=16;
/// Elements within elements of a metadata document. RFC 7865 needs 4, vendors have 6.
pub const METADATA_DEPTH: RangeInclusive<u32> = 8..=256;
/// How long a message, or a TLS handshake, may take to arrive.
pub const MESSAGE_TIMEOUT: RangeInclusive<Duration> = seconds(1)..=seconds(300);
/// Open connections.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=100_000;
/// Silence on a connection before it is closed. RFC 3261 section 18: 64*T1 at least, which is 32 s.
pub const CONNECTION_IDLE_TIMEOUT: RangeInclusive<Duration> = seconds(32)..=seconds(86_400);
/// Addresses or prefixes in one list.
pub const PREFIX_COUNT_MAX: usize = 1_024;
/// Requests outside a call, and connections, of one source in a second.
pub const REQUESTS_PER_SECOND: RangeInclusive<u32> = 1..=100_000;
/// How many of them at once.
pub const REQUESTS_BURST: RangeInclusive<u32> = 1..=1_000_000;
/// Profiles of peers.
pub const PEER_COUNT_MAX: usize = 1_024;
/// Names, users, labels or codecs of one peer.
pub const PEER_LIST_MAX: usize = 64;
/// Characters of a host name: DNS has no longer one.
pub const HOST_NAME_LENGTH_MAX: usize = 253;
/// Characters of a Digest user or realm, and of a label.
pub const WORD_LENGTH_MAX: usize = 64;
/// Validity of a Digest nonce.
pub const NONCE_LIFETIME: RangeInclusive<Duration> = seconds(10)..=seconds(86_400);
/// How long the media engine, or the store, may take to answer.
pub const ANSWER: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(30);
/// How long whoever we call may take to accept.
pub const CALLEE_ANSWER: RangeInclusive<Duration> = seconds(5)..=seconds(180);
/// Value of Retry-After with a 503.
pub const RETRY_AFTER: RangeInclusive<Duration> = seconds(1)..=seconds(3_600);
/// Characters of the Server header.
pub const SERVER_HEADER_LENGTH_MAX: usize = 64;
/// Session-Expires. RFC 4028 section 4: never under 90 seconds.
pub const SESSION_EXPIRES: RangeInclusive<Duration> = seconds(90)..=seconds(86_400);
/// How long a peer may be silent before it is asked; "0 s" stands beside the range.
pub const SESSION_CHECK: RangeInclusive<Duration> = seconds(10)..=seconds(86_400);
/// How long a peer that answers nothing may be silent.
pub const SESSION_TIMEOUT: RangeInclusive<Duration> = seconds(60)..=seconds(7 * 86_400);
/// Length of one recording.
pub const CALL_DURATION: RangeInclusive<Duration> = seconds(60)..=seconds(7 * 86_400);

/// Octets of a network interface's name: the kernel's `IFNAMSIZ` with the closing NUL.
pub const INTERFACE_NAME_LENGTH_MAX: usize = 15;
/// Packet rings of one interface.
pub const RING_SIZE: RangeInclusive<u64> = 8 * MIB..=64 * GIB;
/// The least that a shard can work with.
pub const RING_SIZE_PER_CORE_MIN: u64 = 8 * MIB;
/// What a call takes of the rings by default: 2 s of 2 streams of 50 packets a second, each of
/// which takes 304 octets there as G.711, and some blocks are not full.
pub const RING_SIZE_PER_CALL: u64 = 2 * 2 * 50 * 400;

/// UDP ports media may take: below 1024 they belong to the system.
pub const MEDIA_PORTS: RangeInclusive<u16> = 1_024..=65_535;
/// Ports each core needs: RTP and RTCP of the two streams of one call.
pub const PORTS_PER_CORE_MIN: u32 = 4;
/// Number of a core; 1,023 is the last that a kernel's plain `cpu_set_t` holds.
pub const CORE_NUMBER: RangeInclusive<u32> = 0..=1_023;
/// Cores, hence shards.
pub const CORE_COUNT_MAX: usize = 64;
/// Length of a shard's tick: it bounds how late a packet is seen.
pub const TICK: RangeInclusive<Duration> = ms(1)..=ms(20);
/// Time between two commits of the journal: the most a power cut may take.
pub const COMMIT_INTERVAL: RangeInclusive<Duration> = ms(10)..=seconds(5);
/// Rest of a released port. 64 * T1 (32 s) covers the longest retransmission of a BYE.
pub const PORT_QUARANTINE: RangeInclusive<Duration> = seconds(0)..=seconds(600);
/// Silence after which a stream may follow a new source.
pub const RELATCH_AFTER: RangeInclusive<Duration> = ms(500)..=seconds(300);
/// How long a stream nobody claims stays open; the restart of signaling has to fit.
pub const ORPHAN_TIMEOUT: RangeInclusive<Duration> = seconds(5)..=seconds(3_600);
/// One RTP packet.
pub const PACKET_SIZE: RangeInclusive<u64> = 256..=9_000;

/// One journal segment.
pub const SEGMENT_SIZE: RangeInclusive<u64> = MIB..=4 * GIB;
/// What a segment's size is a multiple of.
pub const SEGMENT_SIZE_STEP: u64 = MIB;
/// Segments of one shard: one is written, one is checkpointed, one is free.
pub const SEGMENTS: RangeInclusive<u32> = 3..=1_024;
/// Time between two checkpoints: what a restart has to replay.
pub const CHECKPOINT_INTERVAL: RangeInclusive<Duration> = ms(100)..=seconds(60);

/// Threads that render and publish.
pub const PUBLISH_THREADS: RangeInclusive<u32> = 1..=32;
/// Fill of a disk.
pub const DISK_FILL: RangeInclusive<u8> = 50..=99;

/// Open connections of HTTP: dashboards and scripts, not crowds.
pub const HTTP_CONNECTIONS: RangeInclusive<u32> = 1..=10_000;
/// Characters of the token that requests of HTTP bear: as many as 128 random bits in hexadecimal
/// digits, at least half of them.
pub const HTTP_TOKEN_LENGTH: RangeInclusive<usize> = 16..=512;

/// Time a clean stop may take.
pub const SHUTDOWN_TIMEOUT: RangeInclusive<Duration> = seconds(1)..=seconds(600);

const _: () = assert!(*RING_SIZE.start() == RING_SIZE_PER_CORE_MIN);
const _: () = assert!(*METADATA_SIZE.end() < *SIP_MESSAGE_SIZE.end());
const _: () = assert!(SEGMENT_SIZE.start().is_multiple_of(SEGMENT_SIZE_STEP));
