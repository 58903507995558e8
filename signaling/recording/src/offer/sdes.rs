//! Keys in session descriptions: security descriptions (RFC 4568) for SRTP.
//!
//! Of the crypto lines that an m-line offers, one is taken: it has to be valid, of a suite that policy
//! knows, and without a session parameter that changes what is not to be changed. A line that is not
//! is passed over (RFC 4568 §5.1.2, §7.1.2). The answer has a key of our own, which protects our
//! reports; packets that come are protected with the peer's.
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<key and salt>|2^20|1:4 UNENCRYPTED_SRTCP
//!          tag suite                        base64         life MKI:size  session parameters
//! ```
//!
//! It draws no random numbers: our keys are derived from a secret of the session.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use holdfast_units::SrtpSuite;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::terms::SlotId;
use crate::limits::{CRYPTO_KEYS_MAX, MKI_SIZE_MAX};
use crate::sdp::CryptoLine;

/// What may be agreed on about keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpPolicy {
    /// Suites that are taken, the preferred one first; empty: streams are not encrypted.
    pub suites: Vec<SrtpSuite>,
    /// Whose order counts.
    pub prefers: Preference,
    /// Whether the signaling is private, or keys are taken although it is not (RFC 4568 §11.1).
    pub takes_keys: bool,
    /// Whether keys on a line of a plain profile encrypt it all the same (RFC 8643).
    pub opportunistic: bool,
}

/// Whose order of suites counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preference {
    /// That of the offer (RFC 4568 §5.1.2).
    Offer,
    /// Ours.
    Own,
}

impl Default for SrtpPolicy {
    /// None: whoever has no place for keys agrees on none.
    fn default() -> Self {
        Self {
            suites: Vec::new(),
            prefers: Preference::Offer,
            takes_keys: false,
            opportunistic: false,
        }
    }
}

/// How a stream is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Tag of the crypto line.
    pub tag: u32,
    /// Cipher and authentication.
    pub suite: SrtpSuite,
    /// The suite as the peer writes it.
    pub suite_text: String,
    /// What the peer protects its packets with, never empty.
    pub peer: Vec<CryptoKey>,
    /// What we protect our reports with: master key and salt.
    pub own: KeyOctets,
    /// Whether our reports are encrypted.
    pub encrypts_rtcp: bool,
}

/// A key of the peer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CryptoKey {
    /// Master key and salt.
    pub key: KeyOctets,
    /// What names it in each packet; empty: nothing.
    pub mki: Vec<u8>,
    /// Packets that it may protect.
    pub lifetime: u64,
}

/// Octets of a key. They print redacted and are wiped when they are dropped. Who saves them seals what
/// they are in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Vec<u8>")]
pub struct KeyOctets(#[serde(serialize_with = "as_octets")] Zeroizing<Vec<u8>>);

/// Why no crypto line of an m-line can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKeys {
    /// There is none that is valid, known and allowed.
    NoneUsable,
    /// Keys are not taken on this signaling connection.
    NotPrivate,
}

impl KeyOctets {
    /// The octets, for whoever seals or writes them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for KeyOctets {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for KeyOctets {}

impl fmt::Debug for KeyOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Secret of a session that our keys are derived from. Who saves it seals what it is in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "[u8; 32]")]
pub struct KeySeed(#[serde(serialize_with = "as_octets")] Zeroizing<[u8; 32]>);

impl From<[u8; 32]> for KeySeed {
    fn from(octets: [u8; 32]) -> Self {
        Self::new(octets)
    }
}

impl From<Vec<u8>> for KeyOctets {
    fn from(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }
}

fn as_octets<T: Serialize + zeroize::Zeroize, S: serde::Serializer>(
    octets: &Zeroizing<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    T::serialize(octets, serializer)
}

impl KeySeed {
    /// From random octets.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Our key for a stream. Another stream and another suite have another one; for as long as both
    /// are the same, so is the key (RFC 4568 §7.1.4).
    pub(super) fn key(&self, slot: SlotId, suite: SrtpSuite) -> KeyOctets {
        let mut octets = Zeroizing::new(Vec::with_capacity(64));
        for block in 0..2_u8 {
            let mut mac = <Hmac<Sha256>>::new_from_slice(self.0.as_slice())
                .expect("a key of any size will do");
            mac.update(b"srtp own key ");
            mac.update(suite.name().as_bytes());
            mac.update(&slot.line.to_be_bytes());
            mac.update(&slot.serial.to_be_bytes());
            mac.update(&[block]);
            octets.extend_from_slice(&mac.finalize().into_bytes());
        }
        octets.truncate(suite.master_size());
        KeyOctets(octets)
    }
}

impl PartialEq for KeySeed {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for KeySeed {}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SrtpPolicy {
    /// The crypto line that is taken of those offered for a stream; our own key is still to be given.
    pub(super) fn choose(&self, lines: &[CryptoLine]) -> Result<Encryption, NoKeys> {
        if !self.takes_keys {
            return Err(NoKeys::NotPrivate);
        }
        let mut usable = lines.iter().filter_map(|line| self.read(line));
        let chosen = match self.prefers {
            Preference::Offer => usable.next(),
            Preference::Own => usable.min_by_key(|line| self.place(line.suite)),
        };
        let Line {
            tag,
            suite,
            suite_text,
            peer,
            encrypts_rtcp,
        } = chosen.ok_or(NoKeys::NoneUsable)?;
        Ok(Encryption {
            tag,
            suite,
            suite_text,
            peer,
            own: KeyOctets(Zeroizing::default()),
            encrypts_rtcp,
        })
    }

    fn place(&self, suite: SrtpSuite) -> Option<usize> {
        self.suites.iter().position(|known| *known == suite)
    }

    /// A line that can be used.
    fn read(&self, line: &CryptoLine) -> Option<Line> {
        let suite = SrtpSuite::from_name(&line.suite)?;
        self.place(suite)?;
        let mut encrypts_rtcp = true;
        for parameter in &line.parameters {
            match Parameter::read(parameter)? {
                Parameter::UnencryptedRtcp => encrypts_rtcp = false,
                Parameter::Harmless => {}
            }
        }
        Some(Line {
            tag: line.tag,
            suite,
            suite_text: line.suite.clone(),
            peer: keys(suite, line.keys.expose())?,
            encrypts_rtcp,
        })
    }
}

/// A crypto line that can be used.
struct Line {
    tag: u32,
    suite: SrtpSuite,
    suite_text: String,
    peer: Vec<CryptoKey>,
    encrypts_rtcp: bool,
}

/// A session parameter (RFC 4568 §6.3) that is accepted.
enum Parameter {
    /// `UNENCRYPTED_SRTCP`: negotiated, so the answer repeats it.
    UnencryptedRtcp,
    /// Changes nothing here, and is not repeated: a hint, what is done anyway, or something optional
    /// that nobody knows.
    Harmless,
}

impl Parameter {
    /// `None`: the line cannot be used. That is so for packets that are not encrypted or not
    /// authenticated, for keys derived anew at intervals (`KDR`), and for error correction, which
    /// nobody here does, where it is told apart from what would be there without.
    fn read(text: &str) -> Option<Self> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name.to_ascii_uppercase().as_str(), value) {
            ("UNENCRYPTED_SRTCP", None) => Some(Self::UnencryptedRtcp),
            // "FEC_SRTP": error correction before encryption, the default. Packets of it would be of
            // another payload type.
            ("FEC_ORDER", Some(order)) if order.eq_ignore_ascii_case("FEC_SRTP") => {
                Some(Self::Harmless)
            }
            ("WSH", Some(size)) => number(size).map(|_| Self::Harmless),
            // An extension that need not be understood (§6.3.7).
            (name, _) if name.starts_with('-') => Some(Self::Harmless),
            _ => None,
        }
    }
}

/// The keys of a line: `inline:…`, several ones separated by semicolons.
fn keys(suite: SrtpSuite, text: &str) -> Option<Vec<CryptoKey>> {
    let keys: Vec<CryptoKey> = text
        .split(';')
        .map(|one| key(suite, one))
        .collect::<Option<_>>()?;
    if keys.len() > CRYPTO_KEYS_MAX {
        return None;
    }
    // §6.1: several keys have identifiers, all of one size, all different.
    if let [first, rest @ ..] = keys.as_slice()
        && !rest.is_empty()
    {
        let is_same_size = rest.iter().all(|key| key.mki.len() == first.mki.len());
        let is_unique =
            |(at, key): (usize, &CryptoKey)| keys[..at].iter().all(|it| it.mki != key.mki);
        if first.mki.is_empty() || !is_same_size || !keys.iter().enumerate().all(is_unique) {
            return None;
        }
    }
    Some(keys)
}

/// `inline:key||salt[|lifetime][|MKI:size]`
fn key(suite: SrtpSuite, text: &str) -> Option<CryptoKey> {
    let (method, info) = text.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") {
        return None;
    }
    let mut fields = info.split('|');
    let octets = Zeroizing::new(BASE64.decode(fields.next()?).ok()?);
    if octets.len() != suite.master_size() {
        return None;
    }
    let (mut life, mut mki) = (None, None);
    for field in fields {
        match field.split_once(':') {
            Some((value, size)) if mki.is_none() => mki = Some(identifier(value, size)?),
            None if life.is_none() && mki.is_none() => life = Some(lifetime(field)?),
            Some(_) | None => return None,
        }
    }
    Some(CryptoKey {
        key: KeyOctets(octets),
        mki: mki.unwrap_or_default(),
        lifetime: life.unwrap_or(LIFETIME_MAX),
    })
}

/// `2^n` or a number of packets.
fn lifetime(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(u32::try_from(number(power)?).ok()?)?,
        None => number(text)?,
    };
    (1..=LIFETIME_MAX).contains(&packets).then_some(packets)
}

/// A master key identifier: a number of any size, written into so many octets.
fn identifier(value: &str, size: &str) -> Option<Vec<u8>> {
    let size = usize::try_from(number(size)?).ok()?;
    if !(1..=MKI_SIZE_MAX).contains(&size) || !is_number(value) {
        return None;
    }
    let mut octets = vec![0_u8; size];
    for digit in value.bytes() {
        let mut carry = u16::from(digit - b'0');
        for octet in octets.iter_mut().rev() {
            let sum = u16::from(*octet) * 10 + carry;
            (*octet, carry) = (sum as u8, sum >> 8);
        }
        if carry != 0 {
            return None;
        }
    }
    Some(octets)
}

/// Digits without a zero before them.
fn number(text: &str) -> Option<u64> {
    is_number(text).then(|| text.parse().ok())?
}

fn is_number(text: &str) -> bool {
    let is_digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    is_digits && (text == "0" || !text.starts_with('0'))
}

/// A line of an answer or an offer of ours, without its end.
pub(super) fn crypto_line(encryption: &Encryption) -> Zeroizing<String> {
    let key = Zeroizing::new(BASE64.encode(encryption.own.expose()));
    let parameters = match encryption.encrypts_rtcp {
        true => "",
        false => " UNENCRYPTED_SRTCP",
    };
    Zeroizing::new(format!(
        "a=crypto:{} {} inline:{}{parameters}",
        encryption.tag, encryption.suite_text, *key
    ))
}

/// With padding or without (RFC 4568 §6.1 has examples of both).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// RFC 3711 §9.2.
const LIFETIME_MAX: u64 = 1 << 48;

#[cfg(test)]
mod tests;
