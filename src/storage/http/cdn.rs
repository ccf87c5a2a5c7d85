//! Forgetting what caches hold (contract section 4): those in front of this server by the webhook, if there is one, and the
//! pictures in memory.

use axum::Json;
use axum::extract::{Path, State};
use http::request::Parts;
use serde_json::{Value, json};

use super::request::query;
use crate::storage::error::StorageError;
use crate::storage::state::StorageState;
use crate::storage::store::purges;

/// `DELETE /cdn/`, `/cdn/{bucket}` and `/cdn/{bucket}/{key}`. Pictures go under any of them: they are made anew when somebody
/// asks.
pub(super) async fn purge(
    State(state): State<StorageState>,
    place: Option<Path<String>>,
    parts: Parts,
) -> Result<Json<Value>, StorageError> {
    state.service(&parts, "storage.cdn.purge").await?;
    if query(&parts, "transformations").as_deref() == Some("true") {
        state.renderer.forget();
    }
    if state.config.purge_webhook.url.is_some() {
        let (bucket, name) = place.as_ref().map_or((None, None), |Path(place)| {
            let place = place.as_str();
            place.split_once('/').map_or((Some(place), None), |(bucket, name)| (Some(bucket), Some(name)))
        });
        let name = name.filter(|name| !name.is_empty());
        purges::ask(&state.pool, bucket, name, state.clock.unix_millis()).await?;
    }
    Ok(Json(json!({ "message": "success", "statusCode": "200" })))
}
