//! Where messages come from and go to, as far as a core without sockets needs to know.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// Whether the transport repeats lost octets by itself (RFC 3261 §17: "reliable").
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// The port when none is written (RFC 3261 §18.2.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// As a Via header spells it.
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Reads a `transport` parameter or a Via transport; `None` for the ones we do not speak.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|transport| name.eq_ignore_ascii_case(transport.via_name()))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// Opaque to this crate: the shell maps it to a connection, or to a socket and a peer address.
/// A number is never used again for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(pub u64);

/// What the shell knows of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// How the message travelled.
    pub transport: Transport,
    /// Address and port the message came from.
    pub remote: SocketAddr,
    /// Address and port the message came to; never unspecified (`0.0.0.0`).
    pub local: SocketAddr,
}

/// Where to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// On this connection.
    Flow(Flow),
    /// To this address: a datagram, or a connection that is to be opened.
    Address {
        /// How to send.
        transport: Transport,
        /// Where to.
        remote: SocketAddr,
        /// On UDP the local address to send from, so that the answer leaves where the request
        /// arrived (RFC 3581 §4).
        local: Option<SocketAddr>,
    },
}

/// `host:port` with brackets around an IPv6 address.
pub(crate) fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// What counts as one source: an IPv4 address, or a network of IPv6, of which a single host has
/// all addresses (RFC 6177 §2: 64 bits at least).
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
