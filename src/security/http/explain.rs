//! Questions about somebody's access: the whole story, or yes and no.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::request::Parts;
use serde_json::{Value, json};

use crate::security::error::SecurityError;
use crate::security::explain::{self as explaining, Explanation};
use crate::security::model::Question;
use crate::security::state::SecurityState;

use super::{RuleManager, json_object};

/// Which rule, grant or policy decides, and what comes of it.
pub(super) async fn explain(
    _: RuleManager,
    State(state): State<SecurityState>,
    parts: Parts,
    body: Body,
) -> Result<Json<Explanation>, SecurityError> {
    let question = question(&parts, body).await?;
    Ok(Json(answer(&state, &question).await?))
}

/// Whether it would be done, and why or why not.
pub(super) async fn check(
    _: RuleManager,
    State(state): State<SecurityState>,
    parts: Parts,
    body: Body,
) -> Result<Json<Value>, SecurityError> {
    let question = question(&parts, body).await?;
    let answer = answer(&state, &question).await?;
    Ok(Json(json!({"allowed": answer.allowed, "reason": answer.reason, "rule": answer.rule})))
}

async fn question(parts: &Parts, body: Body) -> Result<Question, SecurityError> {
    let body = json_object(parts, body).await?;
    serde_path_to_error::deserialize(Value::Object(body))
        .map_err(|error| SecurityError::BadBody(error.to_string()))
}

async fn answer(state: &SecurityState, question: &Question) -> Result<Explanation, SecurityError> {
    let catalog = state.catalog()?;
    explaining::explain((&catalog, &state.policies), &state.access.load_full(), &state.probe, question).await
}
