//! Access keys of the S3 protocol, for servers: made, listed, taken away.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::places::Named;
use super::request::json as read_json;
use crate::storage::error::StorageError;
use crate::storage::s3::keys::{self, KeyError, KeyWish};
use crate::storage::state::StorageState;
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
    state.service(&parts, "storage.s3_key.create").await?;
    let Wish { name, role, claims } = read_json(&parts, body).await?;
    let wish = KeyWish::new(&name, role.as_deref(), claims)?;
    if !state.identity.takes_role(wish.role()) {
        return Err(KeyError::Role.into());
    }
    let (stored, secret) = keys::create(&state.pool, &wish, (&state.vault, &state.random)).await?;
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
    state.service(&parts, "storage.s3_key.delete").await?;
    if !s3_keys::remove(&state.pool, &id).await? {
        return Err(StorageError::NoSuchAccessKey);
    }
    Ok(Json(json!({ "message": "Successfully deleted" })))
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
