//! The parts of a recording: found, and held against their manifests.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_catalogue::{Catalogue, Entry, fingerprint, is_within, parse_day};
use holdfast_manifest::{AUDIO_FILE, JOINED, Manifest};
use holdfast_units::{RecordingId, WallTime};

use crate::{JoinError, disk};

/// A published part.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of the file that says so.
    pub manifest_sha256: String,
}

/// All parts of a recording in these folders of recordings.
///
/// # Errors
///
/// A folder, or the manifest of a part, does not read.
pub fn gather(dirs: &[PathBuf], id: RecordingId) -> Result<Vec<Part>, JoinError> {
    let mut parts = Vec::new();
    for dir in dirs {
        let entries = Catalogue::new(dir.clone()).entries(None)?;
        read_all(entries, id, &mut parts)?;
    }
    Ok(parts)
}

/// The parts in one folder of recordings that are filed under the day of `started`, the day before or
/// the day after: a look into three folders, whatever else there is.
///
/// # Errors
///
/// As [`gather`].
pub fn gather_near(dir: &Path, id: RecordingId, started: WallTime) -> Result<Vec<Part>, JoinError> {
    let catalogue = Catalogue::new(dir.to_owned());
    let mut parts = Vec::new();
    for time in [
        WallTime(started.0.saturating_sub(DAY.as_nanos() as u64)),
        started,
        started + DAY,
    ] {
        let (year, month, day) = time.utc_date();
        if let Ok(day) = parse_day(&format!("{year:04}-{month:02}-{day:02}")) {
            read_all(catalogue.entries(Some(day))?, id, &mut parts)?;
        }
    }
    Ok(parts)
}

fn read_all(entries: Vec<Entry>, id: RecordingId, parts: &mut Vec<Part>) -> Result<(), JoinError> {
    for entry in entries {
        if entry.id == id && entry.part != JOINED {
            let (_, manifest_sha256) =
                fingerprint(entry.manifest_json()?.as_slice()).map_err(disk(&entry.path))?;
            parts.push(Part {
                manifest: entry.manifest()?,
                path: entry.path,
                manifest_sha256,
            });
        }
    }
    Ok(())
}

impl Part {
    /// Name of its folder.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Octets of what is needed of it.
    pub(crate) fn needed_size(&self) -> u64 {
        self.needed().map(|it| it.bytes).sum()
    }

    fn needed(&self) -> impl Iterator<Item = &holdfast_manifest::File> {
        let is_needed = |name: &str| name == AUDIO_FILE || name.starts_with(DOCUMENTS);
        let files = self.manifest.files.iter();
        files.filter(move |it| is_needed(&it.name))
    }

    /// Compares what is needed of it, audio and documents, with what the manifest says.
    pub(crate) fn verify(&self, read: &mut dyn FnMut(usize)) -> Result<(), JoinError> {
        for file in self.needed() {
            let path = self.path.join(&file.name);
            if !is_within(&file.name) {
                return Err(JoinError::Damaged { path });
            }
            let counted = |inner| fingerprint(Counted { inner, read });
            let found = File::open(&path).and_then(counted);
            let found = found.map_err(disk(&path))?;
            if found != (file.bytes, file.sha256.clone()) {
                return Err(JoinError::Damaged { path });
            }
        }
        Ok(())
    }
}

/// Tells how much is read.
struct Counted<'a> {
    inner: File,
    read: &'a mut dyn FnMut(usize),
}

impl Read for Counted<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(octets)?;
        (self.read)(count);
        Ok(count)
    }
}

/// What the names of its metadata documents begin with.
pub(crate) const DOCUMENTS: &str = "metadata/";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
