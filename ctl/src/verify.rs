//! `holdfast recordings verify`: every file against what the manifest says of it.

use std::io::Write;

use serde_json::{Value, json};

use crate::Verdict;
use crate::error::{self, CommandError};
use crate::text::printable;
use holdfast_catalogue::{Catalogue, Entry, Finding, check_files};

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
            Ok(manifest) => {
                let mut findings = check_files(&entry.path, &manifest)?;
                findings.extend(catalogue.check_parts(&manifest)?);
                (findings, None)
            }
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
