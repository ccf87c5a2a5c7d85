//! Uploads in one request (contract section 5): the bytes as they are, or in a form.

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Multipart, State, multipart::MultipartError};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::form_head::FormHead;
use super::places::Place;
use super::request::{context, is_true, query};
use crate::storage::error::StorageError;
use crate::storage::flow::upload::{Target, Uploaded};
use crate::storage::model::options::{LARGEST_METADATA, UploadOptions};
use crate::storage::model::token::Scope;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;

/// The most bytes of a form before its file: custom metadata, other fields, and what comes along with the file's beginning.
const LARGEST_HEAD: usize = 2 * LARGEST_METADATA;
/// The most fields of a form beside the file.
const MOST_FIELDS: usize = 10;

type Answer = Result<Json<Value>, StorageError>;

/// `POST /object/{bucket}/{key}`
pub(super) async fn create(
    State(state): State<StorageState>,
    place: Place,
    request: Request<Body>,
) -> Answer {
    let upsert = wants_upsert(request.headers());
    let operation = if upsert { "storage.object.upload_update" } else { "storage.object.upload" };
    by_caller(&state, place, request, (operation, upsert)).await
}

/// `PUT /object/{bucket}/{key}`
pub(super) async fn replace(
    State(state): State<StorageState>,
    place: Place,
    request: Request<Body>,
) -> Answer {
    by_caller(&state, place, request, ("storage.object.upload_update", true)).await
}

async fn by_caller(
    state: &StorageState,
    place: Place,
    request: Request<Body>,
    (operation, upsert): (&'static str, bool),
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, operation).await?;
    let owner = acting.caller.subject.as_deref().map(str::to_owned);
    let full = place.full();
    let uploaded = take(state, (parts, body), place, (Some(&acting), owner, upsert)).await?;
    Ok(Json(json!({ "Id": uploaded.id, "Key": full })))
}

/// `PUT /object/upload/sign/{bucket}/{key}?token=`: who signed it was allowed to.
pub(super) async fn signed(
    State(state): State<StorageState>,
    place: Place,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let (token, full) = (query(&parts, "token").unwrap_or_default(), place.full());
    let claims = state.url_key.check(&token, (Scope::Upload, &full), state.clock.unix_seconds())?;
    take(&state, (parts, body), place, (None, claims.owner, claims.upsert)).await?;
    Ok(Json(json!({ "Key": full })))
}

/// Reads the options, asks whether it is allowed, and only then reads the bytes.
async fn take(
    state: &StorageState,
    (parts, body): (Parts, Body),
    place: Place,
    (acting, owner, upsert): (Option<&Acting>, Option<String>, bool),
) -> Result<Uploaded, StorageError> {
    let bucket = state.bucket(&place.bucket).await?;
    let options = UploadOptions::default();
    let mut target = Target { bucket, key: place.key, owner, options, upsert, replaceable: None };
    if is_form(&parts) {
        target.options = UploadOptions::beside_a_form(&parts.headers)?;
        return take_form(state, Request::from_parts(parts, body), target, acting).await;
    }
    target.options = UploadOptions::of_headers(&parts.headers)?;
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    state.admit(acting, &mut target, announced).await?;
    let bytes: BodyDataStream = body.into_data_stream();
    state.store(&target, bytes).await
}

async fn take_form(
    state: &StorageState,
    request: Request<Body>,
    mut target: Target,
    acting: Option<&Acting>,
) -> Result<Uploaded, StorageError> {
    let (parts, body) = request.into_parts();
    let deadline = context(&parts)?.body_deadline;
    let (body, head) = FormHead::of(body, LARGEST_HEAD, deadline);
    let mut form = Multipart::from_request(Request::from_parts(parts, body), &())
        .await
        .map_err(|_| StorageError::InvalidRequest("the form has no boundary".to_owned()))?;
    for _ in 0..=MOST_FIELDS {
        let Some(mut field) = head.next(form.next_field()).await?? else { break };
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_none() && !name.is_empty() && name != "file" {
            let mut text = Vec::new();
            while let Some(piece) = head.next(field.chunk()).await?? {
                text.extend_from_slice(&piece);
                if text.len() > LARGEST_METADATA {
                    return Err(StorageError::InvalidRequest(format!("the field {name} is too large")));
                }
            }
            let text = String::from_utf8(text)
                .map_err(|_| StorageError::InvalidRequest(format!("the field {name} is no text")))?;
            target.options.take_field(&name, &text)?;
            continue;
        }
        if target.options.content_type.is_none() {
            target.options.content_type = field.content_type().map(str::to_owned);
        }
        head.is_over();
        state.admit(acting, &mut target, None).await?;
        return state.store(&target, field).await;
    }
    Err(StorageError::InvalidRequest("the form has no file".to_owned()))
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

/// Whether an object that is there may be replaced.
pub(super) fn wants_upsert(headers: &HeaderMap) -> bool {
    is_true(headers, "x-upsert")
}

impl From<MultipartError> for StorageError {
    fn from(error: MultipartError) -> Self {
        if error.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
            return Self::EntityTooLarge;
        }
        Self::InvalidRequest("the form is not well-formed, or ended early".to_owned())
    }
}

impl From<axum::Error> for StorageError {
    fn from(_: axum::Error) -> Self {
        Self::Aborted
    }
}
