//! Forgetting what caches hold (contract section 4). What stands before this server is told by its own means; here that is the
//! pictures in memory.

use axum::Json;
use axum::extract::State;
use http::request::Parts;
use serde_json::{Value, json};

use super::request::query;
use crate::storage::error::StorageError;
use crate::storage::state::StorageState;

/// `DELETE /cdn/`, `/cdn/{bucket}` and `/cdn/{bucket}/{key}`. Pictures go under any of them: they are made anew when somebody
/// asks.
pub(super) async fn purge(
    State(state): State<StorageState>,
    parts: Parts,
) -> Result<Json<Value>, StorageError> {
    state.service(&parts, "storage.cdn.purge").await?;
    if query(&parts, "transformations").as_deref() == Some("true") {
        state.renderer.forget();
    }
    Ok(Json(json!({ "message": "success", "statusCode": "200" })))
}
