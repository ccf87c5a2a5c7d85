//! Downloads and what is known of an object (contract section 6).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_RANGE;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::places::Place;
use super::request::{acting, context, query};
use crate::storage::error::StorageError;
use crate::storage::flow::download::Right;
use crate::storage::flow::serve::{Asked, Presentation, Served, described_by_headers, insert};
use crate::storage::model::object::Object;
use crate::storage::model::token::Scope;
use crate::storage::state::StorageState;
use crate::storage::store::scans;

type Answer = Result<Response, StorageError>;

/// `GET /object/{bucket}/{key}`: of a public bucket, or what the caller sees.
pub(super) async fn object(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let operation = if parts.method == Method::HEAD {
        "object.head_authenticated_info"
    } else {
        "storage.object.get_authenticated"
    };
    let right = match state.caller_if_any(&parts.headers, &*context(&parts)?).await? {
        Some(caller) => Right::Caller(acting(caller, operation, &parts)),
        None => Right::Public,
    };
    serve(&state, &right, &place, &parts, None).await
}

/// `GET /object/authenticated/{bucket}/{key}`
pub(super) async fn authenticated(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let operation = if parts.method == Method::HEAD {
        "object.head_authenticated_info"
    } else {
        "storage.object.get_authenticated"
    };
    let right = Right::Caller(state.acting(&parts, operation).await?);
    serve(&state, &right, &place, &parts, None).await
}

/// `GET /object/public/{bucket}/{key}`
pub(super) async fn public(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    serve(&state, &Right::Public, &place, &parts, None).await
}

/// `GET /object/sign/{bucket}/{key}?token=`
pub(super) async fn signed(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let token = query(&parts, "token").unwrap_or_default();
    let claims = state.url_key.check(&token, (Scope::Download, &place.full()), state.clock.unix_seconds())?;
    if claims.transformations.is_some() {
        return Err(StorageError::InvalidToken("the token is for an image"));
    }
    serve(&state, &Right::Signed, &place, &parts, Some(claims.exp)).await
}

/// `GET /object/info/{bucket}/{key}`
pub(super) async fn info(
    State(state): State<StorageState>,
    place: Place,
    parts: Parts,
) -> Result<Json<Value>, StorageError> {
    let right = match state.caller_if_any(&parts.headers, &*context(&parts)?).await? {
        Some(caller) => Right::Caller(acting(caller, "object.get_authenticated_info", &parts)),
        None => Right::Public,
    };
    let (object, hold) = state.known(&right, &place.bucket, &place.key).await?;
    let mut description = described(&object);
    if let (Some(hold), Right::Caller(acting)) = (hold, &right) {
        // What was found is for whoever put it there, and for servers.
        let is_own =
            object.owner_id.is_some() && object.owner_id.as_deref() == acting.caller.subject.as_deref();
        let found = match object.version.as_deref() {
            Some(version) if is_own || state.is_server(acting) => scans::found(&state.pool, version).await?,
            _ => None,
        };
        description["scan"] = json!({ "state": hold.name(), "found": found });
    }
    Ok(Json(description))
}

/// `GET /object/info/public/{bucket}/{key}`
pub(super) async fn info_public(
    State(state): State<StorageState>,
    place: Place,
) -> Result<Json<Value>, StorageError> {
    Ok(Json(described(&state.known(&Right::Public, &place.bucket, &place.key).await?.0)))
}

fn described(object: &Object) -> Value {
    let stored = object.stored();
    json!({
        "id": object.id,
        "name": object.name,
        "version": object.version,
        "bucket_id": object.bucket_id,
        "size": stored.size,
        "content_type": stored.mimetype,
        "cache_control": stored.cache_control,
        "etag": stored.e_tag,
        "metadata": object.user_metadata,
        "last_modified": object.updated_at,
        "created_at": object.created_at,
    })
}

/// The object's bytes, or a part of them.
pub(super) async fn serve(
    state: &StorageState,
    right: &Right,
    place: &Place,
    parts: &Parts,
    ends: Option<i64>,
) -> Answer {
    let download = query(parts, "download");
    let shown = Presentation { download: download.as_deref(), ends, ..Presentation::default() };
    let head = parts.method == Method::HEAD;
    let asked = Asked { bucket: &place.bucket, key: &place.key, headers: &parts.headers, head };
    let served = state.serve(right, asked, |object| described_by_headers(object, shown)).await?;
    Ok(match served {
        Served::Content(response) => response,
        Served::NotModified(headers) => (StatusCode::NOT_MODIFIED, headers).into_response(),
        Served::Failed(headers) => (StatusCode::PRECONDITION_FAILED, headers).into_response(),
        Served::Unsatisfiable { size } => {
            let mut refusal = StorageError::InvalidRange.into_response();
            insert(refusal.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            refusal
        }
    })
}
