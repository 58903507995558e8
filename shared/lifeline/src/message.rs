//! The messages, and how they travel: one SOCK_SEQPACKET message each, little-endian, with the
//! descriptors beside it (SCM_RIGHTS).
//!
//! ```text
//!   0       4         6          8
//!   | magic | version | reserved | postcard encoding of the message …
//! ```
//!
//! Each may be said again: a deposit replaces what has its key, a withdrawal of what is not there
//! changes nothing.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{BATCH_MAX, KEY_SIZE_MAX, NOTE_SIZE_MAX};

/// Version of the messages. A process of another one is treated as if it were not there.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"hfll";
const HEADER_SIZE: usize = 8;

/// What the owner of descriptors says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// All that is kept is wanted. It stays kept.
    Fetch,
    /// To be kept, each in the place of what has its key.
    Deposit(Vec<Item>),
    /// No longer to be kept.
    Withdraw(Vec<String>),
    /// What was not deposited on this connection is no longer to be kept.
    Settled,
}

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// Answers a fetch, in as many messages as it takes.
    Kept {
        /// Some of what is kept.
        items: Vec<Item>,
        /// Whether that was all.
        is_last: bool,
    },
}

/// One thing: the next `count` descriptors beside the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called, 1 to [`KEY_SIZE_MAX`] octets.
    pub key: String,
    /// What its owner has to know about it, at most [`NOTE_SIZE_MAX`] octets.
    #[serde(with = "serde_bytes")]
    pub note: Vec<u8>,
    /// How many descriptors, 1 to [`BATCH_MAX`].
    pub count: u16,
}

impl Item {
    /// Whether it keeps to the bounds.
    pub fn is_fit(&self) -> bool {
        (1..=KEY_SIZE_MAX).contains(&self.key.len())
            && self.note.len() <= NOTE_SIZE_MAX
            && (1..=BATCH_MAX).contains(&usize::from(self.count))
    }
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not from one of us.
    #[error("a message without the magic octets")]
    NotOurs,
    /// The other process is of another version.
    #[error("the other process speaks version {found} of the lifeline, this one {VERSION}")]
    Version {
        /// The version it speaks.
        found: u16,
    },
    /// The right version, yet unreadable.
    #[error("a message that does not decode")]
    Decoder(#[source] postcard::Error),
}

/// Encodes a message.
///
/// # Panics
///
/// Never: plain data serialises into memory.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    postcard::to_extend(message, bytes).expect("plain data serialises into memory")
}

/// Decodes a message. Allocates no more than the message's own size suggests.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let deposit = ToKeeper::Deposit(vec![Item {
            key: "rings".to_owned(),
            note: vec![7, 8],
            count: 3,
        }]);
        let golden = b"hfll\x01\0\0\0\x01\x01\x05rings\x02\x07\x08\x03";
        assert_eq!(encode(&deposit), golden);
        assert_eq!(decode::<ToKeeper>(golden).unwrap(), deposit);
        assert_eq!(encode(&ToKeeper::Fetch), b"hfll\x01\0\0\0\0");
        assert_eq!(encode(&ToKeeper::Settled), b"hfll\x01\0\0\0\x03");
        let kept = FromKeeper::Kept {
            items: Vec::new(),
            is_last: true,
        };
        assert_eq!(encode(&kept), b"hfll\x01\0\0\0\0\0\x01");
    }

    #[test]
    fn what_is_not_ours_or_of_another_version_is_told_apart() {
        let decode = decode::<ToKeeper>;
        assert!(matches!(decode(b""), Err(DecodeError::NotOurs)));
        assert!(matches!(
            decode(b"hfcp\x01\0\0\0\0"),
            Err(DecodeError::NotOurs)
        ));
        let newer = decode(b"hfll\x02\0\0\0\0");
        assert!(matches!(newer, Err(DecodeError::Version { found: 2 })));
        assert!(matches!(
            decode(b"hfll\x01\0\0\0\x09"),
            Err(DecodeError::Decoder(_))
        ));
        // A length that promises more than there is.
        assert!(decode(b"hfll\x01\0\0\0\x01\xff\xff\xff\xff\x0f").is_err());
    }
}
