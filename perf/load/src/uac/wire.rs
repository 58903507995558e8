//! The text of what a caller sends.

use std::net::SocketAddr;

use super::call::Call;
use super::{Transport, UacConfig};
use crate::invite::Body;
use crate::sip::Message;

impl Transport {
    const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    const fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp | Self::Tls => "",
            Self::Tcp => ";transport=tcp",
        }
    }

    /// RFC 5630: over TLS it is sips, and no parameter.
    const fn scheme(self) -> &'static str {
        match self {
            Self::Udp | Self::Tcp => "sip",
            Self::Tls => "sips",
        }
    }
}

impl UacConfig {
    /// Where a call's first request goes.
    pub(super) fn request_uri(&self) -> String {
        format!(
            "{}:{}{}{}",
            self.transport.scheme(),
            self.user_at(),
            self.target,
            self.transport.uri_parameter()
        )
    }

    pub(super) fn call_id(&self, call: u32) -> String {
        format!("{}-{call:06}@{}", self.run, self.local.ip())
    }

    pub(super) fn local_tag(&self, call: u32) -> String {
        format!("{}-{call}", self.run)
    }

    /// The branch of a transaction: a function of what it is, so that nothing needs to be kept.
    pub(super) fn branch(&self, call: u32, cseq: u32, method: &str) -> String {
        format!("z9hG4bK-{}-{call}-{cseq}-{method}", self.run)
    }

    /// A request of a call in its present state; an ACK for a 2xx is one too (RFC 3261 section
    /// 13.2.2.4).
    pub(super) fn write_request(
        &self,
        call: u32,
        state: &Call,
        method: &str,
        cseq: u32,
        body: Option<&Body>,
    ) -> Vec<u8> {
        let to_tag = state
            .remote_tag
            .as_ref()
            .map(|tag| format!(";tag={tag}"))
            .unwrap_or_default();
        let scheme = self.transport.scheme();
        let to = format!("<{scheme}:{}{}>{to_tag}", self.user_at(), self.target);
        let mut text = self.head(call, state, method, cseq, method, &to);
        for route in &state.routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        if matches!(method, "INVITE" | "UPDATE") {
            text.push_str(&format!(
                "Contact: <{scheme}:src@{}{}>;+sip.src\r\nRequire: siprec\r\n",
                self.local,
                self.transport.uri_parameter()
            ));
        }
        let replaced = state.former.as_ref();
        let replaced = replaced.filter(|_| method == "INVITE" && state.remote_tag.is_none());
        if let Some(former) = replaced {
            text.push_str(&format!(
                "Replaces: {};to-tag={};from-tag={}\r\nRequire: replaces\r\n",
                former.call_id, former.to_tag, former.from_tag
            ));
        }
        if method != "ACK" {
            text.push_str(
                "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n\
                 Accept: application/sdp, application/rs-metadata\r\nUser-Agent: holdfast-load\r\n",
            );
        }
        finish(text, body)
    }

    /// The ACK of a failure belongs to the INVITE's transaction (RFC 3261 section 17.1.1.3).
    pub(super) fn write_failure_ack(
        &self,
        call: u32,
        state: &Call,
        cseq: u32,
        response: &Message,
    ) -> Vec<u8> {
        let to = response.header("To").unwrap_or("");
        finish(self.head(call, state, "ACK", cseq, "INVITE", to), None)
    }

    /// Request line and the six header fields of every request (RFC 3261 section 8.1.1).
    fn head(
        &self,
        call: u32,
        state: &Call,
        method: &str,
        cseq: u32,
        branch_of: &str,
        to: &str,
    ) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {local};rport;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:src@{host}>;tag={from_tag}\r\nTo: {to}\r\n\
             Call-ID: {id}\r\nCSeq: {cseq} {method}\r\n",
            uri = state.remote_target,
            via = self.transport.via(),
            local = self.local,
            branch = self.branch(call, cseq, branch_of),
            host = host(&self.local),
            from_tag = self.local_tag(call),
            id = self.call_id(call),
        )
    }

    fn user_at(&self) -> String {
        if self.user.is_empty() {
            String::new()
        } else {
            format!("{}@", self.user)
        }
    }
}

/// An answer without a body to a request of the server.
pub(super) fn response(request: &Message, status: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.all(name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("Allow: ACK, BYE, OPTIONS\r\n");
    finish(text, None)
}

/// The host of a From URI, without a port.
fn host(local: &SocketAddr) -> String {
    match local {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

fn finish(mut text: String, body: Option<&Body>) -> Vec<u8> {
    let Some(body) = body else {
        text.push_str("Content-Length: 0\r\n\r\n");
        return text.into_bytes();
    };
    let (kind, length) = (&body.content_type, body.bytes.len());
    text.push_str(&format!(
        "Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&body.bytes);
    bytes
}
