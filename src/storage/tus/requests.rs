//! The requests of the protocol.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::{abilities, empty, no_such_method, refused, standing};
use super::arriving::Arriving;
use super::headers::{self, Length};
use super::id::UploadId;
use super::location;
use super::metadata::UploadMetadata;
use super::receive::{Bringing, Progress};
use super::writer::{Operation, Right, Writer};
use crate::storage::error::StorageError;
use crate::storage::flow::upload::Target;
use crate::storage::http::request::context;
use crate::storage::state::StorageState;
use crate::storage::store::tus::{self, NewUpload, Phase};

type Answer = Result<Response, StorageError>;

/// The routes, without the prefix of storage.
pub(in crate::storage) fn router() -> Router<StorageState> {
    let mut router = Router::new();
    for (path, right) in [("/upload/resumable", Right::Caller), ("/upload/resumable/sign", Right::Signed)] {
        let all =
            move |State(state): State<StorageState>, request: Request<Body>| uploads(state, right, request);
        let one = move |State(state): State<StorageState>, Path(id): Path<String>, request: Request<Body>| {
            upload(state, right, id, request)
        };
        router = router
            .route(path, any(all))
            .route(&format!("{path}/"), any(all))
            .route(&format!("{path}/{{id}}"), any(one));
    }
    router
}

async fn uploads(state: StorageState, right: Right, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let outcome = match parts.method {
        Method::OPTIONS => Ok(abilities(state.config.file_size_limit.get())),
        _ if !headers::is_our_version(&parts.headers) => Err(StorageError::OtherTusVersion),
        Method::POST => Box::pin(create(&state, right, &parts, body)).await,
        _ => Ok(no_such_method("OPTIONS, POST")),
    };
    outcome.unwrap_or_else(|error| refused(&error))
}

async fn upload(state: StorageState, right: Right, id: String, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let method = if parts.method == Method::POST {
        headers::meant_method(&parts.headers)
    } else {
        parts.method.clone()
    };
    if method == Method::OPTIONS {
        return abilities(state.config.file_size_limit.get());
    }
    let outcome = async {
        if !headers::is_our_version(&parts.headers) {
            return Err(StorageError::OtherTusVersion);
        }
        let id = UploadId::parse(&id, state.alphabet()).ok_or(StorageError::NoSuchUpload)?;
        match method {
            Method::PATCH => Box::pin(append(&state, right, id, &parts, body)).await,
            Method::HEAD => show(&state, right, &id, &parts).await,
            Method::DELETE => terminate(&state, right, id, &parts).await,
            _ => Ok(no_such_method("DELETE, HEAD, OPTIONS, PATCH")),
        }
    };
    outcome.await.unwrap_or_else(|error| refused(&error))
}

/// Begins an upload, with its first bytes if the request has any.
async fn create(state: &StorageState, right: Right, parts: &Parts, body: Body) -> Answer {
    let said = UploadMetadata::parse(headers::metadata(&parts.headers))?;
    let length = match headers::length(&parts.headers)? {
        Length::Known(length) => Some(length),
        Length::Deferred => None,
    };
    let id = UploadId { key: state.key(&said.key)?, bucket: said.bucket, version: state.new_version() };
    let writer = state.writer(parts, right, Operation::Create, &id.place()).await?;
    let mut target = Target {
        bucket: state.bucket(&id.bucket).await?,
        key: id.key.clone(),
        owner: writer.owner.clone(),
        options: said.options,
        upsert: writer.upsert,
        replaceable: None,
    };
    state.admit_writer(&writer, &mut target, length).await?;
    state.has_room(Some(id.version), &target, length.unwrap_or(0)).await?;
    let has_bytes = headers::has_bytes(&parts.headers);
    if !has_bytes && headers::has_body(&parts.headers) {
        return Err(StorageError::NoOffsetStream);
    }
    let (bringing, bytes) = bringing(state, parts, body, 0)?;
    let new = NewUpload {
        version: id.version,
        bucket: &id.bucket,
        name: id.key.as_str(),
        owner: writer.owner.as_deref(),
        begun_by: &writer.begun_by,
        is_signed: right == Right::Signed,
        upsert: target.upsert,
        options: &target.options,
        said: &said.said,
        length,
    };
    let expires_at = tus::create(&state.pool, &new, state.config.tus_lifetime.get()).await?;
    let progress = begin(state, &id, target, length, (has_bytes, bringing, bytes)).await?;
    created(state, right, parts, &id, (progress, expires_at))
}

/// Takes the first bytes of an upload, if any come with its request or none ever will.
async fn begin(
    state: &StorageState,
    id: &UploadId,
    target: Target,
    length: Option<u64>,
    (has_bytes, bringing, bytes): (bool, Bringing, Arriving),
) -> Result<Progress, StorageError> {
    if !has_bytes && length != Some(0) {
        return Ok(Progress { offset: 0, is_finished: false });
    }
    let (owned, version) = (state.clone(), id.version);
    to_its_end(state, async move {
        let taken = owned.take(version, &target, bringing, bytes).await;
        if taken.is_err() {
            // Its client has not been told of it, so that nobody will go on with it.
            if let Err(error) = end(&owned, version).await {
                tracing::debug!("a resumable upload that failed at once expires later: {error}");
            }
        }
        taken
    })
    .await
}

/// Ends an upload before it is finished.
async fn end(state: &StorageState, version: Uuid) -> Result<(), StorageError> {
    let remove = |hold, _| async move { tus::remove(&state.pool, hold).await.map_err(StorageError::from) };
    state.holding(version, &CancellationToken::new(), remove).await?;
    state.litter.notify_one();
    Ok(())
}

fn created(
    state: &StorageState,
    right: Right,
    parts: &Parts,
    id: &UploadId,
    (progress, expires_at): (Progress, DateTime<Utc>),
) -> Answer {
    let is_from_proxy = context(parts)?.is_from_proxy;
    let base = location::base(state.public_url.as_deref(), &parts.headers, &parts.uri, is_from_proxy);
    let folder = if right == Right::Signed { "sign/" } else { "" };
    let base = base.unwrap_or_default();
    let location = format!("{base}{}/upload/resumable/{folder}{id}", state.prefix);
    let location = HeaderValue::from_str(&location).map_err(|_| StorageError::Internal)?;
    let mut response = standing(StatusCode::CREATED, progress, expires_at);
    response.headers_mut().insert(http::header::LOCATION, location);
    Ok(response)
}

/// Takes bytes.
async fn append(state: &StorageState, right: Right, id: UploadId, parts: &Parts, body: Body) -> Answer {
    if !headers::has_bytes(&parts.headers) {
        return Err(StorageError::NoOffsetStream);
    }
    let offset = headers::offset(&parts.headers)?;
    let writer = state.writer(parts, right, Operation::Part, &id.place()).await?;
    let upload = state.upload(&id, &writer).await?;
    if upload.phase == Phase::Finished {
        return finished_before(&upload, offset, parts);
    }
    let version = id.version;
    let mut target = state.target(id, &upload).await?;
    state.admit_writer(&writer, &mut target, upload.length).await?;
    let (bringing, bytes) = bringing(state, parts, body, offset)?;
    let owned = state.clone();
    let taken = to_its_end(state, async move { owned.take(version, &target, bringing, bytes).await });
    Ok(standing(StatusCode::NO_CONTENT, taken.await?, upload.expires_at))
}

/// The answer to a client that has not heard that all is there.
fn finished_before(upload: &tus::Upload, offset: u64, parts: &Parts) -> Answer {
    if offset != upload.received {
        return Err(StorageError::OffsetConflict(upload.received));
    }
    if headers::has_body(&parts.headers) {
        return Err(StorageError::EntityTooLarge);
    }
    let progress = Progress { offset, is_finished: true };
    Ok(standing(StatusCode::NO_CONTENT, progress, upload.expires_at))
}

/// Says where an upload stands, to whoever began it. It is no object yet, so that no policies are asked.
async fn show(state: &StorageState, right: Right, id: &UploadId, parts: &Parts) -> Answer {
    let writer = state.writer(parts, right, Operation::Get, &id.place()).await?;
    let upload = state.upload(id, &writer).await?;
    let progress = Progress { offset: upload.received, is_finished: upload.phase == Phase::Finished };
    let mut response = standing(StatusCode::OK, progress, upload.expires_at);
    let headers = response.headers_mut();
    match upload.length {
        Some(length) => headers.insert("upload-length", HeaderValue::from(length)),
        None => headers.insert("upload-defer-length", HeaderValue::from_static("1")),
    };
    if let Ok(said) = HeaderValue::from_str(&upload.said) {
        headers.insert("upload-metadata", said);
    }
    Ok(response)
}

/// Ends an upload that nobody wants.
async fn terminate(state: &StorageState, right: Right, id: UploadId, parts: &Parts) -> Answer {
    let writer: Writer = state.writer(parts, right, Operation::Delete, &id.place()).await?;
    let upload = state.upload(&id, &writer).await?;
    if upload.phase == Phase::Finished {
        return Err(StorageError::UploadFinished);
    }
    let version = id.version;
    if let Some(acting) = &writer.acting {
        let mut target = state.target(id, &upload).await?;
        state.probe(acting, &mut target, upload.length).await?;
    }
    end(state, version).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn bringing(
    state: &StorageState,
    parts: &Parts,
    body: Body,
    offset: u64,
) -> Result<(Bringing, Arriving), StorageError> {
    let bringing = Bringing {
        offset,
        length: headers::later_length(&parts.headers)?,
        announced: headers::content_length(&parts.headers),
    };
    Ok((bringing, Arriving::new(body, state.body_pause, headers::checksum(&parts.headers)?)))
}

/// Does what must not end in its middle when the client hangs up: what has arrived is kept.
async fn to_its_end<T: Send + 'static>(
    state: &StorageState,
    work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    state.tracker.spawn(work).await.map_err(|_| StorageError::Internal)?
}
