//! `/api/recordings`: the published ones, found, shown, and their files with ranges.
//!
//! A file is served only where the manifest names it: a path in a request leads nowhere else. Whoever asks
//! is taken for somebody outside of the network (RFC 3325 §7): identities that are private are masked.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use holdfast_catalogue::{Catalogue, CatalogueError, Entry, Query as Search, parse_moment};
use holdfast_manifest::{FILE_NAME, Manifest};
use holdfast_units::WallTime;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::services::ServeFile;

use super::{Http, Problem};
use crate::limits::{HTTP_RECORDINGS_MAX, HTTP_RECORDINGS_USUAL};

pub fn router() -> Router<Http> {
    Router::new()
        .route("/api/recordings", get(search))
        .route("/api/recordings/{id}", get(one))
        .route("/api/recordings/{id}/files/{*name}", get(file))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    from: Option<String>,
    to: Option<String>,
    participant: Option<String>,
    number: Option<String>,
    call_id: Option<String>,
    limit: Option<usize>,
}

async fn search(
    State(http): State<Http>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = asked.limit.unwrap_or(HTTP_RECORDINGS_USUAL);
    if !(1..=HTTP_RECORDINGS_MAX).contains(&limit) {
        let allowed = format!("limit: 1 to {HTTP_RECORDINGS_MAX}");
        return Err(Problem::bad_request(allowed));
    }
    let query = Search {
        day: None,
        from: asked.from.as_deref().map(moment).transpose()?,
        to: asked.to.as_deref().map(moment).transpose()?,
        participant: asked.participant,
        number: asked.number,
        call_id: asked.call_id,
    };
    let searching = http.clone();
    let look = move |_| searching.0.indexed.search(&query, limit);
    let found = http.look(look).await?;
    let unreadable = found.unreadable.iter();
    Ok(Json(json!({
        "recordings": found.recordings.iter().map(row).collect::<Vec<_>>(),
        "unreadable": unreadable
            .map(|(entry, error)| json!({"id": entry.name(), "error": crate::chain(error)}))
            .collect::<Vec<_>>(),
        "has_more": found.has_more,
    })))
}

fn moment(text: &str) -> Result<WallTime, Problem> {
    parse_moment(text).map_err(|how| Problem::bad_request(format!("from, to: {how}")))
}

fn row((entry, manifest): &(Entry, Manifest)) -> Value {
    let participants = manifest.call.participants.iter();
    json!({
        "id": entry.name(),
        "started": manifest.started.to_string(),
        "ended": manifest.ended.to_string(),
        "duration_ms": manifest.duration_ms,
        "end_reason": manifest.end_reason,
        "call_id": manifest.call.sip.call_id,
        "from": manifest.call.sip.from,
        "to": manifest.call.sip.to,
        "participants": participants
            .map(|it| json!({"names": it.names, "aors": it.aors}))
            .collect::<Vec<_>>(),
        "streams": manifest.streams.len(),
        "flags": manifest.flags,
        "href": format!("/api/recordings/{}", entry.name()),
    })
}

async fn one(State(http): State<Http>, Path(id): Path<String>) -> Result<Json<Manifest>, Problem> {
    let found = http.look(move |catalogue| catalogue.find(&id)?.manifest());
    Ok(Json(found.await?.masked()))
}

async fn file(
    State(http): State<Http>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let found = http.look(move |catalogue| {
        let entry = catalogue.find(&id)?;
        let manifest = entry.manifest()?;
        Ok(wanted(&entry, manifest, &name))
    });
    let (path, sum) = match found.await? {
        Wanted::File(path, sum) => (path, sum),
        Wanted::Private(manifest) => return Ok(Json(manifest.masked()).into_response()),
        Wanted::Withheld => return Err(Problem::forbidden(WITHHELD)),
        Wanted::Nothing => return Err(Problem::not_found("the manifest names no such file")),
    };
    let served = ServeFile::new(path).try_call(request).await;
    let mut response = served
        .map_err(|_| Problem::not_found("the file cannot be read"))?
        .map(Body::new)
        .into_response();
    if let Some(tag) = sum.and_then(|sum| HeaderValue::from_str(&format!("\"{sum}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

const WITHHELD: &str = "it names somebody who asked not to be named (Privacy: id)";

/// What a name of a file leads to.
enum Wanted {
    /// A file that the manifest names, with its checksum, or the manifest itself.
    File(PathBuf, Option<String>),
    /// A manifest that names somebody who is not to be named.
    Private(Box<Manifest>),
    /// Another file that does.
    Withheld,
    Nothing,
}

/// Never follows a link.
fn wanted(entry: &Entry, manifest: Manifest, name: &str) -> Wanted {
    let known = manifest.files.iter().find(|file| file.name == name);
    let sum = known.map(|file| file.sha256.clone());
    let is_manifest = name == FILE_NAME;
    if sum.is_none() && !is_manifest {
        return Wanted::Nothing;
    }
    if manifest.is_withheld(name) {
        return match is_manifest {
            true => Wanted::Private(Box::new(manifest)),
            false => Wanted::Withheld,
        };
    }
    let path = entry.path.canonicalize().map(|folder| folder.join(name));
    match path {
        Ok(path) if path.canonicalize().is_ok_and(|it| it == path) && path.is_file() => {
            Wanted::File(path, sum)
        }
        Ok(_) | Err(_) => Wanted::Nothing,
    }
}

impl Http {
    /// Looks at the recordings, beside the thread of the connections.
    async fn look<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Catalogue) -> Result<T, CatalogueError> + Send + 'static,
    {
        let catalogue = Catalogue::new(self.settings().recordings.dir.clone());
        match tokio::task::spawn_blocking(move || look(catalogue)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(problem(&error)),
            Err(_) => Err(Problem::silent()),
        }
    }
}

fn problem(error: &CatalogueError) -> Problem {
    let text = crate::chain(error);
    match error {
        CatalogueError::NoSuchRecording { .. } => Problem::not_found("no such recording"),
        CatalogueError::NotAnId { .. } => Problem::bad_request(text),
        CatalogueError::Ambiguous { .. } => Problem::conflict(text),
        CatalogueError::Read { .. }
        | CatalogueError::Manifest { .. }
        | CatalogueError::ManifestTooLarge { .. } => Problem::broken(text),
    }
}
