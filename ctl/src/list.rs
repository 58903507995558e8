//! `holdfast recordings list`

use std::io::Write;

use holdfast_manifest::Manifest;
use serde_json::{Value, json};

use crate::Verdict;
use crate::error::{self, CommandError};
use crate::text;
use holdfast_catalogue::{Catalogue, Day, Entry, Query};

/// Which recordings are listed.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Those of one day alone.
    pub day: Option<Day>,
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
    let mut good = Vec::new();
    let mut broken = Vec::new();
    for entry in catalogue.entries(wanted.day)? {
        match entry.manifest() {
            Ok(manifest) if wanted.query.means(&manifest) => good.push((manifest, entry)),
            Ok(_) => {}
            Err(error) => broken.push((entry, error::chain(&error))),
        }
    }
    good.sort_by_key(|(manifest, entry)| (manifest.started, entry.id, entry.part));
    let passed_over = wanted
        .last
        .map_or(0, |last| good.len().saturating_sub(last));
    let shown = good.get(passed_over..).unwrap_or_default();
    if json {
        let mut rows: Vec<Value> = shown
            .iter()
            .map(|(it, entry)| json_row(it, entry))
            .collect();
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
        rows.extend(shown.iter().map(|(it, entry)| text_row(it, entry)));
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
