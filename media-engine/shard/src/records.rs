//! What the journal's records hold. The journal itself knows only their kind.
//!
//! In records of a stream, the record's `source` is the pair of ports it arrived at: a hint. In a
//! [`RECORDING`] it says how many records back the documents begin that the revision speaks for.
//!
//! | kind | payload |
//! |---|---|
//! | [`RTP`], [`RTCP`] | the datagram as received; `flags` of the record numbers its sender |
//! | [`SOURCE`] | postcard of a socket address: the sender that the record's `flags` numbers from here on |
//! | [`RECORDING`] | postcard of [`holdfast_control::Recording`] |
//! | [`DOCUMENT`] | postcard of [`holdfast_control::Document`]; a piece that does not follow gives it up |
//! | [`DROPS`] | u32 count, u64 arrival of the first, little-endian: datagrams lost before the journal |
//! | [`OVERFLOW`] | u64 arrival before the first, u64 count, little-endian: the ring of all streams was full until the record's arrival |
//! | [`REMOVED`] | the 16 octets of a recording's id: it has been published or was refused |

/// An RTP packet of a stream.
pub const RTP: u8 = 1;
/// An RTCP packet of a stream.
pub const RTCP: u8 = 2;
/// A new sender of a stream.
pub const SOURCE: u8 = 3;
/// A recording's desired state.
pub const RECORDING: u8 = 4;
/// A piece of a document.
pub const DOCUMENT: u8 = 5;
/// Datagrams of a stream that were lost before the journal.
pub const DROPS: u8 = 6;
/// The ring was full: packets of any of the streams may be missing.
pub const OVERFLOW: u8 = 8;
/// A recording that is no longer in progress.
pub const REMOVED: u8 = 7;

/// Payload of a [`RECORDING`] record.
///
/// # Panics
///
/// Never: plain data serialises into memory.
pub fn encode_recording(recording: &holdfast_control::Recording) -> Vec<u8> {
    postcard::to_stdvec(recording).expect("plain data serialises into memory")
}

/// Description of a stream in the header of its track; `None` where it does not read.
pub fn decode_stream(description: &[u8]) -> Option<holdfast_control::Stream> {
    postcard::from_bytes(description).ok()
}
