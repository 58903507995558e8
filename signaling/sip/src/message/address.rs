//! From, To, Contact, Route, Record-Route: a name, a URI, parameters (RFC 3261 §20.10).

use super::scan::{Params, cut, find_top_level, quoted_string};
use super::uri::{Uri, UriError};

/// `"Name" <uri>;params`, or `uri;params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    display: Option<String>,
    uri: String,
    params: Params,
}

/// Not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A quoted name without its end.
    #[error("an open quote")]
    OpenQuote,
    /// `<` without `>`.
    #[error("an open bracket")]
    OpenBracket,
    /// Blanks between the brackets and the URI.
    #[error("blanks around the URI")]
    Blanks,
    /// Something that must be quoted stands unquoted before the URI.
    #[error("a name that needs quotes")]
    Name,
    /// Nothing with a scheme.
    #[error("no URI")]
    NoUri,
}

impl NameAddr {
    /// Reads one value as the grammar wants it: what From and To must be.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::read(text, false)
    }

    /// Reads one value as peers write it: a missing `>` ends with the value, blanks around the
    /// URI are dropped. What Contact and Record-Route may be.
    pub fn parse_lenient(text: &str) -> Result<Self, AddressError> {
        Self::read(text, true)
    }

    fn read(text: &str, lenient: bool) -> Result<Self, AddressError> {
        let text = text.trim();
        let (display, rest) = if text.starts_with('"') {
            let (name, rest) = quoted_string(text).ok_or(AddressError::OpenQuote)?;
            (Some(name), rest.trim_start())
        } else {
            match text.find('<').and_then(|at| cut(text, at, at)) {
                Some((name, rest)) => (Some(name.trim().to_owned()), rest),
                None => return Self::read_bare(text),
            }
        };
        let rest = rest.strip_prefix('<').ok_or(AddressError::NoUri)?;
        let (uri, params) = match rest.split_once('>') {
            Some(parts) => parts,
            None if lenient => (rest, ""),
            None => return Err(AddressError::OpenBracket),
        };
        if !lenient {
            let is_plain = |name: &String| !name.contains([',', ';', '@', ':']);
            if !text.starts_with('"') && !display.as_ref().is_none_or(is_plain) {
                return Err(AddressError::Name);
            }
            if uri != uri.trim() {
                return Err(AddressError::Blanks);
            }
        }
        Self::assemble(display.filter(|name| !name.is_empty()), uri.trim(), params)
    }

    /// RFC 3261 §20: "If the URI is not enclosed in angle brackets, any semicolon-delimited
    /// parameters are header-parameters, not URI parameters."
    fn read_bare(text: &str) -> Result<Self, AddressError> {
        let end = find_top_level(text, b';').unwrap_or(text.len());
        let (uri, params) = cut(text, end, end).ok_or(AddressError::NoUri)?;
        Self::assemble(None, uri.trim(), params)
    }

    fn assemble(display: Option<String>, uri: &str, params: &str) -> Result<Self, AddressError> {
        if !uri.contains(':') {
            return Err(AddressError::NoUri);
        }
        Ok(Self {
            display,
            uri: uri.to_owned(),
            params: Params::parse(params),
        })
    }

    /// The name, without quotes.
    pub fn display(&self) -> Option<&str> {
        self.display.as_deref()
    }

    /// The URI as received.
    pub fn uri_text(&self) -> &str {
        &self.uri
    }

    /// The URI, taken apart.
    pub fn uri(&self) -> Result<Uri, UriError> {
        Uri::parse(&self.uri)
    }

    /// Header parameters: those after the brackets, or all where there are none.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_from_the_field() {
        let table = [
            (
                "<sip:a@example.com>;tag=1",
                None,
                "sip:a@example.com",
                Some("1"),
            ),
            (
                "caller<sip:a@example.com>;tag=323",
                Some("caller"),
                "sip:a@example.com",
                Some("323"),
            ),
            ("sip:srs:5060;tag=7", None, "sip:srs:5060", Some("7")),
            (
                "\"J \\\\\\\"\"   <sip:j@example.com> ; tag = x",
                Some("J \\\""),
                "sip:j@example.com",
                Some("x"),
            ),
            (
                "service <sip:s@192.0.2.1:5060>;calluuid=1;x=y",
                Some("service"),
                "sip:s@192.0.2.1:5060",
                None,
            ),
            ("isbn:2983792873", None, "isbn:2983792873", None),
        ];
        for (text, display, uri, tag) in table {
            let address = NameAddr::parse(text).unwrap();
            assert_eq!(
                (address.display(), address.uri_text(), address.tag()),
                (display, uri, tag)
            );
        }
    }

    #[test]
    fn parameters_without_brackets_belong_to_the_header() {
        let address = NameAddr::parse("sip:src@192.0.2.1;+sip.src").unwrap();
        assert!(address.params().has("+SIP.SRC"));
        assert!(!address.uri().unwrap().params().has("+sip.src"));
    }

    #[test]
    fn a_missing_bracket_is_forgiven_where_it_is_not_needed() {
        let text = "<sip:src@192.0.2.1:5060;transport=udp;+sip.src";
        assert_eq!(NameAddr::parse(text), Err(AddressError::OpenBracket));
        let contact = NameAddr::parse_lenient(text).unwrap();
        assert!(contact.uri().unwrap().params().has("+sip.src"));
    }

    #[test]
    fn refused_in_from_and_to() {
        for (text, error) in [
            ("\"Mr. J. User <sip:j@example.com>", AddressError::OpenQuote),
            ("\"Watson, T\" < sip:t@example.com >", AddressError::Blanks),
            (
                "Bell, Alexander <sip:a@example.com>;tag=43",
                AddressError::Name,
            ),
            ("\"x\" sip:a@example.com", AddressError::NoUri),
            ("", AddressError::NoUri),
        ] {
            assert_eq!(NameAddr::parse(text), Err(error), "{text}");
        }
    }
}
