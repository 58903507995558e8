//! Attributes with a structure of their own.

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::Connection;

/// An `a=` line as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name, as written.
    pub name: String,
    /// What stands after the colon, where there is one.
    pub value: Option<String>,
}

/// Key material as text. It prints redacted; only [`Secret::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// An `a=crypto` line (RFC 4568 §4). Whether it is valid (§6.1) is judged by who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoLine {
    /// The tag that an answer repeats.
    pub tag: u32,
    /// The suite, as written.
    pub suite: String,
    /// The key parameters: `inline:…`, several ones separated by `;`.
    pub keys: Secret,
    /// The session parameters.
    pub parameters: Vec<String>,
}

/// An `a=fingerprint` line (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function in lower case.
    pub hash: String,
    /// The hash: hex pairs with colons, as written.
    pub value: String,
}

/// An `a=group` line (RFC 5888 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the group means, such as `BUNDLE`.
    pub semantics: String,
    /// The `a=mid` values of its members.
    pub mids: Vec<String>,
}

/// An `a=ssrc` line (RFC 5576 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcAttribute {
    /// The synchronisation source.
    pub ssrc: u32,
    /// What it says about it, such as `cname:…`.
    pub attribute: String,
}

/// An `a=rtcp` line (RFC 3605 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpAddress {
    /// The port for RTCP.
    pub port: u16,
    /// The address, where it differs from the one of the stream.
    pub connection: Option<Connection>,
}

impl Attribute {
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((name, value)) => Self {
                name: name.trim().to_owned(),
                value: Some(value.trim().to_owned()),
            },
            None => Self {
                name: text.trim().to_owned(),
                value: None,
            },
        }
    }

    /// The value, empty where there is none.
    pub fn text(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    fn is_secret(&self) -> bool {
        SECRETS
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.is_secret() {
            Some("[redacted]")
        } else {
            self.value.as_deref()
        };
        f.debug_struct("Attribute")
            .field("name", &self.name)
            .field("value", &value)
            .finish()
    }
}

impl Secret {
    /// The text itself, for the one who decrypts.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl CryptoLine {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let tag = fields.next()?.parse().ok()?;
        let suite = fields.next()?.to_owned();
        let keys = Secret(Zeroizing::new(fields.next()?.to_owned()));
        Some(Self {
            tag,
            suite,
            keys,
            parameters: fields.map(str::to_owned).collect(),
        })
    }
}

impl Fingerprint {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (hash, value) = text.split_once(' ')?;
        Some(Self {
            hash: hash.to_ascii_lowercase(),
            value: value.trim().to_owned(),
        })
    }
}

impl Group {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let semantics = fields.next()?.to_owned();
        Some(Self {
            semantics,
            mids: fields.map(str::to_owned).collect(),
        })
    }
}

impl SsrcAttribute {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ssrc, attribute) = text.split_once(' ')?;
        Some(Self {
            ssrc: ssrc.parse().ok()?,
            attribute: attribute.trim().to_owned(),
        })
    }
}

impl RtcpAddress {
    /// `port [IN IP4 address]`. A damaged address leaves the port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (port, rest) = text.split_once(' ').unwrap_or((text, ""));
        let port = port.parse().ok().filter(|&port: &u16| port > 0)?;
        Some(Self {
            port,
            connection: Connection::parse(rest),
        })
    }
}

impl Connection {
    /// `IN IP4 host[/ttl[/count]]`. The host may be anything but empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        if !fields.next()?.eq_ignore_ascii_case("IN") {
            return None;
        }
        let named = match fields.next()?.to_ascii_uppercase().as_str() {
            "IP4" => super::Family::V4,
            "IP6" => super::Family::V6,
            _ => return None,
        };
        let host = fields
            .next()?
            .split('/')
            .next()
            .filter(|host| !host.is_empty())?;
        let address: Option<IpAddr> = host.parse().ok();
        let family = address.map_or(named, super::Family::of);
        Some(Self {
            family,
            host: host.to_owned(),
            address,
        })
    }
}

/// Attributes whose value must not appear in a log.
const SECRETS: [&str; 3] = ["crypto", "key-mgmt", "ice-pwd"];
