//! Every bound of the control protocol.

/// Longest message in octets. A SOCK_SEQPACKET message is one piece of kernel memory, bounded by
/// the send buffer, whose usual default (212,992) also has to pay for bookkeeping.
pub const MESSAGE_SIZE_MAX: usize = 128 * 1024;

/// Most octets of a document in one message. Leaves room for names and framing.
pub const DOCUMENT_CHUNK_SIZE_MAX: usize = 64 * 1024;

/// Largest document in octets: a SIP message is not larger (see `sip.message_size_max`).
pub const DOCUMENT_SIZE_MAX: usize = 16 * 1024 * 1024;

/// Longest document name in octets.
pub const DOCUMENT_NAME_SIZE_MAX: usize = 64;

/// Most documents that one recording may hold: a partial update every second for three hours.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Most streams in one recording, those that ended included.
pub const STREAMS_MAX: usize = 256;

const _: () = assert!(DOCUMENT_CHUNK_SIZE_MAX < MESSAGE_SIZE_MAX);
