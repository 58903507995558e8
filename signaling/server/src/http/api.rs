//! `/api`: what `holdfast` can ask of a running server, for programs.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use holdfast_control::status::Status;

use super::{Http, Problem, calls};

pub fn router() -> Router<Http> {
    Router::new()
        .route("/api/status", get(status))
        .merge(calls::router())
}

async fn status(State(http): State<Http>) -> Result<Json<Status>, Problem> {
    http.status().await.map(Json)
}
