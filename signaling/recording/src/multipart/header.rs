//! Header values of a body part: a media type or disposition with parameters.
//!
//! Comments in parentheses (RFC 822) are not understood; nobody sends them in SIP.

use super::Handling;

/// A value with parameters, such as `multipart/mixed;boundary="x y"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaType {
    /// What stands before the parameters, in lower case.
    pub essence: String,
    /// Names in lower case, values without quotes; the first of a name counts.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads a `Content-Type` or `Content-Disposition` value. Anything is readable.
    pub fn parse(value: &str) -> Self {
        let mut fields = split_unquoted(value).into_iter();
        let essence = fields
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let mut parameters: Vec<(String, String)> = Vec::new();
        for field in fields {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let name = name.trim().to_ascii_lowercase();
            if !name.is_empty() && !parameters.iter().any(|(have, _)| *have == name) {
                parameters.push((name, unquote(value.trim())));
            }
        }
        Self {
            essence,
            parameters,
        }
    }

    /// The parameter of that name (lower case).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn handling(&self) -> Option<Handling> {
        let value = self.parameter("handling")?;
        if value.eq_ignore_ascii_case("optional") {
            return Some(Handling::Optional);
        }
        value
            .eq_ignore_ascii_case("required")
            .then_some(Handling::Required)
    }
}

/// Splits at semicolons that are not inside quotes.
fn split_unquoted(value: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                fields.push(value.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(value.get(start..).unwrap_or_default());
    fields
}

/// Takes quotes and escapes away. A quote that never closes is as good as one that does.
fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for character in inner.chars() {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => text.push(character),
        }
    }
    text
}

/// Whether a line can be a header, and where its colon is. The name is a token: `a=label:1` of
/// a session description and `<x:y>` of a document are not headers.
pub(super) fn colon_of(line: &[u8]) -> Option<usize> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!%*+`'~".contains(byte);
    (!name.is_empty() && name.iter().all(token)).then_some(colon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_bare_quoted_padded_and_escaped() {
        for (value, boundary) in [
            ("multipart/mixed;boundary=foobar", "foobar"),
            ("Multipart/Mixed; Boundary=\"foo;bar\"", "foo;bar"),
            (
                "multipart/mixed;boundary=padded-boundary ",
                "padded-boundary",
            ),
            (
                "multipart/mixed ; charset=x ; boundary = \"a\\\"b\" ",
                "a\"b",
            ),
            ("multipart/mixed;boundary=\"never closed", "never closed"),
            ("multipart/mixed;boundary=first;boundary=second", "first"),
        ] {
            let read = MediaType::parse(value);
            assert_eq!(read.essence, "multipart/mixed", "{value}");
            assert_eq!(read.parameter("boundary"), Some(boundary), "{value}");
        }
    }

    #[test]
    fn only_tokens_are_header_names() {
        assert_eq!(colon_of(b"Content-Type:x"), Some(12));
        assert_eq!(colon_of(b"Content-Type : x"), Some(13));
        for line in [
            &b"a=label:1"[..],
            b"<a:b>",
            b": x",
            b"v=0",
            b"",
            b"two words: x",
        ] {
            assert_eq!(colon_of(line), None);
        }
    }
}
