//! What a shard keeps beside the tracks: the state of a recording in progress, and the checkpoint.
//!
//! Both files look alike, little-endian:
//!
//! ```text
//!   0       4         8         12
//!   | magic | version | crc32c  | state: postcard of a SavedRecording
//!   |       |         |         | checkpoint: lsn (8), then postcard of a StreamCheckpoint, each
//! ```
//!
//! The checksum is of what follows it. The checkpoint is replaced durably, so one that does not
//! read was damaged by something else than a crash. A state that was replaced since the checkpoint
//! may be an empty file after a power cut: the journal then has what it said.

use holdfast_control::Recording;
use holdfast_journal::Lsn;
use holdfast_units::{RecordingId, StreamId};
use serde::{Deserialize, Serialize};

const HEADER_SIZE: usize = 12;
const RECORDING_MAGIC: [u8; 4] = *b"hfrs";
const CHECKPOINT_MAGIC: [u8; 4] = *b"hfck";

/// Highest version of both files.
pub const VERSION: u32 = 3;
const RECORDING_VERSION: u32 = 2;
const CHECKPOINT_VERSION: u32 = VERSION;

/// State of a recording in progress: what the journal's records up to some point made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRecording {
    /// Its desired state.
    pub recording: Recording,
}

/// Up to where the tracks hold what the journal held. A recovery cuts each track to the length
/// given here and replays the journal's records from the stream's own position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Written before the first release.
    #[error("it has version {found}, which this build no longer reads")]
    TooOld {
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
        let bytes = begin(RECORDING_MAGIC, RECORDING_VERSION, 1024);
        let bytes = postcard::to_extend(self, bytes).expect("plain data serialises into memory");
        let checksum = crc32c::crc32c(&bytes[HEADER_SIZE..]);
        finish(bytes, checksum)
    }

    /// Reads the octets of the file.
    ///
    /// # Errors
    ///
    /// See [`ReadSavedError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadSavedError> {
        let body = body(RECORDING_MAGIC, RECORDING_VERSION, bytes)?;
        postcard::from_bytes(body).map_err(ReadSavedError::Malformed)
    }
}

impl Checkpoint {
    /// The octets of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = CheckpointWriter::new(Lsn(self.lsn), 64 * 1024);
        for stream in &self.streams {
            writer.push(stream);
        }
        writer.finish()
    }

    /// Reads the octets of the file.
    ///
    /// # Errors
    ///
    /// See [`ReadSavedError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadSavedError> {
        let body = body(CHECKPOINT_MAGIC, CHECKPOINT_VERSION, bytes)?;
        let (lsn, mut rest) = body.split_first_chunk().ok_or(ReadSavedError::Foreign)?;
        let mut streams = Vec::new();
        while !rest.is_empty() {
            let (stream, after) =
                postcard::take_from_bytes(rest).map_err(ReadSavedError::Malformed)?;
            streams.push(stream);
            rest = after;
        }
        let lsn = u64::from_le_bytes(*lsn);
        Ok(Self { lsn, streams })
    }
}

/// A checkpoint that is written stream by stream: with thousands of them it has megabytes, which
/// must not be made in one turn.
#[derive(Debug)]
pub(crate) struct CheckpointWriter {
    lsn: Lsn,
    bytes: Vec<u8>,
    checksum: u32,
}

impl CheckpointWriter {
    /// A checkpoint of the records below `lsn`.
    pub(crate) fn new(lsn: Lsn, capacity: usize) -> Self {
        let mut bytes = begin(CHECKPOINT_MAGIC, CHECKPOINT_VERSION, capacity);
        bytes.extend_from_slice(&lsn.0.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[HEADER_SIZE..]);
        Self {
            lsn,
            bytes,
            checksum,
        }
    }

    pub(crate) const fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(crate) fn push(&mut self, stream: &StreamCheckpoint) {
        let from = self.bytes.len();
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(stream, bytes).expect("plain data serialises into memory");
        self.checksum = crc32c::crc32c_append(self.checksum, &self.bytes[from..]);
    }

    /// The octets of the file.
    pub(crate) fn finish(self) -> Vec<u8> {
        finish(self.bytes, self.checksum)
    }
}

fn begin(magic: [u8; 4], version: u32, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

fn finish(mut bytes: Vec<u8>, checksum: u32) -> Vec<u8> {
    bytes[8..HEADER_SIZE].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn body(magic: [u8; 4], version: u32, bytes: &[u8]) -> Result<&[u8], ReadSavedError> {
    let (header, body) = bytes
        .split_first_chunk::<HEADER_SIZE>()
        .ok_or(ReadSavedError::Foreign)?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let found = word(4);
    if header[..4] != magic {
        return Err(ReadSavedError::Foreign);
    }
    if found > version {
        return Err(ReadSavedError::TooNew { found });
    }
    if found < version {
        return Err(ReadSavedError::TooOld { found });
    }
    if word(8) != crc32c::crc32c(body) {
        return Err(ReadSavedError::Damaged);
    }
    Ok(body)
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
        newer[4] = 4;
        assert!(matches!(
            Checkpoint::decode(&newer),
            Err(ReadSavedError::TooNew { found: 4 })
        ));
    }
}
