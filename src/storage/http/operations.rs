//! Moving, copying and removing, of single objects, many, and all below a prefix (contract section 4).

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::places::{Named, Place};
use super::request::json as read_json;
use super::upload::wants_upsert;
use crate::storage::error::StorageError;
use crate::storage::flow::copy::Copy;
use crate::storage::model::bucket::Bucket;
use crate::storage::model::key::ObjectKey;
use crate::storage::model::object::Object;
use crate::storage::model::options::{UploadOptions, cache_control};
use crate::storage::state::StorageState;
use crate::storage::store::objects::{self, At};

/// The most keys of one request.
const MOST: usize = 1000;

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transfer {
    bucket_id: String,
    source_key: String,
    destination_key: String,
    #[serde(default)]
    destination_bucket: Option<String>,
    #[serde(default)]
    metadata: Option<CopiedMetadata>,
    #[serde(default)]
    copy_metadata: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CopiedMetadata {
    #[serde(default)]
    cache_control: Option<String>,
    #[serde(default)]
    mimetype: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrefixMove {
    bucket_id: String,
    source_prefix: String,
    destination_prefix: String,
    #[serde(default)]
    destination_bucket: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrefixOf {
    bucket_id: String,
    prefix: String,
}

#[derive(Deserialize)]
struct Keys {
    prefixes: Vec<String>,
}

impl Transfer {
    fn from(&self, state: &StorageState) -> Result<(String, ObjectKey), StorageError> {
        Ok((self.bucket_id.clone(), state.key(&self.source_key)?))
    }

    fn to(&self, state: &StorageState) -> Result<(String, ObjectKey), StorageError> {
        let bucket = self.destination_bucket.as_deref().filter(|bucket| !bucket.is_empty());
        Ok((bucket.unwrap_or(&self.bucket_id).to_owned(), state.key(&self.destination_key)?))
    }
}

/// `POST /object/move`
pub(super) async fn move_object(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.move").await?;
    let wanted: Transfer = read_json(&parts, body).await?;
    let ((from_bucket, from), (to_bucket, to)) = (wanted.from(&state)?, wanted.to(&state)?);
    let source = At { bucket: &from_bucket, name: from.as_str() };
    let target = state.bucket(&to_bucket).await?;
    let mut looked_at = None;
    if target.id != from_bucket {
        let object = objects::find(&state.callers, &acting, source).await?.ok_or(StorageError::NoSuchKey)?;
        check_fits(&state, &target, &object)?;
        looked_at = Some(object);
    }
    let places = (source, At { bucket: &to_bucket, name: to.as_str() });
    let moved = objects::move_to(&state.callers, &acting, places, looked_at.as_ref()).await?;
    let moved = moved.ok_or(StorageError::NoSuchKey)?;
    Ok(Json(json!({ "message": "Successfully moved", "Id": moved.id, "Key": moved.name })))
}

/// What another bucket would not have taken does not come in by moving.
fn check_fits(state: &StorageState, target: &Bucket, object: &Object) -> Result<(), StorageError> {
    let stored = object.stored();
    if !target.allows_type(&stored.mimetype) {
        return Err(StorageError::InvalidMimeType(stored.mimetype));
    }
    if stored.size > target.largest_object(state.config.file_size_limit.get()) {
        return Err(StorageError::EntityTooLarge);
    }
    Ok(())
}

/// `POST /object/copy`
pub(super) async fn copy_object(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.copy").await?;
    let wanted: Transfer = read_json(&parts, body).await?;
    let mut options = UploadOptions::beside_a_form(&parts.headers)?;
    options.robots = None;
    if let Some(metadata) = &wanted.metadata {
        options.cache_control = metadata.cache_control.as_deref().map(cache_control).transpose()?;
        options.content_type.clone_from(&metadata.mimetype);
    }
    let (from, to) = (wanted.from(&state)?, wanted.to(&state)?);
    let upsert = wants_upsert(&parts.headers);
    let (bucket, key) = to.clone();
    let copy = Copy { to, upsert, options, with_user_metadata: wanted.copy_metadata.unwrap_or(true) };
    let source = state.copied(&acting, (&from.0, &from.1)).await?;
    let uploaded = state.copy(&acting, &source, copy).await?;
    Ok(Json(json!({
        "Id": uploaded.id,
        "Key": format!("{bucket}/{key}"),
        "id": uploaded.id,
        "name": key.as_str(),
        "bucket_id": bucket,
        "owner_id": acting.caller.subject,
        "metadata": uploaded.metadata,
    })))
}

/// `DELETE /object/{bucket}/{key}`
pub(super) async fn remove(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let acting = state.acting(&parts, "storage.object.delete").await?;
    let names = [place.key.as_str().to_owned()];
    let gone = objects::remove(&state.callers, &acting, &place.bucket, &names).await?;
    if gone.is_empty() {
        let seen = objects::seen(&state.callers, &acting, &place.bucket, &names).await?;
        let denied = StorageError::AccessDenied("Access denied".to_owned());
        return Err(if seen.is_empty() { StorageError::NoSuchKey } else { denied });
    }
    state.litter.notify_one();
    Ok(Json(json!({ "message": "Successfully deleted" })))
}

/// `DELETE /object/{bucket}`: what is not there, or not the caller's to remove, is passed over.
pub(super) async fn remove_many(
    State(state): State<StorageState>,
    Named(bucket): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.delete_many").await?;
    let keys: Keys = read_json(&parts, body).await?;
    if keys.prefixes.is_empty() || keys.prefixes.len() > MOST {
        return Err(StorageError::InvalidRequest(format!("body/prefixes must have 1 to {MOST} keys")));
    }
    let gone = objects::remove(&state.callers, &acting, &bucket, &keys.prefixes).await?;
    state.litter.notify_one();
    Ok(Json(Value::Array(gone)))
}

/// `POST /object/move-prefix`: all that the caller sees, in one transaction, or nothing.
pub(super) async fn move_prefix(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.move").await?;
    let wanted: PrefixMove = read_json(&parts, body).await?;
    let (from, to) = (prefix(&state, &wanted.source_prefix)?, prefix(&state, &wanted.destination_prefix)?);
    let target = wanted.destination_bucket.as_deref().unwrap_or(&wanted.bucket_id);
    if target != wanted.bucket_id {
        // What the other bucket takes would have to be asked for each object.
        let bucket = state.bucket(target).await?;
        if bucket.file_size_limit.is_some() || bucket.allowed_mime_types.is_some() {
            let reason = "the destination bucket has limits of its own: move its objects one by one";
            return Err(StorageError::InvalidRequest(reason.to_owned()));
        }
    }
    let (from, to) = (At { bucket: &wanted.bucket_id, name: &from }, At { bucket: target, name: &to });
    let moved = objects::move_prefix(&state.callers, &acting, from, to).await?;
    Ok(Json(json!({ "message": "Successfully moved", "count": moved })))
}

/// `DELETE /object/prefix`
pub(super) async fn remove_prefix(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.delete_many").await?;
    let wanted: PrefixOf = read_json(&parts, body).await?;
    let prefix = prefix(&state, &wanted.prefix)?;
    let gone =
        objects::remove_prefix(&state.callers, &acting, At { bucket: &wanted.bucket_id, name: &prefix })
            .await?;
    state.litter.notify_one();
    Ok(Json(json!({ "message": "Successfully deleted", "count": gone })))
}

/// A folder, as the beginning of names with its slash.
fn prefix(state: &StorageState, text: &str) -> Result<String, StorageError> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    if bare.is_empty() {
        return Err(StorageError::InvalidRequest("a prefix must name a folder".to_owned()));
    }
    Ok(format!("{}/", state.key(bare)?))
}
