//! The folder of published recordings: `YYYY/MM/DD/<id>/`, further parts `<id>.<part>/`.
//!
//! Links are not followed, and what does not look like a recording is passed over.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use holdfast_manifest::Manifest;
use holdfast_units::RecordingId;

use crate::day::{Day, parse_day};
use crate::error::CatalogueError;

/// A folder of published recordings.
#[derive(Clone, Debug)]
pub struct Catalogue {
    dir: PathBuf,
}

/// The folder of one day.
#[cfg(feature = "index")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DayFolder {
    /// Which day.
    pub(crate) day: Day,
    /// The folder.
    pub(crate) path: PathBuf,
}

#[cfg(feature = "index")]
impl DayFolder {
    /// Its path below the recordings, `YYYY/MM/DD`: texts that are in the order of the days.
    pub(crate) fn name(&self) -> String {
        self.day.folder().to_string_lossy().into_owned()
    }
}

/// A recording's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The recording.
    pub id: RecordingId,
    /// Which part of the recording, from 1.
    pub part: u32,
    /// The folder.
    pub path: PathBuf,
}

impl Catalogue {
    /// The recordings below a folder.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// All recordings, or those of one day, by date and then by id. The folder has to be there.
    pub fn entries(&self, day: Option<Day>) -> Result<Vec<Entry>, CatalogueError> {
        let days = match day {
            Some(day) => {
                self.check()?;
                vec![self.dir.join(day.folder())]
            }
            None => self.all_days()?,
        };
        let mut entries = Vec::new();
        for day in days {
            entries.append(&mut entries_of(&day)?);
        }
        Ok(entries)
    }

    /// Where the recordings are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folders of days, in their order.
    #[cfg(feature = "index")]
    pub(crate) fn day_folders(&self) -> Result<Vec<DayFolder>, CatalogueError> {
        let folder = |path: PathBuf| day_of(&path).map(|day| DayFolder { day, path });
        Ok(self.all_days()?.into_iter().filter_map(folder).collect())
    }

    fn all_days(&self) -> Result<Vec<PathBuf>, CatalogueError> {
        self.check()?;
        let mut days = Vec::new();
        for year in numbered(&self.dir, 4)? {
            for month in numbered(&year, 2)? {
                days.extend(numbered(&month, 2)?);
            }
        }
        Ok(days)
    }

    /// An empty answer is not to be had of a folder that is not there.
    fn check(&self) -> Result<(), CatalogueError> {
        let read = fs::read_dir(&self.dir);
        read.map(drop)
            .map_err(|source| read_error(&self.dir, source))
    }

    /// The one recording whose id is, or begins with, `text`; a further part of it where that ends
    /// with `.` and the part's number, and what was joined of all with `.joined`.
    pub fn find(&self, text: &str) -> Result<Entry, CatalogueError> {
        let (id, part) = text.split_once('.').unwrap_or((text, "1"));
        check_id(id).map_err(|_| not_an_id(text))?;
        let part = holdfast_manifest::parse_ending(part).ok_or_else(|| not_an_id(text))?;
        let mut found = self.entries(None)?;
        found.retain(|entry| entry.part == part && entry.id.to_string().starts_with(id));
        let text = text.to_owned();
        match found.len() {
            0 => Err(CatalogueError::NoSuchRecording {
                text,
                dir: self.dir.clone(),
            }),
            1 => Ok(found.remove(0)),
            _ => {
                let ids = found.iter().map(|entry| entry.id.to_string()).collect();
                Err(CatalogueError::Ambiguous { text, ids })
            }
        }
    }
}

impl Entry {
    /// The id, with the number of the part from the second one on: what `find` takes.
    pub fn name(&self) -> String {
        holdfast_manifest::folder_name(self.id, self.part)
    }

    /// The day that it is filed under.
    pub fn day(&self) -> Option<Day> {
        day_of(self.path.parent()?)
    }

    /// What `recording.json` says.
    pub fn manifest(&self) -> Result<Manifest, CatalogueError> {
        Ok(self.read()?.1)
    }

    /// The octets of `recording.json`, and what they say.
    pub fn read(&self) -> Result<(Vec<u8>, Manifest), CatalogueError> {
        let json = self.manifest_json()?;
        match Manifest::from_json(&json) {
            Ok(manifest) => Ok((json, manifest)),
            Err(source) => Err(CatalogueError::Manifest {
                path: self.manifest_path(),
                source,
            }),
        }
    }

    /// The octets of `recording.json`.
    pub fn manifest_json(&self) -> Result<Vec<u8>, CatalogueError> {
        let path = self.manifest_path();
        let mut json = Vec::new();
        let file = File::open(&path).map_err(|source| read_error(&path, source))?;
        let read = file.take(MANIFEST_SIZE_MAX + 1).read_to_end(&mut json);
        let size = read.map_err(|source| read_error(&path, source))?;
        if u64::try_from(size).unwrap_or(u64::MAX) > MANIFEST_SIZE_MAX {
            return Err(CatalogueError::ManifestTooLarge {
                path,
                limit: MANIFEST_SIZE_MAX,
            });
        }
        Ok(json)
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join(holdfast_manifest::FILE_NAME)
    }
}

/// The recordings in the folder of a day, in the order of their ids.
pub(crate) fn entries_of(day: &Path) -> Result<Vec<Entry>, CatalogueError> {
    let entry = |(name, path): (String, PathBuf)| {
        let (id, part) = holdfast_manifest::parse_folder_name(&name)?;
        Some(Entry { id, part, path })
    };
    let mut entries: Vec<Entry> = folders(day)?.into_iter().filter_map(entry).collect();
    entries.sort_by_key(|entry| (entry.id, entry.part));
    Ok(entries)
}

/// The day whose folder this is.
fn day_of(folder: &Path) -> Option<Day> {
    let mut names = folder.iter().rev().take(3);
    let (day, month, year) = (names.next()?, names.next()?, names.next()?);
    let (year, month, day) = (year.to_str()?, month.to_str()?, day.to_str()?);
    parse_day(&format!("{year}-{month}-{day}")).ok()
}

/// Whether a text can be the beginning of an id.
pub fn check_id(text: &str) -> Result<(), CatalogueError> {
    let is_hex = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
    if !(ID_PREFIX_LENGTH_MIN..=32).contains(&text.len()) || !text.bytes().all(is_hex) {
        return Err(not_an_id(text));
    }
    Ok(())
}

fn not_an_id(text: &str) -> CatalogueError {
    CatalogueError::NotAnId {
        text: text.to_owned(),
    }
}

/// Folders whose names are so many digits, in order.
fn numbered(path: &Path, digits: usize) -> Result<Vec<PathBuf>, CatalogueError> {
    let is_number =
        |name: &str| name.len() == digits && name.bytes().all(|octet| octet.is_ascii_digit());
    let mut found = folders(path)?;
    found.retain(|(name, _)| is_number(name));
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The folders in a folder; none where it is not there.
fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>, CatalogueError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(read_error(path, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.and_then(|entry| named_folder(&entry));
        found.extend(folder.map_err(|source| read_error(path, source))?);
    }
    Ok(found)
}

fn named_folder(entry: &DirEntry) -> io::Result<Option<(String, PathBuf)>> {
    // The file type of an entry is that of a link itself, not of where it leads.
    let is_folder = entry.file_type()?.is_dir();
    let name = entry.file_name().into_string().ok().filter(|_| is_folder);
    Ok(name.map(|name| (name, entry.path())))
}

/// The error of something that cannot be read.
pub fn read_error(path: &Path, source: io::Error) -> CatalogueError {
    CatalogueError::Read {
        path: path.to_path_buf(),
        source,
    }
}

/// A manifest with the most gaps and marks it lists stays well below.
const MANIFEST_SIZE_MAX: u64 = 64 << 20;
/// Shorter beginnings of an id are typing errors.
const ID_PREFIX_LENGTH_MIN: usize = 4;
