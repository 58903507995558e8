//! Parts of one recording made into one.
//!
//! ```text
//!   <id>/  <id>.2/  …  ─▶ parts ─▶ timeline ─▶ audio ─▶ <id>.joined/
//!   (of several nodes)       └──────▶ merge ─────▶ recording.json, metadata/
//! ```
//!
//! The parts are verified first, and left as they are. What was joined says of which manifests: it is
//! made anew where a further part is there, and found where none is. Nothing is mixed: at each moment
//! a channel is that of one part, or silent.

mod audio;
mod folder;
mod merge;
mod parts;
mod timeline;

use std::io;
use std::path::{Path, PathBuf};

use holdfast_catalogue::CatalogueError;
use holdfast_manifest::Manifest;
use holdfast_track::wav::ReadWavError;

pub use parts::{Part, gather, gather_near};

/// Why parts could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is one at most.
    #[error("{name} has {found} part: nothing is to be joined")]
    TooFew {
        /// The recording.
        name: String,
        /// How many there are.
        found: usize,
    },
    /// A part is not as it was recorded.
    #[error("{path} is not as its manifest says: holdfast recordings verify tells what differs")]
    Damaged {
        /// The file that differs.
        path: PathBuf,
    },
    /// A part's audio does not read.
    #[error("{path}")]
    Audio {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadWavError,
    },
    /// Two parts were recorded at different rates.
    #[error("the parts have {one} and {other} samples a second")]
    Rates {
        /// The first one's.
        one: u32,
        /// Another one's.
        other: u32,
    },
    /// The folders of recordings.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The disk or its permissions.
    #[error("{path}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What was joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Whether it had been made before.
    pub was_there: bool,
}

/// How far a join has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The parts are held against their manifests.
    Verifying {
        /// Octets that were read.
        octets: u64,
        /// Of so many.
        of: u64,
    },
    /// The audio is written.
    Writing {
        /// Octets that were written.
        octets: u64,
        /// Of so many.
        of: u64,
    },
}

/// Joins these parts of one recording, in `dir`, filed under the day on which the first one began.
/// `writer` is the version of the software.
///
/// # Errors
///
/// See [`JoinError`]; what was there before is there still.
pub fn join(dir: &Path, parts: Vec<Part>, writer: &str) -> Result<Joined, JoinError> {
    join_telling(dir, parts, writer, &mut |_| {})
}

/// As [`join`]; `tell` hears how far it has come, again and again.
///
/// # Errors
///
/// As [`join`].
pub fn join_telling(
    dir: &Path,
    parts: Vec<Part>,
    writer: &str,
    tell: &mut dyn FnMut(Step),
) -> Result<Joined, JoinError> {
    let mut parts = parts;
    parts.sort_by_key(|part| (part.manifest.started, part.manifest.ended));
    // The same part seen twice: a folder named twice, or a copy of it.
    parts.dedup_by(|one, other| one.manifest_sha256 == other.manifest_sha256);
    let [first, _, ..] = parts.as_slice() else {
        let name = parts.first().map(|part| part.manifest.id.to_string());
        return Err(JoinError::TooFew {
            name: name.unwrap_or_default(),
            found: parts.len(),
        });
    };
    let place = folder::place(dir, &first.manifest);
    if let Some(manifest) = folder::made_of(&place, &parts) {
        return Ok(Joined {
            folder: place,
            manifest,
            was_there: true,
        });
    }
    let of = parts.iter().map(Part::needed_size).sum();
    let mut octets = 0;
    let mut read = |count: usize| {
        octets += count as u64;
        tell(Step::Verifying { octets, of });
    };
    for part in &parts {
        part.verify(&mut read)?;
    }
    let audio = audio::Audio::open(&parts)?;
    let timeline = timeline::Timeline::new(&parts, &audio.sources());
    let mut manifest = merge::manifest(&parts, &timeline, writer);
    let made = folder::begin(&place)?;
    manifest.files = folder::copy_documents(&made, &parts, &mut manifest.call.metadata)?;
    if let Some(file) = audio.write(&made, &timeline, tell)? {
        if audio.is_decoded() {
            manifest.flags.push("decoded".to_owned());
        }
        manifest.files.insert(0, file);
    }
    folder::finish(&made, &place, &manifest)?;
    Ok(Joined {
        folder: place,
        manifest,
        was_there: false,
    })
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> JoinError + use<> {
    let path = path.to_owned();
    move |source| JoinError::Disk { path, source }
}
