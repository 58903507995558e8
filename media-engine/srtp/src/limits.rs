//! What bounds the state of a stream and the work that one packet can cause.

/// Keys that a peer may name in one offer (RFC 4568 §6.1: several, told apart by their MKI).
pub const KEYS_MAX: usize = 8;

/// Octets of a master key identifier (RFC 4568 §6.1).
pub const MKI_SIZE_MAX: usize = 128;

/// Octets of the largest master key with its salt.
pub const MASTER_SIZE_MAX: usize = 46;

/// Synchronisation sources of one stream that are followed; the one that was silent for longest
/// makes room. As many as the statistics of RTP follow.
pub const SOURCES_MAX: usize = 16;

/// Packets behind the highest one that are told apart (RFC 3711 §3.3.2: at least 64). 5 s of 20 ms
/// packets.
pub const WINDOW: u64 = 256;

/// How many roll-overs a source may have been away for, or may have had before its first packet
/// (RFC 7866 §12.2: keys of a call that was there before), and is still found: a day of 20 ms packets
/// has 66.
pub const ROLLOVERS_MAX: u32 = 72;

/// Of packets that do not authenticate, each of these many is tried with all of [`ROLLOVERS_MAX`]; the
/// others with the next ones alone.
pub const SEARCH_EVERY: u32 = 16;

/// Silence of a source after which all are tried at once.
pub const SEARCH_AFTER_NS: u64 = 300 * 1_000_000_000;

/// How long the keys of before a rekeying are kept when those of after it are used and they are not.
pub const OLD_KEYS_NS: u64 = 10 * 1_000_000_000;

/// Packets that one master key may protect (RFC 3711 §9.2).
pub const RTP_LIFETIME_MAX: u64 = 1 << 48;

/// SRTCP packets that one master key may protect (RFC 3711 §9.2).
pub const RTCP_LIFETIME_MAX: u64 = 1 << 31;
