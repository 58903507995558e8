//! The files of a folder that is being made: copied, hashed, durable.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::PublishError;

pub(super) fn sorted_names(folder: &Path) -> Result<Vec<String>, PublishError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(disk(folder))?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn link(from: &Path, to: &Path) -> Result<(), PublishError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(disk(folder))?;
    }
    // The same file by another name where that is possible: nothing changes it any more.
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(disk(to))?;
    }
    Ok(())
}

/// Makes a file or a folder durable, whoever wrote it.
pub(super) fn sync(path: &Path) -> Result<(), PublishError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(disk(path))
}

/// What the manifest says of a file.
pub(super) fn hashed(folder: &Path, name: &str) -> Result<holdfast_manifest::File, PublishError> {
    let path = folder.join(name);
    File::open(&path)
        .and_then(|file| hashed_from(&file, name))
        .map_err(disk(&path))
}

/// As [`hashed`], of an open file.
pub(super) fn hashed_from(mut file: &File, name: &str) -> io::Result<holdfast_manifest::File> {
    file.rewind()?;
    let mut hash = Sha256::new();
    // A document fits at once.
    let mut buffer = [0; 16 * 1024];
    let mut bytes = 0;
    loop {
        let size = file.read(&mut buffer)?;
        if size == 0 {
            break;
        }
        bytes += size as u64;
        hash.update(&buffer[..size]);
    }
    Ok(holdfast_manifest::File {
        name: name.to_owned(),
        bytes,
        sha256: hex(&hash.finalize()),
    })
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Removes a file or a folder; harmless where there is none.
pub(super) fn remove(path: &Path) -> Result<(), PublishError> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        result => result,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn disk(path: &Path) -> impl Fn(io::Error) -> PublishError + use<> {
    let path = path.to_owned();
    move |source| PublishError::Disk {
        path: path.clone(),
        source,
    }
}
