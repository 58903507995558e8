//! `/api`: what `holdfast` can ask of a running server, for programs. docs/openapi.json says what each
//! path takes and gives; a test holds it against a running server.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use holdfast_control::status::{Status, Stun};

use super::{Http, Problem, calls, latency, recordings};

/// The description of all this.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

pub fn router() -> Router<Http> {
    Router::new()
        .route("/api/status", get(status))
        .route("/stun-status", get(stun_status))
        .route("/api/config", get(config))
        .route("/api/openapi.json", get(openapi))
        .merge(calls::router())
        .merge(recordings::router())
        .merge(latency::router())
}

async fn status(State(http): State<Http>) -> Result<Json<Status>, Problem> {
    http.status().await.map(Json)
}

/// What a STUN server says of our address.
async fn stun_status(State(http): State<Http>) -> Result<Json<Stun>, Problem> {
    http.status().await.map(|status| Json(status.stun))
}

/// The settings in force.
async fn config(State(http): State<Http>) -> impl IntoResponse {
    Json(http.settings().redacted())
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
