//! The suites of SRTP that are spoken, as SDP names them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A suite of SRTP: cipher, authentication and the sizes that go with them.
///
/// ```text
///                           key  salt  tag RTP  tag RTCP
/// AES_CM_128_HMAC_SHA1_80   16   14    10       10        RFC 3711, RFC 4568 §6.2.1
/// AES_CM_128_HMAC_SHA1_32   16   14     4       10        RFC 3711, RFC 4568 §6.2.2
/// AES_256_CM_HMAC_SHA1_80   32   14    10       10        RFC 6188
/// AES_256_CM_HMAC_SHA1_32   32   14     4       10        RFC 6188
/// AEAD_AES_128_GCM          16   12    16       16        RFC 7714
/// AEAD_AES_256_GCM          32   12    16       16        RFC 7714
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SrtpSuite {
    /// `AES_CM_128_HMAC_SHA1_80`
    AesCm128Sha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`
    AesCm128Sha1_32,
    /// `AES_256_CM_HMAC_SHA1_80`
    AesCm256Sha1_80,
    /// `AES_256_CM_HMAC_SHA1_32`
    AesCm256Sha1_32,
    /// `AEAD_AES_128_GCM`
    AesGcm128,
    /// `AEAD_AES_256_GCM`
    AesGcm256,
}

impl SrtpSuite {
    /// All of them, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::AesGcm256,
        Self::AesGcm128,
        Self::AesCm256Sha1_80,
        Self::AesCm128Sha1_80,
        Self::AesCm256Sha1_32,
        Self::AesCm128Sha1_32,
    ];

    /// The name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesGcm128 => "AEAD_AES_128_GCM",
            Self::AesGcm256 => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of this name, in capitals or not. The names that drafts of RFC 6188 had are still
    /// sent: `AES_CM_256_…`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = match name.strip_prefix("AES_CM_256_") {
            Some(rest) => format!("AES_256_CM_{rest}"),
            None => name,
        };
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Octets of the master key.
    pub const fn key_size(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AesGcm128 => 16,
            Self::AesCm256Sha1_80 | Self::AesCm256Sha1_32 | Self::AesGcm256 => 32,
        }
    }

    /// Octets of the master salt.
    pub const fn salt_size(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets of master key and master salt together, as `inline:` has them.
    pub const fn master_size(self) -> usize {
        self.key_size() + self.salt_size()
    }

    /// Octets of the tag of an SRTP packet.
    pub const fn rtp_tag_size(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm256Sha1_80 => 10,
            Self::AesCm128Sha1_32 | Self::AesCm256Sha1_32 => 4,
            Self::AesGcm128 | Self::AesGcm256 => 16,
        }
    }

    /// Octets of the tag of an SRTCP packet: never 4 (RFC 4568 §6.2.2).
    pub const fn rtcp_tag_size(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether it is one of RFC 7714.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm128 | Self::AesGcm256)
    }
}

impl fmt::Display for SrtpSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_by_that_of_the_drafts() {
        for suite in SrtpSuite::ALL {
            assert_eq!(SrtpSuite::from_name(suite.name()), Some(suite));
            let lower = suite.name().to_ascii_lowercase();
            assert_eq!(SrtpSuite::from_name(&lower), Some(suite));
        }
        let draft = SrtpSuite::from_name("AES_CM_256_HMAC_SHA1_32");
        assert_eq!(draft, Some(SrtpSuite::AesCm256Sha1_32));
        for unknown in [
            "",
            "AES_CM_128_HMAC_SHA1",
            "ARIA_CM_192_HMAC_SHA1_80",
            "F8_128_HMAC_SHA1_80",
        ] {
            assert_eq!(SrtpSuite::from_name(unknown), None, "{unknown}");
        }
    }
}
