//! `holdfast recordings verify`: every file against what the manifest says of it.
//!
//! A file that the manifest does not name is told but is no fault: people put things beside
//! recordings. A name that leads out of the recording's folder is one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use holdfast_manifest::Manifest;
use serde_json::{Value, json};

use crate::Verdict;
use crate::error::{self, CommandError};
use crate::text::printable;
use holdfast_catalogue::{Catalogue, Entry, fingerprint, is_within, read_error};

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Good,
    /// Nothing is known of it.
    Unlisted,
    /// A part that is not in this folder of recordings.
    Elsewhere,
    Missing,
    NameOutside,
    SizeDiffers {
        listed: u64,
        found: u64,
    },
    HashDiffers {
        listed: String,
        found: String,
    },
    Unreadable {
        message: String,
    },
}

/// Verifies recordings one after the other.
pub(crate) fn verify(
    out: &mut dyn Write,
    catalogue: &Catalogue,
    entries: &[Entry],
    json: bool,
) -> Result<Verdict, CommandError> {
    let mut verdict = Verdict::Well;
    let mut documents = Vec::new();
    for entry in entries {
        let (files, error) = match entry.manifest() {
            Ok(manifest) => (check(catalogue, entry, &manifest)?, None),
            Err(error) => (Vec::new(), Some(error::chain(&error))),
        };
        let is_good = error.is_none() && files.iter().all(|(_, finding)| finding.is_no_fault());
        if !is_good {
            verdict = Verdict::Wrong;
        }
        if json {
            documents.push(as_json(entry, is_good, &files, error.as_deref()));
        } else {
            write_text(out, entry, is_good, &files, error.as_deref())?;
        }
    }
    if json {
        writeln!(out, "{:#}", Value::Array(documents))?;
    }
    Ok(verdict)
}

fn check(
    catalogue: &Catalogue,
    entry: &Entry,
    manifest: &Manifest,
) -> Result<Vec<(String, Finding)>, CommandError> {
    let mut findings = Vec::new();
    if (manifest.id, manifest.part) != (entry.id, entry.part) {
        let other = holdfast_manifest::folder_name(manifest.id, manifest.part);
        let message = format!("is the manifest of recording {other}");
        let name = holdfast_manifest::FILE_NAME.to_owned();
        findings.push((name, Finding::Unreadable { message }));
    }
    for file in &manifest.files {
        findings.push((file.name.clone(), compare(&entry.path, file)));
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
    findings.extend(compare_parts(catalogue, manifest)?);
    let mut there = BTreeSet::new();
    collect_files(&entry.path, &entry.path, &mut there)?;
    there.remove(holdfast_manifest::FILE_NAME);
    for file in &manifest.files {
        there.remove(&file.name);
    }
    findings.extend(there.into_iter().map(|name| (name, Finding::Unlisted)));
    Ok(findings)
}

/// Each part that something was joined of, where it is here: whether it is the one that was read then.
fn compare_parts(
    catalogue: &Catalogue,
    manifest: &Manifest,
) -> Result<Vec<(String, Finding)>, CommandError> {
    if manifest.parts.is_empty() {
        return Ok(Vec::new());
    }
    let entries = catalogue.entries(None)?;
    let mut findings = Vec::new();
    for part in &manifest.parts {
        let is_it = |entry: &&Entry| entry.id == manifest.id && entry.name() == part.folder;
        let mut finding = Finding::Elsewhere;
        for entry in entries.iter().filter(is_it) {
            let (_, found) = fingerprint(entry.manifest_json()?.as_slice())?;
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

fn compare(folder: &Path, file: &holdfast_manifest::File) -> Finding {
    if !is_within(&file.name) {
        return Finding::NameOutside;
    }
    let path = folder.join(&file.name);
    let opened = fs::symlink_metadata(&path).and_then(|metadata| match metadata.is_file() {
        true => File::open(&path),
        false => Err(io::Error::other("not a plain file")),
    });
    match opened.and_then(fingerprint) {
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

/// Names of all files below `folder`, relative to `top`.
fn collect_files(
    top: &Path,
    folder: &Path,
    names: &mut BTreeSet<String>,
) -> Result<(), CommandError> {
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
    fn is_no_fault(&self) -> bool {
        match self {
            Self::Good | Self::Unlisted | Self::Elsewhere => true,
            Self::Missing
            | Self::NameOutside
            | Self::SizeDiffers { .. }
            | Self::HashDiffers { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// Stable word, and a sentence.
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Good => ("good", "good".to_owned()),
            Self::Unlisted => ("unlisted", "not named by the manifest".to_owned()),
            Self::Elsewhere => ("elsewhere", "not in this folder".to_owned()),
            Self::Missing => ("missing", "MISSING".to_owned()),
            Self::NameOutside => ("name_outside", "NAME LEADS OUT OF THE RECORDING".to_owned()),
            Self::SizeDiffers { listed, found } => (
                "size_differs",
                format!("SIZE DIFFERS: {found} octets, {listed} in the manifest"),
            ),
            Self::HashDiffers { listed, found } => (
                "hash_differs",
                format!("SHA-256 DIFFERS: {found}, {listed} in the manifest"),
            ),
            Self::Unreadable { message } => ("unreadable", format!("UNREADABLE: {message}")),
        }
    }
}

fn write_text(
    out: &mut dyn Write,
    entry: &Entry,
    is_good: bool,
    files: &[(String, Finding)],
    error: Option<&str>,
) -> Result<(), CommandError> {
    let verdict = if is_good { "good" } else { "NOT AS RECORDED" };
    writeln!(out, "{} {verdict}", entry.name())?;
    for (name, finding) in files {
        writeln!(out, "  {}: {}", printable(name), finding.words().1)?;
    }
    if let Some(error) = error {
        writeln!(out, "  {error}")?;
    }
    Ok(())
}

fn as_json(
    entry: &Entry,
    is_good: bool,
    files: &[(String, Finding)],
    error: Option<&str>,
) -> Value {
    let row = |(name, finding): &(String, Finding)| {
        let (word, message) = finding.words();
        json!({ "name": name, "finding": word, "message": message })
    };
    let files: Vec<Value> = files.iter().map(row).collect();
    let id = entry.id.to_string();
    json!({ "id": id, "part": entry.part, "path": entry.path, "good": is_good, "files": files, "error": error })
}
