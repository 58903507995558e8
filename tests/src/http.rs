//! A client of HTTP/1.1, as plain as can be: one request a connection.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::wait::PATIENCE;

/// A request that is to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    to: SocketAddr,
    head: String,
    has_host: bool,
    body: String,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET.
    pub fn get(to: SocketAddr, path: &str) -> Self {
        Self::new(to, "GET", path)
    }

    /// A POST without content.
    pub fn post(to: SocketAddr, path: &str) -> Self {
        Self::new(to, "POST", path).header("Content-Length", "0")
    }

    /// A POST of JSON.
    pub fn post_json(to: SocketAddr, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut request = Self::new(to, "POST", path)
            .header("Content-Type", "application/json")
            .header("Content-Length", &body.len().to_string());
        request.body = body;
        request
    }

    /// Any other.
    pub fn new(to: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            to,
            head: format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n"),
            has_host: false,
            body: String::new(),
        }
    }

    /// With a further header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.has_host |= name.eq_ignore_ascii_case("host");
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Sends it and waits for the whole answer; `None` where there is none.
    pub fn try_send(&self) -> Option<Response> {
        let mut stream = TcpStream::connect(self.to).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let host = match self.has_host {
            true => String::new(),
            false => format!("Host: {}\r\n", self.to),
        };
        let request = format!("{}{host}\r\n{}", self.head, self.body);
        stream.write_all(request.as_bytes()).ok()?;
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).ok()?;
        Response::parse(&octets)
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn send(&self) -> Response {
        self.try_send()
            .unwrap_or_else(|| panic!("no answer to {}", self.head))
    }
}

impl Response {
    fn parse(octets: &[u8]) -> Option<Self> {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&octets[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> = fields
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = &octets[end + 4..];
        let is_chunked = headers
            .iter()
            .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = match is_chunked {
            true => unchunk(body)?,
            false => body.to_vec(),
        };
        Some(Self {
            status,
            headers,
            body,
        })
    }

    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The content as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    /// The content as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// The metrics that are served there, by name and labels.
///
/// # Panics
/// When they are not served.
pub fn metrics(at: SocketAddr) -> BTreeMap<String, f64> {
    let response = Request::get(at, "/metrics").send();
    assert_eq!(response.status, 200, "{}", response.text());
    let kind = response.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = response.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    samples.filter_map(read).collect()
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}
