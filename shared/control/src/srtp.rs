//! How a stream is encrypted.
//!
//! The keys travel and are kept sealed with the node's key (`holdfast-seal`): signaling seals what was
//! agreed on, the engine opens it in memory. Nothing between them, and nothing on a disk, has a key
//! as it is.

use std::fmt;

use holdfast_units::{RecordingId, SrtpSuite, StreamId};
use serde::{Deserialize, Serialize};

/// How a stream is encrypted, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srtp {
    /// Cipher and authentication.
    pub suite: SrtpSuite,
    /// What the peer protects its packets with: one key, or several that packets name.
    pub peer: Vec<SrtpKey>,
    /// What we protect our reports with.
    pub own: Sealed,
    /// Whether our reports are encrypted, and not authenticated alone (`UNENCRYPTED_SRTCP`).
    pub encrypts_rtcp: bool,
}

/// A key of the peer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpKey {
    /// Master key and master salt.
    pub key: Sealed,
    /// Its identifier as it stands in each packet; empty where packets have none.
    #[serde(with = "serde_bytes")]
    pub mki: Vec<u8>,
    /// How many packets it may protect.
    pub lifetime: u64,
}

/// A secret that only the node's key opens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// The peer's.
    Peer,
    /// Ours.
    Own,
}

/// What the keys of a stream are sealed with: they open for this stream alone.
pub fn seal_context(recording: RecordingId, stream: StreamId, whose: KeyOf) -> Vec<u8> {
    let whose: &[u8] = match whose {
        KeyOf::Peer => b"srtp peer ",
        KeyOf::Own => b"srtp own ",
    };
    [whose, &recording.to_bytes(), &stream.0.to_be_bytes()].concat()
}
