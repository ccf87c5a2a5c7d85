//! Buckets (contract section 3), and the quotas of buckets and owners.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::places::Named;
use super::request::{json as read_json, query};
use crate::storage::error::StorageError;
use crate::storage::model::bucket::{Field, is_type_pattern, size_in_bytes};
use crate::storage::model::key::BucketName;
use crate::storage::state::StorageState;
use crate::storage::store::buckets::{self, BucketChange, BucketColumn, BucketList, NewBucket};
use crate::storage::store::caller::Acting;
use crate::storage::store::objects;
use crate::storage::store::quotas::{self, QuotaOf};

type Answer = Result<Json<Value>, StorageError>;

/// The most buckets of one answer.
const MOST: i64 = 10_000;
/// Versions of the Python client below this one refuse fields that they do not know.
const TYPED_PYTHON: (u32, u32) = (2, 18);

#[derive(Deserialize)]
struct Create {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    public: Option<bool>,
    #[serde(default)]
    file_size_limit: Option<Value>,
    #[serde(default)]
    allowed_mime_types: Option<Vec<String>>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    quota_bytes: Option<i64>,
}

#[derive(Deserialize)]
struct Update {
    #[serde(default)]
    public: Option<bool>,
    #[serde(default)]
    file_size_limit: Field<Value>,
    #[serde(default)]
    allowed_mime_types: Field<Vec<String>>,
    #[serde(default)]
    quota_bytes: Field<i64>,
}

#[derive(Deserialize)]
struct Quota {
    quota_bytes: Option<i64>,
}

/// `POST /bucket`
pub(super) async fn create(State(state): State<StorageState>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.bucket.create").await?;
    let wanted: Create = read_json(&parts, body).await?;
    if wanted.kind.as_deref().is_some_and(|kind| kind != "STANDARD") {
        return Err(StorageError::InvalidRequest("this server has buckets of type STANDARD only".to_owned()));
    }
    let name = BucketName::parse(&wanted.name).map_err(|_| StorageError::InvalidBucketName)?;
    let id = BucketName::parse(wanted.id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&wanted.name))
        .map_err(|_| StorageError::InvalidBucketName)?;
    check_types(wanted.allowed_mime_types.as_deref())?;
    let bucket = NewBucket {
        id: id.as_str(),
        name: name.as_str(),
        owner: acting.caller.subject.as_deref(),
        public: wanted.public.unwrap_or(false),
        file_size_limit: limit(&state, wanted.file_size_limit.as_ref())?,
        allowed_mime_types: wanted.allowed_mime_types.as_deref(),
    };
    if wanted.quota_bytes.is_some() {
        check_quota(&state, &acting, wanted.quota_bytes)?;
    }
    buckets::create(&state.callers, &acting, &bucket).await?;
    if let Some(bytes) = wanted.quota_bytes {
        quotas::set(&state.pool, (QuotaOf::Bucket, id.as_str()), Some(bytes)).await?;
    }
    Ok(Json(json!({ "name": name.as_str() })))
}

/// `GET /bucket`
pub(super) async fn list(State(state): State<StorageState>, parts: Parts) -> Answer {
    let acting = state.acting(&parts, "storage.bucket.list").await?;
    let number = |name: &str, least: i64, default: i64| match query(&parts, name) {
        None => Ok(default),
        Some(text) => {
            text.parse().ok().filter(|number| (least..=MOST * 1000).contains(number)).ok_or_else(|| {
                StorageError::InvalidRequest(format!(
                    "querystring/{name} must be a number of at least {least}"
                ))
            })
        }
    };
    let search = query(&parts, "search");
    let column = match query(&parts, "sortColumn").as_deref() {
        None | Some("name") => BucketColumn::Name,
        Some("id") => BucketColumn::Id,
        Some("created_at") => BucketColumn::CreatedAt,
        Some("updated_at") => BucketColumn::UpdatedAt,
        Some(_) => {
            let reason = "querystring/sortColumn must be one of id, name, created_at, updated_at";
            return Err(StorageError::InvalidRequest(reason.to_owned()));
        }
    };
    let wanted = BucketList {
        search: search.as_deref(),
        column,
        descending: query(&parts, "sortOrder").is_some_and(|order| order.eq_ignore_ascii_case("desc")),
        limit: number("limit", 1, MOST)?.min(MOST),
        offset: number("offset", 0, 0)?,
    };
    buckets::list(&state.callers, &acting, &wanted, knows_types(&parts)).await.map(Json)
}

/// `GET /bucket/{id}`
pub(super) async fn show(State(state): State<StorageState>, Named(id): Named, parts: Parts) -> Answer {
    let acting = state.acting(&parts, "storage.bucket.get").await?;
    buckets::show(&state.callers, &acting, &id).await.map(Json)
}

/// `PUT /bucket/{id}`
pub(super) async fn update(
    State(state): State<StorageState>,
    Named(id): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.bucket.update").await?;
    let wanted: Update = read_json(&parts, body).await?;
    let Update { public, file_size_limit, allowed_mime_types, quota_bytes } = &wanted;
    if public.is_none()
        && file_size_limit.is_missing()
        && allowed_mime_types.is_missing()
        && quota_bytes.is_missing()
    {
        let reason =
            "body must have at least one of public, file_size_limit, allowed_mime_types, quota_bytes";
        return Err(StorageError::InvalidRequest(reason.to_owned()));
    }
    check_types(allowed_mime_types.value().map(Vec::as_slice))?;
    if !quota_bytes.is_missing() {
        check_quota(&state, &acting, quota_bytes.value().copied())?;
    }
    let change = BucketChange {
        public: *public,
        file_size_limit: match file_size_limit {
            Field::Missing => Field::Missing,
            Field::Null => Field::Null,
            Field::Value(size) => limit(&state, Some(size))?.map_or(Field::Null, Field::Value),
        },
        allowed_mime_types,
    };
    buckets::update(&state.callers, &acting, &id, &change).await?;
    if !quota_bytes.is_missing() {
        quotas::set(&state.pool, (QuotaOf::Bucket, &id), quota_bytes.value().copied()).await?;
    }
    Ok(Json(json!({ "message": "Successfully updated" })))
}

/// `DELETE /bucket/{id}`
pub(super) async fn remove(State(state): State<StorageState>, Named(id): Named, parts: Parts) -> Answer {
    let acting = state.acting(&parts, "storage.bucket.delete").await?;
    buckets::remove(&state.callers, &acting, &id).await?;
    Ok(Json(json!({ "message": "Successfully deleted" })))
}

/// `POST /bucket/{id}/empty`: the rows go now, and the bytes soon after.
pub(super) async fn empty(State(state): State<StorageState>, Named(id): Named, parts: Parts) -> Answer {
    let acting = state.service(&parts, "storage.bucket.empty").await?;
    state.bucket(&id).await?;
    objects::remove_prefix(&state.callers, &acting, objects::At { bucket: &id, name: "" }).await?;
    state.litter.notify_one();
    let message = "Empty bucket has been queued. Completion may take up to an hour.";
    Ok(Json(json!({ "message": message })))
}

/// `PUT /quota/owner/{id}`: how much one owner may store; `null` takes the limit away.
pub(super) async fn owner_quota(
    State(state): State<StorageState>,
    Named(id): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.service(&parts, "storage.quota.update").await?;
    let wanted: Quota = read_json(&parts, body).await?;
    check_quota(&state, &acting, wanted.quota_bytes)?;
    quotas::set(&state.pool, (QuotaOf::Owner, &id), wanted.quota_bytes).await?;
    Ok(Json(json!({ "message": "Successfully updated" })))
}

/// A bucket's limit, which the server's own bounds.
fn limit(state: &StorageState, value: Option<&Value>) -> Result<Option<i64>, StorageError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let size = size_in_bytes(value).ok_or_else(|| {
        StorageError::InvalidRequest(
            "body/file_size_limit must be a number of bytes, or text such as 20MB".to_owned(),
        )
    })?;
    let largest = i64::try_from(state.config.file_size_limit.get()).unwrap_or(i64::MAX);
    if size > largest { Err(StorageError::EntityTooLarge) } else { Ok(Some(size)) }
}

fn check_types(types: Option<&[String]>) -> Result<(), StorageError> {
    match types.unwrap_or_default().iter().find(|text| !is_type_pattern(text)) {
        Some(wrong) => Err(StorageError::InvalidMimeType(wrong.clone())),
        None => Ok(()),
    }
}

/// Quotas are for those who are not bound by them.
fn check_quota(state: &StorageState, acting: &Acting, bytes: Option<i64>) -> Result<(), StorageError> {
    if bytes.is_some_and(|bytes| bytes < 0) {
        return Err(StorageError::InvalidRequest("body/quota_bytes must not be negative".to_owned()));
    }
    if state.is_server(acting) { Ok(()) } else { Err(StorageError::ServiceOnly) }
}

/// Whether a client takes a bucket's type.
fn knows_types(parts: &Parts) -> bool {
    let client = parts.headers.get("x-client-info").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let python = ["supabase-py/", "storage3/"].iter().find_map(|name| client.split(name).nth(1));
    let Some(version) = python else { return true };
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= TYPED_PYTHON
}
