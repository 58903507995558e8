//! The keys of a node, and the text that they are kept in.
//!
//! ```text
//! # Comments and empty lines mean nothing.
//! AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=     the first one seals
//! ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=     each opens what it has sealed
//! ```
//!
//! To rotate: put a new key above the others and start both processes again; take an old one out
//! when nothing that it sealed is kept any more.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Octets of a node key.
pub const KEY_SIZE: usize = 32;

/// The keys of a node: the first one seals, all of them open.
#[derive(Clone)]
pub struct NodeKeys {
    /// Never empty.
    keys: Vec<NodeKey>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct NodeKey {
    /// Says which key has sealed something, and nothing about the key.
    pub(crate) id: [u8; 4],
    pub(crate) octets: Zeroizing<[u8; KEY_SIZE]>,
}

/// Why a text is no list of node keys. It has no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Only comments and empty lines.
    #[error("there is no key in it")]
    Empty,
    /// Not base64, or of another size.
    #[error("its line {line} is no key: 32 octets in base64")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A key stands there twice.
    #[error("its line {line} has a key that stands there already")]
    Twice {
        /// Number of the second line, from 1.
        line: usize,
    },
    /// More than [`KEYS_MAX`].
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
}

impl NodeKeys {
    /// Reads the text of a key file.
    ///
    /// # Errors
    ///
    /// A line that is no key, a key that comes twice, too many or none at all.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let mut keys: Vec<NodeKey> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let key = NodeKey::parse(content).ok_or(KeyTextError::Line { line })?;
            // By name: two keys with one name could not be told apart.
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyTextError::Twice { line });
            }
            if keys.len() == KEYS_MAX {
                return Err(KeyTextError::TooMany);
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyTextError::Empty);
        }
        Ok(Self { keys })
    }

    /// The text of a new key file with this key in it.
    pub fn text_of(key: &[u8; KEY_SIZE]) -> Zeroizing<String> {
        let line = Zeroizing::new(STANDARD.encode(key));
        Zeroizing::new(format!(
            "# Keys of this node: 32 octets in base64, one a line. The first seals secrets at rest,\n\
             # all of them open what they have sealed. Whoever has this file can open them.\n\
             {}\n",
            *line
        ))
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn sealing(&self) -> &NodeKey {
        &self.keys[0]
    }

    pub(crate) fn by_id(&self, id: [u8; 4]) -> Option<&NodeKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl NodeKey {
    fn parse(text: &str) -> Option<Self> {
        // One octet more than fits, so that a key which is too long is seen.
        let mut decoded = Zeroizing::new([0; KEY_SIZE + 4]);
        let size = STANDARD.decode_slice(text, decoded.as_mut_slice()).ok()?;
        let octets: [u8; KEY_SIZE] = decoded.get(..size)?.try_into().ok()?;
        let octets = Zeroizing::new(octets);
        let digest = Sha256::new()
            .chain_update(b"holdfast node key")
            .chain_update(octets.as_slice())
            .finalize();
        let id = [digest[0], digest[1], digest[2], digest[3]];
        Some(Self { id, octets })
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys")
            .field("count", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// Keys of one node: a rotation needs two, a careful one some more.
pub const KEYS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    #[test]
    fn what_is_no_key_is_named_by_its_line() {
        for (text, expected) in [
            ("", KeyTextError::Empty),
            ("# nothing\n\n", KeyTextError::Empty),
            (&format!("{ONE}\nx"), KeyTextError::Line { line: 2 }),
            ("AAEC", KeyTextError::Line { line: 1 }),
            (
                &format!("{}AAAA", &ONE[..40]),
                KeyTextError::Line { line: 1 },
            ),
            (&STANDARD.encode([1; 33]), KeyTextError::Line { line: 1 }),
            (&STANDARD.encode([1; 64]), KeyTextError::Line { line: 1 }),
            (
                &format!("{ONE}\n{TWO}\n{ONE}"),
                KeyTextError::Twice { line: 3 },
            ),
        ] {
            assert_eq!(NodeKeys::parse(text).unwrap_err(), expected, "{text:?}");
        }
        let many: String = (0..17).map(|n| STANDARD.encode([n; 32]) + "\n").collect();
        assert_eq!(NodeKeys::parse(&many).unwrap_err(), KeyTextError::TooMany);
    }

    #[test]
    fn a_new_text_reads_back_and_shows_nothing() {
        let text = NodeKeys::text_of(&[9; KEY_SIZE]);
        let keys = NodeKeys::parse(&text).unwrap();
        assert_eq!(keys.sealing().octets.as_slice(), [9; KEY_SIZE]);
        assert_eq!(format!("{keys:?}"), "NodeKeys { count: 1, .. }");
    }
}
