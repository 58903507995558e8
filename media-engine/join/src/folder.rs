//! The folder of what is joined: made beside its place, synced, renamed into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use holdfast_catalogue::fingerprint;
use holdfast_manifest::{FILE_NAME, JOINED, Manifest, MetadataDocument, folder_name};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::merge::document_name;
use crate::parts::{DOCUMENTS, Part};
use crate::{JoinError, disk};

/// Where it belongs.
pub(crate) fn place(dir: &Path, first: &Manifest) -> PathBuf {
    let (year, month, day) = first.started.utc_date();
    let day = dir.join(format!("{year:04}/{month:02}/{day:02}"));
    day.join(folder_name(first.id, JOINED))
}

/// The manifest of what is there, if it was made of exactly these parts.
pub(crate) fn made_of(place: &Path, parts: &[Part]) -> Option<Manifest> {
    let json = fs::read(place.join(FILE_NAME)).ok()?;
    let manifest = Manifest::from_json(&json).ok()?;
    let there = manifest.parts.iter().map(|part| &part.manifest_sha256);
    there
        .eq(parts.iter().map(|part| &part.manifest_sha256))
        .then_some(manifest)
}

/// An empty folder beside the place. One that a crash has left is emptied.
pub(crate) fn begin(place: &Path) -> Result<PathBuf, JoinError> {
    let made = place.with_extension("joining");
    remove(&made)?;
    fs::create_dir_all(&made).map_err(disk(&made))?;
    Ok(made)
}

/// The parts' documents, each part's in a folder of its own.
pub(crate) fn copy_documents(
    made: &Path,
    parts: &[Part],
    listed: &mut [MetadataDocument],
) -> Result<Vec<holdfast_manifest::File>, JoinError> {
    let mut files = Vec::new();
    for (number, part) in (1..).zip(parts) {
        for file in &part.manifest.files {
            if !file.name.starts_with(DOCUMENTS) {
                continue;
            }
            let name = document_name(number, &file.name);
            let (from, to) = (part.path.join(&file.name), made.join(&name));
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(disk(folder))?;
            }
            fs::copy(&from, &to).map_err(disk(&to))?;
            let copy = File::open(&to).map_err(disk(&to))?;
            copy.sync_all().map_err(disk(&to))?;
            let (bytes, sha256) = fingerprint(copy).map_err(disk(&to))?;
            for document in listed.iter_mut().filter(|it| it.file == name) {
                document.sha256.clone_from(&sha256);
            }
            files.push(holdfast_manifest::File {
                name,
                bytes,
                sha256,
            });
        }
        sync(&made.join(DOCUMENTS).join(number.to_string()))?;
    }
    sync(&made.join(DOCUMENTS))?;
    Ok(files)
}

/// Writes the manifest and puts the folder in its place, which it changes with what is there.
pub(crate) fn finish(made: &Path, place: &Path, manifest: &Manifest) -> Result<(), JoinError> {
    let path = made.join(FILE_NAME);
    fs::write(&path, manifest.to_json()).map_err(disk(&path))?;
    sync(&path)?;
    sync(made)?;
    let rename = |flags| renameat2(AT_FDCWD, made, AT_FDCWD, place, flags);
    match rename(RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => {}
        Err(nix::errno::Errno::EEXIST) => {
            rename(RenameFlags::RENAME_EXCHANGE).map_err(|error| disk(place)(error.into()))?;
            remove(made)?;
        }
        Err(error) => return Err(disk(place)(error.into())),
    }
    // The day's folder and those above it may be new.
    for folder in place.ancestors().skip(1).take(4) {
        sync(folder)?;
    }
    Ok(())
}

/// Makes a file or a folder durable; harmless where there is none.
fn sync(path: &Path) -> Result<(), JoinError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(disk(path)),
    }
}

fn remove(folder: &Path) -> Result<(), JoinError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(folder)(error)),
        _ => Ok(()),
    }
}
