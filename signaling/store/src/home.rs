//! What a home of states does.

use std::path::PathBuf;

use holdfast_units::RecordingId;

/// The state of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its recording.
    pub recording: RecordingId,
    /// Call-ID, our tag and the peer's tag of its dialog, where it has one.
    pub dialog: Option<(String, String, String)>,
    /// The state, whatever it means.
    pub state: Vec<u8>,
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is the state now.
    Put(Row),
    /// It is not needed any more; it may be gone already.
    Remove(RecordingId),
}

/// Why nothing can be read or saved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operator must upgrade: refuse to start.
    #[error("{path} has form {found}, this build reads up to {supported}")]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its form.
        found: u32,
        /// The newest known.
        supported: u32,
    },
    /// The folder of the database cannot be made.
    #[error("the folder of {path}")]
    Folder {
        /// The database.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error("the database {path}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
}

/// Keeps states. It may block, in a thread of its own.
pub trait Home: Send {
    /// All that is kept, in the order of the recordings.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn load(&mut self) -> Result<Vec<Row>, StoreError>;

    /// Makes changes durable: all of them or none.
    ///
    /// # Errors
    ///
    /// They are not durable; whether they are kept is not known.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}
