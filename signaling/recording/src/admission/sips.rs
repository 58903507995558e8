//! What a server owes a request to a `sips` URI (RFC 3261 §26.2, RFC 5630).

use holdfast_sip::{FlowInfo, Method, Reply, Request, Status, Transport};

use super::NotAdmitted;
use crate::recorder::AGENT;

/// Whether the schemes of a request outside of a call are as they should be.
pub(super) fn judge(
    source: &FlowInfo,
    request: &Request,
    requires_sips: bool,
) -> Result<(), NotAdmitted> {
    if !request.uri().is_sips() {
        let is_refused = requires_sips && *request.method() != Method::Ack;
        return match is_refused {
            true => Err(NotAdmitted::SipsRequired),
            false => Ok(()),
        };
    }
    // RFC 5630 §3.1.3: TLS on every hop, the last one too.
    if source.transport != Transport::Tls {
        return Err(NotAdmitted::SipsNotAllowed);
    }
    let mut contacts = request.headers().contacts();
    let is_mixed = contacts.any(|contact| contact.uri().is_ok_and(|uri| !uri.is_sips()));
    // RFC 3261 §8.1.1.8: a sips Request-URI asks for a sips Contact.
    match is_mixed && *request.method() == Method::Invite {
        true => Err(NotAdmitted::SipsMixed),
        false => Ok(()),
    }
}

/// RFC 5630 §5.2 and §8.2: 480 with Warning 381.
pub(super) fn required() -> Reply {
    Reply::new(Status::TEMPORARILY_UNAVAILABLE).warning(381, AGENT, "SIPS Required")
}

/// The same, 380.
pub(super) fn not_allowed() -> Reply {
    Reply::new(Status::TEMPORARILY_UNAVAILABLE).warning(380, AGENT, "SIPS Not Allowed")
}

pub(super) fn mixed() -> Reply {
    let text = "the Contact of a request to a sips URI has to be sips";
    Reply::new(Status::BAD_REQUEST).warning(399, AGENT, text)
}
