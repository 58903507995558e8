//! The body of a snapshot request (RFC 7865 §7, RFC 7866 §9.2).
//!
//! It travels in an in-dialog UPDATE with disposition `recording-session` and no SDP. When to
//! ask is the caller's decision; the state only says why one might
//! ([`State::snapshot_needs`](super::State::snapshot_needs)).

use quick_xml::escape::escape;
use serde::{Deserialize, Serialize};

use super::mapper::NAMESPACE;
use super::model::Document;

/// A request for the whole metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRequest<'a> {
    /// Why: shown to a person at the other end.
    pub reason: Option<&'a str>,
    /// Language of the reason (`xml:lang`).
    pub language: Option<&'a str>,
    /// Which vocabulary the recording client speaks.
    pub dialect: Dialect,
}

/// Vocabulary of a recording client: it is answered in kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// RFC 7865.
    #[default]
    Rfc7865,
    /// The draft's namespace without a version.
    Draft,
    /// The early draft's `recording_metadata`.
    EarlyDraft,
}

impl Dialect {
    /// The vocabulary a document was written in.
    pub fn of(document: &Document) -> Self {
        match document.namespace.as_deref() {
            Some(DRAFT_NAMESPACE) => Self::Draft,
            Some(EARLY_DRAFT_NAMESPACE) => Self::EarlyDraft,
            Some(_) | None => Self::Rfc7865,
        }
    }

    const fn namespace(self) -> &'static str {
        match self {
            Self::Rfc7865 => NAMESPACE,
            Self::Draft => DRAFT_NAMESPACE,
            Self::EarlyDraft => EARLY_DRAFT_NAMESPACE,
        }
    }
}

impl SnapshotRequest<'_> {
    /// The XML document, UTF-8.
    pub fn body(&self) -> String {
        let language = self.language.map(allowed);
        let language = language.map(|tag| format!(" xml:lang=\"{}\"", escape(tag)));
        let language = language.unwrap_or_default();
        let reason = self.reason.map(allowed).map(|reason| {
            format!(
                "  <requestreason{language}>{}</requestreason>\n",
                escape(reason)
            )
        });
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<requestsnapshot xmlns=\"{}\">\n{}</requestsnapshot>\n",
            self.dialect.namespace(),
            reason.unwrap_or_default(),
        )
    }
}

/// XML 1.0 §2.2 has no way to write other control characters.
fn allowed(text: &str) -> String {
    let is_allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}'))
    };
    text.chars().filter(|c| is_allowed(*c)).collect()
}

const DRAFT_NAMESPACE: &str = "urn:ietf:params:xml:ns:recording";
const EARLY_DRAFT_NAMESPACE: &str = "urn:ietf:params:xml:ns:siprec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_as_in_rfc_7865_section_7() {
        let request = SnapshotRequest {
            reason: Some("state lost & found"),
            language: Some("en"),
            dialect: Dialect::Rfc7865,
        };
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <requestsnapshot xmlns=\"urn:ietf:params:xml:ns:recording:1\">\n  \
            <requestreason xml:lang=\"en\">state lost &amp; found</requestreason>\n\
            </requestsnapshot>\n";
        assert_eq!(request.body(), wanted);
    }

    #[test]
    fn a_reason_is_optional_and_the_dialect_is_answered_in_kind() {
        let request = SnapshotRequest {
            dialect: Dialect::Draft,
            ..SnapshotRequest::default()
        };
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <requestsnapshot xmlns=\"urn:ietf:params:xml:ns:recording\">\n</requestsnapshot>\n";
        assert_eq!(request.body(), wanted);
    }

    #[test]
    fn nothing_in_a_reason_breaks_the_document() {
        let request = SnapshotRequest {
            reason: Some("</requestreason>\u{0}\u{FFFF}\u{1b}[31m\"'"),
            language: Some("\"><x"),
            ..SnapshotRequest::default()
        };
        let body = request.body();
        assert!(body.contains("&lt;/requestreason&gt;[31m"), "{body}");
        assert!(body.contains("xml:lang=\"&quot;&gt;&lt;x\""), "{body}");
        assert_eq!(body.matches('<').count(), 5);
    }
}
