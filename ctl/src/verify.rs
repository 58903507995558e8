//! `holdfast recordings verify`: every file against what the manifest says of it.

use std::io::Write;

use serde_json::{Value, json};

use crate::Verdict;
use crate::error::{self, CommandError};
use crate::progress::{Progress, Work};
use crate::text::printable;
use holdfast_catalogue::{Catalogue, CatalogueError, Entry, Finding, check_files_telling};

/// Verifies recordings one after the other.
pub(crate) fn verify(
    out: &mut dyn Write,
    catalogue: &Catalogue,
    entries: &[Entry],
    json: bool,
) -> Result<Verdict, CommandError> {
    let mut verdict = Verdict::Well;
    let mut documents = Vec::new();
    let several = (entries.len() > 1).then_some((0, entries.len()));
    let progress = Progress::begin(Work {
        doing: "verifying",
        recordings: several,
        ..Work::default()
    });
    for (done, entry) in (1..).zip(entries) {
        let (files, error) = match check(catalogue, entry, several.is_none(), &progress) {
            Ok(findings) => (findings, None),
            Err(error) => (Vec::new(), Some(error::chain(&error))),
        };
        progress.update(|work| work.recordings = several.map(|(_, of)| (done, of)));
        let is_good = error.is_none() && files.iter().all(|(_, finding)| finding.is_no_fault());
        if !is_good {
            verdict = Verdict::Wrong;
        }
        if json {
            documents.push(as_json(entry, is_good, &files, error.as_deref()));
        } else {
            progress.hide();
            write_text(out, entry, is_good, &files, error.as_deref())?;
            out.flush()?;
        }
    }
    drop(progress);
    if json {
        writeln!(out, "{:#}", Value::Array(documents))?;
    }
    Ok(verdict)
}

fn check(
    catalogue: &Catalogue,
    entry: &Entry,
    is_alone: bool,
    progress: &Progress,
) -> Result<Vec<(String, Finding)>, CatalogueError> {
    let manifest = entry.manifest()?;
    if is_alone {
        let octets = manifest.files.iter().map(|it| it.bytes).sum();
        progress.update(|work| work.octets_of = Some(octets));
    }
    let mut tell = |octets| progress.add(octets);
    let mut findings = check_files_telling(&entry.path, &manifest, &mut tell)?;
    findings.extend(catalogue.check_parts(&manifest)?);
    Ok(findings)
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
        writeln!(out, "  {}: {}", printable(name), finding)?;
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
    let row = |(name, finding): &(String, Finding)| json!({ "name": name, "finding": finding.word(), "message": finding.to_string() });
    let files: Vec<Value> = files.iter().map(row).collect();
    let id = entry.id.to_string();
    json!({ "id": id, "part": entry.part, "path": entry.path, "good": is_good, "files": files, "error": error })
}
