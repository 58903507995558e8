//! What an endpoint is told once.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dialog::wants_sips;
use crate::limits::Limits;
use crate::message::{Method, Request, sent_by_of};
use crate::transaction::Timers;
use crate::transport::{FlowInfo, Transport};

/// Configuration of an [`Endpoint`](super::Endpoint).
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Protocol timers.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// Addresses to announce instead of the local one.
    pub advertised: Vec<Advertised>,
    /// The Server header; empty leaves it out.
    pub server: String,
    /// Methods that work, as Allow lists them.
    pub allow: Vec<Method>,
    /// Option tags that are understood in Require.
    pub understood: Vec<String>,
    /// Option tags that Supported lists.
    pub supported: Vec<String>,
    /// Media types that Accept lists.
    pub accept: Vec<String>,
    /// Retry-After of a 503.
    pub retry_after: Duration,
    /// Mixed into tags that are made without memory of the request; the same on every process
    /// that answers for the same address.
    pub tag_secret: u64,
}

/// An address to announce in Via and Contact for one transport and address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The transport.
    pub transport: Transport,
    /// For peers of IPv6 rather than IPv4.
    pub is_ipv6: bool,
    /// Host, an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self {
            timers: Timers::default(),
            limits: Limits::default(),
            advertised: Vec::new(),
            server: "Holdfast".to_owned(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Cancel,
                Method::Bye,
                Method::Options,
                Method::Update,
            ],
            understood: texts(&["siprec", "timer", "100rel", "replaces"]),
            supported: texts(&["timer"]),
            accept: texts(&[
                "application/sdp",
                "application/rs-metadata+xml",
                "application/rs-metadata",
                "multipart/mixed",
            ]),
            retry_after: Duration::from_secs(10),
            tag_secret: 0,
        }
    }
}

impl EndpointConfig {
    /// `host:port` to announce on a transport for messages that use this local address.
    pub fn sent_by(&self, transport: Transport, local: SocketAddr) -> String {
        let fits =
            |entry: &&Advertised| entry.transport == transport && entry.is_ipv6 == local.is_ipv6();
        self.advertised.iter().find(fits).map_or_else(
            || sent_by_of(local),
            |entry| format!("{}:{}", entry.host, entry.port),
        )
    }

    /// Our URI for a Contact towards a peer. `is_secure`: a `sips` one.
    pub fn contact_uri(&self, source: &FlowInfo, is_secure: bool) -> String {
        let sent_by = self.sent_by(source.transport, source.local);
        match source.transport {
            _ if is_secure => format!("sips:{sent_by}"),
            Transport::Udp => format!("sip:{sent_by}"),
            Transport::Tcp | Transport::Tls => {
                format!("sip:{sent_by};transport={}", source.transport)
            }
        }
    }

    /// Our URI for the Contact of an answer to a request.
    ///
    /// A peer that speaks TLS and no `sips` gets `transport=tls`: RFC 5630 §3.1.4 has done away with
    /// it, but without it such a peer would look for us on UDP.
    pub fn contact_for(&self, source: &FlowInfo, request: &Request) -> String {
        self.contact_uri(source, wants_sips(request, source))
    }

    /// The methods that work, as a value of Allow.
    pub fn allow_value(&self) -> String {
        self.allow
            .iter()
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
