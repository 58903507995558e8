//! Reading a metadata body: octets in, a [`Document`] out.
//!
//! Lenient in all that deployed clients do otherwise than RFC 7865 (each deviation is a [`Flag`]),
//! strict in what could hurt: document type declarations are refused and every size is bounded.
//! A body that is not well-formed is an error, and the error carries what could be read of it:
//! a call is never lost because of its metadata.

use super::charset;
use super::limits::Limits;
use super::mapper;
use super::model::{Document, Flag};
use super::tree::{self, Stop, Tree};

/// Why a metadata body is not a good document, with what could be read all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct DocumentError {
    /// What is wrong.
    pub fault: Fault,
    /// What was read before, and as far as possible behind, the fault; flagged
    /// [`Flag::IllFormed`] or [`Flag::CutShort`]. `None` where nothing of use was found.
    pub partial: Option<Box<Document>>,
}

/// What is wrong with a metadata body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than this server reads.
    #[error("{size} octets of metadata, at most {max} are read")]
    TooLarge {
        /// Octets of the body.
        size: usize,
        /// Octets allowed.
        max: usize,
    },
    /// No element at all.
    #[error("no element in the metadata")]
    Empty,
    /// A document type declaration: entities are never defined nor fetched.
    #[error("a document type declaration is not accepted")]
    Doctype,
    /// Elements nested deeper than this server reads.
    #[error("elements nested deeper than {max}")]
    TooDeep {
        /// Depth allowed.
        max: usize,
    },
    /// More elements and attributes than this server reads.
    #[error("more than {max} elements and attributes")]
    TooManyNodes {
        /// Number allowed.
        max: usize,
    },
    /// Not well-formed XML.
    #[error("not well-formed at character offset {at}")]
    IllFormed {
        /// Octet offset of the first damage in the decoded text.
        at: usize,
    },
    /// The root element is not one of a recording.
    #[error("root element {name:?} is not a recording")]
    UnknownRoot {
        /// Its local name, shortened.
        name: String,
    },
}

/// Reads one metadata body.
///
/// `charset` is the parameter of the part's media type; it overrides the XML declaration
/// (RFC 7865 §5.1, RFC 7303 §3).
pub fn parse(
    body: &[u8],
    charset: Option<&str>,
    limits: &Limits,
) -> Result<Document, DocumentError> {
    if body.len() > limits.size_bytes_max {
        let fault = Fault::TooLarge {
            size: body.len(),
            max: limits.size_bytes_max,
        };
        return Err(DocumentError {
            fault,
            partial: None,
        });
    }
    let decoded = charset::decode(body, charset);
    let tree = tree::read(&decoded.text, limits);
    let Some(root) = &tree.root else {
        return Err(DocumentError {
            fault: fault_without_root(&tree, limits),
            partial: None,
        });
    };
    if tree.stop == Some(Stop::Doctype) {
        return Err(DocumentError {
            fault: Fault::Doctype,
            partial: None,
        });
    }
    let mut document = mapper::map(&decoded.text, root);
    let mut flag = |is_set: bool, flag: Flag| {
        if is_set {
            document.flags.insert(flag);
        }
    };
    flag(decoded.is_unknown, Flag::UnknownCharset);
    flag(decoded.is_broken, Flag::BrokenCharset);
    flag(tree.damage.is_some(), Flag::IllFormed);
    flag(tree.is_cut_short, Flag::CutShort);
    let is_known_root = mapper::is_recording(&root.name);
    match fault(&tree, limits) {
        _ if !is_known_root => {
            let name = root.written.chars().take(NAME_SHOWN_CHARS_MAX).collect();
            let partial = (!document.is_empty()).then(|| Box::new(document));
            Err(DocumentError {
                fault: Fault::UnknownRoot { name },
                partial,
            })
        }
        Some(fault) => Err(DocumentError {
            fault,
            partial: Some(Box::new(document)),
        }),
        None => Ok(document),
    }
}

fn fault_without_root(tree: &Tree, limits: &Limits) -> Fault {
    match (fault(tree, limits), tree.damage) {
        (Some(Fault::IllFormed { at: 0 }) | None, _) => Fault::Empty,
        (Some(fault), _) => fault,
    }
}

fn fault(tree: &Tree, limits: &Limits) -> Option<Fault> {
    match tree.stop {
        Some(Stop::Doctype) => Some(Fault::Doctype),
        Some(Stop::Depth) => Some(Fault::TooDeep {
            max: limits.depth_max,
        }),
        Some(Stop::Nodes) => Some(Fault::TooManyNodes {
            max: limits.nodes_max,
        }),
        Some(Stop::Damage) | None => tree.damage.map(|at| Fault::IllFormed { at }),
    }
}

impl DocumentError {
    /// What could be read.
    pub fn into_partial(self) -> Option<Document> {
        self.partial.map(|document| *document)
    }
}

impl Document {
    fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.sessions.is_empty()
            && self.participants.is_empty()
            && self.streams.is_empty()
            && self.session_recordings.is_empty()
            && self.participant_sessions.is_empty()
            && self.participant_streams.is_empty()
    }
}

const NAME_SHOWN_CHARS_MAX: usize = 64;
