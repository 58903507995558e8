//! Finds published recordings by the Call-ID in their manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use holdfast_manifest::Manifest;

use crate::limits;

/// The folder with all recordings, and what was read of it so far.
#[derive(Debug)]
pub struct Library {
    root: PathBuf,
    seen: BTreeSet<PathBuf>,
    by_call_id: BTreeMap<String, Vec<Published>>,
    unreadable: Vec<(PathBuf, String)>,
}

/// One published recording.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Published {
    /// The name of its folder: the recording's id, with the number of the part from the second one on.
    pub fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

impl Library {
    /// The library at `root`, not looked at yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            seen: BTreeSet::new(),
            by_call_id: BTreeMap::new(),
            unreadable: Vec::new(),
        }
    }

    /// Reads what was published since the last look: `YYYY/MM/DD/<id>/recording.json`.
    pub fn refresh(&mut self) -> io::Result<()> {
        for year in folders(&self.root, is_number)? {
            for month in folders(&year, is_number)? {
                for day in folders(&month, is_number)? {
                    for folder in folders(&day, |name| !name.starts_with('.'))? {
                        self.look_at(folder);
                    }
                }
            }
        }
        Ok(())
    }

    /// The recordings of a call; more than one where its Call-ID came again.
    pub fn recordings(&self, call_id: &str) -> &[Published] {
        self.by_call_id.get(call_id).map_or(&[], Vec::as_slice)
    }

    /// Folders whose manifest does not read, each with the reason.
    pub fn unreadable(&self) -> &[(PathBuf, String)] {
        &self.unreadable
    }

    fn look_at(&mut self, folder: PathBuf) {
        if self.seen.contains(&folder) {
            return;
        }
        let read = match read_limited(&folder.join(holdfast_manifest::FILE_NAME)) {
            // A folder without its manifest is not there by rename: look again next time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error.to_string()),
            Ok(json) => Manifest::from_json(&json).map_err(|error| chain(&error)),
        };
        self.seen.insert(folder.clone());
        match read {
            // It is made of others, which are there too.
            Ok(manifest) if manifest.part == holdfast_manifest::JOINED => {}
            Ok(manifest) => {
                let call_id = manifest.call.sip.call_id.clone();
                self.by_call_id
                    .entry(call_id)
                    .or_default()
                    .push(Published { folder, manifest });
            }
            Err(reason) => self.unreadable.push((folder, reason)),
        }
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limits::MANIFEST_SIZE_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let source = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    format!("{error}{source}")
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

/// The folders within a folder, in order; none where it does not exist yet.
fn folders(parent: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&wanted) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}
