//! An index of the folder, so that a search reads the manifests of what it finds and no others.
//!
//! The folder says what there is, and the index follows it: a day is read again when its folder's time
//! of change is another one than at the last look. So nothing has to be told of what is published or
//! deleted, by whomever, and an index that is lost, damaged or of another form is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use holdfast_manifest::{JOINED, Manifest};
use holdfast_units::WallTime;
use rusqlite::{Connection, Transaction, params, params_from_iter, types::Value};

use crate::catalogue::{DayFolder, entries_of};
use crate::search::{addresses, digits, known_as, user_digits};
use crate::{Catalogue, CatalogueError, Day, Entry, Found, Query};

/// See the module's documentation.
#[derive(Debug)]
pub struct Index {
    catalogue: Catalogue,
    connection: Connection,
}

/// Why an index is of no use at present; the folder itself still can be searched.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The folder does not read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The file cannot be made.
    #[error("the index {path}", path = path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database does not work.
    #[error("the index of recordings")]
    Database(#[from] rusqlite::Error),
}

/// What a look at the folder has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Recordings that are new.
    pub added: u64,
    /// Recordings that are gone.
    pub removed: u64,
}

impl Index {
    /// Opens the index of a catalogue, or makes one. Its owner alone may read it: it says who talked to
    /// whom.
    ///
    /// # Errors
    ///
    /// There can be no such file.
    pub fn open(path: &Path, catalogue: Catalogue) -> Result<Self, IndexError> {
        let connection = match open(path, &catalogue) {
            Ok(Some(connection)) => connection,
            // Of another form or folder, or damaged: all that is in it is in the folder too.
            Ok(None) | Err(IndexError::Database(_)) => {
                remove(path).map_err(file_error(path))?;
                make(path, &catalogue)?
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            catalogue,
            connection,
        })
    }

    /// Takes in what has changed in the folder until `now`, the newest days first.
    ///
    /// # Errors
    ///
    /// The folder does not read, or the index is not written.
    pub fn refresh(&mut self, now: WallTime) -> Result<Refreshed, IndexError> {
        let mut refreshed = Refreshed::default();
        let mut known = self.days()?;
        for day in self.catalogue.day_folders()?.into_iter().rev() {
            let name = day.name();
            let changed = changed_at(&day.path)?;
            if known.remove(&name) == Some(changed) && changed != UNSETTLED {
                continue;
            }
            // Before the folder is read: what comes meanwhile changes its time again, unless that is too
            // coarse to tell.
            let seen = if is_settled(changed, now) {
                changed
            } else {
                UNSETTLED
            };
            let transaction = self.connection.transaction()?;
            let of_day = take_in(&transaction, &day, seen)?;
            transaction.commit()?;
            refreshed.added += of_day.added;
            refreshed.removed += of_day.removed;
        }
        for gone in known.into_keys() {
            let transaction = self.connection.transaction()?;
            refreshed.removed += forget_day(&transaction, &gone)?;
            transaction.commit()?;
        }
        Ok(refreshed)
    }

    /// As [`Catalogue::search`], of all that the last [`Self::refresh`] saw.
    ///
    /// # Errors
    ///
    /// The index does not read.
    pub fn search(&self, query: &Query, count: usize) -> Result<Found, IndexError> {
        let mut found = Found::default();
        let (conditions, mut values) = conditions(query);
        let text = format!(
            "SELECT day, name FROM recordings WHERE started IS NOT NULL{conditions} \
             ORDER BY day DESC, started DESC, substr(name, 1, 32) DESC, part DESC LIMIT ?"
        );
        let limit = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
        values.push(limit.into());
        let entries = self.entries(&text, values)?;
        found.has_more = entries.len() > count;
        for entry in entries.into_iter().take(count) {
            match entry.manifest() {
                Ok(manifest) if query.means(&manifest) => found.recordings.push((entry, manifest)),
                Ok(_) => {}
                // Deleted since.
                Err(_) if !entry.path.exists() => {}
                Err(error) => found.unreadable.push((entry, error)),
            }
        }
        let text = "SELECT day, name FROM recordings WHERE started IS NULL ORDER BY day DESC, name";
        for entry in self.entries(text, Vec::new())? {
            if entry.day().is_some_and(|day| query.may_mean(day))
                && let Err(error) = entry.manifest()
                && entry.path.exists()
            {
                found.unreadable.push((entry, error));
            }
        }
        Ok(found)
    }

    fn entries(&self, query: &str, values: Vec<Value>) -> Result<Vec<Entry>, IndexError> {
        let mut query = self.connection.prepare_cached(query)?;
        let rows = query.query_map(params_from_iter(values), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
        let entries = rows.into_iter().filter_map(|(day, name)| {
            let (id, part) = holdfast_manifest::parse_folder_name(&name)?;
            let path = self.catalogue.dir().join(day).join(name);
            Some(Entry { id, part, path })
        });
        Ok(entries.collect())
    }

    /// The days that were taken in, and their folders' times of change.
    fn days(&self) -> Result<BTreeMap<String, i64>, IndexError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT day, changed FROM days")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// What of a query the database decides.
fn conditions(query: &Query) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, value: Value| {
        text.push_str(" AND ");
        text.push_str(condition);
        values.push(value);
    };
    if let Some(day) = query.day {
        add("day = ?", folder_name(day).into());
    }
    if let Some(from) = query.from {
        add("day >= ?", folder_name(Day::of(from)).into());
        add("started >= ?", nanoseconds(from).into());
    }
    if let Some(to) = query.to {
        add("day <= ?", folder_name(Day::of(to)).into());
        add("started < ?", nanoseconds(to).into());
    }
    if let Some(part) = &query.participant {
        add("instr(who, ?) > 0", part.to_lowercase().into());
    }
    if let Some(number) = &query.number {
        // One without digits means nobody.
        let wanted = digits(number);
        let condition = if wanted.is_empty() {
            "instr('', ?) > 0"
        } else {
            "instr(numbers, ?) > 0"
        };
        add(condition, format!("{wanted}\n").into());
    }
    if let Some(id) = &query.call_id {
        add(
            "rowid IN (SELECT recording FROM known_as WHERE value = ?)",
            id.clone().into(),
        );
    }
    (text, values)
}

/// Makes the index of one day what its folder is.
fn take_in(
    transaction: &Transaction<'_>,
    day: &DayFolder,
    changed: i64,
) -> Result<Refreshed, IndexError> {
    let name = day.name();
    let mut known = names_of(transaction, &name)?;
    let mut refreshed = Refreshed::default();
    for entry in entries_of(&day.path)? {
        let is_known = known.remove(&entry.name());
        if is_known && entry.part != JOINED {
            continue;
        }
        if is_known {
            // What is joined is made anew when a further part comes.
            forget(transaction, &name, &entry.name())?;
        }
        add(transaction, &name, &entry)?;
        refreshed.added += u64::from(!is_known);
    }
    for gone in known {
        forget(transaction, &name, &gone)?;
        refreshed.removed += 1;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO days (day, changed) VALUES (?1, ?2)",
        params![name, changed],
    )?;
    Ok(refreshed)
}

fn names_of(transaction: &Transaction<'_>, day: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut query = transaction.prepare_cached("SELECT name FROM recordings WHERE day = ?1")?;
    query.query_map([day], |row| row.get(0))?.collect()
}

/// A recording whose manifest does not read has no time.
fn add(transaction: &Transaction<'_>, day: &str, entry: &Entry) -> rusqlite::Result<()> {
    let manifest = entry.manifest().ok();
    let (who, numbers) = manifest.as_ref().map(people).unwrap_or_default();
    let started = manifest.as_ref().map(|it| nanoseconds(it.started));
    let mut put = transaction.prepare_cached(
        "INSERT INTO recordings (day, name, part, started, who, numbers) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    put.execute(params![
        day,
        entry.name(),
        entry.part,
        started,
        who,
        numbers
    ])?;
    let row = transaction.last_insert_rowid();
    let mut put =
        transaction.prepare_cached("INSERT INTO known_as (value, recording) VALUES (?1, ?2)")?;
    for value in manifest.iter().flat_map(known_as) {
        put.execute(params![value, row])?;
    }
    Ok(())
}

/// Names and addresses in lower case, and the digits of the addresses' users, each a line.
fn people(manifest: &Manifest) -> (String, String) {
    let (mut who, mut numbers) = (String::new(), String::new());
    for address in addresses(manifest) {
        who.push_str(&address.to_lowercase());
        who.push('\n');
        numbers.push_str(&user_digits(address));
        numbers.push('\n');
    }
    (who, numbers)
}

fn forget(transaction: &Transaction<'_>, day: &str, name: &str) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM known_as WHERE recording IN \
         (SELECT rowid FROM recordings WHERE day = ?1 AND name = ?2)",
        [day, name],
    )?;
    transaction.execute(
        "DELETE FROM recordings WHERE day = ?1 AND name = ?2",
        [day, name],
    )?;
    Ok(())
}

fn forget_day(transaction: &Transaction<'_>, day: &str) -> rusqlite::Result<u64> {
    let names = names_of(transaction, day)?;
    for name in &names {
        forget(transaction, day, name)?;
    }
    transaction.execute("DELETE FROM days WHERE day = ?1", [day])?;
    Ok(names.len() as u64)
}

/// `None`: it is of another form, or of another folder.
fn open(path: &Path, catalogue: &Catalogue) -> Result<Option<Connection>, IndexError> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(path)?;
    let form: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if form != FORM {
        return Ok(None);
    }
    let dir: String = connection.query_row("SELECT dir FROM origin", [], |row| row.get(0))?;
    Ok((dir == catalogue.dir().to_string_lossy()).then_some(connection))
}

fn make(path: &Path, catalogue: &Catalogue) -> Result<Connection, IndexError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(file_error(path))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options.open(path).map_err(file_error(path))?;
    let connection = connect(path)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO origin (dir) VALUES (?1)",
        [catalogue.dir().to_string_lossy()],
    )?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What a power cut takes is found again.
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(connection)
}

fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> IndexError {
    |source| IndexError::File {
        path: path.to_owned(),
        source,
    }
}

/// When the entries of a folder changed last, in nanoseconds since 1970; [`UNSETTLED`] where it is gone.
fn changed_at(folder: &Path) -> Result<i64, CatalogueError> {
    let modified = match fs::metadata(folder).and_then(|it| it.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(UNSETTLED),
        result => result.map_err(|source| crate::read_error(folder, source))?,
    };
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Whether a further change would get another time for certain: those of file systems are coarse.
fn is_settled(changed: i64, now: WallTime) -> bool {
    nanoseconds(now).saturating_sub(changed) > SETTLING.as_nanos() as i64
}

fn nanoseconds(at: WallTime) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn folder_name(day: Day) -> String {
    day.folder().to_string_lossy().into_owned()
}

/// No folder's time of change: the day is read again at the next look.
const UNSETTLED: i64 = 0;

const SETTLING: Duration = Duration::from_secs(2);

/// The form of the tables.
const FORM: u32 = 1;

const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE origin (dir TEXT NOT NULL);
    CREATE TABLE days (day TEXT PRIMARY KEY, changed INTEGER NOT NULL);
    CREATE TABLE recordings (
        day TEXT NOT NULL,
        name TEXT NOT NULL,
        part INTEGER NOT NULL,
        started INTEGER,
        who TEXT NOT NULL,
        numbers TEXT NOT NULL,
        UNIQUE (day, name)
    );
    CREATE INDEX by_time ON recordings (day, started);
    CREATE TABLE known_as (value TEXT NOT NULL, recording INTEGER NOT NULL);
    CREATE INDEX by_value ON known_as (value);
    CREATE INDEX by_recording ON known_as (recording);
    PRAGMA user_version = 1;
    COMMIT;
";
