//! From octets to characters, once, before anything looks at the XML.
//!
//! RFC 7303 §3: a byte order mark decides, then the charset parameter of the part, then the XML
//! declaration, then UTF-8. Octets that the encoding does not allow become U+FFFD and are
//! flagged: a broken letter in a name costs no call.

use std::borrow::Cow;

/// A body as characters, and what was odd on the way.
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// The encoding named is not one of those read here; UTF-8 was tried.
    pub(super) is_unknown: bool,
    /// Some octets were not of the encoding.
    pub(super) is_broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Utf16 { is_little: bool },
}

/// Decodes a metadata body.
pub(super) fn decode<'a>(body: &'a [u8], parameter: Option<&str>) -> Decoded<'a> {
    let declared = || declaration(body).and_then(|name| std::str::from_utf8(name).ok());
    let (mark, encoding) = match body {
        [0xEF, 0xBB, 0xBF, ..] => (3, Some(Encoding::Utf8)),
        [0xFE, 0xFF, ..] => (2, Some(Encoding::Utf16 { is_little: false })),
        [0xFF, 0xFE, ..] => (2, Some(Encoding::Utf16 { is_little: true })),
        _ => match parameter.or_else(declared) {
            Some(name) => (0, encoding_of(name)),
            None => (0, Some(Encoding::Utf8)),
        },
    };
    let body = body.get(mark..).unwrap_or_default();
    let is_unknown = encoding.is_none();
    let (text, is_broken) = match encoding.unwrap_or(Encoding::Utf8) {
        Encoding::Utf8 => {
            let text = String::from_utf8_lossy(body);
            // Borrowed exactly where every octet was right.
            let is_broken = matches!(text, Cow::Owned(_));
            (text, is_broken)
        }
        Encoding::Latin1 => (body.iter().map(|&octet| char::from(octet)).collect(), false),
        Encoding::Utf16 { is_little } => utf16(body, is_little),
    };
    Decoded {
        text,
        is_unknown,
        is_broken,
    }
}

fn utf16(body: &[u8], is_little: bool) -> (Cow<'_, str>, bool) {
    let mut is_broken = !body.len().is_multiple_of(2);
    let units = body.as_chunks::<2>().0.iter().map(|&pair| {
        if is_little {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        }
    });
    let text = char::decode_utf16(units)
        .map(|unit| {
            is_broken |= unit.is_err();
            unit.unwrap_or(char::REPLACEMENT_CHARACTER)
        })
        .collect::<String>();
    (Cow::Owned(text), is_broken)
}

fn encoding_of(name: &str) -> Option<Encoding> {
    let name = name.trim_matches(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
    match name.to_ascii_lowercase().as_str() {
        "" | "utf-8" | "utf8" | "us-ascii" | "ascii" => Some(Encoding::Utf8),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" => Some(Encoding::Latin1),
        "utf-16" | "utf-16be" => Some(Encoding::Utf16 { is_little: false }),
        "utf-16le" => Some(Encoding::Utf16 { is_little: true }),
        _ => None,
    }
}

/// The encoding that the XML declaration names.
fn declaration(body: &[u8]) -> Option<&[u8]> {
    let head = body
        .get(..body.len().min(DECLARATION_BYTES_MAX))?
        .trim_ascii_start();
    let head = head.strip_prefix(b"<?xml")?;
    let head = head.get(..head.windows(2).position(|pair| pair == b"?>")?)?;
    let at = head.windows(NAME.len()).position(|window| window == NAME)?;
    let value = head
        .get(at + NAME.len()..)?
        .trim_ascii_start()
        .strip_prefix(b"=")?;
    let value = value.trim_ascii_start();
    let quote = *value
        .first()
        .filter(|quote| matches!(quote, b'"' | b'\''))?;
    let value = value.get(1..)?;
    value.get(..value.iter().position(|&octet| octet == quote)?)
}

const NAME: &[u8] = b"encoding";
/// Octets looked at for the declaration; a longer one names no encoding.
const DECLARATION_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charset_parameter_overrides_the_declaration() {
        let body = "<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>".as_bytes();
        assert!(decode(body, Some("\"UTF-8\"")).text.contains(">é<"));
        assert!(decode(body, None).text.contains(">Ã©<"));
    }

    #[test]
    fn a_byte_order_mark_overrides_both() {
        let mut body = vec![0xFF, 0xFE];
        body.extend("<a>é€</a>".encode_utf16().flat_map(u16::to_le_bytes));
        let decoded = decode(&body, Some("utf-8"));
        assert_eq!(decoded.text, "<a>é€</a>");
        assert!(!decoded.is_broken && !decoded.is_unknown);
        assert_eq!(decode(b"\xEF\xBB\xBF<a/>", Some("latin1")).text, "<a/>");
    }

    #[test]
    fn wrong_octets_are_replaced_and_told() {
        let decoded = decode(b"<a>M\xFCller</a>", None);
        assert_eq!(decoded.text, "<a>M\u{FFFD}ller</a>");
        assert!(decoded.is_broken);
        assert!(decode(b"\xFE\xFF\x00<\xD8\x00\x00", None).is_broken);
        assert!(decode(b"<a/>", Some("klingon")).is_unknown);
    }

    #[test]
    fn declarations_cut_anywhere_name_no_encoding() {
        let whole = b"<?xml version=\"1.0\" encoding = \"latin1\" ?>";
        assert_eq!(declaration(whole), Some(b"latin1".as_slice()));
        for cut in 0..whole.len() {
            assert_eq!(declaration(&whole[..cut]), None, "{cut}");
        }
    }
}
