//! Pictures in another size or format (contract section 8): by the same rights as the original.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use super::download::serve;
use super::places::Place;
use super::request::query;
use crate::storage::error::StorageError;
use crate::storage::flow::download::Right;
use crate::storage::flow::serve::{Presentation, described_by_headers, insert};
use crate::storage::image::{OptionError, Target, TransformOptions};
use crate::storage::model::conditions::{self, Verdict};
use crate::storage::model::token::Scope;
use crate::storage::state::StorageState;

const X_TRANSFORMATIONS: HeaderName = HeaderName::from_static("x-transformations");

type Answer = Result<Response, StorageError>;

/// `GET /render/image/authenticated/{bucket}/{key}`
pub(super) async fn authenticated(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let options = of_query(&state, &parts)?;
    let right = Right::Caller(state.acting(&parts, "storage.render.image_authenticated").await?);
    render(&state, &right, &place, (&parts, None), &options).await
}

/// `GET /render/image/public/{bucket}/{key}`
pub(super) async fn public(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let options = of_query(&state, &parts)?;
    render(&state, &Right::Public, &place, (&parts, None), &options).await
}

/// `GET /render/image/sign/{bucket}/{key}?token=`: what is to be done stands in the token.
pub(super) async fn signed(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let token = query(&parts, "token").unwrap_or_default();
    let claims = state.url_key.check(&token, (Scope::Download, &place.full()), state.clock.unix_seconds())?;
    let Some(claim) = &claims.transformations else {
        return Err(StorageError::InvalidToken("the token is for the original"));
    };
    let options = TransformOptions::from_claim(claim, claims.format.as_deref(), &state.renderer.limits)?;
    render(&state, &Right::Signed, &place, (&parts, Some(claims.exp)), &options).await
}

fn of_query(state: &StorageState, parts: &Parts) -> Result<TransformOptions, StorageError> {
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(TransformOptions::from_pairs(pairs, &state.renderer.limits)?)
}

async fn render(
    state: &StorageState,
    right: &Right,
    place: &Place,
    (parts, ends): (&Parts, Option<i64>),
    options: &TransformOptions,
) -> Answer {
    let object = state.object(right, &place.bucket, &place.key).await?;
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = Target::negotiate(options.format, accept);
    let Some(picture) = state.picture(&object, options, target).await? else {
        return serve(state, right, place, parts, ends).await;
    };
    let download = query(parts, "download");
    let shown = Presentation { download: download.as_deref(), ends, ..Presentation::default() };
    let mut headers = described_by_headers(&object, shown);
    let tag = format!("\"{}\"", options.cache_key(target, object.version.as_deref().unwrap_or_default()));
    insert(&mut headers, ETAG, &tag);
    insert(&mut headers, X_TRANSFORMATIONS, &options.header());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(picture.content_type));
    // That of the original.
    headers.remove(CONTENT_ENCODING);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if conditions::verdict(&parts.headers, &tag, object.last_modified()) == Verdict::NotModified {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    if ends.is_some() {
        headers.remove(CACHE_CONTROL);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(picture.bytes.len()));
    Ok((StatusCode::OK, headers, Body::from(picture.bytes)).into_response())
}

impl From<OptionError> for StorageError {
    fn from(error: OptionError) -> Self {
        Self::InvalidRequest(format!("querystring/{error}"))
    }
}
