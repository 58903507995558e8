//! From what we want to say to octets. Line ends never come from a value: they are replaced.

use std::fmt::Write as _;

use super::headers::Headers;
use super::method::{Method, Status};
use super::scan::split;
use crate::Bytes;

/// An answer as the layer above words it. The endpoint adds Via, From, To with its tag, Call-ID,
/// CSeq, Record-Route, Timestamp and Content-Length, and what it adds by default (Server, Allow,
/// Supported, Accept, Contact) only where the same header is not given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub status: Status,
    reason: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<(String, Vec<u8>)>,
}

impl Reply {
    /// An answer without headers or body.
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            reason: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Replaces the usual reason phrase.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a Warning (RFC 3261 §20.43). `agent` is a host name or a pseudonym.
    #[must_use]
    pub fn warning(self, code: u16, agent: &str, text: &str) -> Self {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        self.header("Warning", format!("{code:03} {agent} \"{text}\""))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// Whether a header of that name was added.
    pub fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Adds a header field unless one of that name was added.
    pub(crate) fn default_header(&mut self, name: &str, value: impl FnOnce() -> String) {
        if !self.has(name) {
            self.headers.push((name.to_owned(), value()));
        }
    }

    /// The value of a header that was added.
    pub fn value(&self, name: &str) -> Option<&str> {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(|(known, _)| same(known))
            .map(|(_, value)| value.as_str())
    }
}

/// What of a request goes into its response.
pub(crate) struct ResponseFrame<'a> {
    /// Headers of the request.
    pub(crate) headers: &'a Headers,
    /// The topmost Via as it goes back; `None` copies it.
    pub(crate) top_via: Option<&'a str>,
    /// Appended to a To that has none; `None` for a 100.
    pub(crate) to_tag: Option<&'a str>,
    /// Whether Record-Route goes back (RFC 3261 §12.1.1: where a dialog is created).
    pub(crate) record_route: bool,
}

impl ResponseFrame<'_> {
    /// RFC 3261 §8.2.6.2: From, Call-ID, CSeq and Via equal those of the request, Via in order.
    pub(crate) fn render(&self, reply: &Reply) -> Bytes {
        let status = reply.status;
        let mut out = Vec::with_capacity(1024);
        let reason = reply.reason.as_deref().unwrap_or(status.reason());
        write_line(
            &mut out,
            &[
                b"SIP/2.0 ",
                status.to_string().as_bytes(),
                b" ",
                reason.as_bytes(),
            ],
        );
        self.write_vias(&mut out);
        if self.record_route {
            self.copy("Record-Route", &mut out);
        }
        self.copy("From", &mut out);
        self.write_to(&mut out);
        self.copy("Call-ID", &mut out);
        self.copy("CSeq", &mut out);
        if status == Status::TRYING {
            self.copy("Timestamp", &mut out);
        }
        write_tail(&mut out, &reply.headers, reply.body.as_ref());
        out.into()
    }

    fn write_vias(&self, out: &mut Vec<u8>) {
        let mut vias = self.headers.named("Via");
        if let (Some(top), Some(first)) = (self.top_via, vias.next()) {
            write_line(out, &[b"Via: ", top.as_bytes()]);
            for value in split(first.value(), b',')
                .skip(1)
                .filter(|value| !value.is_empty())
            {
                write_line(out, &[b"Via: ", value.as_bytes()]);
            }
        } else {
            vias = self.headers.named("Via");
        }
        for header in vias {
            write_line(out, &[b"Via: ", header.octets()]);
        }
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let Some(to) = self.headers.named("To").next() else {
            return;
        };
        let is_tagged = super::NameAddr::parse(to.value()).is_ok_and(|to| to.tag().is_some());
        match self.to_tag {
            Some(tag) if !is_tagged => {
                write_line(out, &[b"To: ", to.octets(), b";tag=", tag.as_bytes()]);
            }
            Some(_) | None => write_line(out, &[b"To: ", to.octets()]),
        }
    }

    fn copy(&self, name: &str, out: &mut Vec<u8>) {
        for header in self.headers.named(name) {
            write_line(out, &[name.as_bytes(), b": ", header.octets()]);
        }
    }
}

/// A request of ours.
pub(crate) struct RequestFrame<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a str,
    pub(crate) via: &'a str,
    pub(crate) routes: &'a [String],
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Option<&'a (String, Vec<u8>)>,
}

impl RequestFrame<'_> {
    pub(crate) fn render(&self) -> Bytes {
        let mut out = Vec::with_capacity(1024);
        let method = self.method.as_str().as_bytes();
        write_line(&mut out, &[method, b" ", self.uri.as_bytes(), b" SIP/2.0"]);
        write_line(&mut out, &[b"Via: ", self.via.as_bytes()]);
        write_line(&mut out, &[b"Max-Forwards: 70"]);
        for route in self.routes {
            write_line(&mut out, &[b"Route: ", route.as_bytes()]);
        }
        write_line(&mut out, &[b"From: ", self.from.as_bytes()]);
        write_line(&mut out, &[b"To: ", self.to.as_bytes()]);
        write_line(&mut out, &[b"Call-ID: ", self.call_id.as_bytes()]);
        write_line(
            &mut out,
            &[b"CSeq: ", self.cseq.to_string().as_bytes(), b" ", method],
        );
        write_tail(&mut out, self.headers, self.body);
        out.into()
    }
}

fn write_tail(out: &mut Vec<u8>, headers: &[(String, String)], body: Option<&(String, Vec<u8>)>) {
    for (name, value) in headers {
        write_line(out, &[name.as_bytes(), b": ", value.as_bytes()]);
    }
    let octets: &[u8] = match body {
        Some((content_type, octets)) => {
            write_line(out, &[b"Content-Type: ", content_type.as_bytes()]);
            octets
        }
        None => &[],
    };
    let mut length = String::new();
    // Writing to a String cannot fail.
    let _ = write!(length, "{}", octets.len());
    write_line(out, &[b"Content-Length: ", length.as_bytes()]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(octets);
}

fn write_line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let is_break = |b: u8| matches!(b, b'\r' | b'\n');
    for part in parts {
        out.extend(part.iter().map(|b| if is_break(*b) { b' ' } else { *b }));
    }
    out.extend_from_slice(b"\r\n");
}
