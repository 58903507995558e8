//! Every bound of this crate, with its unit and its reason.

/// Longest payload of a track record in octets: the journal's bound, twice the longest datagram.
pub const PAYLOAD_SIZE_MAX: usize = 128 * 1024;

/// Octets a reader asks of its input at once, unless a record does not fit into half of it.
pub const READ_BUFFER_FIRST: usize = 128 * 1024;

/// Octets a reader asks of its input at once, at most. A record with its header always fits twice.
pub const READ_BUFFER_SIZE: usize = 512 * 1024;

/// Damaged places listed by a reader; further ones are only counted.
pub const DAMAGE_LISTED_MAX: usize = 256;

/// Entries of a codec map: one for each payload type.
pub const CODECS_MAX: usize = 128;

/// Longest text inside a record in octets.
pub const TEXT_SIZE_MAX: usize = 4 * 1024;

/// Reasons a counters record may name.
pub const REASONS_MAX: usize = 64;

/// Gaps kept of one track; further ones are only counted. A call with silence suppression opens
/// about one a second: enough for half a day.
pub const GAPS_MAX: usize = 50_000;

/// Marks kept of one track; further ones are only counted.
pub const MARKS_MAX: usize = 10_000;

/// Sources (SSRCs) followed in one track; packets of further ones are kept but not placed.
pub const SOURCES_MAX: usize = 64;

/// Sender reports looked at of one source: of its first minutes. Later ones would show how its clocks
/// drift apart, which is not made good.
pub const REPORTS_MAX: usize = 64;

/// Sender reports, and names, of one track kept until the first packet of their source.
pub const EARLY_REPORTS_MAX: usize = 8;

/// Runs (stretches with one anchor) of one track; packets beyond are kept but not placed.
pub const RUNS_MAX: usize = 4_096;

/// Sequence numbers behind the highest one within which a packet that comes late is still put in
/// its place: 80 s of 20 ms packets.
pub const LATE_WINDOW: u64 = 4_096;

/// Packets held back while it is open whether a jump of the timestamp is real.
pub const PENDING_MAX: usize = 512;

/// Pauses, outages and drops of one track that are laid over its gaps.
pub const OVERLAYS_MAX: usize = 4_096;

/// Channels of one audio file.
pub const CHANNELS_MAX: u16 = 64;

/// Octets of audio that a plan keeps for a recording, so that its tracks need not be read again: eight
/// minutes each of two sides. Each thread that publishes may have so much, and room for as much more.
pub const KEPT_SIZE_MAX: usize = 8 * 1024 * 1024;

/// Frames rendered at once: 8 s at 8 kHz.
pub const WINDOW_FRAMES: usize = 65_536;

/// How far audio may lie before the start or after the end the caller gave, in samples at 8 kHz;
/// what lies farther out is cut off and counted. 60 s.
pub const OVERHANG_SAMPLES_MAX: i64 = 60 * 8_000;

/// Longest recording that is rendered, in samples at 8 kHz: one year.
pub const TIMELINE_SAMPLES_MAX: i64 = 366 * 86_400 * 8_000;

const _: () = assert!(READ_BUFFER_SIZE >= 2 * (PAYLOAD_SIZE_MAX + 64));
const _: () = assert!(CODECS_MAX * 2 < PAYLOAD_SIZE_MAX);
const _: () = assert!(OVERHANG_SAMPLES_MAX < TIMELINE_SAMPLES_MAX);
