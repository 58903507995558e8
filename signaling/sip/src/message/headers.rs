//! Header fields, kept as received and in order.

use std::borrow::Cow;

use super::address::NameAddr;
use super::method::Method;
use super::scan::split;
use super::values::{MediaType, RAck, Replaces, SessionExpires, number, seconds};
use super::via::Via;

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
    /// Only where the value is not UTF-8: what is copied into a response must not change.
    octets: Option<Vec<u8>>,
}

impl Header {
    pub(super) fn from_octets(name: &str, value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let octets = matches!(text, Cow::Owned(_)).then(|| value.to_vec());
        Self {
            name: name.to_owned(),
            value: text.into_owned(),
            octets,
        }
    }

    /// As received; it may be a compact form.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, unfolded and trimmed; octets that are not UTF-8 are replaced.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value, octet for octet.
    pub fn octets(&self) -> &[u8] {
        self.octets.as_deref().unwrap_or(self.value.as_bytes())
    }

    /// Whether it is the header `name`, given in its long form.
    pub fn is(&self, name: &str) -> bool {
        long_form(&self.name).eq_ignore_ascii_case(name)
    }
}

/// All header fields of a message. Names are given in their long form and match any case and the
/// compact form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    pub(super) fn push(&mut self, header: Header) {
        self.0.push(header);
    }

    /// Every field in the order it came: for a record of the message.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// Fields of that name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Header> {
        self.0.iter().filter(move |header| header.is(name))
    }

    /// Values of all fields of that name, undivided.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.named(name).map(Header::value)
    }

    /// The value of the first field of that name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|header| header.is(name))
            .map(Header::value)
    }

    /// Whether a field of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Elements of a comma list over all fields of that name; empty ones are left out.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .flat_map(|value| split(value, b','))
            .filter(|element| !element.is_empty())
    }

    /// Whether a list of tokens has `token`, in any case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name)
            .any(|element| element.eq_ignore_ascii_case(token))
    }

    /// Via values, topmost first; `None` as soon as one cannot be read.
    pub fn vias(&self) -> Option<Vec<Via>> {
        self.list("Via").map(Via::parse).collect()
    }

    /// Contact values that can be read. A `*` is none.
    pub fn contacts(&self) -> impl Iterator<Item = NameAddr> {
        self.list("Contact")
            .filter_map(|text| NameAddr::parse_lenient(text).ok())
    }

    /// Record-Route values as received, topmost first.
    pub fn record_routes(&self) -> impl Iterator<Item = &str> {
        self.list("Record-Route")
    }

    /// Route values as received, topmost first.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.list("Route")
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<MediaType> {
        self.first("Content-Type").and_then(MediaType::parse)
    }

    /// Expires in seconds; a date or nonsense counts as absent.
    pub fn expires(&self) -> Option<u32> {
        self.first("Expires").and_then(seconds)
    }

    /// Session-Expires.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        self.first("Session-Expires")
            .and_then(SessionExpires::parse)
    }

    /// Min-SE in seconds.
    pub fn min_se(&self) -> Option<u32> {
        self.first("Min-SE").and_then(seconds)
    }

    /// Retry-After in seconds.
    pub fn retry_after(&self) -> Option<u32> {
        self.first("Retry-After").and_then(seconds)
    }

    /// RSeq (RFC 3262 §7.1).
    pub fn rseq(&self) -> Option<u32> {
        self.first("RSeq").and_then(number)
    }

    /// RAck (RFC 3262 §7.2).
    pub fn rack(&self) -> Option<RAck> {
        self.first("RAck").and_then(RAck::parse)
    }

    /// Replaces (RFC 3891): outer `None` without one, inner where it is broken or repeated.
    pub fn replaces(&self) -> Option<Option<Replaces>> {
        let first = self.first("Replaces")?;
        let is_only = self.named("Replaces").count() == 1;
        Some(Replaces::parse(first).filter(|_| is_only))
    }

    /// Whether the option tag stands in Supported.
    pub fn supports(&self, option: &str) -> bool {
        self.lists("Supported", option)
    }

    /// Whether the option tag stands in Require.
    pub fn requires(&self, option: &str) -> bool {
        self.lists("Require", option)
    }

    /// Whether the method stands in Allow.
    pub fn allows(&self, method: &Method) -> bool {
        self.list("Allow").any(|name| name == method.as_str())
    }
}

/// The long form of a compact header name (RFC 3261 §7.3.3 and the IANA registry).
fn long_form(name: &str) -> &str {
    let [letter] = name.as_bytes() else {
        return name;
    };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}
