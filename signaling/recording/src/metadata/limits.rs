//! Every bound of the metadata code, with its unit and its reason.

/// What one metadata document may cost before it is refused or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole body. Real documents are 1 to 6 KiB; a conference of 300 is 200 KiB.
    pub size_bytes_max: usize,
    /// Elements open inside each other. RFC 7865 needs 4, vendor extensions have been seen at 6.
    pub depth_max: usize,
    /// Elements and attributes together: what a document costs in memory beyond its octets.
    pub nodes_max: usize,
    /// Octets of one element's text or one attribute's value; the rest is cut and flagged.
    pub text_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size_bytes_max: 256 * 1024,
            depth_max: 32,
            nodes_max: 16 * 1024,
            text_bytes_max: 16 * 1024,
        }
    }
}

/// Places of one document where reading goes on after a syntax error. Each may have cost a scan
/// to the end of the document, so this times `size_bytes_max` bounds the work.
pub(super) const RECOVERIES_MAX: usize = 64;

/// Octets (estimated) that the state of one recording may hold, history included. A document is
/// not applied once this is reached; an honest recording session stays under a hundredth.
pub(super) const STATE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Octets of an identifier that count. Ids are copied into every association, so this bounds what
/// a document can make of itself. The longest one seen in the field has 64.
pub(super) const ID_BYTES_MAX: usize = 512;

/// Texts of one vendor's element that are taken out of it; the XML is kept as a whole.
pub(super) const EXTENSION_VALUES_MAX: usize = 64;

/// Characters of one of them; the rest is cut.
pub(super) const EXTENSION_VALUE_CHARS_MAX: usize = 512;
