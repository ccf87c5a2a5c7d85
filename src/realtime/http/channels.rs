//! `GET /api/channels`: the topics of this node and how many are on each, for those who run the server.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::operator::Operator;
use crate::realtime::state::RealtimeState;

/// The most topics of one answer.
const MOST: usize = 1000;

pub(super) async fn list(_: Operator, State(state): State<RealtimeState>) -> Json<Value> {
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
    Json(json!({ "sockets": state.sockets(), "topics": topics }))
}
