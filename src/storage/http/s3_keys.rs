//! Access keys of the S3 protocol, for servers: made, listed, taken away.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::places::Named;
use super::request::{context, json as read_json};
use crate::kernel::audit::{AuditOrigin, AuditOutcome};
use crate::kernel::db::deed::Deed;
use crate::kernel::db::pool;
use crate::storage::error::StorageError;
use crate::storage::s3::keys::{self, KeyError, KeyWish};
use crate::storage::state::StorageState;
use crate::storage::store::deeds;
use crate::storage::store::s3_keys;

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// `POST /s3-keys`: the one time that the secret is shown.
pub(super) async fn create(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let origin = manager(&state, &parts, "storage.s3_key.create").await?;
    let Wish { name, role, claims } = read_json(&parts, body).await?;
    let wish = KeyWish::new(&name, role.as_deref(), claims)?;
    let made = async {
        if !state.identity.takes_role(wish.role()) {
            return Err(KeyError::Role.into());
        }
        let mut transaction = pool::begin(&state.pool).await?;
        let made = keys::create(&mut *transaction, &wish, (&state.vault, &state.random)).await?;
        let deed = deeds::make_key(Some(&made.0.access_key_id), wish.role());
        deed.write(&mut *transaction, Arc::clone(&origin)).await?;
        transaction.commit().await?;
        Ok(made)
    };
    let made = made.await;
    let (stored, secret) =
        made.inspect_err(|error| note(&state, origin, deeds::make_key(None, wish.role()), error))?;
    let mut shown = json!(stored);
    shown["secret_access_key"] = secret.expose().into();
    Ok(Json(shown))
}

/// `GET /s3-keys`
pub(super) async fn list(State(state): State<StorageState>, parts: Parts) -> Answer {
    state.service(&parts, "storage.s3_key.list").await?;
    Ok(Json(json!(s3_keys::list(&state.pool).await?)))
}

/// `DELETE /s3-keys/{id}`
pub(super) async fn remove(State(state): State<StorageState>, Named(id): Named, parts: Parts) -> Answer {
    let origin = manager(&state, &parts, "storage.s3_key.delete").await?;
    let removed = async {
        let mut transaction = pool::begin(&state.pool).await?;
        if !s3_keys::remove(&mut *transaction, &id).await? {
            return Err(StorageError::NoSuchAccessKey);
        }
        deeds::remove_key(&id).write(&mut *transaction, Arc::clone(&origin)).await?;
        Ok(transaction.commit().await?)
    };
    removed.await.inspect_err(|error| note(&state, origin, deeds::remove_key(&id), error))?;
    Ok(Json(json!({ "message": "Successfully deleted" })))
}

/// Who manages keys by this request. That somebody tried who may not is on record.
async fn manager(
    state: &StorageState,
    parts: &Parts,
    operation: &'static str,
) -> Result<Arc<AuditOrigin>, StorageError> {
    let acting = state.acting(parts, operation).await?;
    let origin = Arc::new(AuditOrigin::new(&acting.caller, &*context(parts)?, &parts.headers));
    if state.is_server(&acting) {
        return Ok(origin);
    }
    note(state, origin, deeds::not_allowed(parts.uri.path()), &StorageError::ServiceOnly);
    Err(StorageError::ServiceOnly)
}

/// Puts on record what was not done.
fn note(state: &StorageState, origin: Arc<AuditOrigin>, deed: Deed, error: &StorageError) {
    let outcome = if error.status().is_server_error() { AuditOutcome::Failed } else { AuditOutcome::Refused };
    state.audit.note(vec![deed.record(origin, outcome, Some(error.code().to_owned()))]);
}

impl From<KeyError> for StorageError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Name | KeyError::Role => Self::InvalidRequest(format!("body {error}")),
            KeyError::Database(error) => error.into(),
            KeyError::Vault(error) => {
                tracing::error!("the secret of an S3 access key cannot be sealed: {error}");
                Self::Internal
            }
        }
    }
}
