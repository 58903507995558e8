//! A file beside the journal: for one node, no server to look after.
//!
//! Write-ahead log and full sync: a commit that has returned survives a power cut (where the disk
//! does not lie), and costs one sync, however many calls are in it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_units::RecordingId;
use rusqlite::{Connection, Transaction, params};

use crate::home::{Change, Dialog, Home, Row, StoreError};
use crate::limits::{BUSY_TIMEOUT, CHECKPOINT_PAGES};

/// See the module's documentation.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
}

impl Sqlite {
    /// Opens the database, or makes it. Its owner alone may read it: it says who talks to whom.
    ///
    /// # Errors
    ///
    /// It cannot be had, is damaged, or was made by newer code.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let folder_fault = |source| StoreError::Folder {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(folder_fault)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(path).map_err(folder_fault)?;
        let connection = open(path).map_err(|source| fault(path, source))?;
        let form = form_of(&connection).map_err(|source| fault(path, source))?;
        if form > FORM {
            return Err(StoreError::TooNew {
                path: path.to_owned(),
                found: form,
                supported: FORM,
            });
        }
        if form == 0 {
            let made = connection.execute_batch(SCHEMA);
            made.map_err(|source| fault(path, source))?;
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }
}

impl Home for Sqlite {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        load(&self.connection).map_err(|source| fault(&self.path, source))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<RecordingId>, StoreError> {
        let committed = self.connection.transaction().and_then(|transaction| {
            apply(&transaction, changes)?;
            transaction.commit()
        });
        committed
            .map(|()| Vec::new())
            .map_err(|source| fault(&self.path, source))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection)
}

fn form_of(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn load(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut query = connection.prepare(
        "SELECT recording, call_id, local_tag, remote_tag, state FROM calls ORDER BY recording",
    )?;
    let rows = query.query_map([], |row| {
        let recording: [u8; 16] = row.get(0)?;
        let part = |index| row.get::<_, Option<String>>(index);
        let dialog = match (part(1)?, part(2)?, part(3)?) {
            (Some(call_id), Some(local_tag), Some(remote_tag)) => Some(Dialog {
                call_id,
                local_tag,
                remote_tag,
            }),
            _ => None,
        };
        Ok(Row {
            recording: RecordingId::from_bytes(recording),
            dialog,
            is_adopted: false,
            state: row.get(4)?,
            // The clock of this machine, which the state names too.
            age: None,
        })
    })?;
    rows.collect()
}

fn apply(transaction: &Transaction<'_>, changes: &[Change]) -> rusqlite::Result<()> {
    if changes.is_empty() {
        // A transaction that writes nothing locks nothing and waits for no disk.
        return transaction.pragma_update(None, "user_version", FORM);
    }
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO calls (recording, call_id, local_tag, remote_tag, state) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut remove = transaction.prepare_cached("DELETE FROM calls WHERE recording = ?1")?;
    for change in changes {
        match change {
            Change::Put(row) => {
                let dialog = row.dialog.as_ref();
                put.execute(params![
                    row.recording.to_bytes(),
                    dialog.map(|dialog| &dialog.call_id),
                    dialog.map(|dialog| &dialog.local_tag),
                    dialog.map(|dialog| &dialog.remote_tag),
                    row.state,
                ])?;
            }
            Change::Remove(recording) => {
                remove.execute([recording.to_bytes()])?;
            }
        }
    }
    Ok(())
}

fn fault(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database {
        path: path.to_owned(),
        source,
    }
}

/// The form of the tables.
const FORM: u32 = 1;

const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE calls (
        recording BLOB PRIMARY KEY,
        call_id TEXT,
        local_tag TEXT,
        remote_tag TEXT,
        state BLOB NOT NULL
    );
    PRAGMA user_version = 1;
    COMMIT;
";
