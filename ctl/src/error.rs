//! Why a command could not be carried out.

use std::io;
use std::path::PathBuf;

use holdfast_catalogue::CatalogueError;
use holdfast_control::operator::Refusal;
use holdfast_settings::LoadError;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("the settings do not serve")]
    Settings(#[from] LoadError),
    #[error("the addresses of this machine cannot be listed")]
    Addresses(#[source] io::Error),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("writing {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is there already; name another one", path = path.display())]
    FileExists { path: PathBuf },
    #[error("writing the output")]
    Output(#[from] io::Error),
    #[error("no call {text}")]
    NoSuchCall { text: String },
    #[error("no server answers at {path}", path = path.display())]
    NoServer { path: PathBuf, source: io::Error },
    #[error(
        "the media engine is not connected, so that nothing is measured: holdfast status says more"
    )]
    NoEngine,
    #[error("the server at {path} does not speak as this command does: {text}", path = path.display())]
    Misunderstood { path: PathBuf, text: String },
    #[error("the server does not do that")]
    Refused(#[source] Refusal),
    #[error("{text} begins the ids of several recordings: {}", ids.join(", "))]
    Ambiguous { text: String, ids: Vec<String> },
    #[error("the parts cannot be joined")]
    Join(#[from] holdfast_join::JoinError),
    #[error(
        "recording {id} has no packets of that kind kept; \
         recordings.keep_packets = \"always\" keeps all of them. \
         --to FOLDER exports it as it was published"
    )]
    NoPackets { id: String },
    #[error(
        "recording {id} has no encrypted packets kept: an export without --ciphertext has them all"
    )]
    NotEncrypted { id: String },
    #[error("{name} is not as it was recorded, and not exported: {}", faults.join("; "))]
    NotAsRecorded { name: String, faults: Vec<String> },
    #[error("node.key_file")]
    NodeKeys(#[from] holdfast_seal::KeyFileError),
    #[error("the packets as they came cannot be made again")]
    Ciphertext(#[source] holdfast_track::pcapng::RewriteError),
    #[error("{path} does not read as a track", path = path.display())]
    Track {
        path: PathBuf,
        source: holdfast_track::ReadTrackError,
    },
}

/// An error with what caused it, on one line unless the cause itself has several.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        let separator = if cause.contains('\n') { ":\n" } else { ": " };
        text.push_str(separator);
        text.push_str(&cause);
        source = error.source();
    }
    text
}
