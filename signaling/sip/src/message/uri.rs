//! SIP URIs (RFC 3261 §19.1), and any other kept as text.

use std::fmt;
use std::net::IpAddr;

use super::scan::Params;
use crate::transport::Transport;

/// A URI. The text is kept as received; the parts are filled for `sip` and `sips` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
    scheme: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    params: Params,
    headers: Option<String>,
}

/// Not a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` at the start.
    #[error("no scheme")]
    Scheme,
    /// A `sip` URI without a usable host and port.
    #[error("no usable host")]
    Host,
    /// A blank or a control character inside.
    #[error("a blank inside")]
    Blank,
}

impl Uri {
    /// Reads a URI of any scheme.
    ///
    /// The first `@` ends the user part, so that `?`, `;` and `/` may stand in it as RFC 3261
    /// §25.1 allows (RFC 4475 §3.1.1.2 and §3.1.1.9 use them all).
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme {
            return Err(UriError::Scheme);
        }
        if text
            .bytes()
            .any(|b| b == b' ' || b == b'\t' || b == b'\r' || b == b'\n')
        {
            return Err(UriError::Blank);
        }
        let mut uri = Self {
            text: text.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            user: None,
            host: String::new(),
            port: None,
            params: Params::default(),
            headers: None,
        };
        if uri.is_sip() {
            uri.read_sip(rest)?;
        }
        Ok(uri)
    }

    fn read_sip(&mut self, rest: &str) -> Result<(), UriError> {
        let rest = match rest.split_once('@') {
            Some((user, rest)) => {
                self.user = Some(user.to_owned());
                rest
            }
            None => rest,
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = host_port_of(host_port).ok_or(UriError::Host)?;
        self.host = host.to_owned();
        self.port = port;
        self.params = Params::parse(params);
        self.headers = headers;
        Ok(())
    }

    /// As received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        self.scheme == "sip" || self.is_sips()
    }

    /// `sips`.
    pub fn is_sips(&self) -> bool {
        self.scheme == "sips"
    }

    /// The user part without a password, escapes left as they are.
    pub fn user(&self) -> Option<&str> {
        self.user
            .as_deref()
            .map(|user| user.split_once(':').map_or(user, |(name, _)| name))
    }

    /// Name or address; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, where it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        ip_of(&self.host)
    }

    /// The written port.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// URI parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// What follows a `?` (RFC 3261 §19.1.1); forbidden in a Request-URI.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// The `transport` parameter, where it is one that we speak.
    pub fn transport(&self) -> Option<Transport> {
        self.params
            .value("transport")
            .and_then(Transport::from_name)
    }

    /// Whether it carries `lr` (RFC 3261 §19.1.1): the hop is a loose router.
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
///
/// An address that is none (the three colons of RFC 5118 §4.8) passes as a name: nobody has to
/// resolve it as long as the answer goes to where the request came from.
pub(super) fn host_port_of(text: &str) -> Option<(&str, Option<u16>)> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = super::scan::cut(text, end, end)?;
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:%".contains(&b);
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

/// An address with or without brackets.
pub(super) fn ip_of(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_full_uri() {
        let uri = Uri::parse("SIPS:al;x=1:pw@[2001:db8::1]:5070;lr;transport=TCP?a=b").unwrap();
        assert_eq!((uri.scheme(), uri.user()), ("sips", Some("al;x=1")));
        assert_eq!(uri.host(), "[2001:db8::1]");
        assert_eq!(
            (uri.ip(), uri.port()),
            ("2001:db8::1".parse().ok(), Some(5070))
        );
        assert!(uri.is_loose_router());
        assert_eq!(
            (uri.transport(), uri.headers()),
            (Some(Transport::Tcp), Some("a=b"))
        );
    }

    #[test]
    fn question_marks_and_slashes_in_the_user_part() {
        let uri = Uri::parse("sip:is!it$/crazy?,/;;*:&it@example.com").unwrap();
        assert_eq!((uri.host(), uri.headers()), ("example.com", None));
    }

    #[test]
    fn what_is_no_uri() {
        for (text, error) in [
            ("", UriError::Scheme),
            ("example.com", UriError::Scheme),
            ("<sip:a@example.com>", UriError::Scheme),
            ("sip:a@example.com; lr", UriError::Blank),
            ("sip:", UriError::Host),
            ("sip:2001:db8::10", UriError::Host),
            ("sip:a@example.com:99999", UriError::Host),
            ("sip:[2001:db8::1", UriError::Host),
            ("sip:a@exa<mple.com", UriError::Host),
        ] {
            assert_eq!(Uri::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn other_schemes_are_opaque() {
        for text in [
            "isbn:2983792873",
            "soap.beep://192.0.2.103:3002",
            "tel:+1;phone-context=x",
        ] {
            let uri = Uri::parse(text).unwrap();
            assert!(!uri.is_sip());
            assert_eq!(uri.as_str(), text);
        }
    }
}
