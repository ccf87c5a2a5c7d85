//! Single objects: written, read, removed.

use std::collections::HashSet;

use axum::response::IntoResponse;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE, EXPIRES, IF_MATCH,
    IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::answer::{empty, refusal, written, xml};
use super::error::S3Error;
use super::metadata;
use super::operation::{Location, ResponseOverrides};
use super::service::{Answer, Call, Content};
use super::xml::{self as documents, Deletion, EmptyTagging, FailedKey};
use crate::storage::error::StorageError;
use crate::storage::flow::download::Right;
use crate::storage::flow::serve::{Asked, Presentation, Served, described_by_headers, insert};
use crate::storage::flow::upload::Target;
use crate::storage::model::object::Object;
use crate::storage::model::options::UploadOptions;
use crate::storage::model::served_type::served_type;
use crate::storage::store::objects;

/// `PutObject`
pub(super) async fn put(call: &Call, at: &Location, content: Content) -> Answer {
    let key = call.key(&at.key)?;
    if at.key.ends_with('/') && content.length.is_some_and(|length| length > 0) {
        return Err(StorageError::InvalidKey(at.key.clone()));
    }
    let mut target = Target {
        bucket: call.state.bucket(&at.bucket).await?,
        key,
        owner: call.owner(),
        options: options(&call.headers)?,
        upsert: may_replace(&call.headers)?,
        replaceable: None,
    };
    let receipt = content.body.receipt();
    let stored = async {
        call.state.admit(Some(&call.acting), &mut target, content.length).await?;
        call.state.store(&target, content.body).await
    }
    .await;
    let uploaded = stored.map_err(|error| match error {
        // It was to be written only where there is none.
        StorageError::AlreadyExists => S3Error::PreconditionFailed.into(),
        error => error,
    })?;
    Ok(empty(StatusCode::OK, written(&uploaded.metadata.e_tag, &receipt)))
}

/// What headers say of bytes that are written.
pub(super) fn options(headers: &HeaderMap) -> Result<UploadOptions, StorageError> {
    let mut options = UploadOptions::of_headers(headers)?;
    let own: Map<String, Value> =
        metadata::user_metadata(headers)?.into_iter().map(|(name, value)| (name, value.into())).collect();
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    options.content_encoding = encoding.and_then(metadata::stored_content_encoding);
    options.user_metadata = (!own.is_empty()).then_some(own);
    Ok(options)
}

/// Whether an object that is there may be replaced. Other conditions on writes would have to hold until the end.
pub(super) fn may_replace(headers: &HeaderMap) -> Result<bool, StorageError> {
    match (headers.get(IF_NONE_MATCH).map(HeaderValue::as_bytes), headers.contains_key(IF_MATCH)) {
        (None, false) => Ok(true),
        (Some(b"*"), false) => Ok(false),
        _ => Err(S3Error::NotImplemented("A condition on a write other than If-None-Match: *".into()).into()),
    }
}

/// `GetObject`, and `HeadObject` with `head`.
pub(super) async fn get(call: &Call, at: &Location, overrides: &ResponseOverrides, head: bool) -> Answer {
    let key = call.key(&at.key)?;
    let right = Right::Caller(call.acting.clone());
    let asked = Asked { bucket: &at.bucket, key: &key, headers: &call.headers, head };
    let describe = |object: &Object| described(object, overrides, call.is_presigned);
    match call.state.serve(&right, asked, describe).await? {
        Served::Content(response) => Ok(response),
        Served::NotModified(headers) => Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Served::Failed(_) => Err(S3Error::PreconditionFailed.into()),
        Served::Unsatisfiable { size } => {
            let resource = format!("/{}/{}", at.bucket, at.key);
            let mut response = refusal(&StorageError::InvalidRange, &resource, head);
            insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            Ok(response)
        }
    }
}

/// What the headers of a download say, with those that the client asked for in their place. A type that a browser makes a
/// document of is served as everywhere where a browser can follow the URL.
fn described(object: &Object, overrides: &ResponseOverrides, is_presigned: bool) -> HeaderMap {
    let shown = Presentation { as_declared: !is_presigned, ..Presentation::default() };
    let mut object = object.clone();
    if let (Some(Ok(wanted)), Some(Value::Object(metadata))) =
        (overrides.content_type.as_ref().map(HeaderValue::to_str), &mut object.metadata)
    {
        metadata.insert("mimetype".to_owned(), wanted.into());
    }
    let mut headers = described_by_headers(&object, shown);
    for (name, value) in object.user_metadata.iter().flatten() {
        let Ok(name) = HeaderName::try_from(format!("x-amz-meta-{name}")) else { continue };
        match value {
            Value::String(text) => insert(&mut headers, name, text),
            value => insert(&mut headers, name, &value.to_string()),
        }
    }
    let is_active = served_type(&object.stored().mimetype).is_active;
    let others = [
        (CONTENT_LANGUAGE, &overrides.content_language),
        (EXPIRES, &overrides.expires),
        (CACHE_CONTROL, &overrides.cache_control),
        (CONTENT_ENCODING, &overrides.content_encoding),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    // What is offered to be saved stays so.
    if let Some(value) = overrides.content_disposition.as_ref().filter(|_| !(is_active && is_presigned)) {
        headers.insert(CONTENT_DISPOSITION, value.clone());
    }
    headers
}

/// `GetObjectTagging`
pub(super) async fn tagging(call: &Call, at: &Location) -> Answer {
    let key = call.key(&at.key)?;
    call.state.object(&Right::Caller(call.acting.clone()), &at.bucket, &key).await?;
    Ok(xml(&EmptyTagging))
}

/// `DeleteObject`: that there is none is fine.
pub(super) async fn delete(call: &Call, at: &Location) -> Answer {
    let left = remove(call, &at.bucket, vec![call.key(&at.key)?.to_string()]).await?;
    if left.is_empty() { Ok(empty(StatusCode::NO_CONTENT, HeaderMap::new())) } else { Err(denied()) }
}

/// `DeleteObjects`
pub(super) async fn delete_many(call: &Call, bucket: &str, content: Content) -> Answer {
    let wanted = documents::parse_delete(&call.document(content, documents::MAX_BODY).await?)?;
    let mut deletion = Deletion::default();
    let mut named = Vec::with_capacity(wanted.keys.len());
    for key in wanted.keys {
        match call.key(&key) {
            Ok(name) => named.push((key, name.to_string())),
            Err(error) => deletion.failed.push(failed(key, &error)),
        }
    }
    let left = remove(call, bucket, named.iter().map(|(_, name)| name.clone()).collect()).await?;
    for (key, name) in named {
        if left.contains(&name) {
            deletion.failed.push(failed(key, &denied()));
        } else if !wanted.quiet {
            deletion.deleted.push(key);
        }
    }
    Ok(xml(&deletion))
}

/// Removes objects; those that the caller sees and may not remove are given.
async fn remove(call: &Call, bucket: &str, names: Vec<String>) -> Result<HashSet<String>, StorageError> {
    let (callers, acting) = (&call.state.callers, &call.acting);
    call.state.bucket(bucket).await?;
    let gone = objects::remove(callers, acting, bucket, &names).await?;
    if !gone.is_empty() {
        call.state.litter.notify_one();
    }
    if gone.len() == names.len() {
        return Ok(HashSet::new());
    }
    Ok(objects::seen(callers, acting, bucket, &names).await?.into_iter().collect())
}

fn denied() -> StorageError {
    StorageError::AccessDenied("Access denied".to_owned())
}

fn failed(key: String, error: &StorageError) -> FailedKey {
    FailedKey { key, code: error.facts().0.to_owned(), message: error.to_string() }
}
