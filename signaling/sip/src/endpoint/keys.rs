//! What a request is recognised by (RFC 3261 §17.2.3 and §8.2.2.2).

use crate::message::{Method, Request};
use serde::{Deserialize, Serialize};

/// Identity of a server transaction.
///
/// Beyond branch, sent-by and method it has Call-ID and CSeq number: peers are met that use one
/// branch for a whole call, and a re-INVITE must not be taken for a copy of the INVITE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ServerKey {
    origin: Origin,
    call_id: String,
    cseq: u32,
    method: Method,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Origin {
    /// RFC 3261: a branch with the cookie, and the sent-by, so that one client cannot hit another
    /// one's transaction by choosing the same branch.
    Branch {
        branch: String,
        host: String,
        port: Option<u16>,
    },
    /// RFC 2543: no cookie. The To tag is left out, since the ACK has one that the INVITE had not.
    Legacy {
        uri: String,
        from_tag: String,
        host: String,
        port: Option<u16>,
        branch: String,
    },
}

impl ServerKey {
    /// The transaction that a request belongs to. An ACK belongs to its INVITE.
    pub(super) fn of(request: &Request) -> Self {
        match request.method() {
            Method::Ack => Self::with_method(request, Method::Invite),
            method => Self::with_method(request, method.clone()),
        }
    }

    /// The INVITE that a CANCEL means.
    pub(super) fn of_cancelled(request: &Request) -> Self {
        Self::with_method(request, Method::Invite)
    }

    fn with_method(request: &Request, method: Method) -> Self {
        let via = request.via();
        let (host, port) = (via.host().to_ascii_lowercase(), via.port());
        let origin = match via.unique_branch() {
            Some(branch) => Origin::Branch {
                branch: branch.to_owned(),
                host,
                port,
            },
            None => Origin::Legacy {
                uri: request.uri().as_str().to_owned(),
                from_tag: request.from().tag().unwrap_or_default().to_owned(),
                host,
                port,
                branch: via.branch().unwrap_or_default().to_owned(),
            },
        };
        let call_id = request.call_id().to_owned();
        Self {
            origin,
            call_id,
            cseq: request.cseq().number,
            method,
        }
    }
}

/// What two copies of one request that came by different ways have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MergeKey {
    from_tag: String,
    call_id: String,
    cseq: u32,
    method: Method,
}

impl MergeKey {
    /// `None` for a request in a dialog, and for one without a From tag.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.to().tag().is_some() {
            return None;
        }
        Some(Self {
            from_tag: request.from().tag()?.to_owned(),
            call_id: request.call_id().to_owned(),
            cseq: request.cseq().number,
            method: request.method().clone(),
        })
    }
}
