//! The least of SIP a caller needs: read a message, find its headers, frame a stream.
//!
//! It keeps no state and judges nothing; a message it can't read is `None` and the caller's matter.

use crate::limits;

/// A SIP message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// First line.
    pub start: StartLine,
    /// Header fields in order; folded lines are joined, names keep their spelling.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// First line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// A request.
    Request {
        /// Method, as written.
        method: String,
        /// Request-URI.
        uri: String,
    },
    /// A response.
    Response {
        /// Status code.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
}

/// Finds messages in a byte stream by their Content-Length (RFC 3261 section 18.3).
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
}

/// The stream can't be framed any more: the connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message without a usable Content-Length.
    #[error("a message on the stream has no usable Content-Length")]
    NoLength,
    /// A message that is none.
    #[error("the stream carries something that is no SIP message")]
    NotSip,
    /// More octets than a message may have.
    #[error("a message on the stream exceeds {} octets", limits::MESSAGE_SIZE_MAX)]
    TooLong,
}

impl Message {
    /// Reads one message; the body is everything behind the blank line, cut to Content-Length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = split_head(bytes)?;
        let head = std::str::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let start = StartLine::parse(lines.next()?)?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
            } else if headers.len() < limits::HEADER_COUNT_MAX {
                let (name, value) = line.split_once(':')?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let mut message = Self {
            start,
            headers,
            body: rest.to_vec(),
        };
        if let Some(length) = message.content_length() {
            message.body.truncate(length);
        }
        Some(message)
    }

    /// The first header field of that name, or of its compact form.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All header fields of that name, in order.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let compact = compact_form(name);
        self.headers
            .iter()
            .filter(move |(candidate, _)| {
                candidate.eq_ignore_ascii_case(name)
                    || compact.is_some_and(|compact| candidate.eq_ignore_ascii_case(compact))
            })
            .map(|(_, value)| value.as_str())
    }

    /// Status code of a response.
    pub const fn status(&self) -> Option<u16> {
        match &self.start {
            StartLine::Response { status, .. } => Some(*status),
            StartLine::Request { .. } => None,
        }
    }

    /// Number and method of the CSeq header field.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once([' ', '\t'])?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The `tag` parameter of From or To.
    pub fn tag(&self, header: &str) -> Option<&str> {
        parameter(self.header(header)?, "tag")
    }

    /// The `branch` parameter of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        let top = self.header("Via")?.split(',').next()?;
        parameter(top, "branch")
    }

    /// The URI of the Contact header field.
    pub fn contact_uri(&self) -> Option<&str> {
        let value = self.header("Contact")?;
        match value.split_once('<') {
            Some((_, rest)) => rest.split_once('>').map(|(uri, _)| uri),
            None => value.split(';').next().map(str::trim),
        }
    }

    /// The URIs of Record-Route, first to last, each within its angle brackets.
    pub fn record_routes(&self) -> Vec<String> {
        self.all("Record-Route")
            .flat_map(|value| value.split(','))
            .map(|route| route.trim().to_owned())
            .collect()
    }

    fn content_length(&self) -> Option<usize> {
        self.header("Content-Length")?.parse().ok()
    }
}

impl StartLine {
    fn parse(line: &str) -> Option<Self> {
        if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
            let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let status = status
                .parse()
                .ok()
                .filter(|status| (100..700).contains(status))?;
            return Some(Self::Response {
                status,
                reason: reason.to_owned(),
            });
        }
        let mut words = line.split(' ');
        let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
        (version == "SIP/2.0" && words.next().is_none()).then(|| Self::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
        })
    }
}

impl Framer {
    /// Takes in what the stream delivered.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, as its octets.
    pub fn poll(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        // Keep-alives (RFC 5626 section 3.5.1) and stray line ends stand between messages.
        let blank = self
            .buffer
            .iter()
            .take_while(|&&b| b == b'\r' || b == b'\n')
            .count();
        self.buffer.drain(..blank);
        let Some((head, _)) = split_head(&self.buffer) else {
            let too_long = self.buffer.len() > limits::MESSAGE_SIZE_MAX;
            return if too_long {
                Err(FramingError::TooLong)
            } else {
                Ok(None)
            };
        };
        let body_start = head.len() + HEAD_END.len();
        let message = Message::parse(&self.buffer).ok_or(FramingError::NotSip)?;
        let length = message.content_length().ok_or(FramingError::NoLength)?;
        let end = body_start.saturating_add(length);
        if end > limits::MESSAGE_SIZE_MAX {
            return Err(FramingError::TooLong);
        }
        if self.buffer.len() < end {
            return Ok(None);
        }
        Ok(Some(self.buffer.drain(..end).collect()))
    }
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)?;
    Some((&bytes[..at], &bytes[at + HEAD_END.len()..]))
}

/// The value of a parameter behind the angle brackets of a header value, if it has any.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let parameters = value.rsplit_once('>').map_or(value, |(_, rest)| rest);
    parameters.split(';').skip(1).find_map(|parameter| {
        let (candidate, value) = parameter.split_once('=')?;
        candidate
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim())
    })
}

fn compact_form(name: &str) -> Option<&'static str> {
    const FORMS: [(&str, &str); 8] = [
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Length", "l"),
        ("Content-Type", "c"),
        ("From", "f"),
        ("Supported", "k"),
        ("To", "t"),
        ("Via", "v"),
    ];
    FORMS
        .iter()
        .find(|(long, _)| long.eq_ignore_ascii_case(name))
        .map(|(_, short)| *short)
}

const HEAD_END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1;rport=5,\r\n \
                      SIP/2.0/TCP x;branch=z9hG4bK-2\r\nTo: \"a;tag=no\" <sip:b;tag=no@c>;TAG=yes\r\n\
                      i: id@host\r\nCSeq: 4  INVITE\r\nContact: <sip:r@192.0.2.9:5070>;+sip.srs\r\n\
                      Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n\
                      Content-Length: 3\r\n\r\nabcdef";

    #[test]
    fn headers_are_found_by_either_name_and_unfolded() {
        let message = Message::parse(OK.as_bytes()).unwrap();
        assert_eq!(message.status(), Some(200));
        assert_eq!(message.header("call-id"), Some("id@host"));
        assert_eq!(message.cseq(), Some((4, "INVITE")));
        assert_eq!(message.tag("To"), Some("yes"));
        assert_eq!(message.branch(), Some("z9hG4bK-1"));
        assert_eq!(message.contact_uri(), Some("sip:r@192.0.2.9:5070"));
        assert_eq!(
            message.record_routes(),
            ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]
        );
        assert_eq!(message.body, b"abc");
    }

    #[test]
    fn what_is_no_message_is_none() {
        for wrong in [
            "",
            "SIP/2.0 200 OK\r\n",
            "SIP/2.0 99 Low\r\n\r\n",
            "SIP/2.0 x OK\r\n\r\n",
            "INVITE sip:a\r\n\r\n",
            "INVITE sip:a SIP/3.0\r\n\r\n",
            "BYE sip:a SIP/2.0\r\nno colon\r\n\r\n",
            "BYE sip:a SIP/2.0\r\n folded first\r\n\r\n",
        ] {
            assert_eq!(Message::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_stream_byte_by_byte_gives_each_message_once() {
        let one = OK.trim_end_matches("def");
        let stream = format!("\r\n\r\n{one}\r\n{one}");
        let mut framer = Framer::default();
        let mut messages = Vec::new();
        for &byte in stream.as_bytes() {
            framer.feed(&[byte]);
            messages.extend(framer.poll().unwrap());
        }
        assert_eq!(messages, [one.as_bytes(), one.as_bytes()]);
    }

    #[test]
    fn a_stream_that_lost_its_frame_says_so() {
        let mut framer = Framer::default();
        framer.feed(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n");
        assert_eq!(framer.poll(), Err(FramingError::NoLength));
        let mut framer = Framer::default();
        framer.feed(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(framer.poll(), Err(FramingError::NotSip));
        let mut framer = Framer::default();
        framer.feed(&vec![b'x'; limits::MESSAGE_SIZE_MAX + 1]);
        assert_eq!(framer.poll(), Err(FramingError::TooLong));
    }
}
