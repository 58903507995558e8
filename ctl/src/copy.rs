//! `holdfast recordings export --to`: a recording as it was published, copied and held against its
//! manifest while it is.
//!
//! The copy is made beside the folder that was named and gets its name when it is whole, so that a folder of
//! that name is a whole one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use holdfast_catalogue::{Entry, Finding, check_file, check_manifest, read_error};
use holdfast_manifest::Manifest;
use serde_json::json;

use crate::Verdict;
use crate::error::CommandError;
use crate::export::{create, write_error};
use crate::progress::{Progress, Work};
use crate::text::printable;

/// Copies the files that the manifest names, and the manifest, to a new folder.
pub(crate) fn copy(
    out: &mut dyn Write,
    entry: &Entry,
    to: &Path,
    json: bool,
) -> Result<Verdict, CommandError> {
    if fs::symlink_metadata(to).is_ok() {
        let path = to.to_owned();
        return Err(CommandError::FileExists { path });
    }
    let (octets, manifest) = entry.read()?;
    let unfinished = unfinished(to)?;
    make_folder(&entry.path, &unfinished)?;
    let copied = copy_all(entry, &manifest, &octets, &unfinished)
        .and_then(|()| fs::rename(&unfinished, to).map_err(|error| write_error(to, error)));
    if copied.is_err() {
        // Half a copy is none; what went wrong is what is told.
        let _ = fs::remove_dir_all(&unfinished);
    }
    copied?;
    let size: u64 = manifest.files.iter().map(|it| it.bytes).sum();
    let count = manifest.files.len();
    if json {
        let document = json!({
            "id": entry.id.to_string(),
            "part": entry.part,
            "folder": to,
            "files": manifest.files,
            "bytes": size,
        });
        writeln!(out, "{document:#}")?;
    } else {
        writeln!(
            out,
            "{count} files of {}, {size} octets, as the manifest says, and the manifest in {}",
            entry.name(),
            to.display()
        )?;
    }
    Ok(Verdict::Well)
}

fn copy_all(
    entry: &Entry,
    manifest: &Manifest,
    octets: &[u8],
    to: &Path,
) -> Result<(), CommandError> {
    let progress = Progress::begin(Work {
        doing: "exporting",
        octets_of: Some(manifest.files.iter().map(|it| it.bytes).sum()),
        ..Work::default()
    });
    let mut faults = check_manifest(&entry.path, manifest);
    for file in &manifest.files {
        let finding = copy_file(&entry.path, file, to, &progress)?;
        faults.push((file.name.clone(), finding));
    }
    faults.retain(|(_, finding)| !finding.is_no_fault());
    if !faults.is_empty() {
        let told = |(name, finding): &(String, Finding)| format!("{}: {finding}", printable(name));
        return Err(CommandError::NotAsRecorded {
            name: entry.name(),
            faults: faults.iter().map(told).collect(),
        });
    }
    let name = holdfast_manifest::FILE_NAME;
    let path = to.join(name);
    let mut copy = create(&path, mode(&entry.path.join(name)))?;
    let written = copy.write_all(octets).and_then(|()| copy.sync_all());
    written.map_err(|error| write_error(&path, error))
}

/// One file; what is wrong with it is answered and not copied.
fn copy_file(
    from: &Path,
    file: &holdfast_manifest::File,
    to: &Path,
    progress: &Progress,
) -> Result<Finding, CommandError> {
    // A name that leads elsewhere is never written to.
    let mut copy: Option<(PathBuf, File)> = None;
    let mut failed = None;
    let mut see = |octets: &[u8]| {
        progress.add(octets.len());
        let (path, copy) = match &mut copy {
            Some(copy) => copy,
            None => match begin(from, &file.name, to) {
                Ok(begun) => copy.insert(begun),
                Err(error) => {
                    failed = Some(error);
                    return Err(io::ErrorKind::Other.into());
                }
            },
        };
        copy.write_all(octets).map_err(|error| {
            let kind = error.kind();
            failed = Some(write_error(path, error));
            kind.into()
        })
    };
    let finding = check_file(from, file, &mut see);
    match (failed, copy) {
        (Some(error), _) => Err(error),
        (None, Some((path, copy))) => {
            copy.sync_all().map_err(|error| write_error(&path, error))?;
            Ok(finding)
        }
        (None, None) => Ok(finding),
    }
}

/// Opens the copy of a file, whose folders are made.
fn begin(from: &Path, name: &str, to: &Path) -> Result<(PathBuf, File), CommandError> {
    let path = to.join(name);
    let above: Vec<&Path> = Path::new(name).ancestors().skip(1).collect();
    for folder in above.into_iter().rev() {
        let made = to.join(folder);
        if !made.is_dir() {
            make_folder(&from.join(folder), &made)?;
        }
    }
    let file = create(&path, mode(&from.join(name)))?;
    Ok((path, file))
}

/// A new folder that whoever may not read the one it is like may not read either.
fn make_folder(like: &Path, path: &Path) -> Result<(), CommandError> {
    let permissions = fs::metadata(like).map_err(|error| read_error(like, error))?;
    let mode = permissions.permissions().mode() & 0o777 | 0o700;
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let path = path.to_owned();
            Err(CommandError::FileExists { path })
        }
        Err(error) => Err(write_error(path, error)),
    }
}

/// What the copy of a file is made with.
fn mode(path: &Path) -> u32 {
    let mode = |it: fs::Metadata| it.permissions().mode() & 0o666 | 0o600;
    fs::metadata(path).map_or(0o600, mode)
}

/// The name of the folder until it is whole.
fn unfinished(to: &Path) -> Result<PathBuf, CommandError> {
    let Some(name) = to.file_name() else {
        let path = to.to_owned();
        return Err(CommandError::FileExists { path });
    };
    let mut name = name.to_owned();
    name.push(".unfinished");
    Ok(to.with_file_name(name))
}
