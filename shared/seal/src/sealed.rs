//! What a sealed secret looks like.
//!
//! ```text
//! 0         1        5                29
//! | version | key id | nonce, random  | ciphertext … | tag, 16 |
//! ```
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): with 24 octets of nonce random ones do not meet
//! again, however much one key seals, so nothing has to be counted over restarts and nodes.
//! Authenticated with it: the version, the key's id and the context.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::node_keys::{NodeKey, NodeKeys};

/// Random octets that sealing asks for.
pub const NONCE_SIZE: usize = 24;

/// How much longer a sealed secret is.
pub const OVERHEAD: usize = HEAD_SIZE + NONCE_SIZE + TAG_SIZE;

/// Why a sealed secret does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of another version.
    #[error("it is no sealed secret of this version")]
    Form,
    /// None of the node's keys has sealed it.
    #[error("it was sealed with a key that is not in the node's key file")]
    UnknownKey,
    /// It was changed, or belongs to something else.
    #[error("it was changed since it was sealed, or belongs elsewhere")]
    Forged,
}

impl NodeKeys {
    /// Seals a secret with the first key. The nonce is random, new each time; the context says what
    /// the secret belongs to, and is needed to open it.
    pub fn seal(&self, nonce: &[u8; NONCE_SIZE], context: &[u8], secret: &[u8]) -> Vec<u8> {
        let key = self.sealing();
        let head = head(key);
        let payload = Payload {
            msg: secret,
            aad: &associated(&head, context),
        };
        let sealed = cipher(key)
            .encrypt(&XNonce::from(*nonce), payload)
            .expect("a secret is far shorter than the cipher's limit");
        let mut out = Vec::with_capacity(secret.len() + OVERHEAD);
        out.extend(head);
        out.extend(nonce);
        out.extend(sealed);
        out
    }

    /// Opens what [`Self::seal`] made with one of the keys and the same context.
    ///
    /// # Errors
    ///
    /// It is nothing that was sealed, with no known key, or not for this context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (head, rest) = sealed
            .split_first_chunk::<HEAD_SIZE>()
            .ok_or(OpenError::Form)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_SIZE>()
            .ok_or(OpenError::Form)?;
        let [version, id @ ..] = *head;
        if version != VERSION || sealed.len() < TAG_SIZE {
            return Err(OpenError::Form);
        }
        let key = self.by_id(id).ok_or(OpenError::UnknownKey)?;
        let payload = Payload {
            msg: sealed,
            aad: &associated(head, context),
        };
        cipher(key)
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::Forged)
    }

    /// Whether a secret was sealed with the key that seals now: one that was not is sealed anew when
    /// it is written next, so that an old key can be taken out.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&head(self.sealing()))
    }
}

fn cipher(key: &NodeKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*key.octets).into())
}

fn head(key: &NodeKey) -> [u8; HEAD_SIZE] {
    let [a, b, c, d] = key.id;
    [VERSION, a, b, c, d]
}

fn associated(head: &[u8; HEAD_SIZE], context: &[u8]) -> Vec<u8> {
    [head.as_slice(), context].concat()
}

const VERSION: u8 = 1;
const HEAD_SIZE: usize = 5;
const TAG_SIZE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    const NONCE: [u8; NONCE_SIZE] = [3; NONCE_SIZE];

    fn keys(lines: &[&str]) -> NodeKeys {
        NodeKeys::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn the_form_is_as_it_was() {
        let sealed = keys(&[ONE]).seal(&NONCE, b"context", b"secret");
        let golden = "011051b5130303030303030303030303030303030303030303030303033b901d34b8a16a02a41ed\
                      0b60d279ea3fba9d1c6b39a";
        let hex: String = sealed.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(sealed.len(), b"secret".len() + OVERHEAD);
    }

    #[test]
    fn a_change_anywhere_is_seen() {
        let keys = keys(&[ONE]);
        let sealed = keys.seal(&NONCE, b"context", b"secret");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(keys.open(b"context", &changed).is_err(), "octet {at}");
            }
        }
        for size in 0..sealed.len() {
            assert!(keys.open(b"context", &sealed[..size]).is_err(), "{size}");
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert_eq!(keys.open(b"context", &longer), Err(OpenError::Forged));
        assert_eq!(keys.open(b"contexts", &sealed), Err(OpenError::Forged));
        assert_eq!(keys.open(b"", &sealed), Err(OpenError::Forged));
    }

    #[test]
    fn a_rotated_file_opens_the_old_and_seals_with_the_new() {
        let (old, both, new) = (keys(&[ONE]), keys(&[TWO, ONE]), keys(&[TWO]));
        let before = old.seal(&NONCE, b"", b"secret");
        assert_eq!(both.open(b"", &before).unwrap().as_slice(), b"secret");
        assert!(old.is_current(&before) && !both.is_current(&before));
        let after = both.seal(&NONCE, b"", b"secret");
        assert_eq!(new.open(b"", &after).unwrap().as_slice(), b"secret");
        assert_eq!(new.open(b"", &before), Err(OpenError::UnknownKey));
        assert_eq!(old.open(b"", &after), Err(OpenError::UnknownKey));
    }
}
