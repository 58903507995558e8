//! The hashes of Digest (RFC 8760 §2.2).

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

/// A hash algorithm. The variants that hash anew for each session (`-sess`) are not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512 cut to 256 bits.
    Sha512_256,
    /// MD5. RFC 8760 §2.2: for those that know nothing better.
    Md5,
}

impl Algorithm {
    /// As a header spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }

    /// Reads a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512_256, Self::Md5]
            .into_iter()
            .find(|algorithm| name.eq_ignore_ascii_case(algorithm.name()))
    }

    /// Hexadecimal digits of a hash.
    pub const fn digits(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha512_256 => 64,
            Self::Md5 => 32,
        }
    }

    /// The hash of pieces with colons between them, in lower-case hexadecimal digits.
    pub fn hash(self, pieces: &[&str]) -> String {
        let text = pieces.join(":");
        match self {
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
            Self::Md5 => hex(&Md5::digest(text)),
        }
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(
        String::with_capacity(2 * octets.len()),
        |mut text, octet| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        },
    )
}
