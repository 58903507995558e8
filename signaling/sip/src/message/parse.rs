//! From octets to a message.
//!
//! Lenient in what costs nothing (blanks, bare LF, folding, unknown or broken headers that nobody
//! needs), strict in what a transaction is identified and a dialog is built by: Via, From, To,
//! Call-ID, CSeq, Request-URI, Content-Length.

use super::address::NameAddr;
use super::error::{ParseError, ParseFault, PartialRequest};
use super::headers::{Header, Headers};
use super::method::{Method, Status};
use super::scan::split;
use super::uri::Uri;
use super::values::{CSeq, number};
use super::via::Via;
use super::{Essentials, Message, Request, Response};
use crate::limits::{HEADER_LINES_MAX, Limits, VIAS_MAX};

impl Message {
    /// Reads a message by the rules of a datagram (RFC 3261 §18.3): what follows the announced
    /// body is dropped, less than announced is an error, without Content-Length the body runs to
    /// the end. A message that a stream has framed has the announced length anyway.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        Self::parse_within(octets, &Limits::default())
    }

    /// As [`Message::parse`], with bounds of the caller's.
    pub fn parse_within(octets: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let head = Head::read(octets, limits.head_bytes_max);
        match StartLine::read(&head.start_line) {
            Ok(StartLine::Request {
                method,
                uri,
                version_is_known,
            }) => {
                let request = read_request(octets, &head, limits, &method, uri, version_is_known);
                request.map(Self::Request).map_err(|fault| {
                    let headers = head.headers;
                    ParseError {
                        fault,
                        partial: Some(Box::new(PartialRequest { method, headers })),
                    }
                })
            }
            Ok(StartLine::Response { status, reason }) => {
                let response = read_response(octets, &head, limits, status, reason);
                response.map(Self::Response).map_err(|fault| ParseError {
                    fault,
                    partial: None,
                })
            }
            Err(fault) => Err(ParseError {
                fault,
                partial: None,
            }),
        }
    }
}

fn read_request(
    octets: &[u8],
    head: &Head,
    limits: &Limits,
    method: &Method,
    uri: String,
    version_is_known: bool,
) -> Result<Request, ParseFault> {
    if !version_is_known {
        return Err(ParseFault::Version);
    }
    let body = head.body(octets, limits)?;
    let essentials = Essentials::read(&head.headers)?;
    if essentials.cseq.method != *method {
        return Err(ParseFault::MethodMismatch);
    }
    let parsed = Uri::parse(&uri).map_err(|_| ParseFault::RequestUri)?;
    // RFC 4475 §3.1.2.11: headers in a Request-URI are a way to smuggle.
    if parsed.headers().is_some() {
        return Err(ParseFault::RequestUri);
    }
    let (raw, body) = keep(octets, head, body);
    Ok(Request {
        method: method.clone(),
        uri: parsed,
        headers: head.headers.clone(),
        essentials,
        raw,
        body,
    })
}

fn read_response(
    octets: &[u8],
    head: &Head,
    limits: &Limits,
    status: Status,
    reason: String,
) -> Result<Response, ParseFault> {
    let body = head.body(octets, limits)?;
    let essentials = Essentials::read(&head.headers)?;
    let (raw, body) = keep(octets, head, body);
    Ok(Response {
        status,
        reason,
        headers: head.headers.clone(),
        essentials,
        raw,
        body,
    })
}

/// The message from its start-line to the end of its body, and where in it the body begins.
fn keep(octets: &[u8], head: &Head, body: &[u8]) -> (crate::Bytes, usize) {
    let end = head.end.saturating_add(body.len());
    let raw = octets.get(head.start..end).unwrap_or_default();
    (raw.into(), head.end.saturating_sub(head.start))
}

/// Start-line and headers, split but not understood.
pub(crate) struct Head {
    start_line: String,
    pub(crate) headers: Headers,
    /// Offset of the start-line: CRLFs before it are skipped (RFC 3261 §7.5).
    start: usize,
    /// Offset of the body.
    end: usize,
    fault: Option<ParseFault>,
}

impl Head {
    /// Splits what is there. Never fails: what is wrong is kept for when it is known whether an
    /// answer is possible.
    pub(crate) fn read(octets: &[u8], head_bytes_max: usize) -> Self {
        let start = octets
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        let mut head = Self {
            start_line: String::new(),
            headers: Headers::default(),
            start,
            end: octets.len(),
            fault: Some(ParseFault::HeadEnd),
        };
        let mut at = start;
        let mut lines = 0_usize;
        let mut field: Option<(String, Vec<u8>)> = None;
        while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
            let length = rest.iter().position(|b| *b == b'\n');
            let line = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at = at.saturating_add(length.map_or(rest.len(), |length| length + 1));
            if line.is_empty() && length.is_some() {
                head.end = at;
                head.fault = None;
                break;
            }
            lines += 1;
            if at - start > head_bytes_max || lines > HEADER_LINES_MAX {
                head.fault = Some(ParseFault::HeadTooLarge);
                break;
            }
            if lines == 1 {
                head.start_line = String::from_utf8_lossy(line).into_owned();
            } else {
                head.take_line(line, &mut field);
            }
        }
        head.close(&mut field);
        head
    }

    /// A line that begins with a blank goes on with the field before it (RFC 3261 §7.3.1).
    fn take_line(&mut self, line: &[u8], field: &mut Option<(String, Vec<u8>)>) {
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            if let Some((_, value)) = field {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            return;
        }
        self.close(field);
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            return; // A line without a name means nothing to anybody.
        };
        let name = line.get(..colon).unwrap_or_default().trim_ascii();
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        *field = Some((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }

    fn close(&mut self, field: &mut Option<(String, Vec<u8>)>) {
        if let Some((name, value)) = field.take() {
            self.headers
                .push(Header::from_octets(&name, value.trim_ascii()));
        }
    }

    fn body<'a>(&self, octets: &'a [u8], limits: &Limits) -> Result<&'a [u8], ParseFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let rest = octets.get(self.end..).unwrap_or_default();
        let body = match content_length(&self.headers)? {
            Some(length) => rest.get(..length).ok_or(ParseFault::BodyShort)?,
            None => rest,
        };
        if body.len() > limits.body_bytes_max {
            Err(ParseFault::BodyTooLarge)
        } else {
            Ok(body)
        }
    }
}

impl ParseError {
    /// The refusal of a message of which only the head has been read, as a stream does it.
    pub(crate) fn of_head(head: &[u8], limits: &Limits, fault: ParseFault) -> Self {
        let head = Head::read(head, limits.head_bytes_max);
        let partial = match StartLine::read(&head.start_line) {
            Ok(StartLine::Request { method, .. }) => Some(Box::new(PartialRequest {
                method,
                headers: head.headers,
            })),
            Ok(StartLine::Response { .. }) | Err(_) => None,
        };
        Self { fault, partial }
    }
}

/// The announced length. The same number twice is one number; two numbers are none.
pub(crate) fn content_length(headers: &Headers) -> Result<Option<usize>, ParseFault> {
    let mut length = None;
    for value in headers.all("Content-Length") {
        let next = number(value).ok_or(ParseFault::Bad("Content-Length"))?;
        if length.is_some_and(|length| length != next) {
            return Err(ParseFault::Repeated("Content-Length"));
        }
        length = Some(next);
    }
    length
        .map(|length| usize::try_from(length).map_err(|_| ParseFault::Bad("Content-Length")))
        .transpose()
}

enum StartLine {
    Request {
        method: Method,
        uri: String,
        version_is_known: bool,
    },
    Response {
        status: Status,
        reason: String,
    },
}

impl StartLine {
    /// Blanks more than one, and at the ends, are forgiven (RFC 4475 §3.1.2.9 and §3.1.2.10 leave
    /// it open).
    fn read(line: &str) -> Result<Self, ParseFault> {
        let line = line.trim();
        let (first, rest) = line.split_once(' ').ok_or(ParseFault::StartLine)?;
        if let Some(version) = sip_version(first) {
            let (code, reason) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            if version != "2.0" {
                return Err(ParseFault::Version);
            }
            let code = number(code).and_then(|code| u16::try_from(code).ok());
            let status = code.and_then(Status::new).ok_or(ParseFault::Status)?;
            return Ok(Self::Response {
                status,
                reason: reason.to_owned(),
            });
        }
        let method = Method::from_token(first).ok_or(ParseFault::StartLine)?;
        let (uri, version) = rest.trim().rsplit_once(' ').ok_or(ParseFault::StartLine)?;
        let version = sip_version(version).ok_or(ParseFault::StartLine)?;
        Ok(Self::Request {
            method,
            uri: uri.trim().to_owned(),
            version_is_known: version == "2.0",
        })
    }
}

fn sip_version(text: &str) -> Option<&str> {
    let (name, version) = text.split_once('/')?;
    name.eq_ignore_ascii_case("SIP").then_some(version)
}

impl Essentials {
    fn read(headers: &Headers) -> Result<Self, ParseFault> {
        let mut vias = headers.all("Via").flat_map(|value| split(value, b','));
        let top = vias
            .next()
            .filter(|text| !text.is_empty())
            .ok_or(ParseFault::Missing("Via"))?;
        let via = Via::parse(top).ok_or(ParseFault::Bad("Via"))?;
        // RFC 4475 §3.1.2.1: broken values further down make the message malformed too.
        let mut count = 1;
        for text in vias {
            count += 1;
            if count > VIAS_MAX || (!text.is_empty() && Via::parse(text).is_none()) {
                return Err(ParseFault::Bad("Via"));
            }
        }
        let from = NameAddr::parse(only(headers, "From")?).map_err(|_| ParseFault::Bad("From"))?;
        let to = NameAddr::parse(only(headers, "To")?).map_err(|_| ParseFault::Bad("To"))?;
        let call_id = only(headers, "Call-ID")?.to_owned();
        if call_id.is_empty() {
            return Err(ParseFault::Bad("Call-ID"));
        }
        let cseq = CSeq::parse(only(headers, "CSeq")?).ok_or(ParseFault::Bad("CSeq"))?;
        Ok(Self {
            via,
            from,
            to,
            call_id,
            cseq,
        })
    }
}

fn only<'a>(headers: &'a Headers, name: &'static str) -> Result<&'a str, ParseFault> {
    let mut values = headers.named(name);
    let value = values.next().ok_or(ParseFault::Missing(name))?;
    if values.next().is_some() {
        Err(ParseFault::Repeated(name))
    } else {
        Ok(value.value())
    }
}
