//! SIP messages: what was received, kept whole and in order, with typed views on top.
//!
//! Nothing a peer sends is refused for a header that nobody needs, and nothing is lost: every
//! header can be read back verbatim. Allocation is linear in the size of the message.

mod address;
mod build;
mod error;
mod headers;
mod method;
mod parse;
mod scan;
mod uri;
mod values;
mod via;

pub use address::{AddressError, NameAddr};
pub use build::Reply;
pub(crate) use build::{RequestFrame, ResponseFrame};
pub use error::{ParseError, ParseFault, PartialRequest};
pub use headers::{Header, Headers};
pub use method::{Method, Status};
pub(crate) use parse::{Head, content_length};
pub use scan::Params;
pub(crate) use scan::{find_top_level, quoted_string, split};
pub use uri::{Uri, UriError};
pub use values::{CSeq, MediaType, RAck, Refresher, Replaces, SessionExpires};
pub(crate) use via::sent_by_of;
pub use via::{COOKIE, Via};

use crate::Bytes;

/// A message.
#[derive(Clone, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request whose essential headers have been read.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    uri: Uri,
    headers: Headers,
    essentials: Essentials,
    raw: Bytes,
    body: usize,
}

/// A response whose essential headers have been read.
#[derive(Clone, Debug)]
pub struct Response {
    status: Status,
    reason: String,
    headers: Headers,
    essentials: Essentials,
    raw: Bytes,
    body: usize,
}

/// What identifies transactions and dialogs: exactly one of each, readable.
#[derive(Clone, Debug)]
struct Essentials {
    via: Via,
    from: NameAddr,
    to: NameAddr,
    call_id: String,
    cseq: CSeq,
}

impl Request {
    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the body has an SDP description, alone or as a part. It looks for the media type
    /// in the text of a multipart, which is enough to tell an offer from none.
    pub fn has_sdp(&self) -> bool {
        has_sdp(&self.headers, self.body())
    }
}

impl Response {
    /// The status code.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

macro_rules! common_views {
    ($message:ident) => {
        impl $message {
            /// All header fields.
            pub const fn headers(&self) -> &Headers {
                &self.headers
            }

            /// The topmost Via.
            pub const fn via(&self) -> &Via {
                &self.essentials.via
            }

            /// From.
            pub const fn from(&self) -> &NameAddr {
                &self.essentials.from
            }

            /// To.
            pub const fn to(&self) -> &NameAddr {
                &self.essentials.to
            }

            /// Call-ID.
            pub fn call_id(&self) -> &str {
                &self.essentials.call_id
            }

            /// CSeq.
            pub const fn cseq(&self) -> &CSeq {
                &self.essentials.cseq
            }

            /// The body, octet for octet.
            pub fn body(&self) -> &[u8] {
                self.raw.get(self.body..).unwrap_or_default()
            }

            /// Start-line and headers as received, the blank line included.
            pub fn head(&self) -> &[u8] {
                self.raw.get(..self.body).unwrap_or_default()
            }

            /// The whole message as received, from the start-line to the end of the body.
            pub const fn raw(&self) -> &Bytes {
                &self.raw
            }
        }
    };
}

common_views!(Request);
common_views!(Response);

pub(crate) fn has_sdp(headers: &Headers, body: &[u8]) -> bool {
    let Some(kind) = headers.content_type().filter(|_| !body.is_empty()) else {
        return false;
    };
    let wanted = SDP.as_bytes();
    kind.essence() == SDP
        || kind.essence().starts_with("multipart/")
            && body
                .windows(wanted.len())
                .any(|window| window.eq_ignore_ascii_case(wanted))
}

const SDP: &str = "application/sdp";

#[cfg(test)]
mod tests;
