//! Master keys.

use std::fmt;

use holdfast_units::SrtpSuite;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::limits::{MASTER_SIZE_MAX, MKI_SIZE_MAX, RTP_LIFETIME_MAX};

/// A master key and its salt, for one suite.
#[derive(Clone)]
pub struct MasterKey {
    suite: SrtpSuite,
    /// Key, then salt, then nothing.
    octets: Zeroizing<[u8; MASTER_SIZE_MAX]>,
}

impl MasterKey {
    /// Key and salt behind one another, as `inline:` has them; `None` where the size is not that of
    /// the suite.
    pub fn new(suite: SrtpSuite, octets: &[u8]) -> Option<Self> {
        if octets.len() != suite.master_size() {
            return None;
        }
        let mut key = Zeroizing::new([0; MASTER_SIZE_MAX]);
        key[..octets.len()].copy_from_slice(octets);
        Some(Self { suite, octets: key })
    }

    /// The suite it is for.
    pub const fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Whether it is the same key for the same suite.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.suite == other.suite && self.octets.as_slice().ct_eq(other.octets.as_slice()).into()
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.octets[..self.suite.key_size()]
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.octets[self.suite.key_size()..self.suite.master_size()]
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// A master key identifier as it stands in packets: 1 to 128 octets, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mki(Box<[u8]>);

impl Mki {
    /// `None` where it is too long.
    pub fn new(octets: &[u8]) -> Option<Self> {
        (octets.len() <= MKI_SIZE_MAX).then(|| Self(octets.into()))
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A key that a peer protects its packets with.
#[derive(Clone, Debug)]
pub struct PeerKey {
    /// The key.
    pub master: MasterKey,
    /// Names it in each packet, where there are several.
    pub mki: Mki,
    /// Packets that it may protect, at most [`RTP_LIFETIME_MAX`].
    pub lifetime: u64,
}

impl PeerKey {
    /// A key alone, good for as many packets as may be.
    pub fn only(master: MasterKey) -> Self {
        Self {
            master,
            mki: Mki::default(),
            lifetime: RTP_LIFETIME_MAX,
        }
    }
}
