//! What a home of states does.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_units::RecordingId;

/// The state of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its recording.
    pub recording: RecordingId,
    /// Its dialog, where it has one.
    pub dialog: Option<Dialog>,
    /// Whether it was another node's, whoever that is and whatever it says.
    pub is_adopted: bool,
    /// The state, whatever it means.
    pub state: Vec<u8>,
    /// How long ago it was saved, by the home's own clock, whatever the clocks of the nodes say. `None`
    /// where the home has none, and where the row is to be saved.
    pub age: Option<Duration>,
}

/// By what a call is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag.
    pub remote_tag: String,
}

impl Dialog {
    /// One text for all three; none of them has a line feed.
    pub fn key(&self) -> String {
        format!("{}\n{}\n{}", self.call_id, self.local_tag, self.remote_tag)
    }
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
    /// The server cannot be reached, or refuses.
    #[error("the Redis server{}", remedy(.source))]
    Redis {
        /// What it says.
        source: redis::RedisError,
    },
}

/// What an operator can do about a server that does not know us.
fn remedy(source: &redis::RedisError) -> &'static str {
    let is_unknown = source.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(source.code(), Some("NOAUTH" | "WRONGPASS"));
    if is_unknown {
        " asks for another password: store.user and the file named by store.password_file have to be \
         what it knows"
    } else {
        ""
    }
}

/// Keeps states. It may block, in a thread of its own.
pub trait Home: Send {
    /// All that is kept of this node's calls, in the order of the recordings.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn load(&mut self) -> Result<Vec<Row>, StoreError>;

    /// Makes changes durable. Gives those that are not, because another node has the call now. Without any
    /// change it fails where one could not be made durable.
    ///
    /// # Errors
    ///
    /// They are not durable; whether they are kept is not known.
    fn commit(&mut self, changes: &[Change]) -> Result<Vec<RecordingId>, StoreError>;

    /// How often [`Home::tend`] is to be called; `None`: never.
    fn pace(&self) -> Option<Duration> {
        None
    }

    /// Says that this node lives. Gives the calls of another one that does not, and are this one's
    /// now.
    ///
    /// # Errors
    ///
    /// Nobody could be told.
    fn tend(&mut self) -> Result<Vec<Row>, StoreError> {
        Ok(Vec::new())
    }

    /// The number of this process among all starts of nodes that share the store; `None`: it is not
    /// shared.
    fn epoch(&self) -> Option<u64> {
        None
    }

    /// The call of a dialog, whichever node has it; it stays that node's.
    ///
    /// # Errors
    ///
    /// Nobody could be asked.
    fn find(&mut self, dialog: &Dialog) -> Result<Option<Row>, StoreError> {
        let _ = dialog;
        Ok(None)
    }
}
