//! Packets as they came, made again of what is kept: the packet, its key and its roll-over counter.
//!
//! SRTP has nothing random in it, so that protecting a decrypted packet again gives the octets that
//! came. The keys are in the tracks, sealed; the node's key opens them.
//!
//! The keys file has two lines for each key of each source: whose it is, and the key as a line of SDP
//! (RFC 4568), which players and libsrtp's tools take.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_control::{KeyOf, seal_context};
use holdfast_seal::NodeKeys;
use holdfast_srtp::{MasterKey, Mki, RtpTransform};
use holdfast_track::pcapng::{Rewrite, RewriteError, Rewritten};
use holdfast_track::{Flags, Kind, Record, SourceKey, StreamHeader};
use holdfast_units::SrtpSuite;
use zeroize::Zeroizing;

/// Why a packet cannot be made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CiphertextError {
    #[error("a track does not say whose it is, so that its keys do not open")]
    NoHeader,
    #[error(
        "stream {stream} has no key kept for the packets of {ssrc:#010x}: it was recorded by a version \
         that did not keep them, or its track is damaged there"
    )]
    NoKey { stream: u32, ssrc: u32 },
    #[error("a key of stream {stream} does not open with node.key_file: {source}")]
    Sealed {
        stream: u32,
        source: holdfast_seal::OpenError,
    },
    #[error("a key of stream {stream} does not fit its suite")]
    Unfit { stream: u32 },
    #[error("a packet of stream {stream} cannot be protected again: {source}")]
    Protect {
        stream: u32,
        source: holdfast_srtp::SrtpError,
    },
}

/// Makes packets again as they came.
pub(crate) struct Ciphertext<'a> {
    node_keys: &'a NodeKeys,
    headers: BTreeMap<usize, StreamHeader>,
    keys: Vec<Key>,
    /// By track and source: which key, and the roll-over counter.
    now: BTreeMap<(usize, u32), (usize, u32)>,
    out: Vec<u8>,
    /// Packets that came encrypted.
    pub(crate) encrypted: u64,
}

/// A key of one source.
struct Key {
    track: usize,
    stream: u32,
    ssrc: u32,
    suite: SrtpSuite,
    mki: Vec<u8>,
    sealed: Vec<u8>,
    octets: Zeroizing<Vec<u8>>,
    transform: RtpTransform,
    /// The counter of its first packet.
    roc: u32,
    /// When that came.
    from: u64,
}

impl<'a> Ciphertext<'a> {
    pub(crate) fn new(node_keys: &'a NodeKeys) -> Self {
        Self {
            node_keys,
            headers: BTreeMap::new(),
            keys: Vec::new(),
            now: BTreeMap::new(),
            out: Vec::new(),
            encrypted: 0,
        }
    }

    /// The keys file.
    pub(crate) fn write_keys(&self, recording: &str, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(
            out,
            "# Keys in clear: whoever has them reads the media of {recording}."
        )?;
        for key in &self.keys {
            writeln!(
                out,
                "# stream {} ssrc {:#010x} from {} ns roll-over counter {}",
                key.stream, key.ssrc, key.from, key.roc
            )?;
            // In one buffer of its final size, which is wiped.
            let mut line = Zeroizing::new(String::with_capacity(1024));
            line.push_str("a=crypto:1 ");
            line.push_str(key.suite.name());
            line.push_str(" inline:");
            STANDARD.encode_string(key.octets.as_slice(), &mut line);
            if !key.mki.is_empty() {
                // RFC 4568 §6.1: "the MKI value is a big-endian integer" in decimal, then its octets.
                line.push_str(&format!("|{}:{}", decimal(&key.mki), key.mki.len()));
            }
            writeln!(out, "{}", line.as_str())?;
        }
        out.flush()
    }

    fn number(&self, track: usize) -> u32 {
        self.headers.get(&track).map_or(0, |it| it.number)
    }

    fn see_key(&mut self, track: usize, record: &Record<'_>) -> Result<(), CiphertextError> {
        let header = self.headers.get(&track).ok_or(CiphertextError::NoHeader)?;
        let stream = header.number;
        let unfit = CiphertextError::Unfit { stream };
        let Ok(source) = SourceKey::decode(record.payload) else {
            return Err(unfit);
        };
        let is_it =
            |it: &Key| it.track == track && it.ssrc == source.ssrc && it.sealed == source.sealed;
        let at = match self.keys.iter().position(is_it) {
            Some(at) => at,
            None => {
                let context = seal_context(header.recording, header.stream, KeyOf::Peer);
                let octets = self
                    .node_keys
                    .open(&context, source.sealed)
                    .map_err(|source| CiphertextError::Sealed { stream, source })?;
                let (Some(master), Some(mki)) =
                    (MasterKey::new(source.suite, &octets), Mki::new(source.mki))
                else {
                    return Err(unfit);
                };
                self.keys.push(Key {
                    track,
                    stream,
                    ssrc: source.ssrc,
                    suite: source.suite,
                    mki: source.mki.to_vec(),
                    sealed: source.sealed.to_vec(),
                    octets,
                    transform: RtpTransform::new(&master, mki),
                    roc: source.roc,
                    from: record.arrival.0,
                });
                self.keys.len() - 1
            }
        };
        self.now.insert((track, source.ssrc), (at, source.roc));
        Ok(())
    }
}

impl Rewrite for Ciphertext<'_> {
    fn see(&mut self, track: usize, record: &Record<'_>) -> Result<(), RewriteError> {
        match record.kind {
            Kind::Header => {
                let header = StreamHeader::decode(record.payload)?;
                self.headers.insert(track, header);
            }
            Kind::Key => self.see_key(track, record)?,
            Kind::Packet
            | Kind::Rtcp
            | Kind::Source
            | Kind::Mark
            | Kind::Counters
            | Kind::Pad
            | Kind::End => {}
        }
        Ok(())
    }

    fn packet<'a>(
        &'a mut self,
        track: usize,
        record: &Record<'a>,
    ) -> Result<Option<Rewritten<'a>>, RewriteError> {
        self.encrypted += u64::from(record.flags.contains(Flags::PROTECTED));
        if !record.flags.contains(Flags::DECRYPTED) {
            // Ours are kept in the clear, and were not sent so.
            let came_so = !record.flags.contains(Flags::OUTBOUND);
            return Ok(came_so.then_some((record.payload, None)));
        }
        if record.kind != Kind::Packet {
            // The index of SRTCP is not kept.
            return Ok(None);
        }
        let stream = self.number(track);
        let ssrc = record.payload.get(8..12).and_then(|it| it.try_into().ok());
        let ssrc = ssrc.map_or(0, u32::from_be_bytes);
        let Some(&(key, roc)) = self.now.get(&(track, ssrc)) else {
            return Err(CiphertextError::NoKey { stream, ssrc }.into());
        };
        self.keys[key]
            .transform
            .protect(record.payload, roc, &mut self.out)
            .map_err(|source| CiphertextError::Protect { stream, source })?;
        self.encrypted += 1;
        Ok(Some((
            &self.out,
            Some("SRTP as received, made again of the packet and its key"),
        )))
    }
}

/// A big-endian number in decimal.
fn decimal(octets: &[u8]) -> String {
    let mut digits = vec![0_u8];
    for &octet in octets {
        let mut carry = u32::from(octet);
        for digit in &mut digits {
            let value = u32::from(*digit) * 256 + carry;
            *digit = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits
        .iter()
        .rev()
        .map(|it| char::from(b'0' + it))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn names_of_keys_are_decimal_whatever_their_size() {
        for (octets, expected) in [
            (&[0][..], "0"),
            (&[9], "9"),
            (&[1, 0], "256"),
            (&[0xe1, 0xf9, 0x7a, 0x0d], "3791223309"),
            (&[0xff; 16], "340282366920938463463374607431768211455"),
        ] {
            assert_eq!(decimal(octets), expected);
        }
    }
}
