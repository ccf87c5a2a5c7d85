//! The routes of the service: one file an action.

mod broadcast;
mod channels;
mod definitions;
mod operator;
mod tables;
mod websocket;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::credentials::{Credentials, CredentialsError};
use super::state::RealtimeState;
use crate::kernel::http::RequestContext;
use crate::kernel::identity::bearer_token;

/// The routes, without the prefix.
pub fn router(state: RealtimeState) -> Router {
    Router::new()
        .route("/websocket", get(websocket::open))
        .route("/api/ping", get(ping))
        .route("/api/channels", get(channels::list))
        .route("/api/definitions", get(definitions::list).post(definitions::create))
        .route(
            "/api/definitions/{id}",
            get(definitions::show)
                .patch(definitions::change)
                .put(definitions::replace)
                .delete(definitions::remove),
        )
        .route("/api/tables", get(tables::list).post(tables::publish))
        .route("/api/tables/{table}", delete(tables::withdraw))
        .route("/api/broadcast", post(broadcast::batch))
        .route("/api/broadcast/{topic}/events/{event}", post(broadcast::one))
        .with_state(state)
}

async fn ping() -> Json<Value> {
    Json(json!({ "message": "Success" }))
}

/// Who sends a request: by its bearer token, else by its API key.
async fn credentials(
    state: &RealtimeState,
    context: &RequestContext,
    headers: &HeaderMap,
) -> Result<Credentials, CredentialsError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header(AUTHORIZATION.as_str()).and_then(bearer_token);
    state.credentials(bearer.or_else(|| header("apikey")), context.client_ip).await
}
