//! `/api/calls`: what `holdfast calls` does.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use holdfast_control::operator::{Answer, Call, Command, Refusal};
use holdfast_units::RecordingId;
use serde_json::{Value, json};

use super::{Http, Problem};

pub fn router() -> Router<Http> {
    Router::new()
        .route("/api/calls", get(list))
        .route("/api/calls/{id}", get(show))
        .route("/api/calls/{id}/pause", post(pause))
        .route("/api/calls/{id}/resume", post(resume))
        .route("/api/calls/{id}/hangup", post(hang_up))
}

async fn list(State(http): State<Http>) -> Result<Json<Value>, Problem> {
    match http.command(Command::List).await? {
        Answer::Calls { calls } => Ok(Json(json!({"calls": calls}))),
        other => Err(problem(other)),
    }
}

async fn show(http: State<Http>, id: Path<String>) -> Result<Json<Call>, Problem> {
    carry_out(&http, &id, |id| Command::Show { id }).await
}

async fn pause(http: State<Http>, id: Path<String>) -> Result<Json<Call>, Problem> {
    carry_out(&http, &id, |id| Command::Pause { id }).await
}

async fn resume(http: State<Http>, id: Path<String>) -> Result<Json<Call>, Problem> {
    carry_out(&http, &id, |id| Command::Resume { id }).await
}

async fn hang_up(http: State<Http>, id: Path<String>) -> Result<Json<Call>, Problem> {
    carry_out(&http, &id, |id| Command::HangUp { id }).await
}

/// The call as it is after the command; `is_in_force` says whether the engine has confirmed it.
async fn carry_out(
    http: &Http,
    id: &str,
    command: impl FnOnce(RecordingId) -> Command,
) -> Result<Json<Call>, Problem> {
    let id: RecordingId = id
        .parse()
        .map_err(|_| Problem::bad_request("an id is 32 lower-case hex digits"))?;
    match http.command(command(id)).await? {
        Answer::Call { call } => Ok(Json(*call)),
        other => Err(problem(other)),
    }
}

fn problem(answer: Answer) -> Problem {
    match answer {
        Answer::Refused {
            reason: reason @ Refusal::NoSuchCall,
        } => Problem::not_found(reason.to_string()),
        Answer::Refused { reason } => Problem::conflict(reason.to_string()),
        Answer::Calls { .. }
        | Answer::Call { .. }
        | Answer::Draining { .. }
        | Answer::Malformed { .. } => Problem::silent(),
    }
}
