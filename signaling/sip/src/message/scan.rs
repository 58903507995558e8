//! Lexical helpers: lists, parameters, tokens, quoted strings (RFC 3261 §25.1).

/// Whether `text` is a `token` of RFC 3261 §25.1.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// The pieces of `text` between top-level `separator`s: those within quoted strings and angle
/// brackets do not count. Pieces are trimmed and may be empty.
pub fn split(text: &str, separator: u8) -> Split<'_> {
    Split {
        rest: Some(text),
        separator,
    }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        let Some((piece, rest)) =
            find_top_level(text, self.separator).and_then(|at| cut(text, at, at + 1))
        else {
            self.rest = None;
            return Some(text.trim());
        };
        self.rest = Some(rest);
        Some(piece.trim())
    }
}

/// Offset of the first `wanted` outside quoted strings and angle brackets.
pub fn find_top_level(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, octet) in text.bytes().enumerate() {
        if quoted {
            quoted = escaped || octet != b'"';
            escaped = !escaped && octet == b'\\';
            continue;
        }
        if octet == wanted && !bracketed {
            return Some(at);
        }
        match octet {
            b'"' => quoted = true,
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            _ => {}
        }
    }
    None
}

/// What lies before `end` and from `start` on; `None` off a character boundary.
pub fn cut(text: &str, end: usize, start: usize) -> Option<(&str, &str)> {
    Some((text.get(..end)?, text.get(start..)?))
}

/// Reads a quoted string at the start of `text`: its content without escapes, and what follows.
/// `None` where it does not begin or end with a quote.
pub fn quoted_string(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut content = String::new();
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if escaped {
            content.push(c);
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            return Some((content, inner.get(at + 1..)?));
        } else {
            content.push(c);
        }
    }
    None
}

/// Parameters in the order they came. Names compare without case; values are unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads `a;b=c;d="e"`. Empty pieces are skipped, so no input is refused.
    pub fn parse(text: &str) -> Self {
        Self(
            split(text, b';')
                .filter(|piece| !piece.is_empty())
                .map(Self::parse_one)
                .collect(),
        )
    }

    fn parse_one(piece: &str) -> (String, Option<String>) {
        let Some((name, value)) = piece.split_once('=') else {
            return (piece.to_owned(), None);
        };
        let value = value.trim();
        let value = match quoted_string(value) {
            Some((content, _)) => content,
            None => value.to_owned(),
        };
        (name.trim().to_owned(), Some(value))
    }

    /// Whether the parameter is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of that name that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .find(|(known, _)| same(known))
            .and_then(|(_, value)| value.as_deref())
    }

    /// All of them: name as received, value without quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let text = r#""a, \", b" <sip:x@example.com;p=1,2>;q=0.1 , sip:y@example.com,"#;
        let pieces: Vec<_> = split(text, b',').collect();
        assert_eq!(
            pieces,
            [
                r#""a, \", b" <sip:x@example.com;p=1,2>;q=0.1"#,
                "sip:y@example.com",
                ""
            ]
        );
    }

    #[test]
    fn an_open_quote_swallows_the_rest_and_ends() {
        assert_eq!(split("\"a, b", b',').count(), 1);
        assert_eq!(quoted_string("\"a\\"), None);
    }

    #[test]
    fn parameters_keep_order_and_lose_quotes() {
        let params = Params::parse(" ; tag = 1 ;; LR;x=\"a;b\" ");
        assert_eq!(params.value("TAG"), Some("1"));
        assert!(params.has("lr") && params.value("lr").is_none());
        assert_eq!(params.value("x"), Some("a;b"));
        assert_eq!(params.iter().count(), 3);
    }
}
