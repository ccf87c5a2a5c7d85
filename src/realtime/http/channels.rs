//! `GET /api/channels`: the topics of this node and how many are on each, for those who run the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::credentials;
use crate::kernel::http::RequestContext;
use crate::kernel::identity::Capability;
use crate::realtime::state::RealtimeState;

/// The most topics of one answer.
const MOST: usize = 1000;

pub(super) async fn list(
    State(state): State<RealtimeState>,
    Extension(context): Extension<Arc<RequestContext>>,
    headers: HeaderMap,
) -> Response {
    let who = match credentials(&state, &context, &headers).await {
        Ok(who) => who,
        Err(error) if error.is_temporary() => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
        }
        Err(_) => return refuse(StatusCode::UNAUTHORIZED, "Unauthorized"),
    };
    if !state.authority.allows(&who.caller, Capability::InspectRealtime) {
        return refuse(StatusCode::FORBIDDEN, "only the project's secret key may see the channels of others");
    }
    let topics: Vec<Value> = state
        .hub
        .census(MOST)
        .into_iter()
        .map(|(topic, channels, present)| {
            json!({
                "topic": topic.name(), "private": topic.is_private(), "channels": channels, "present": present,
            })
        })
        .collect();
    Json(json!({ "sockets": state.sockets(), "topics": topics })).into_response()
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}
