//! Answers that nothing is remembered of: to what cannot be read, and beyond capacity.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::event::{Event, MalformedFault, Owner};
use super::{Endpoint, Origin, ReplyRoute};
use crate::message::{Headers, ParseError, Reply, ResponseFrame, Status, Via, split};

impl Endpoint {
    pub(super) fn refuse_malformed(
        &mut self,
        origin: Origin,
        error: &ParseError,
        is_answered: bool,
    ) {
        let answered = is_answered
            .then(|| self.answer_malformed(origin, error))
            .flatten();
        self.emit(Event::Malformed {
            fault: MalformedFault::Message(error.fault),
            answered,
            source: origin.1,
        });
    }

    /// Answers what could not be read, where that is possible; with which status.
    pub(super) fn answer_malformed(
        &mut self,
        origin: Origin,
        error: &ParseError,
    ) -> Option<Status> {
        let status = error.status()?;
        let headers = &error.partial.as_deref()?.headers;
        let mut reply = Reply::new(status);
        if status == Status::BAD_REQUEST {
            reply = reply.warning(399, "holdfast", &error.fault.to_string());
        } else if status == Status::NOT_IMPLEMENTED {
            reply = reply.header("Allow", self.config.allow_value());
        }
        self.reply_statelessly(origin, headers, None, reply);
        Some(status)
    }

    /// 503 beyond the capacity (RFC 3263 §4.3: the one code that makes a client go elsewhere).
    pub(super) fn refuse_overload(&mut self, origin: Origin, headers: &Headers) {
        let reply = self.unavailable();
        self.reply_statelessly(origin, headers, None, reply);
    }

    pub(super) fn unavailable(&self) -> Reply {
        let seconds = self.config.retry_after.as_secs().max(1);
        Reply::new(Status::UNAVAILABLE).header("Retry-After", seconds.to_string())
    }

    pub(super) fn reply_statelessly(
        &mut self,
        (flow, source): Origin,
        headers: &Headers,
        to_tag: Option<&str>,
        mut reply: Reply,
    ) {
        let top = headers
            .first("Via")
            .and_then(|value| split(value, b',').next());
        let via = top.and_then(Via::parse);
        // A Via that cannot be read cannot say where to; the source is the one who asked.
        let address = via.as_ref().map_or(source.remote, |via| {
            via.response_address(source.transport, source.remote)
        });
        let top_via = via.map(|via| via.stamped(source.remote));
        if !self.config.server.is_empty() {
            reply = reply.header("Server", self.config.server.clone());
        }
        let made = self.stateless_tag(headers);
        let frame = ResponseFrame {
            headers,
            top_via: top_via.as_deref(),
            to_tag: Some(to_tag.unwrap_or(&made)),
            record_route: false,
        };
        let bytes = frame.render(&reply);
        let route = ReplyRoute {
            flow,
            transport: source.transport,
            address,
            local: source.local,
        };
        let target = self.reply_target(&route);
        self.transmit(target, bytes, Owner::Stateless);
    }

    /// RFC 3261 §8.2.7: a stateless server must make the same tag for the same request.
    fn stateless_tag(&self, headers: &Headers) -> String {
        let mut hasher = DefaultHasher::new();
        self.config.tag_secret.hash(&mut hasher);
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            headers.first(name).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}
