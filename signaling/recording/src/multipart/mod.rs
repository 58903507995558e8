//! Message bodies: one part or many (RFC 2046 §5.1, RFC 5621), split without copying.
//!
//! It finds the parts and says what they are; it reads none of them, and it refuses nothing:
//! what cannot be split is one part of a guessed type. Every part's octets are a slice of the
//! body, delimited by the boundary alone. A `Content-Length` inside a part is never followed:
//! the ones met in the field are wrong.

mod header;
mod split;

use std::collections::BTreeSet;

pub use header::MediaType;
pub use split::{split, split_message};

use crate::limits;

/// The media type of a session description.
pub const TYPE_SDP: &str = "application/sdp";
/// The media type of call metadata (RFC 9806 §2).
pub const TYPE_METADATA: &str = "application/rs-metadata+xml";
/// The media type of call metadata that older peers use.
pub const TYPE_METADATA_LEGACY: &str = "application/rs-metadata";
/// What `Accept` lists (RFC 7866 §9).
pub const ACCEPT: &str = "application/sdp, application/rs-metadata+xml, application/rs-metadata";

const DISPOSITION_METADATA: &str = "recording-session";
const DISPOSITION_EARLY: &str = "early-session";

/// How much of a body is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Parts, nested ones counted.
    pub parts_max: usize,
    /// Multiparts within multiparts.
    pub depth_max: usize,
    /// Header lines of one part.
    pub headers_max: usize,
    /// Octets of one header line of a part.
    pub header_bytes_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            parts_max: limits::BODY_PARTS_MAX,
            depth_max: limits::BODY_DEPTH_MAX,
            headers_max: limits::PART_HEADERS_MAX,
            header_bytes_max: limits::PART_HEADER_BYTES_MAX,
        }
    }
}

/// What a sender wants of a recipient that does not understand a part (RFC 3261 §20.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Refuse the message with 415.
    Required,
    /// Ignore the part.
    Optional,
}

/// How a part that says nothing about its handling is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnstatedHandling {
    /// As the RFC says: required.
    Required,
    /// Leniently: vendors attach parts of their own without a thought about this parameter.
    Optional,
}

/// Something odd about how a body was put together. The parts are there all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyFlag {
    /// The last part ends with the body, not with a closing boundary.
    NoClosingBoundary,
    /// The boundary of the Content-Type is missing or does not occur; one was found in the body.
    BoundaryFromBody,
    /// A multipart without any boundary: taken as one part.
    NoBoundary,
    /// A part says nothing about its type; its first octets told it.
    TypeGuessed,
    /// Metadata was recognised by its disposition; its type is damaged.
    TypeDamaged,
    /// There were more parts than the limit; the rest is dropped.
    TooManyParts,
    /// A multipart lies deeper than the limit; it is kept unsplit.
    TooDeep,
    /// A part has more or longer header lines than the limit.
    HeadersCut,
}

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'b> {
    /// Type and subtype in lower case, without parameters; guessed where none was given.
    pub content_type: String,
    /// The parameters of the type: names in lower case, values without quotes.
    pub parameters: Vec<(String, String)>,
    /// The disposition in lower case, without parameters.
    pub disposition: Option<String>,
    /// The `handling` parameter of the disposition, where there is one.
    pub handling: Option<Handling>,
    /// All header lines as they came: name and unfolded value, in order.
    pub headers: Vec<(String, String)>,
    /// The octets of the part.
    pub bytes: &'b [u8],
    /// Where in the body they begin.
    pub offset: usize,
    /// Which branch of which multipart/alternative it belongs to.
    alternative: Option<Branch>,
}

/// A place within a multipart/alternative: branches of one set stand for the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Branch {
    set: usize,
    branch: usize,
}

/// The parts of a message body, in the order they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bodies<'b> {
    /// The parts. Multiparts themselves are not among them, what is in them is.
    pub parts: Vec<Part<'b>>,
    /// What was odd.
    pub flags: BTreeSet<BodyFlag>,
}

impl<'b> Part<'b> {
    /// The first header of that name, compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The parameter of the type of that name (lower case).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The character set that the type names.
    pub fn charset(&self) -> Option<&str> {
        self.parameter("charset")
    }

    /// The content coding, where it is one that cannot be undone here (RFC 3261 §8.2.3: 415).
    pub fn foreign_encoding(&self) -> Option<&str> {
        self.header("Content-Encoding")
            .filter(|coding| !coding.eq_ignore_ascii_case("identity"))
    }

    /// Whether this is a session description for the recording session.
    pub fn is_sdp(&self) -> bool {
        self.content_type == TYPE_SDP
            && self.disposition.as_deref() != Some(DISPOSITION_EARLY)
            && self.foreign_encoding().is_none()
    }

    /// Whether this is call metadata: by its type, or by its disposition where the type is
    /// damaged or too general.
    pub fn is_metadata(&self) -> bool {
        (self.has_metadata_type() || self.has_metadata_disposition())
            && self.foreign_encoding().is_none()
    }

    fn has_metadata_type(&self) -> bool {
        self.content_type == TYPE_METADATA || self.content_type == TYPE_METADATA_LEGACY
    }

    fn has_metadata_disposition(&self) -> bool {
        self.content_type != TYPE_SDP && self.disposition.as_deref() == Some(DISPOSITION_METADATA)
    }

    fn is_understood(&self) -> bool {
        self.is_sdp() || self.is_metadata()
    }
}

impl<'b> Bodies<'b> {
    /// The session description, if there is one.
    pub fn sdp(&self) -> Option<&Part<'b>> {
        self.current().find(|part| part.is_sdp())
    }

    /// The call metadata, if there is some. A part of the right type goes before one that only
    /// has the right disposition.
    pub fn metadata(&self) -> Option<&Part<'b>> {
        self.current()
            .find(|part| part.is_metadata() && part.has_metadata_type())
            .or_else(|| self.current().find(|part| part.is_metadata()))
    }

    /// Parts that are not understood and must be: the message is to be refused with 415 and
    /// [`ACCEPT`] (RFC 3261 §8.2.3, RFC 5621 §8).
    pub fn unknown_required(
        &self,
        unstated: UnstatedHandling,
    ) -> impl Iterator<Item = &Part<'b>> + '_ {
        self.parts.iter().filter(move |part| {
            let required = match part.handling {
                Some(Handling::Required) => true,
                Some(Handling::Optional) => false,
                None => unstated == UnstatedHandling::Required,
            };
            required && !part.is_understood() && !self.has_understood_sibling(part)
        })
    }

    /// The parts that are neither the session description nor metadata: kept, not read.
    pub fn others(&self) -> impl Iterator<Item = &Part<'b>> + '_ {
        self.parts.iter().filter(|part| !part.is_understood())
    }

    /// Parts that no better branch of an alternative replaces: "the best choice is the LAST
    /// part of a type supported" (RFC 2046 §5.1.4).
    fn current(&self) -> impl Iterator<Item = &Part<'b>> + '_ {
        self.parts.iter().filter(|part| !self.is_superseded(part))
    }

    fn is_superseded(&self, part: &Part<'b>) -> bool {
        let Some(own) = part.alternative else {
            return false;
        };
        self.parts.iter().any(|other| {
            other.is_understood()
                && other
                    .alternative
                    .is_some_and(|theirs| theirs.set == own.set && theirs.branch > own.branch)
        })
    }

    fn has_understood_sibling(&self, part: &Part<'b>) -> bool {
        let Some(own) = part.alternative else {
            return false;
        };
        self.parts.iter().any(|other| {
            other.is_understood()
                && other
                    .alternative
                    .is_some_and(|theirs| theirs.set == own.set)
        })
    }
}
