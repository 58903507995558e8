//! The files of a folder that is being made: copied, hashed, durable.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use holdfast_track::wav::WriteAt;
use sha2::{Digest, Sha256};

use super::PublishError;

/// Audio that is being written, and its checksum for as long as it is written from the beginning to
/// the end: to read all of it again would cost as much as to write it.
pub(super) struct AudioFile<'a> {
    file: &'a File,
    hash: Sha256,
    /// Octets that are in the checksum.
    size: u64,
    is_in_order: bool,
}

impl<'a> AudioFile<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            size: 0,
            is_in_order: true,
        }
    }

    /// What the manifest says of it; `None` where that has to be found out by reading.
    pub(super) fn hashed(self, name: &str) -> Option<holdfast_manifest::File> {
        self.is_in_order.then(|| holdfast_manifest::File {
            name: name.to_owned(),
            bytes: self.size,
            sha256: hex(&self.hash.finalize()),
        })
    }
}

impl WriteAt for AudioFile<'_> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.is_in_order &= offset == self.size;
        if self.is_in_order {
            self.hash.update(bytes);
            self.size += bytes.len() as u64;
        }
        self.file.write_all_at(bytes, offset)
    }
}

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

pub(super) fn copy(from: &Path, to: &Path) -> Result<(), PublishError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(disk(folder))?;
    }
    // The same file by another name where that is possible: nothing changes it any more.
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(disk(to))?;
    }
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(disk(to))
}

pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    fs::write(path, bytes).map_err(disk(path))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(disk(path))
}

pub(super) fn hashed(folder: &Path, name: &str) -> Result<holdfast_manifest::File, PublishError> {
    let path = folder.join(name);
    let mut file = File::open(&path).map_err(disk(&path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let size = file.read(&mut buffer).map_err(disk(&path))?;
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

pub(super) fn remove(folder: &Path) -> Result<(), PublishError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(folder)(error)),
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
