//! The keys of a session, and what they do to octets: no packet's form is known here.

use std::fmt;

use aes::cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ctr::{Ctr128BE, CtrCore};
use hmac::{Hmac, Mac as _};
use holdfast_units::SrtpSuite;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::derivation::{Label, derive};
use crate::master::MasterKey;

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// It has no room for its header and what protects it, or its header does not read.
    #[error("the packet is too short or malformed")]
    Malformed,
    /// Its tag is not right under any key and counter that it could have.
    #[error("the packet does not authenticate")]
    Authentication,
    /// It names a key that was not agreed on.
    #[error("the packet names an unknown key")]
    UnknownMki,
    /// It was there before.
    #[error("the packet is a replay")]
    Replay,
    /// It is so old that whether it was there before is not known.
    #[error("the packet is too old")]
    TooOld,
    /// Its key has protected as many packets as it may.
    #[error("the key's lifetime is over")]
    Lifetime,
}

/// What the keys of a session are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Rtp,
    Rtcp,
}

/// The keys of a session.
pub(crate) struct Keys {
    pub(crate) cipher: Cipher,
    /// Session salt: 14 octets, with AEAD 12 of them.
    salt: [u8; SALT_SIZE],
}

/// What they are used with. Boxed: an AEAD has three times the state of the others, and what is
/// used for each packet should lie together.
pub(crate) enum Cipher {
    Counter {
        block: Block,
        authentication: Hmac<Sha1>,
        /// Octets of the tag.
        tag_size: usize,
    },
    Aead(Aead),
}

/// AES in counter mode.
#[expect(
    clippy::large_enum_variant,
    reason = "one place for what each packet needs"
)]
pub(crate) enum Block {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

/// AES in Galois/counter mode.
#[expect(
    clippy::large_enum_variant,
    reason = "one place for what each packet needs"
)]
pub(crate) enum Aead {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

/// Octets of an AEAD's tag.
pub(crate) const AEAD_TAG_SIZE: usize = 16;
/// Octets of an AEAD's nonce.
pub(crate) const NONCE_SIZE: usize = 12;
const SALT_SIZE: usize = 14;
/// RFC 3711 §5.2: n_a = 160 bits.
const AUTHENTICATION_KEY_SIZE: usize = 20;

impl Keys {
    pub(crate) fn new(master: &MasterKey, purpose: Purpose) -> Self {
        let suite = master.suite();
        let (cipher_label, authentication_label, salt_label, tag_size) = match purpose {
            Purpose::Rtp => (
                Label::RtpCipher,
                Label::RtpAuthentication,
                Label::RtpSalt,
                suite.rtp_tag_size(),
            ),
            Purpose::Rtcp => (
                Label::RtcpCipher,
                Label::RtcpAuthentication,
                Label::RtcpSalt,
                suite.rtcp_tag_size(),
            ),
        };
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_size()];
        derive(master, cipher_label, key);
        let mut salt = [0; SALT_SIZE];
        derive(master, salt_label, &mut salt[..suite.salt_size()]);
        let mut authentication = Zeroizing::new([0; AUTHENTICATION_KEY_SIZE]);
        derive(master, authentication_label, authentication.as_mut_slice());
        Self::from_parts(suite, key, salt, &authentication, tag_size)
    }

    /// From session keys: the test vectors of RFC 7714 have no master key.
    pub(crate) fn from_parts(
        suite: SrtpSuite,
        key: &[u8],
        salt: [u8; SALT_SIZE],
        authentication: &[u8; AUTHENTICATION_KEY_SIZE],
        tag_size: usize,
    ) -> Self {
        const SIZE: &str = "the size is the suite's";
        let counter = |block| Cipher::Counter {
            block,
            authentication: Hmac::new_from_slice(authentication).expect("any size will do"),
            tag_size,
        };
        let cipher = match suite {
            SrtpSuite::AesCm128Sha1_80 | SrtpSuite::AesCm128Sha1_32 => {
                counter(Block::Aes128(Aes128Enc::new_from_slice(key).expect(SIZE)))
            }
            SrtpSuite::AesCm256Sha1_80 | SrtpSuite::AesCm256Sha1_32 => {
                counter(Block::Aes256(Aes256Enc::new_from_slice(key).expect(SIZE)))
            }
            SrtpSuite::AesGcm128 => {
                Cipher::Aead(Aead::Aes128(Aes128Gcm::new_from_slice(key).expect(SIZE)))
            }
            SrtpSuite::AesGcm256 => {
                Cipher::Aead(Aead::Aes256(Aes256Gcm::new_from_slice(key).expect(SIZE)))
            }
        };
        Self { cipher, salt }
    }

    /// IV of counter mode (RFC 3711 §4.1.1): salt · 2^16 XOR SSRC · 2^64 XOR index · 2^16.
    pub(crate) fn counter_iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..SALT_SIZE].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        iv
    }

    /// Nonce of an AEAD for RTP (RFC 7714 §8.1): 0 || SSRC || ROC || SEQ, XOR salt. SRTCP has its
    /// index of 31 bits in the same place (§9.1).
    pub(crate) fn nonce(&self, ssrc: u32, index: u64) -> [u8; NONCE_SIZE] {
        let mut nonce = [0; NONCE_SIZE];
        nonce.copy_from_slice(&self.salt[..NONCE_SIZE]);
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        nonce
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Block {
    /// XORs the key stream that begins at `iv` into `data`.
    pub(crate) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(aes) => {
                Ctr128BE::from_core(CtrCore::inner_iv_init(aes, iv.into())).apply_keystream(data)
            }
            Self::Aes256(aes) => {
                Ctr128BE::from_core(CtrCore::inner_iv_init(aes, iv.into())).apply_keystream(data)
            }
        }
    }
}

impl Aead {
    /// Decrypts `data` in place where the tag is right; else it is left as it was.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_SIZE],
        associated: &[u8],
        data: &mut [u8],
        tag: &[u8; AEAD_TAG_SIZE],
    ) -> Result<(), SrtpError> {
        let (nonce, tag) = (nonce.into(), tag.into());
        match self {
            Self::Aes128(gcm) => gcm.decrypt_inout_detached(nonce, associated, data.into(), tag),
            Self::Aes256(gcm) => gcm.decrypt_inout_detached(nonce, associated, data.into(), tag),
        }
        .map_err(|_| SrtpError::Authentication)
    }

    /// Encrypts `data` in place; the answer is the tag.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_SIZE],
        associated: &[u8],
        data: &mut [u8],
    ) -> [u8; AEAD_TAG_SIZE] {
        let nonce = nonce.into();
        match self {
            Self::Aes128(gcm) => gcm.encrypt_inout_detached(nonce, associated, data.into()),
            Self::Aes256(gcm) => gcm.encrypt_inout_detached(nonce, associated, data.into()),
        }
        .expect("a packet is far shorter than the cipher's limit")
        .into()
    }
}

/// The tag of counter mode over parts that follow one another.
pub(crate) fn tag(authentication: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = authentication.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether a tag that was cut to its size is this one; takes as long whichever octet differs.
pub(crate) fn is_tag(whole: &[u8; 20], cut: &[u8]) -> bool {
    whole
        .get(..cut.len())
        .is_some_and(|own| own.ct_eq(cut).into())
}

fn xor(into: &mut [u8], other: &[u8]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::hex;

    #[test]
    fn key_streams_of_rfc_3711_appendix_b_2_and_rfc_6188_section_7_1() {
        let mut salt = [0; SALT_SIZE];
        salt.copy_from_slice(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"));
        for (suite, key, expected) in [
            (
                SrtpSuite::AesCm128Sha1_80,
                "2b7e151628aed2a6abf7158809cf4f3c",
                &[
                    (0, "e03ead0935c95e80e166b16dd92b4eb4"),
                    (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
                    (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
                    (0xfeff, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
                    (0xff00, "362b7c3c6773516318a077d7fc5073ae"),
                    (0xff01, "6a2cc3787889374fbeb4c81b17ba6c44"),
                ][..],
            ),
            (
                SrtpSuite::AesCm256Sha1_80,
                "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
                &[
                    (0, "92bdd28a93c3f52511c677d08b5515a4"),
                    (1, "9da71b2378a854f67050756ded165bac"),
                    (2, "63c4868b7096d88421b563b8c94c9a31"),
                    (0xfeff, "cea518c90fd91ced9cbb18c078a54711"),
                    (0xff00, "3dbc4814f4da5f00a08772b63c6a046d"),
                    (0xff01, "6eb246913062a16891433e97dd01a57f"),
                ],
            ),
        ] {
            let keys = Keys::from_parts(suite, &hex(key), salt, &[0; 20], 10);
            let Cipher::Counter { block, .. } = &keys.cipher else {
                panic!("{suite} is counter mode");
            };
            let mut stream = vec![0; 0x1_0000 * 16];
            block.apply(&keys.counter_iv(0, 0), &mut stream);
            for &(at, octets) in expected {
                let octets = hex(octets);
                assert_eq!(stream[at * 16..][..octets.len()], octets, "{suite} {at:x}");
            }
        }
    }
}
