//! Why a message was refused, and whether its sender can be told.

use super::headers::Headers;
use super::method::{Method, Status};

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// The first line is neither a request line nor a status line.
    #[error("no SIP start-line")]
    StartLine,
    /// Another version than SIP/2.0.
    #[error("unknown SIP version")]
    Version,
    /// The Request-URI breaks the grammar.
    #[error("bad Request-URI")]
    RequestUri,
    /// A status code outside 100 to 699.
    #[error("bad status code")]
    Status,
    /// The headers do not end.
    #[error("headers without an end")]
    HeadEnd,
    /// The headers are larger than allowed.
    #[error("headers too large")]
    HeadTooLarge,
    /// The body is larger than allowed.
    #[error("body too large")]
    BodyTooLarge,
    /// A header that every message needs is not there.
    #[error("{0} missing")]
    Missing(&'static str),
    /// A header that may come once came more often.
    #[error("{0} repeated")]
    Repeated(&'static str),
    /// A header that every message needs cannot be read.
    #[error("bad {0}")]
    Bad(&'static str),
    /// The CSeq names another method than the request line.
    #[error("CSeq names another method")]
    MethodMismatch,
    /// The datagram ends before the body does.
    #[error("body shorter than Content-Length")]
    BodyShort,
}

/// A message that was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    /// What is wrong.
    pub fault: ParseFault,
    /// What could be read of a request; `None` for responses and for what is no SIP at all.
    pub partial: Option<Box<PartialRequest>>,
}

/// As much of a broken request as an answer needs.
#[derive(Clone, Debug)]
pub struct PartialRequest {
    /// From the request line.
    pub method: Method,
    /// All header lines that have a name.
    pub headers: Headers,
}

impl ParseError {
    /// The answer to give; `None` where none is possible: not a request, an ACK, or no Via to
    /// send it by.
    pub fn status(&self) -> Option<Status> {
        let partial = self.partial.as_deref()?;
        if partial.method == Method::Ack || !partial.headers.has("Via") {
            return None;
        }
        Some(match self.fault {
            ParseFault::Version => Status::VERSION_NOT_SUPPORTED,
            ParseFault::HeadTooLarge => Status::MESSAGE_TOO_LARGE,
            ParseFault::BodyTooLarge => Status::ENTITY_TOO_LARGE,
            // RFC 4475 §3.1.2.18: 501 tells more than 400.
            ParseFault::MethodMismatch if !partial.method.is_known() => Status::NOT_IMPLEMENTED,
            ParseFault::StartLine
            | ParseFault::RequestUri
            | ParseFault::Status
            | ParseFault::HeadEnd
            | ParseFault::Missing(_)
            | ParseFault::Repeated(_)
            | ParseFault::Bad(_)
            | ParseFault::MethodMismatch
            | ParseFault::BodyShort => Status::BAD_REQUEST,
        })
    }
}
