//! Why a recording could not be had.

use std::io;
use std::path::PathBuf;

/// Why a recording could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The system does not let it be read.
    #[error("reading {path}", path = path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not what a manifest is.
    #[error("{path} is not a good manifest", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: holdfast_manifest::ReadManifestError,
    },
    /// Larger than manifests are.
    #[error("{path} is larger than {limit} octets: not a manifest", path = path.display())]
    ManifestTooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// No text that could name a recording.
    #[error(
        "{text:?} is not the beginning of a recording's id: 4 to 32 lower-case hex digits, and \
         \".2\" for its second part"
    )]
    NotAnId {
        /// The text.
        text: String,
    },
    /// No recording has that id.
    #[error("no recording {text} in {dir}", dir = dir.display())]
    NoSuchRecording {
        /// What was looked for.
        text: String,
        /// Where.
        dir: PathBuf,
    },
    /// Several have ids that begin so.
    #[error("{text} begins the ids of several recordings: {}", ids.join(", "))]
    Ambiguous {
        /// What was looked for.
        text: String,
        /// What was found.
        ids: Vec<String>,
    },
}
