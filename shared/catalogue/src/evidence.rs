//! Every file of a recording against what the manifest says of it.
//!
//! A file that the manifest does not name is told but is no fault: people put things beside
//! recordings. A name that leads out of the recording's folder is one.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use holdfast_manifest::Manifest;

use crate::catalogue::{Catalogue, Entry, read_error};
use crate::error::CatalogueError;
use crate::fingerprint::{fingerprint, is_within};

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is as the manifest says.
    Good,
    /// Nothing is known of it.
    Unlisted,
    /// A part that is not in this folder of recordings.
    Elsewhere,
    /// It is not there.
    Missing,
    /// It is not looked at: its name leads out of the recording's folder.
    NameOutside,
    /// It is shorter or longer.
    SizeDiffers {
        /// Octets by the manifest.
        listed: u64,
        /// Octets that there are.
        found: u64,
    },
    /// Its octets are others.
    HashDiffers {
        /// SHA-256 by the manifest.
        listed: String,
        /// SHA-256 of what is there.
        found: String,
    },
    /// It cannot be read, or is not what it should be.
    Unreadable {
        /// Why.
        message: String,
    },
}

/// Holds the files in a recording's folder against its manifest: a finding for each by its name.
///
/// # Errors
///
/// Where the folder itself cannot be read.
pub fn check_files(
    folder: &Path,
    manifest: &Manifest,
) -> Result<Vec<(String, Finding)>, CatalogueError> {
    check_files_telling(folder, manifest, &mut |_| {})
}

/// As [`check_files`]; `tell` hears how many octets were read, again and again.
///
/// # Errors
///
/// As [`check_files`].
pub fn check_files_telling(
    folder: &Path,
    manifest: &Manifest,
    tell: &mut dyn FnMut(usize),
) -> Result<Vec<(String, Finding)>, CatalogueError> {
    let mut findings = Vec::new();
    for file in &manifest.files {
        let mut see = |octets: &[u8]| {
            tell(octets.len());
            Ok(())
        };
        findings.push((file.name.clone(), check_file(folder, file, &mut see)));
    }
    findings.extend(check_manifest(folder, manifest));
    let mut there = BTreeSet::new();
    collect_files(folder, folder, &mut there)?;
    there.remove(holdfast_manifest::FILE_NAME);
    for file in &manifest.files {
        there.remove(&file.name);
    }
    findings.extend(there.into_iter().map(|name| (name, Finding::Unlisted)));
    Ok(findings)
}

/// What is wrong with a manifest that was read in this folder, whatever the files are.
pub fn check_manifest(folder: &Path, manifest: &Manifest) -> Vec<(String, Finding)> {
    let mut findings = Vec::new();
    let name = holdfast_manifest::folder_name(manifest.id, manifest.part);
    if folder.file_name() != Some(name.as_ref()) {
        let message = format!("is the manifest of recording {name}");
        let file = holdfast_manifest::FILE_NAME.to_owned();
        findings.push((file, Finding::Unreadable { message }));
    }
    // The documents' own hashes are part of the evidence: both must name the same octets.
    for document in &manifest.call.metadata {
        let listed = manifest
            .files
            .iter()
            .find(|file| file.name == document.file);
        let finding = match listed {
            None => Finding::Missing,
            Some(file) if file.sha256 == document.sha256 => continue,
            Some(file) => Finding::HashDiffers {
                listed: document.sha256.clone(),
                found: file.sha256.clone(),
            },
        };
        findings.push((document.file.clone(), finding));
    }
    findings
}

impl Catalogue {
    /// Each part that something was joined of, where it is here: whether it is the one that was read then.
    ///
    /// # Errors
    ///
    /// Where the recordings cannot be read.
    pub fn check_parts(
        &self,
        manifest: &Manifest,
    ) -> Result<Vec<(String, Finding)>, CatalogueError> {
        if manifest.parts.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries(None)?;
        let mut findings = Vec::new();
        for part in &manifest.parts {
            let is_it = |entry: &&Entry| entry.id == manifest.id && entry.name() == part.folder;
            let mut finding = Finding::Elsewhere;
            for entry in entries.iter().filter(is_it) {
                let json = entry.manifest_json()?;
                let (_, found) =
                    fingerprint(json.as_slice()).map_err(|error| read_error(&entry.path, error))?;
                if found == part.manifest_sha256 {
                    finding = Finding::Good;
                    break;
                }
                // Another node's folder may have one of the same name: by its node it is told apart.
                if entry.manifest().is_ok_and(|it| it.node == part.node) {
                    let listed = part.manifest_sha256.clone();
                    finding = Finding::HashDiffers { listed, found };
                }
            }
            findings.push((format!("part {} of {}", part.number, part.node), finding));
        }
        Ok(findings)
    }
}

/// Holds one file against what the manifest says of it. `see` is shown all of it; where that fails, no
/// more is read.
pub fn check_file(
    folder: &Path,
    file: &holdfast_manifest::File,
    see: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Finding {
    if !is_within(&file.name) {
        return Finding::NameOutside;
    }
    let path = folder.join(&file.name);
    let opened = fs::symlink_metadata(&path).and_then(|metadata| match metadata.is_file() {
        true => File::open(&path),
        false => Err(io::Error::other("not a plain file")),
    });
    let shown = |inner| fingerprint(Shown { inner, see });
    match opened.and_then(shown) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::Missing,
        Err(error) => Finding::Unreadable {
            message: error.to_string(),
        },
        Ok((found, _)) if found != file.bytes => Finding::SizeDiffers {
            listed: file.bytes,
            found,
        },
        Ok((_, found)) if found != file.sha256 => Finding::HashDiffers {
            listed: file.sha256.clone(),
            found,
        },
        Ok(_) => Finding::Good,
    }
}

/// Shows what is read.
struct Shown<'a> {
    inner: File,
    see: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl Read for Shown<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(octets)?;
        (self.see)(&octets[..count])?;
        Ok(count)
    }
}

/// Names of all files below `folder`, relative to `top`.
fn collect_files(
    top: &Path,
    folder: &Path,
    names: &mut BTreeSet<String>,
) -> Result<(), CatalogueError> {
    let unread = |source| read_error(folder, source);
    for entry in fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let path = entry.path();
        if entry.file_type().map_err(unread)?.is_dir() {
            collect_files(top, &path, names)?;
        } else {
            let name = path.strip_prefix(top).unwrap_or(&path);
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

impl Finding {
    /// Whether the recording is as it was all the same.
    pub const fn is_no_fault(&self) -> bool {
        match self {
            Self::Good | Self::Unlisted | Self::Elsewhere => true,
            Self::Missing
            | Self::NameOutside
            | Self::SizeDiffers { .. }
            | Self::HashDiffers { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// A stable word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unlisted => "unlisted",
            Self::Elsewhere => "elsewhere",
            Self::Missing => "missing",
            Self::NameOutside => "name_outside",
            Self::SizeDiffers { .. } => "size_differs",
            Self::HashDiffers { .. } => "hash_differs",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// For a reader.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Unlisted => f.write_str("not named by the manifest"),
            Self::Elsewhere => f.write_str("not in this folder"),
            Self::Missing => f.write_str("MISSING"),
            Self::NameOutside => f.write_str("NAME LEADS OUT OF THE RECORDING"),
            Self::SizeDiffers { listed, found } => {
                write!(f, "SIZE DIFFERS: {found} octets, {listed} in the manifest")
            }
            Self::HashDiffers { listed, found } => {
                write!(f, "SHA-256 DIFFERS: {found}, {listed} in the manifest")
            }
            Self::Unreadable { message } => write!(f, "UNREADABLE: {message}"),
        }
    }
}
