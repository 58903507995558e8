//! `/api/calls`: what `holdfast calls` does.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use holdfast_control::operator::{Answer, Call, Command, Placing, Refusal};
use holdfast_units::RecordingId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Http, Problem};

pub fn router() -> Router<Http> {
    Router::new()
        .route("/api/calls", get(list).post(record))
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

/// What is to be recorded: `{"uri":"sip:…"}`.
#[derive(Deserialize)]
struct Wanted {
    uri: String,
}

/// Calls a client (RFC 7866 §6.2); answered when the client has answered.
async fn record(
    State(http): State<Http>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Call>), Problem> {
    let Json(Wanted { uri }) = wanted.map_err(|error| Problem::bad_request(error.body_text()))?;
    match http.place(Placing::Record { uri }).await? {
        Answer::Call { call } => Ok((StatusCode::CREATED, Json(*call))),
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
        Answer::Refused { reason } => {
            let status = match reason {
                Refusal::NoSuchCall => StatusCode::NOT_FOUND,
                Refusal::Ended | Refusal::NoListener => StatusCode::CONFLICT,
                Refusal::BadTarget => StatusCode::BAD_REQUEST,
                Refusal::NotAllowed => StatusCode::FORBIDDEN,
                Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Rejected { .. } | Refusal::Unusable => StatusCode::BAD_GATEWAY,
                Refusal::Unanswered => StatusCode::GATEWAY_TIMEOUT,
            };
            Problem::new(status, reason.to_string())
        }
        Answer::Calls { .. }
        | Answer::Call { .. }
        | Answer::Draining { .. }
        | Answer::Malformed { .. } => Problem::silent(),
    }
}
