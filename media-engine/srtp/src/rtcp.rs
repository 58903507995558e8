//! SRTCP: what a peer reports, and our own reports.
//!
//! ```text
//!   counter mode (RFC 3711 §3.4)     header, 8 | encrypted … | E, index | MKI | tag, 10
//!   AEAD (RFC 7714 §9.2, §9.3)       header, 8 | encrypted … | tag, 16 | E, index | MKI
//! ```
//!
//! Reports are rare, one in seconds, so the keys of the session are derived for each of them anew:
//! a stream keeps nothing but the master keys.

use crate::limits::{RTCP_LIFETIME_MAX, SOURCES_MAX};
use crate::master::{MasterKey, Mki, PeerKey};
use crate::receiver::{StateError, chunk};
use crate::replay::{STATE_SIZE as WINDOW_SIZE, Window};
use crate::rtp::split_end;
use crate::transform::{AEAD_TAG_SIZE, Cipher, Keys, Purpose, SrtpError, is_tag, tag};

/// What a peer reports of a stream.
#[derive(Debug)]
pub struct RtcpReceiver {
    /// Those of the offer in force, then those of the one before it.
    keys: Vec<PeerKey>,
    current: usize,
    sources: Vec<(u32, Window)>,
}

/// Our own reports of a stream.
#[derive(Debug)]
pub struct RtcpSender {
    master: MasterKey,
    is_encrypted: bool,
    /// Of the next packet; never used twice with a key and SSRC (RFC 3711 §9.1).
    index: u32,
}

/// Octets of header and SSRC, which stay in the clear.
const HEADER_SIZE: usize = 8;
const WORD: usize = 4;
/// The bit before the index: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

impl RtcpReceiver {
    /// A receiver that has heard nobody yet.
    pub const fn new(keys: Vec<PeerKey>) -> Self {
        let current = keys.len();
        Self {
            keys,
            current,
            sources: Vec::new(),
        }
    }

    /// A new offer is in force. The keys of the one before are kept beside its own.
    pub fn rekey(&mut self, mut keys: Vec<PeerKey>) {
        let is_same = keys.len() == self.current
            && keys
                .iter()
                .zip(&self.keys)
                .all(|(a, b)| a.master.is(&b.master) && a.mki == b.mki);
        if !is_same {
            self.keys.truncate(self.current);
            self.current = keys.len();
            keys.append(&mut self.keys);
            self.keys = keys;
        }
    }

    /// Authenticates and decrypts a packet; `out` gets the compound packet.
    ///
    /// # Errors
    ///
    /// It is not taken.
    pub fn unprotect(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = ssrc(bytes)?;
        let mut error = SrtpError::Authentication;
        let found = self.keys.iter().find_map(|key| {
            let keys = Keys::new(&key.master, Purpose::Rtcp);
            match unprotect(&keys, &key.mki, ssrc, bytes, out) {
                Ok(index) => Some(index),
                Err(other) => {
                    error = other;
                    None
                }
            }
        });
        let index = u64::from(found.ok_or(error)?);
        match self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, window)) => {
                window.check(index)?;
                window.take(index);
            }
            None => {
                if self.sources.len() >= SOURCES_MAX {
                    self.sources.remove(0);
                }
                self.sources.push((ssrc, Window::first(index)));
            }
        }
        Ok(())
    }

    /// What a later process needs to go on, but for the keys.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.push(self.sources.len() as u8);
        for (ssrc, window) in &self.sources {
            into.extend(ssrc.to_le_bytes());
            window.encode(into);
        }
    }

    /// Goes on with what [`Self::encode`] wrote, with the keys of the offer in force and those of the
    /// one before it. Octets that are left over belong to the caller.
    ///
    /// # Errors
    ///
    /// Where the octets are too few.
    pub fn decode(
        keys: Vec<PeerKey>,
        old: Vec<PeerKey>,
        mut bytes: &[u8],
    ) -> Result<(Self, &[u8]), StateError> {
        let bytes = &mut bytes;
        let mut receiver = Self::new(keys);
        receiver.keys.extend(old);
        let [count] = chunk(bytes)?;
        for _ in 0..count {
            let ssrc = u32::from_le_bytes(chunk(bytes)?);
            let window = Window::decode(&chunk::<WINDOW_SIZE>(bytes)?);
            receiver.sources.push((ssrc, window));
        }
        Ok((receiver, bytes))
    }
}

impl RtcpSender {
    /// A sender whose next packet is the first of its SSRC.
    pub const fn new(master: MasterKey, is_encrypted: bool) -> Self {
        Self {
            master,
            is_encrypted,
            index: 0,
        }
    }

    /// Another key from now on. The index goes on (RFC 3711 §3.4).
    pub fn rekey(&mut self, master: MasterKey, is_encrypted: bool) {
        self.master = master;
        self.is_encrypted = is_encrypted;
    }

    /// Protects a compound packet; `out` gets it.
    ///
    /// # Errors
    ///
    /// Where it has no header, or the key has protected as many as it may: nothing more is sent
    /// with it (RFC 3711 §9.2).
    pub fn protect(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        if u64::from(self.index) >= RTCP_LIFETIME_MAX {
            return Err(SrtpError::Lifetime);
        }
        let ssrc = ssrc(plain)?;
        let keys = Keys::new(&self.master, Purpose::Rtcp);
        protect(
            &keys,
            &Mki::default(),
            ssrc,
            self.index,
            self.is_encrypted,
            plain,
            out,
        );
        self.index += 1;
        Ok(())
    }
}

fn ssrc(bytes: &[u8]) -> Result<u32, SrtpError> {
    let header = bytes
        .first_chunk::<HEADER_SIZE>()
        .ok_or(SrtpError::Malformed)?;
    Ok(u32::from_be_bytes([
        header[4], header[5], header[6], header[7],
    ]))
}

/// The answer is the packet's index.
fn unprotect(
    keys: &Keys,
    mki: &Mki,
    ssrc: u32,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<u32, SrtpError> {
    match &keys.cipher {
        Cipher::Counter {
            block,
            authentication,
            tag_size,
        } => {
            let (rest, cut) = split_end(bytes, *tag_size)?;
            let (authentic, named) = split_end(rest, mki.octets().len())?;
            if named != mki.octets() {
                return Err(SrtpError::UnknownMki);
            }
            let (content, word) = split_word(authentic)?;
            if !is_tag(&tag(authentication, &[authentic]), cut) {
                return Err(SrtpError::Authentication);
            }
            let index = word & !ENCRYPTED;
            out.clear();
            out.extend_from_slice(content);
            if word & ENCRYPTED != 0 {
                let iv = keys.counter_iv(ssrc, u64::from(index));
                block.apply(&iv, &mut out[HEADER_SIZE..]);
            }
            Ok(index)
        }
        Cipher::Aead(aead) => {
            let (rest, named) = split_end(bytes, mki.octets().len())?;
            if named != mki.octets() {
                return Err(SrtpError::UnknownMki);
            }
            let (rest, word) = split_word(rest)?;
            let (content, tag) = rest
                .split_last_chunk::<AEAD_TAG_SIZE>()
                .filter(|(content, _)| content.len() >= HEADER_SIZE)
                .ok_or(SrtpError::Malformed)?;
            let index = word & !ENCRYPTED;
            let nonce = keys.nonce(ssrc, u64::from(index));
            out.clear();
            out.extend_from_slice(content);
            // "The associated data": the header and the word with the index, or, where nothing is
            // encrypted, the whole packet and that word.
            let is_encrypted = word & ENCRYPTED != 0;
            let clear = if is_encrypted {
                HEADER_SIZE
            } else {
                content.len()
            };
            let associated = [&content[..clear], &word.to_be_bytes()].concat();
            aead.open(&nonce, &associated, &mut out[clear..], tag)?;
            Ok(index)
        }
    }
}

fn protect(
    keys: &Keys,
    mki: &Mki,
    ssrc: u32,
    index: u32,
    is_encrypted: bool,
    plain: &[u8],
    out: &mut Vec<u8>,
) {
    let word = if is_encrypted {
        ENCRYPTED | index
    } else {
        index
    };
    let clear = if is_encrypted {
        HEADER_SIZE
    } else {
        plain.len()
    };
    out.clear();
    out.extend_from_slice(plain);
    match &keys.cipher {
        Cipher::Counter {
            block,
            authentication,
            tag_size,
        } => {
            block.apply(&keys.counter_iv(ssrc, u64::from(index)), &mut out[clear..]);
            out.extend_from_slice(&word.to_be_bytes());
            let whole = tag(authentication, &[out]);
            out.extend_from_slice(mki.octets());
            out.extend_from_slice(&whole[..*tag_size]);
        }
        Cipher::Aead(aead) => {
            let associated = [&plain[..clear], &word.to_be_bytes()].concat();
            let nonce = keys.nonce(ssrc, u64::from(index));
            let tag = aead.seal(&nonce, &associated, &mut out[clear..]);
            out.extend_from_slice(&tag);
            out.extend_from_slice(&word.to_be_bytes());
            out.extend_from_slice(mki.octets());
        }
    }
}

/// The word with the index at the end, and what is before it: a header at least.
fn split_word(bytes: &[u8]) -> Result<(&[u8], u32), SrtpError> {
    bytes
        .split_last_chunk::<WORD>()
        .filter(|(content, _)| content.len() >= HEADER_SIZE)
        .map(|(content, word)| (content, u32::from_be_bytes(*word)))
        .ok_or(SrtpError::Malformed)
}

#[cfg(test)]
mod tests;
