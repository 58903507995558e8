//! One SRTP packet under one key and one index.
//!
//! ```text
//!   counter mode (RFC 3711 §3.1)     header | encrypted payload … | MKI | tag
//!   AEAD (RFC 7714 §8.2)             header | encrypted payload … | tag, 16 | MKI
//! ```
//!
//! The tag is of header, encrypted payload and roll-over counter; with AEAD the counter is in the
//! nonce.

use holdfast_rtp::RtpPacket;

use crate::master::{MasterKey, Mki};
use crate::transform::{AEAD_TAG_SIZE, Cipher, Keys, Purpose, SrtpError, is_tag, tag};

/// A key for SRTP packets.
#[derive(Debug)]
pub struct RtpTransform {
    keys: Keys,
    mki: Mki,
}

/// A protected packet that reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protected<'a> {
    bytes: &'a [u8],
    header_size: usize,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
}

impl<'a> Protected<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, SrtpError> {
        let packet = RtpPacket::parse_protected(bytes).map_err(|_| SrtpError::Malformed)?;
        Ok(Self {
            bytes,
            header_size: packet.payload_range().start,
            ssrc: packet.ssrc().0,
            sequence: packet.sequence().0,
        })
    }
}

impl RtpTransform {
    /// Derives the keys of the session.
    pub fn new(master: &MasterKey, mki: Mki) -> Self {
        Self {
            keys: Keys::new(master, Purpose::Rtp),
            mki,
        }
    }

    #[cfg(test)]
    pub(crate) fn from_keys(keys: Keys) -> Self {
        Self {
            keys,
            mki: Mki::default(),
        }
    }

    pub(crate) fn has_mki(&self, mki: &Mki) -> bool {
        self.mki == *mki
    }

    /// Whether a packet names this key.
    pub(crate) fn is_named(&self, packet: &Protected<'_>) -> bool {
        let mki = self.mki.octets();
        if mki.is_empty() {
            return true;
        }
        let behind = match &self.keys.cipher {
            Cipher::Counter { tag_size, .. } => *tag_size,
            Cipher::Aead(_) => 0,
        };
        let end = packet.bytes.len().checked_sub(behind);
        let named = end.and_then(|end| packet.bytes.get(end.checked_sub(mki.len())?..end));
        named == Some(mki)
    }

    /// Authenticates and decrypts a packet. `out` gets the plain one; where it fails, nothing that
    /// means anything.
    pub(crate) fn unprotect(
        &self,
        packet: &Protected<'_>,
        roc: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let Protected {
            bytes,
            header_size,
            ssrc,
            sequence,
        } = *packet;
        let index = u64::from(roc) << 16 | u64::from(sequence);
        match &self.keys.cipher {
            Cipher::Counter {
                block,
                authentication,
                tag_size,
            } => {
                let (rest, cut) = split_end(bytes, *tag_size)?;
                let (content, _) = split_end(rest, self.mki.octets().len())?;
                if content.len() < header_size {
                    return Err(SrtpError::Malformed);
                }
                let whole = tag(authentication, &[content, &roc.to_be_bytes()]);
                if !is_tag(&whole, cut) {
                    return Err(SrtpError::Authentication);
                }
                out.clear();
                out.extend_from_slice(content);
                block.apply(&self.keys.counter_iv(ssrc, index), &mut out[header_size..]);
            }
            Cipher::Aead(aead) => {
                let (content, _) = split_end(bytes, self.mki.octets().len())?;
                let (content, tag) = content
                    .split_last_chunk::<AEAD_TAG_SIZE>()
                    .ok_or(SrtpError::Malformed)?;
                if content.len() < header_size {
                    return Err(SrtpError::Malformed);
                }
                out.clear();
                out.extend_from_slice(content);
                let (header, payload) = out.split_at_mut(header_size);
                aead.open(&self.keys.nonce(ssrc, index), header, payload, tag)?;
            }
        }
        Ok(())
    }

    /// Protects a plain packet with this roll-over counter. `out` gets the protected one.
    ///
    /// # Errors
    ///
    /// Where the packet does not read.
    pub fn protect(&self, plain: &[u8], roc: u32, out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let Protected {
            header_size,
            ssrc,
            sequence,
            ..
        } = Protected::parse(plain)?;
        let index = u64::from(roc) << 16 | u64::from(sequence);
        out.clear();
        out.extend_from_slice(plain);
        let (header, payload) = out.split_at_mut(header_size);
        match &self.keys.cipher {
            Cipher::Counter {
                block,
                authentication,
                tag_size,
            } => {
                block.apply(&self.keys.counter_iv(ssrc, index), payload);
                let whole = tag(authentication, &[out, &roc.to_be_bytes()]);
                out.extend_from_slice(self.mki.octets());
                out.extend_from_slice(&whole[..*tag_size]);
            }
            Cipher::Aead(aead) => {
                let tag = aead.seal(&self.keys.nonce(ssrc, index), header, payload);
                out.extend_from_slice(&tag);
                out.extend_from_slice(self.mki.octets());
            }
        }
        Ok(())
    }
}

/// The last `size` octets, and what is before them.
pub(crate) fn split_end(bytes: &[u8], size: usize) -> Result<(&[u8], &[u8]), SrtpError> {
    let at = bytes.len().checked_sub(size).ok_or(SrtpError::Malformed)?;
    Ok(bytes.split_at(at))
}

#[cfg(test)]
mod tests {
    use holdfast_units::SrtpSuite;

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn rfc_7714_section_16() {
        for (suite, key, protected) in [
            (
                SrtpSuite::AesGcm128,
                vectors::GCM_KEY_128,
                vectors::GCM_128_SRTP,
            ),
            (
                SrtpSuite::AesGcm256,
                vectors::GCM_KEY_256,
                vectors::GCM_256_SRTP,
            ),
        ] {
            let transform = RtpTransform::from_keys(vectors::gcm_keys(suite, key));
            check(&transform, &hex(vectors::GCM_RTP), &hex(protected));
        }
    }

    #[test]
    fn vectors_of_libsrtp() {
        for (suite, key, mki, protected) in [
            (
                SrtpSuite::AesCm128Sha1_80,
                vectors::CM_128,
                "",
                vectors::CM_128_SRTP,
            ),
            (
                SrtpSuite::AesCm128Sha1_80,
                vectors::CM_128,
                "e1f97a0d",
                vectors::CM_128_SRTP_MKI,
            ),
            (
                SrtpSuite::AesCm256Sha1_80,
                vectors::CM_256,
                "",
                vectors::CM_256_SRTP,
            ),
            (
                SrtpSuite::AesGcm128,
                vectors::GCM_128,
                "",
                vectors::GCM_128_LIBSRTP_SRTP,
            ),
        ] {
            let master = MasterKey::new(suite, &hex(key)).unwrap();
            let transform = RtpTransform::new(&master, Mki::new(&hex(mki)).unwrap());
            check(&transform, &hex(vectors::RTP), &hex(protected));
        }
    }

    fn check(transform: &RtpTransform, plain: &[u8], protected: &[u8]) {
        let mut out = Vec::new();
        transform.protect(plain, 0, &mut out).unwrap();
        assert_eq!(out, protected);
        let packet = Protected::parse(protected).unwrap();
        assert!(transform.is_named(&packet));
        transform.unprotect(&packet, 0, &mut out).unwrap();
        assert_eq!(out, plain);
        assert_eq!(
            transform.unprotect(&packet, 1, &mut out),
            Err(SrtpError::Authentication)
        );
        for at in 0..protected.len() {
            let mut changed = protected.to_vec();
            changed[at] ^= 4;
            let is_taken = Protected::parse(&changed).is_ok_and(|it| {
                transform.is_named(&it) && transform.unprotect(&it, 0, &mut out).is_ok()
            });
            assert!(!is_taken, "octet {at}");
        }
        for size in 0..protected.len() {
            let is_taken = Protected::parse(&protected[..size])
                .is_ok_and(|it| transform.unprotect(&it, 0, &mut out).is_ok());
            assert!(!is_taken, "{size} octets");
        }
    }
}
