//! What is wrong with how the database is protected.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::catalog::load::LoadOptions;
use crate::security::error::SecurityError;
use crate::security::state::SecurityState;

use super::RuleManager;

/// All findings, the worst of each object first.
pub(super) async fn lint(
    _: RuleManager,
    State(state): State<SecurityState>,
) -> Result<Json<Value>, SecurityError> {
    let catalog = state.catalog()?;
    let options = LoadOptions {
        schemas: catalog.schemas.iter().map(ToString::to_string).collect(),
        extra_search_path: state.access.load().extra_search_path.clone(),
        authenticator: None,
    };
    let findings = state.probe.lint(&options).await?;
    Ok(Json(json!(findings)))
}
