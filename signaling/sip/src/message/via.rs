//! Via (RFC 3261 §20.42, RFC 3581).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::scan::{Params, find_top_level};
use super::uri::{host_port_of, ip_of};
use crate::transport::{Transport, host_text};

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    transport: String,
    host: String,
    port: Option<u16>,
    params: Params,
}

impl Via {
    /// Reads one value; blanks may stand wherever RFC 3261 §25.1 allows them. `None` where it
    /// has no `SIP/2.0/transport` or no sent-by.
    pub fn parse(text: &str) -> Option<Self> {
        let end = find_top_level(text, b';').unwrap_or(text.len());
        let (head, params) = super::scan::cut(text, end, end)?;
        let mut parts = head.splitn(3, '/').map(str::trim);
        let is_sip = parts.next()?.eq_ignore_ascii_case("SIP") && parts.next()? == "2.0";
        let (transport, sent_by) = parts.next()?.split_once([' ', '\t'])?;
        if !is_sip || !super::scan::is_token(transport) {
            return None;
        }
        let sent_by: String = sent_by
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect();
        let (host, port) = host_port_of(&sent_by)?;
        Some(Self {
            transport: transport.to_ascii_uppercase(),
            host: host.to_owned(),
            port,
            params: Params::parse(params),
        })
    }

    /// In upper case: `UDP`.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// Host of the sent-by, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of the sent-by.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch, as received.
    pub fn branch(&self) -> Option<&str> {
        self.params
            .value("branch")
            .filter(|branch| !branch.is_empty())
    }

    /// The branch, where it begins with the cookie of RFC 3261 §8.1.1.7 and has more than it
    /// (RFC 4475 §3.2.1 has not).
    pub fn unique_branch(&self) -> Option<&str> {
        let cookie = self.branch()?.get(..COOKIE.len())?;
        self.branch()
            .filter(|branch| cookie.eq_ignore_ascii_case(COOKIE) && branch.len() > COOKIE.len())
    }

    /// The `received` parameter, with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        self.params.value("received").and_then(ip_of)
    }

    /// Whether `rport` is there (RFC 3581 §3).
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The value of `rport`, once a server has set it.
    pub fn rport(&self) -> Option<u16> {
        self.params
            .value("rport")
            .and_then(|port| port.parse().ok())
    }

    /// The `maddr` parameter, where it is an address.
    pub fn maddr(&self) -> Option<IpAddr> {
        self.params.value("maddr").and_then(ip_of)
    }

    /// All parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The value as the response must carry it.
    ///
    /// RFC 3261 §18.2.1: "If the host portion of the "sent-by" parameter contains a domain name,
    /// or if it contains an IP address that differs from the packet source address, the server
    /// MUST add a "received" parameter". RFC 3581 §4: with an `rport` it is set, and `received`
    /// added "even if it is identical to the value of the "sent-by" component". What a client
    /// wrote there itself is replaced.
    pub fn stamped(&self, source: SocketAddr) -> String {
        let mut text = format!("SIP/2.0/{} {}", self.transport, self.host);
        // Writing to a String cannot fail.
        if let Some(port) = self.port {
            let _ = write!(text, ":{port}");
        }
        for (name, value) in self.params.iter() {
            if name.eq_ignore_ascii_case("received") {
                continue;
            }
            if name.eq_ignore_ascii_case("rport") {
                let _ = write!(text, ";rport={}", source.port());
                continue;
            }
            let _ = match value {
                Some(value) if needs_quotes(value) => {
                    write!(
                        text,
                        ";{name}=\"{}\"",
                        value.replace('\\', "\\\\").replace('"', "\\\"")
                    )
                }
                Some(value) => write!(text, ";{name}={value}"),
                None => write!(text, ";{name}"),
            };
        }
        if self.wants_rport() || ip_of(&self.host) != Some(source.ip()) {
            let _ = write!(text, ";received={}", source.ip());
        }
        text
    }

    /// Where a response goes when it cannot use a connection (RFC 3261 §18.2.2, RFC 3581 §4).
    pub fn response_address(&self, transport: Transport, source: SocketAddr) -> SocketAddr {
        let sent_by_port = self.port.unwrap_or(transport.default_port());
        if let Some(maddr) = self.maddr() {
            return SocketAddr::new(maddr, sent_by_port);
        }
        let follows_source = self.wants_rport() && !transport.is_reliable();
        SocketAddr::new(
            source.ip(),
            if follows_source {
                source.port()
            } else {
                sent_by_port
            },
        )
    }

    /// A value of our own, with an empty `rport`.
    pub(crate) fn own(transport: Transport, sent_by: &str, branch: &str) -> String {
        format!(
            "SIP/2.0/{} {sent_by};rport;branch={branch}",
            transport.via_name()
        )
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || !value
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\";,<>".contains(&b) || b >= 0x80)
}

/// `host:port` of an address, as a sent-by or a URI spells it.
pub(crate) fn sent_by_of(address: SocketAddr) -> String {
    format!("{}:{}", host_text(address.ip()), address.port())
}

/// What the branch of an RFC 3261 client begins with.
pub const COOKIE: &str = "z9hG4bK";

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "192.0.2.9:4444";

    #[test]
    fn blanks_everywhere() {
        let via = Via::parse("SIP  / 2.0  / TCP     spindle.example.com : 5070  ;\t branch  =   x")
            .unwrap();
        assert_eq!(
            (via.transport(), via.host(), via.port()),
            ("TCP", "spindle.example.com", Some(5070))
        );
        assert_eq!((via.branch(), via.unique_branch()), (Some("x"), None));
    }

    #[test]
    fn stamping_table() {
        for (sent, stamped) in [
            // The same address: nothing to add.
            (
                "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1",
                "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1",
            ),
            // Another address.
            (
                "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1",
                "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=192.0.2.9",
            ),
            // A name.
            (
                "SIP/2.0/UDP a.example.com;x",
                "SIP/2.0/UDP a.example.com;x;received=192.0.2.9",
            ),
            // rport: always received.
            (
                "SIP/2.0/UDP 192.0.2.9;rport;branch=a",
                "SIP/2.0/UDP 192.0.2.9;rport=4444;branch=a;received=192.0.2.9",
            ),
            // What the client claims does not count.
            (
                "SIP/2.0/UDP 192.0.2.9;received=198.51.100.1",
                "SIP/2.0/UDP 192.0.2.9",
            ),
        ] {
            let via = Via::parse(sent).unwrap();
            assert_eq!(via.stamped(SOURCE.parse().unwrap()), stamped);
        }
    }

    #[test]
    fn response_address_table() {
        use Transport::{Tcp, Tls, Udp};
        for (sent, transport, address) in [
            ("SIP/2.0/UDP 10.0.0.1", Udp, "192.0.2.9:5060"),
            ("SIP/2.0/UDP 10.0.0.1:5080", Udp, "192.0.2.9:5080"),
            ("SIP/2.0/UDP 10.0.0.1:5080;rport", Udp, "192.0.2.9:4444"),
            (
                "SIP/2.0/UDP 10.0.0.1:5080;maddr=198.51.100.7",
                Udp,
                "198.51.100.7:5080",
            ),
            ("SIP/2.0/TCP 10.0.0.1;rport", Tcp, "192.0.2.9:5060"),
            ("SIP/2.0/TLS 10.0.0.1", Tls, "192.0.2.9:5061"),
        ] {
            let via = Via::parse(sent).unwrap();
            assert_eq!(
                via.response_address(transport, SOURCE.parse().unwrap()),
                address.parse().unwrap(),
                "{sent}"
            );
        }
    }

    #[test]
    fn addresses_of_ip_version_6() {
        let via = Via::parse(
            "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111",
        );
        assert_eq!(via.unwrap().received(), "2001:db8::9:255".parse().ok());
        let via = Via::parse("SIP/2.0/UDP [2001:db8::9:1]:6060;received=2001:db8::9:255").unwrap();
        assert_eq!(
            (via.received(), via.port()),
            ("2001:db8::9:255".parse().ok(), Some(6060))
        );
        // RFC 5118 §4.8: one colon too many, and yet to be answered.
        let via = Via::parse("SIP/2.0/UDP [2001:db8:::192.0.2.1]:5060;branch=z9hG4bK-1").unwrap();
        let source = "[2001:db8::5]:5060".parse().unwrap();
        assert!(via.stamped(source).ends_with(";received=2001:db8::5"));
    }

    #[test]
    fn what_is_no_via() {
        for text in [
            "",
            ";",
            "SIP/2.0/UDP",
            "SIP/2.0 example.com",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP ;x",
            "SIP/2.0/UDP a:b",
            "SIP/3.0/UDP a",
        ] {
            assert_eq!(Via::parse(text), None, "{text}");
        }
    }
}
