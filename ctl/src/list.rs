//! `holdfast recordings list`

use std::io::Write;
use std::path::Path;

use holdfast_manifest::Manifest;
use serde_json::{Value, json};

use crate::Verdict;
use crate::error::{self, CommandError};
use crate::text;
use holdfast_catalogue::{Catalogue, Entry, Query};

/// Which recordings are listed.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The newest of these alone.
    pub last: Option<usize>,
    /// Those that this means.
    pub query: Query,
}

/// Lists recordings in the order they began; those whose manifest does not read stand last.
pub(crate) fn list(
    out: &mut dyn Write,
    catalogue: &Catalogue,
    wanted: &Wanted,
    json: bool,
) -> Result<Verdict, CommandError> {
    // Days without one that is shown are not read.
    let count = wanted.last.unwrap_or(usize::MAX);
    let found = catalogue.search(&wanted.query, count, usize::MAX)?;
    let good: Vec<(Entry, Manifest)> = found.recordings.into_iter().rev().collect();
    let told = |(entry, error)| (entry, error::chain(&error));
    let broken: Vec<(Entry, String)> = found.unreadable.into_iter().map(told).collect();
    if json {
        let mut rows: Vec<Value> = good.iter().map(|(entry, it)| json_row(it, entry)).collect();
        rows.extend(broken.iter().map(|(entry, error)| {
            json!({ "id": entry.id.to_string(), "part": entry.part, "path": entry.path, "error": error })
        }));
        writeln!(out, "{:#}", Value::Array(rows))?;
    } else {
        let header = [
            "STARTED (UTC)",
            "DURATION",
            "STREAMS",
            "END",
            "ID",
            "PARTIES",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(good.iter().map(|(entry, it)| text_row(it, entry)));
        write!(out, "{}", text::columns(&rows))?;
        for (_, error) in &broken {
            writeln!(out, "{error}")?;
        }
    }
    Ok(if broken.is_empty() {
        Verdict::Well
    } else {
        Verdict::Wrong
    })
}

/// Says that there are none, where the server has not made their folder yet.
pub(crate) fn none_yet(
    out: &mut dyn Write,
    dir: &Path,
    json: bool,
) -> Result<Verdict, CommandError> {
    match json {
        true => writeln!(out, "{:#}", json!([]))?,
        false => writeln!(
            out,
            "No recordings yet: {} is made with the first.",
            dir.display()
        )?,
    }
    Ok(Verdict::Well)
}

fn text_row(manifest: &Manifest, entry: &Entry) -> Vec<String> {
    vec![
        text::moment(manifest.started),
        text::span(manifest.duration_ms),
        manifest.streams.len().to_string(),
        text::end_reason(manifest.end_reason),
        entry.name(),
        text::parties(&manifest.call),
    ]
}

fn json_row(manifest: &Manifest, entry: &Entry) -> Value {
    json!({
        "id": manifest.id.to_string(),
        "part": entry.part,
        "path": entry.path,
        "started": manifest.started.to_string(),
        "ended": manifest.ended.to_string(),
        "duration_ms": manifest.duration_ms,
        "end_reason": manifest.end_reason,
        "call_id": manifest.call.sip.call_id,
        "participants": manifest.call.participants,
        "streams": manifest.streams.len(),
        "packets": manifest.streams.iter().map(|it| it.packets).sum::<u64>(),
        "lost": manifest.streams.iter().map(|it| it.lost).sum::<u64>(),
        "flags": manifest.flags,
    })
}
