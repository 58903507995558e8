//! Identifiers of metadata elements (RFC 7865 §6.10).
//!
//! An id that is base64 of 16 octets, as the RFC asks, is compared by those octets: white space
//! inside it is legal and does not count. Anything else that deployed clients send (`urn:uuid:…`,
//! digits, a telephone number) is an opaque text, compared exactly.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::limits::ID_BYTES_MAX;

/// Identity of a group, session, participant or stream within the metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id {
    text: String,
    form: IdForm,
}

/// What an identifier looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdForm {
    /// Base64 of a 16-octet UUID, as RFC 7865 §6.10 asks.
    Uuid,
    /// Any other text.
    Opaque,
    /// The element had none (or an empty one); this one was made from its label, its address of
    /// record or its place, so that a repetition of the element finds the same object.
    Made,
}

impl Id {
    /// Reads an identifier, at most 512 octets of it; `None` where nothing but white space is there.
    pub fn read(text: &str) -> Option<Self> {
        let compact: String = text.chars().filter(|c| !is_xml_space(*c)).collect();
        if compact.is_empty() {
            return None;
        }
        if compact.len() == UUID_TEXT_LENGTH
            && let Ok(octets) = LENIENT.decode(&compact)
            && octets.len() == UUID_LENGTH
        {
            return Some(Self {
                text: LENIENT.encode(octets),
                form: IdForm::Uuid,
            });
        }
        let text = text.trim_matches(is_xml_space);
        let end = (0..=text.len().min(ID_BYTES_MAX))
            .rev()
            .find(|&at| text.is_char_boundary(at));
        let text = text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
        Some(Self {
            text,
            form: IdForm::Opaque,
        })
    }

    /// The identifier of an element that carries none.
    pub(super) fn made(what: &str, from: &str) -> Self {
        let text: String = format!("{what}:{from}")
            .chars()
            .take(MADE_CHARS_MAX)
            .collect();
        Self {
            text,
            form: IdForm::Made,
        }
    }

    /// The text, in canonical form where it is base64 of a UUID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it looks like.
    pub const fn form(&self) -> IdForm {
        self.form
    }
}

/// A saved text that is no [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a saved identifier")]
pub struct NotAnId;

/// As it is saved: its form by one letter, and its text.
impl From<Id> for String {
    fn from(id: Id) -> Self {
        let letter = match id.form {
            IdForm::Uuid => 'u',
            IdForm::Opaque => 'o',
            IdForm::Made => 'm',
        };
        format!("{letter}:{}", id.text)
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(saved: String) -> Result<Self, NotAnId> {
        let (letter, text) = saved.split_once(':').ok_or(NotAnId)?;
        let form = match letter {
            "u" => IdForm::Uuid,
            "o" => IdForm::Opaque,
            "m" => IdForm::Made,
            _ => return Err(NotAnId),
        };
        Ok(Self {
            text: text.to_owned(),
            form,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// White space as XML defines it (XML 1.0 §2.3).
pub(super) const fn is_xml_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Up to four octets each.
const MADE_CHARS_MAX: usize = ID_BYTES_MAX / 4;
const UUID_LENGTH: usize = 16;
const UUID_TEXT_LENGTH: usize = 24;
/// Bits after the last octet are not always zero in the field; the octets are what counts.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_a_uuid_is_compared_by_its_octets() {
        // RFC 8068 shows a line break after an id; base64Binary allows it anywhere.
        let plain = Id::read("AAECAwQFBgcICQoLDA0ODw==").unwrap();
        assert_eq!(plain.form(), IdForm::Uuid);
        assert_eq!(
            Id::read("\n AAECAwQF\r\nBgcICQoLDA0ODw==\n").unwrap(),
            plain
        );
        // The last character carries four bits that belong to no octet.
        assert_eq!(Id::read("AAECAwQFBgcICQoLDA0ODx==").unwrap(), plain);
        assert_ne!(Id::read("AAECAwQFBgcICQoLDA0OEA==").unwrap(), plain);
    }

    #[test]
    fn other_texts_are_opaque_and_compared_exactly() {
        for text in [
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "00FA0800705D4C5DCAAC41",
            "+15550100",
            "AAEC",
            "a b",
            "é",
        ] {
            let id = Id::read(text).unwrap();
            assert_eq!((id.as_str(), id.form()), (text, IdForm::Opaque));
            assert_eq!(Id::read(&format!(" {text}\n")).unwrap(), id);
        }
        assert_ne!(Id::read("abc"), Id::read("ABC"));
    }

    #[test]
    fn nothing_is_no_identifier_and_a_made_one_equals_no_read_one() {
        assert_eq!(Id::read(" \r\n\t"), None);
        let made = Id::made("stream", "10");
        assert_ne!(Id::read(made.as_str()).unwrap(), made);
    }
}
