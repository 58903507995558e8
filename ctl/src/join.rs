//! `holdfast recordings join`: the parts of a recording, of one node or of several, made into one.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use holdfast_catalogue::{Catalogue, CatalogueError, check_id};
use holdfast_join::Step;
use serde_json::json;

use crate::Verdict;
use crate::error::CommandError;
use crate::progress::{Progress, Work};
use crate::text;

/// Joins the parts in `dir` and in the folders `from`; what is made lies in `dir`.
pub(crate) fn join(
    out: &mut dyn Write,
    dir: &Path,
    from: &[PathBuf],
    id: &str,
    json: bool,
) -> Result<Verdict, CommandError> {
    check_id(id)?;
    let mut dirs = vec![dir.to_owned()];
    dirs.extend_from_slice(from);
    let mut ids = BTreeSet::new();
    for dir in &dirs {
        let entries = Catalogue::new(dir.clone()).entries(None)?;
        let ids_found = entries.into_iter().map(|entry| entry.id);
        ids.extend(ids_found.filter(|found| found.to_string().starts_with(id)));
    }
    let id = match ids.iter().collect::<Vec<_>>().as_slice() {
        [] => {
            let (text, dir) = (id.to_owned(), dir.to_owned());
            return Err(CatalogueError::NoSuchRecording { text, dir }.into());
        }
        [id] => **id,
        several => {
            let ids = several.iter().map(ToString::to_string).collect();
            let text = id.to_owned();
            return Err(CatalogueError::Ambiguous { text, ids }.into());
        }
    };
    let parts = holdfast_join::gather(&dirs, id)?;
    let progress = Progress::begin(Work {
        doing: "joining",
        ..Work::default()
    });
    let mut tell = |step| {
        let (doing, octets, of) = match step {
            Step::Verifying { octets, of } => ("verifying the parts", octets, of),
            Step::Writing { octets, of } => ("writing the audio", octets, of),
        };
        progress.update(|work| {
            *work = Work {
                doing,
                octets,
                octets_of: Some(of),
                ..Work::default()
            };
        });
    };
    let joined = holdfast_join::join_telling(dir, parts, env!("CARGO_PKG_VERSION"), &mut tell)?;
    drop(progress);
    let manifest = &joined.manifest;
    if json {
        let document = json!({
            "path": joined.folder,
            "made": !joined.was_there,
            "duration_ms": manifest.duration_ms,
            "parts": manifest.parts,
        });
        writeln!(out, "{document:#}")?;
        return Ok(Verdict::Well);
    }
    let made = if joined.was_there {
        "is joined already"
    } else {
        "joined"
    };
    writeln!(out, "{} {made}: {}", manifest.id, joined.folder.display())?;
    for part in &manifest.parts {
        let (from, to) = (text::span(part.from_ms), text::span(part.to_ms));
        writeln!(
            out,
            "  part {}: {from} to {to}, {}, {}",
            part.number, part.node, part.folder
        )?;
        if let Some(line) = part.continues.as_ref().and_then(text::continues) {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(Verdict::Well)
}
