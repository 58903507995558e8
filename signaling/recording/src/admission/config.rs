//! What is known of peers.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_sip::digest::DigestConfig;

use crate::offer::SrtpPolicy;

/// Who may record.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// Addresses that may send at all.
    pub allow: Vec<Prefix>,
    /// Whether a peer that no profile fits is let in.
    pub takes_unknown_peers: bool,
    /// Requests outside a call, and connections, of one source in a second.
    pub requests_per_second: u32,
    /// How many of them at once.
    pub requests_burst: u32,
    /// Retry-After of what is beyond.
    pub retry_after: Duration,
    /// Names of which a client's certificate must have one, where it shows one.
    pub client_names: Names,
    /// Whether requests to a `sip` URI are refused.
    pub requires_sips: bool,
    /// `None`: nobody is asked.
    pub digest: Option<DigestConfig>,
    /// Peers, in the order in which they are tried.
    pub peers: Vec<PeerConfig>,
}

/// A peer: how it is known, and what is different about it.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// What it is called.
    pub name: String,
    /// Addresses it sends from; empty: any.
    pub addresses: Vec<Prefix>,
    /// Names in its certificate; `None`: none is needed.
    pub certificates: Option<Names>,
    /// Whether an operator may have it called, at any of its addresses.
    pub may_be_called: bool,
    /// Whether it is believed who it says that its user is (RFC 3325).
    pub is_trusted: bool,
    /// Users it may authenticate as; `None`: no credentials are needed.
    pub users: Option<Names>,
    /// Whether what RFC 7866 does not allow is refused.
    pub is_strict: bool,
    /// Whether an INVITE without any mark of SIPREC is recorded.
    pub takes_plain_invites: bool,
    /// Labels of media lines that have none, in the order of the lines.
    pub labels: Vec<String>,
    /// Encodings that are recorded, the preferred one first; empty: all.
    pub codecs: Vec<String>,
    /// What may be agreed on about keys.
    pub srtp: SrtpPolicy,
}

/// Names that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every one.
    Any,
    /// These.
    These(Vec<String>),
}

/// An address, or all whose first bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Default for AdmissionConfig {
    /// Everybody may, at the rates of the shipped settings.
    fn default() -> Self {
        Self {
            allow: vec![
                Prefix::new([0; 4].into(), 0),
                Prefix::new([0_u8; 16].into(), 0),
            ],
            takes_unknown_peers: true,
            requests_per_second: 1_000,
            requests_burst: 2_000,
            retry_after: Duration::from_secs(10),
            client_names: Names::Any,
            requires_sips: false,
            digest: None,
            peers: Vec::new(),
        }
    }
}

impl AdmissionConfig {
    pub(super) fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|prefix| prefix.contains(ip))
    }

    /// Without a certificate there is nothing to hold against the list: whether one is needed, the
    /// handshake has decided.
    pub(super) fn allows_names(&self, names: Option<&[String]>) -> bool {
        names.is_none_or(|names| self.client_names.has_host(names))
    }
}

impl PeerConfig {
    /// Whether an operator may have this address called.
    pub(super) fn may_be_called_at(&self, ip: IpAddr) -> bool {
        self.may_be_called && self.addresses.iter().any(|prefix| prefix.contains(ip))
    }

    /// Whether address and certificate are those of the peer.
    pub(super) fn fits(&self, ip: IpAddr, names: Option<&[String]>) -> bool {
        let is_from =
            self.addresses.is_empty() || self.addresses.iter().any(|prefix| prefix.contains(ip));
        let is_named = self
            .certificates
            .as_ref()
            .is_none_or(|allowed| names.is_some_and(|names| allowed.has_host(names)));
        is_from && is_named
    }
}

impl Names {
    /// RFC 5922 §7.2: whole names, in any case, no wildcards.
    fn has_host(&self, names: &[String]) -> bool {
        match self {
            Self::Any => true,
            Self::These(allowed) => names
                .iter()
                .any(|name| allowed.iter().any(|it| it.eq_ignore_ascii_case(name))),
        }
    }

    pub(super) fn has_user(&self, user: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(allowed) => allowed.iter().any(|it| it == user),
        }
    }
}

impl Prefix {
    /// All addresses whose first `bits` are those of `address`.
    pub const fn new(address: IpAddr, bits: u8) -> Self {
        Self { address, bits }
    }

    /// Whether it has this address.
    pub fn contains(self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differ = own.to_bits() ^ ip.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differ = own.to_bits() ^ ip.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
