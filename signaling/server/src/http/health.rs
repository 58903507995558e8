//! Health: whether the process lives, and whether it records what comes. No token is asked for, so
//! that supervisors and load balancers need none; what is said holds no call and no peer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use holdfast_control::status::Status;
use serde_json::json;

use super::{Http, Problem};

pub fn router() -> Router<Http> {
    Router::new()
        .route("/health", get(ready))
        .route("/health/ready", get(ready))
        .route("/health/live", get(live))
}

/// 200 where new calls are recorded, else 503 with what stands in the way.
async fn ready(State(http): State<Http>) -> Result<impl IntoResponse, Problem> {
    let status = http.status().await?;
    let code = match status.is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((code, Json(body(&status))))
}

/// 200 where the task that owns the recorder answers.
async fn live(State(http): State<Http>) -> Result<impl IntoResponse, Problem> {
    http.status().await?;
    Ok(Json(json!({"status": "alive"})))
}

fn body(status: &Status) -> serde_json::Value {
    let word = if status.is_ready {
        "ready"
    } else {
        "not ready"
    };
    json!({"status": word, "checks": status.checks})
}
