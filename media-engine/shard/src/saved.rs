//! What a shard keeps beside the tracks: the state of a recording in progress, and the checkpoint.
//!
//! Both files look alike, little-endian:
//!
//! ```text
//!   0       4         8         12
//!   | magic | version | crc32c  | postcard …
//! ```
//!
//! The checksum is of what follows it. They are replaced as a whole, so one that does not read was
//! damaged by something else than a crash.

use holdfast_control::Recording;
use holdfast_units::{RecordingId, StreamId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const HEADER_SIZE: usize = 12;
const RECORDING_MAGIC: [u8; 4] = *b"hfrs";
const CHECKPOINT_MAGIC: [u8; 4] = *b"hfck";

/// Version of both files.
pub const VERSION: u32 = 1;

/// State of a recording in progress: what the journal's records up to some point made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRecording {
    /// Its desired state.
    pub recording: Recording,
}

/// Up to where the tracks hold what the journal held. A recovery cuts each track to the length
/// given here and replays the journal's records from the stream's own position on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every record below this is in a track, a state or a document on disk.
    pub lsn: u64,
    /// One entry for each stream that was open.
    pub streams: Vec<StreamCheckpoint>,
}

/// The checkpoint of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCheckpoint {
    /// Which recording.
    pub recording: RecordingId,
    /// Which stream.
    pub stream: StreamId,
    /// Number of the stream in the recording.
    pub number: u16,
    /// Every record of this stream below this is in the track.
    pub lsn: u64,
    /// Octets of the track that hold them.
    pub track_size: u64,
    /// Encoded state of the stream's assembly at that point.
    #[serde(with = "serde_bytes")]
    pub assembly: Vec<u8>,
}

/// Why a state or checkpoint file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadSavedError {
    /// Too short, or another magic.
    #[error("it is not a file of this kind")]
    Foreign,
    /// Written by a newer version.
    #[error("it has version {found}, this build reads up to {VERSION}")]
    TooNew {
        /// What the file says.
        found: u32,
    },
    /// The checksum does not match.
    #[error("its checksum does not match")]
    Damaged,
    /// The checksum matches, yet the content does not read.
    #[error("its content does not read")]
    Malformed(#[source] postcard::Error),
}

impl SavedRecording {
    /// The octets of the file.
    pub fn encode(&self) -> Vec<u8> {
        encode(RECORDING_MAGIC, self)
    }

    /// Reads the octets of the file.
    ///
    /// # Errors
    ///
    /// See [`ReadSavedError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadSavedError> {
        decode(RECORDING_MAGIC, bytes)
    }
}

impl Checkpoint {
    /// The octets of the file.
    pub fn encode(&self) -> Vec<u8> {
        encode(CHECKPOINT_MAGIC, self)
    }

    /// Reads the octets of the file.
    ///
    /// # Errors
    ///
    /// See [`ReadSavedError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadSavedError> {
        decode(CHECKPOINT_MAGIC, bytes)
    }
}

fn encode<T: Serialize>(magic: [u8; 4], value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut bytes = postcard::to_extend(value, bytes).expect("plain data serialises into memory");
    let crc = crc32c::crc32c(&bytes[HEADER_SIZE..]);
    bytes[8..HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode<T: DeserializeOwned>(magic: [u8; 4], bytes: &[u8]) -> Result<T, ReadSavedError> {
    let (header, body) = bytes
        .split_first_chunk::<HEADER_SIZE>()
        .ok_or(ReadSavedError::Foreign)?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if header[..4] != magic {
        return Err(ReadSavedError::Foreign);
    }
    if word(4) > VERSION {
        return Err(ReadSavedError::TooNew { found: word(4) });
    }
    if word(8) != crc32c::crc32c(body) {
        return Err(ReadSavedError::Damaged);
    }
    postcard::from_bytes(body).map_err(ReadSavedError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_round_trips_and_damage_is_recognised() {
        let checkpoint = Checkpoint {
            lsn: 7,
            streams: vec![StreamCheckpoint {
                recording: RecordingId::from_bytes([1; 16]),
                stream: StreamId(2),
                number: 1,
                lsn: 9,
                track_size: 100,
                assembly: vec![1, 2, 3],
            }],
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes).unwrap(), checkpoint);
        assert!(matches!(
            SavedRecording::decode(&bytes),
            Err(ReadSavedError::Foreign)
        ));
        for at in 8..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(
                matches!(Checkpoint::decode(&damaged), Err(ReadSavedError::Damaged)),
                "{at}"
            );
        }
        let mut newer = bytes;
        newer[4] = 2;
        assert!(matches!(
            Checkpoint::decode(&newer),
            Err(ReadSavedError::TooNew { found: 2 })
        ));
    }
}
