//! SIP messages as they pass, counted by method and code.
//!
//! It looks at the first line, and at CSeq of a response. What peers may invent is counted under one
//! word, so that there are never more counts than specifications have methods and codes.

use std::collections::BTreeMap;

use holdfast_sip::Method;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Received,
    Sent,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: BTreeMap<(Way, Method), u64>,
    responses: BTreeMap<(Way, Method, u16), u64>,
}

impl Traffic {
    /// Counts a message. What is none is counted by whoever reads it.
    pub fn count(&mut self, way: Way, message: &[u8]) {
        let line = first_line(message);
        if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
            let Some(code) = code(rest) else { return };
            let method = method(cseq_method(message));
            *self.responses.entry((way, method, code)).or_default() += 1;
        } else if line.ends_with(b" SIP/2.0") {
            let word = line.split(|octet| *octet == b' ').next();
            let method = method(word.unwrap_or_default());
            *self.requests.entry((way, method)).or_default() += 1;
        }
    }

    /// Requests that went this way, by method.
    pub fn requests(&self, way: Way) -> BTreeMap<String, u64> {
        let of_way = self.requests.iter().filter(|((of, _), _)| *of == way);
        of_way
            .map(|((_, method), count)| (method.to_string(), *count))
            .collect()
    }

    /// Responses that went this way, by method and code.
    pub fn responses(&self, way: Way) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut responses: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((_, method, code), count) in self.responses.iter().filter(|it| it.0.0 == way) {
            let codes = responses.entry(method.to_string()).or_default();
            codes.insert(code_name(*code), *count);
        }
        responses
    }
}

fn first_line(message: &[u8]) -> &[u8] {
    let end = message.iter().position(|octet| *octet == b'\n');
    message[..end.unwrap_or(message.len())].trim_ascii_end()
}

/// A code that a specification has; of others the class, as a number below 10.
fn code(text: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(text.get(..3)?).ok()?;
    let code: u16 = digits.parse().ok()?;
    match code {
        _ if CODES.contains(&code) => Some(code),
        100..700 => Some(code / 100),
        _ => None,
    }
}

fn code_name(code: u16) -> String {
    match code {
        0..10 => format!("{code}xx"),
        _ => code.to_string(),
    }
}

/// The method in CSeq; empty where there is none.
fn cseq_method(message: &[u8]) -> &[u8] {
    let lines = message.split(|octet| *octet == b'\n').skip(1);
    let fields = lines.map(<[u8]>::trim_ascii_end);
    for field in fields.take_while(|field| !field.is_empty()) {
        let mut halves = field.splitn(2, |octet| *octet == b':');
        let name = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"CSeq") {
            let value = halves.next().unwrap_or_default().trim_ascii();
            return value
                .rsplit(u8::is_ascii_whitespace)
                .next()
                .unwrap_or_default();
        }
    }
    &[]
}

/// A method that a specification has; all others are one.
fn method(word: &[u8]) -> Method {
    let known = std::str::from_utf8(word).ok().and_then(Method::from_token);
    known
        .filter(Method::is_known)
        .unwrap_or_else(|| Method::Other("other".to_owned()))
}

/// Codes that IANA has registered for SIP.
const CODES: &[u16] = &[
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404,
    405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 417, 420, 421, 422, 423, 424, 425, 428, 429,
    430, 433, 436, 437, 438, 439, 440, 469, 470, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489,
    491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_peers_invent_has_one_name() {
        let mut traffic = Traffic::default();
        for message in [
            "INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n",
            "XYZZY sip:a@b SIP/2.0\r\n\r\n",
            "PLUGH sip:a@b SIP/2.0\r\n\r\n",
            "\u{fffd} sip:a@b SIP/2.0\r\n\r\n",
            "SIP/2.0 200 OK\r\nVia: x\r\ncseq : 4711\tBYE\r\n\r\n",
            "SIP/2.0 499 Odd\r\nCSeq: 1 BYE\r\n\r\n",
            "SIP/2.0 498 Odd\r\nCSeq: 1 BYE\r\n\r\n",
            "SIP/2.0 200\nCSeq:\n\nCSeq: 1 INVITE",
            // Counted by whoever reads it.
            "",
            "SIP/2.0 20",
            "SIP/2.0 999 Odd\r\nCSeq: 1 BYE\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            traffic.count(Way::Received, message.as_bytes());
        }
        let requests: Vec<_> = traffic.requests(Way::Received).into_iter().collect();
        assert_eq!(requests, [("INVITE".into(), 1), ("other".into(), 3)]);
        let responses = traffic.responses(Way::Received);
        let bye: Vec<_> = responses["BYE"].clone().into_iter().collect();
        assert_eq!(bye, [("200".into(), 1), ("4xx".into(), 2)]);
        assert_eq!(responses["other"]["200"], 1);
        assert_eq!(responses.len(), 2);
        assert!(traffic.requests(Way::Sent).is_empty());
    }
}
