//! Dialogs (RFC 3261 §12): who talks to whom, by which route, in which order.
//!
//! A [`Dialog`] is plain data, so that it can be written down and taken up by another process. It
//! has no timers and no transactions; [`Unconfirmed`] has the one timer that belongs to a dialog.

mod unconfirmed;

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

pub use unconfirmed::{Unconfirmed, UnconfirmedEffect};

use crate::entropy::{Entropy, up_to};
use crate::limits::CSEQ_END;
use crate::message::{Method, NameAddr, Request, Response, Uri, sent_by_of};
use crate::transport::{Flow, FlowInfo, Transport};

/// What a dialog is found by (RFC 3261 §12): tags and Call-ID, never URIs (RFC 4916 §4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialogKey {
    /// Call-ID, compared octet by octet.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for a peer that predates tags (§12.1.1).
    pub remote_tag: String,
}

impl DialogKey {
    /// The dialog that a request of the peer names; `None` where its To has no tag.
    pub fn of_request(request: &Request) -> Option<Self> {
        Some(Self {
            call_id: request.call_id().to_owned(),
            local_tag: request.to().tag()?.to_owned(),
            remote_tag: request.from().tag().unwrap_or_default().to_owned(),
        })
    }
}

/// Who sent the INVITE that made the dialog, and thereby chose the Call-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The peer called us.
    Uas,
    /// We called.
    Uac,
}

/// How far a dialog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A provisional response made it.
    Early,
    /// A 2xx made it.
    Confirmed,
    /// A BYE is under way, in either direction.
    Terminating,
}

/// One dialog, as we see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Its identity.
    pub key: DialogKey,
    /// Who called.
    pub role: Role,
    /// How far it is.
    pub phase: Phase,
    /// URI of our side.
    pub local_uri: String,
    /// URI of the peer.
    pub remote_uri: String,
    /// CSeq of our last request; 0 before the first.
    pub local_cseq: u32,
    /// CSeq of the peer's last request.
    pub remote_cseq: Option<u32>,
    /// Route values in the order in which our requests pass them.
    pub route_set: Vec<String>,
    /// Where our requests go in the end: the peer's Contact.
    pub remote_target: String,
    /// Set up over TLS with a `sips` Request-URI (§12.1.1).
    pub is_secure: bool,
    /// How the peer's last request came.
    pub transport: Transport,
    /// From where the peer's last request came.
    pub peer: SocketAddr,
    /// To where the peer's last request came.
    pub local: SocketAddr,
    /// The connection that the peer's last request came on. It does not outlive the process.
    #[serde(skip)]
    pub flow: Option<Flow>,
}

/// A request came out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleCSeq;

/// How a request of ours travels (§12.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The Request-URI.
    pub request_uri: String,
    /// Route values, in order.
    pub routes: Vec<String>,
    /// The URI that decides where the request is sent to.
    pub next_hop: Option<Uri>,
}

impl Dialog {
    /// The dialog that our response with a tag makes of an INVITE (§12.1.1). A Contact that is
    /// missing or broken costs nobody the call: our requests then go to where the INVITE came
    /// from.
    pub fn uas(request: &Request, local_tag: &str, flow: Flow, source: &FlowInfo) -> Self {
        let contact = contact_of(request.headers().contacts());
        Self {
            key: DialogKey {
                call_id: request.call_id().to_owned(),
                local_tag: local_tag.to_owned(),
                remote_tag: request.from().tag().unwrap_or_default().to_owned(),
            },
            role: Role::Uas,
            phase: Phase::Early,
            local_uri: request.to().uri_text().to_owned(),
            remote_uri: request.from().uri_text().to_owned(),
            local_cseq: 0,
            remote_cseq: Some(request.cseq().number),
            route_set: request
                .headers()
                .record_routes()
                .map(str::to_owned)
                .collect(),
            remote_target: contact.unwrap_or_else(|| uri_of_flow(source)),
            is_secure: source.transport == Transport::Tls && request.uri().is_sips(),
            transport: source.transport,
            peer: source.remote,
            local: source.local,
            flow: source.transport.is_reliable().then_some(flow),
        }
    }

    /// A dialog to come: an INVITE of ours outside of any, as far as it makes one. Its peer's tag is
    /// empty until a 2xx has one.
    pub(crate) fn calling(
        uri: &str,
        local_uri: String,
        identity: (String, String),
        way: &FlowInfo,
    ) -> Self {
        let (call_id, local_tag) = identity;
        let is_sips = Uri::parse(uri).is_ok_and(|uri| uri.is_sips());
        Self {
            key: DialogKey {
                call_id,
                local_tag,
                remote_tag: String::new(),
            },
            role: Role::Uac,
            phase: Phase::Early,
            local_uri,
            remote_uri: uri.to_owned(),
            local_cseq: 0,
            remote_cseq: None,
            route_set: Vec::new(),
            remote_target: uri.to_owned(),
            is_secure: way.transport == Transport::Tls && is_sips,
            transport: way.transport,
            peer: way.remote,
            local: way.local,
            flow: None,
        }
    }

    /// The dialog that a response to our INVITE makes (§12.1.2). `None` without a To tag.
    pub fn uac(response: &Response, flow: Flow, source: &FlowInfo) -> Option<Self> {
        let contact = contact_of(response.headers().contacts());
        let mut route_set: Vec<_> = response
            .headers()
            .record_routes()
            .map(str::to_owned)
            .collect();
        // §12.1.2: "taken in reverse order".
        route_set.reverse();
        let remote_uri = response.to().uri_text().to_owned();
        Some(Self {
            key: DialogKey {
                call_id: response.call_id().to_owned(),
                local_tag: response.from().tag()?.to_owned(),
                remote_tag: response.to().tag()?.to_owned(),
            },
            role: Role::Uac,
            phase: if response.status().is_success() {
                Phase::Confirmed
            } else {
                Phase::Early
            },
            local_uri: response.from().uri_text().to_owned(),
            remote_target: contact.unwrap_or_else(|| uri_of_flow(source)),
            is_secure: source.transport == Transport::Tls && remote_uri.starts_with("sips:"),
            remote_uri,
            local_cseq: response.cseq().number,
            remote_cseq: None,
            route_set,
            transport: source.transport,
            peer: source.remote,
            local: source.local,
            flow: source.transport.is_reliable().then_some(flow),
        })
    }

    /// Takes note of a request of the peer, other than ACK and CANCEL, which do not count
    /// (§12.2.2). An equal number passes: peers use it twice, and a copy is recognised by its
    /// transaction before it comes here.
    pub fn take_cseq(&mut self, number: u32) -> Result<(), StaleCSeq> {
        if self.remote_cseq.is_some_and(|last| number < last) {
            return Err(StaleCSeq);
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// The number of our next request; `None` where they are used up.
    pub fn next_cseq(&mut self) -> Option<u32> {
        let next = self
            .local_cseq
            .checked_add(1)
            .filter(|next| *next < CSEQ_END)?;
        self.local_cseq = next;
        Some(next)
    }

    /// Moves the remote target (§12.2.2). Call it when the request that carries the Contact is
    /// answered 2xx, not before (RFC 6141 §4.3).
    pub fn refresh_target(&mut self, contact: String) {
        self.remote_target = contact;
    }

    /// Notes where the peer's newest request came from: a lost connection does not end a dialog.
    pub fn follow(&mut self, flow: Flow, source: &FlowInfo) {
        self.transport = source.transport;
        self.peer = source.remote;
        self.local = source.local;
        self.flow = source.transport.is_reliable().then_some(flow);
    }

    /// Request-URI and Route of a request of ours (§12.2.1.1).
    pub fn path(&self) -> Path {
        let uri_of = |route: &String| {
            NameAddr::parse_lenient(route)
                .ok()
                .and_then(|address| address.uri().ok())
        };
        let target = self.remote_target.clone();
        let Some((first, rest)) = self.route_set.split_first() else {
            let next_hop = Uri::parse(&target).ok();
            return Path {
                request_uri: target,
                routes: Vec::new(),
                next_hop,
            };
        };
        let next_hop = uri_of(first);
        match &next_hop {
            // "If the first URI of the route set does not contain [lr], the UAC MUST place the
            // first URI from the route set into the Request-URI, stripping any parameters that
            // are not allowed in a Request-URI. The UAC MUST add a Route header field containing
            // the remainder of the route set values in order [...]. The UAC MUST then place the
            // remote target URI into the Route header field as the last value."
            Some(uri) if !uri.is_loose_router() => {
                let mut routes = rest.to_vec();
                routes.push(format!("<{target}>"));
                Path {
                    request_uri: as_request_uri(uri),
                    routes,
                    next_hop,
                }
            }
            Some(_) | None => Path {
                request_uri: target,
                routes: self.route_set.clone(),
                next_hop,
            },
        }
    }

    /// From of our requests.
    pub fn local_address(&self) -> String {
        format!("<{}>;tag={}", self.local_uri, self.key.local_tag)
    }

    /// To of our requests.
    pub fn remote_address(&self) -> String {
        if self.key.remote_tag.is_empty() {
            return format!("<{}>", self.remote_uri);
        }
        format!("<{}>;tag={}", self.remote_uri, self.key.remote_tag)
    }

    /// How long to wait after a 491 before trying again (§14.1, RFC 3311 §5.3): 2.1 to 4 s when
    /// we own the Call-ID, 0 to 2 s otherwise, in steps of 10 ms.
    pub fn glare_backoff(&self, rng: &mut dyn Entropy) -> Duration {
        let steps = match self.role {
            Role::Uac => 210 + up_to(rng, 190),
            Role::Uas => up_to(rng, 200),
        };
        Duration::from_millis(u64::from(steps) * 10)
    }
}

/// Whether our Contact has to be a `sips` URI: "If the request that initiated the dialog contained a
/// SIPS URI in the Request-URI or in the top Record-Route header field value, if there was any, or
/// the Contact header field if there was no Record-Route header field" (§12.1.1). A Contact alone
/// counts over TLS only: who writes `sips` and calls over UDP could not reach us by it.
pub fn wants_sips(request: &Request, source: &FlowInfo) -> bool {
    let is_sips = |address: &NameAddr| address.uri().is_ok_and(|uri| uri.is_sips());
    let headers = request.headers();
    let top_route = headers.record_routes().next();
    let by_route = |route: &str| NameAddr::parse_lenient(route).is_ok_and(|route| is_sips(&route));
    let by_contact =
        || source.transport == Transport::Tls && headers.contacts().any(|c| is_sips(&c));
    request.uri().is_sips() || top_route.map_or_else(by_contact, by_route)
}

/// The Contact by which a request moves the remote target.
pub(crate) fn refresh_of(request: &Request) -> Option<String> {
    match request.method() {
        Method::Invite | Method::Update => contact_of(request.headers().contacts()),
        Method::Ack
        | Method::Cancel
        | Method::Bye
        | Method::Options
        | Method::Register
        | Method::Prack
        | Method::Info
        | Method::Subscribe
        | Method::Notify
        | Method::Refer
        | Method::Message
        | Method::Publish
        | Method::Other(_) => None,
    }
}

/// The first Contact with a URI that can be read.
pub(crate) fn contact_of(mut contacts: impl Iterator<Item = NameAddr>) -> Option<String> {
    contacts
        .find(|contact| contact.uri().is_ok())
        .map(|contact| contact.uri_text().to_owned())
}

fn uri_of_flow(source: &FlowInfo) -> String {
    format!(
        "sip:{};transport={}",
        sent_by_of(source.remote),
        source.transport
    )
}

/// RFC 3261 §19.1.1: neither `method` nor headers may stand in a Request-URI.
fn as_request_uri(uri: &Uri) -> String {
    let text = uri.as_str();
    let text = match uri.headers() {
        Some(headers) => text
            .strip_suffix(headers)
            .and_then(|text| text.strip_suffix('?'))
            .unwrap_or(text),
        None => text,
    };
    let is_kept = |piece: &&str| {
        !piece
            .get(..7)
            .is_some_and(|p| p.eq_ignore_ascii_case("method="))
    };
    text.split(';')
        .filter(is_kept)
        .collect::<Vec<_>>()
        .join(";")
}

#[cfg(test)]
mod tests;
