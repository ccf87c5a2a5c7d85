//! Objects that a scanner holds, for servers: listed and released. They are removed as all objects are.

use axum::Json;
use axum::extract::State;
use http::request::Parts;
use serde_json::{Value, json};
use uuid::Uuid;

use super::places::Named;
use super::request::query;
use crate::storage::error::StorageError;
use crate::storage::model::scan::Hold;
use crate::storage::state::StorageState;
use crate::storage::store::scans;

/// The most objects of one answer.
const MOST: i64 = 1000;

type Answer = Result<Json<Value>, StorageError>;

/// `GET /quarantine`: what was found; with `?scan=pending` what still waits for its scan.
pub(super) async fn list(State(state): State<StorageState>, parts: Parts) -> Answer {
    state.service(&parts, "storage.quarantine.list").await?;
    let hold = match query(&parts, "scan").as_deref() {
        None | Some("quarantined") => Hold::Quarantined,
        Some("pending") => Hold::Pending,
        Some(_) => {
            let reason = "querystring/scan must be one of quarantined, pending";
            return Err(StorageError::InvalidRequest(reason.to_owned()));
        }
    };
    Ok(Json(json!(scans::held(&state.pool, hold, MOST).await?)))
}

/// `POST /quarantine/{version}/release`: everybody who may read the object reads these bytes from now on.
pub(super) async fn release(
    State(state): State<StorageState>,
    Named(version): Named,
    parts: Parts,
) -> Answer {
    state.service(&parts, "storage.quarantine.release").await?;
    let version = Uuid::try_parse(&version).map_err(|_| StorageError::NoSuchKey)?;
    if !scans::release(&state.pool, version).await? {
        return Err(StorageError::NoSuchKey);
    }
    tracing::warn!(%version, "an object was released from quarantine");
    Ok(Json(json!({ "message": "Successfully released" })))
}
