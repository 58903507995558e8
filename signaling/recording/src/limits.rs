//! Every bound of this crate on what a peer can make it hold or do.
//!
//! The bounds on call metadata stand beside its reader, in `metadata`.

use std::time::Duration;

/// Parts of one message body, nested ones counted. A SIPREC body has two, CUBE sends three.
pub const BODY_PARTS_MAX: usize = 32;

/// Multiparts within multiparts. A deeper one is kept as one opaque part.
pub const BODY_DEPTH_MAX: usize = 4;

/// Header lines of one part; what follows is dropped.
pub const PART_HEADERS_MAX: usize = 32;

/// Octets of one header line of a part, continuation lines included; longer ones are cut.
pub const PART_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Octets of a boundary. RFC 2046 §5.1.1 allows 70; some peers count differently.
pub const BOUNDARY_BYTES_MAX: usize = 256;

/// Octets of one session description: what one UDP datagram can hold.
pub const SDP_BYTES_MAX: usize = 64 * 1024;

/// Lines of one session description. The largest seen in the field has 122.
pub const SDP_LINES_MAX: usize = 2_048;

/// Octets of one SDP line; a longer one is skipped and flagged.
pub const SDP_LINE_BYTES_MAX: usize = 4 * 1024;

/// m-lines of one session description, so streams of one recording session.
pub const MEDIA_LINES_MAX: usize = 64;

/// Formats of one m-line that are looked at. RTP knows 128 payload types, half of them useless.
pub const FORMATS_MAX: usize = 64;

/// `t=` lines that an answer copies.
pub const TIMES_MAX: usize = 8;

const _: () = assert!(SDP_LINES_MAX >= 16 * MEDIA_LINES_MAX);
const _: () = assert!(SDP_LINE_BYTES_MAX * 4 <= SDP_BYTES_MAX);

/// INVITEs at a time whose dialog is looked for among those of other nodes.
pub const SEARCHES_MAX: usize = 1_024;

/// How long a timer of a call is put off while this node may have lost it to another one.
pub const CUT_OFF_RETRY: Duration = Duration::from_secs(5);

/// How long the ports of a replaced dialog stay open after its BYE is answered.
pub const REPLACED_LINGER: Duration = Duration::from_millis(500);

/// A session that expired while nobody listened goes on for as long after a restart as a peer repeats
/// its refresh (RFC 3261 timer F).
pub const RESTORED_GRACE: Duration = Duration::from_secs(32);

/// Calls that a process before has left are asked whether their peers are there within so long, those
/// that have to be asked at all.
pub const RESTORED_CHECK_MAX: Duration = Duration::from_secs(60);

/// How long a store may say nothing, with nothing to save, before it is asked whether it would.
pub const STORE_PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Time after which a state that the engine could not take is sent again.
pub const ENGINE_RETRY: Duration = Duration::from_secs(1);

/// Ports tried for one media line before it is refused: others on this machine use some.
pub const PORT_ATTEMPTS_MAX: u32 = 4;

/// Octets of documents that are kept in memory for one call, should the engine lose its own. What
/// the engine has made durable is dropped beyond it, the oldest first.
pub const DOCUMENT_BYTES_KEPT_MAX: usize = 256 * 1024;

/// Octets of documents of one call that may be in memory at all: while the engine is away they wait
/// here. Further ones are not kept, which the call's description says.
pub const DOCUMENT_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;

/// Warnings listed in the description of one call.
pub const WARNINGS_MAX: usize = 64;

/// Header fields of the INVITE that the description of a call keeps.
pub const HEADERS_KEPT_MAX: usize = 32;

/// Identities that a trusted peer asserts: RFC 3325 §9.1 has one sip or sips URI and one tel URI.
pub const ASSERTED_MAX: usize = 2;

/// Characters of each of them.
pub const HEADER_CHARS_KEPT_MAX: usize = 512;

/// Reason header fields of a BYE that are kept: one a protocol.
pub const REASONS_MAX: usize = 4;

/// Identifiers of other systems listed in the description of one call.
pub const CORRELATIONS_MAX: usize = 64;

/// Vendors' elements of the metadata listed in the description of one call.
pub const EXTENSIONS_DESCRIBED_MAX: usize = 128;

/// Longest part of a session timer's interval that is kept in reserve (RFC 4028 §10).
pub const SESSION_RESERVE_MAX: Duration = Duration::from_secs(32);

/// How long a process that ends waits for peers to answer its BYEs: three copies and their answers.
pub const FAREWELL_MAX: Duration = Duration::from_secs(4);

/// Time after which a request of ours that met another one, or a 5xx, is sent again.
pub const ASK_RETRY: Duration = Duration::from_secs(2);

/// Longest time that a peer's Retry-After makes us wait, and the wait for one that cannot be reached.
pub const ASK_RETRY_MAX: Duration = Duration::from_secs(30);

/// How often a pause or a question for metadata is sent before it is given up. A refresh of the
/// session is sent until the session expires.
pub const ASK_ATTEMPTS_MAX: u32 = 8;

/// How often the metadata is asked for in one recording session (P-76).
pub const SNAPSHOT_REQUESTS_MAX: u32 = 4;

/// How long after our question the metadata may take to come before it is asked for again.
pub const SNAPSHOT_WAIT: Duration = Duration::from_secs(32);

const _: () = assert!(DOCUMENT_BYTES_KEPT_MAX < DOCUMENT_BYTES_WAITING_MAX);

/// Keys of one crypto line (RFC 4568 §6.1); a line with more is passed over.
pub const CRYPTO_KEYS_MAX: usize = 4;

/// Octets of a master key identifier (RFC 4568 §6.1).
pub const MKI_SIZE_MAX: usize = 128;
