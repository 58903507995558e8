//! Every bound of this crate on what a peer can make it hold or do.
//!
//! The bounds on call metadata stand beside its reader, in `metadata`.

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
