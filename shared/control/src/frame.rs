//! How a message travels: one SOCK_SEQPACKET message each, little-endian.
//!
//! ```text
//!   0       4         6          8
//!   | magic | version | reserved | postcard encoding of the message …
//! ```
//!
//! postcard's encoding depends on the order of fields and variants: whoever changes a message
//! raises [`VERSION`]; the golden bytes in the tests hold both together.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::MESSAGE_SIZE_MAX;

/// Version of the messages. Both processes are installed together; a mismatch is an answer
/// ([`DecodeError::Version`]), not a guess.
pub const VERSION: u16 = 5;

const MAGIC: [u8; 4] = *b"hfcp";
const HEADER_SIZE: usize = 8;

/// Why a message could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The caller sent more than a message may hold.
    #[error("a control message of {size} octets, at most {MESSAGE_SIZE_MAX} fit")]
    TooLong {
        /// What it would have been.
        size: usize,
    },
    /// The encoder refused the value.
    #[error("encoding a control message")]
    Encoder(#[source] postcard::Error),
}

/// Why a received message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not from one of us: the connection is closed.
    #[error("a control message without the magic octets")]
    NotOurs,
    /// The other process is of another version: it must be restarted.
    #[error("the other process speaks control version {found}, this one {VERSION}")]
    Version {
        /// The version it speaks.
        found: u16,
    },
    /// The right version, yet unreadable.
    #[error("decoding a control message")]
    Decoder(#[source] postcard::Error),
}

/// Encodes one message.
///
/// # Errors
///
/// [`EncodeError::TooLong`] above [`MESSAGE_SIZE_MAX`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    let bytes = postcard::to_extend(message, bytes).map_err(EncodeError::Encoder)?;
    if bytes.len() > MESSAGE_SIZE_MAX {
        return Err(EncodeError::TooLong { size: bytes.len() });
    }
    Ok(bytes)
}

/// Decodes one message. Allocates no more than the message's own size suggests.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (header, body) = bytes
        .split_at_checked(HEADER_SIZE)
        .ok_or(DecodeError::NotOurs)?;
    if header[..4] != MAGIC {
        return Err(DecodeError::NotOurs);
    }
    let found = u16::from_le_bytes([header[4], header[5]]);
    if found != VERSION {
        return Err(DecodeError::Version { found });
    }
    postcard::from_bytes(body).map_err(DecodeError::Decoder)
}
