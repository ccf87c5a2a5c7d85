//! URLs that open one object for a while (contract section 4).

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http::request::Parts;
use percent_encoding::utf8_percent_encode;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::places::{Named, Place};
use super::request::json as read_json;
use super::upload::wants_upsert;
use crate::storage::error::StorageError;
use crate::storage::flow::upload::Target;
use crate::storage::image::TransformOptions;
use crate::storage::links::PATH;
use crate::storage::model::options::UploadOptions;
use crate::storage::model::token::{Scope, UrlClaims};
use crate::storage::state::StorageState;
use crate::storage::store::objects;

/// The most paths of one request.
const MOST: usize = 1000;

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignOne {
    #[serde(deserialize_with = "seconds")]
    expires_in: i64,
    #[serde(default)]
    transform: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignMany {
    #[serde(deserialize_with = "seconds")]
    expires_in: i64,
    paths: Vec<String>,
}

/// A number, or the text of one, as the Python client sends it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(i64),
        Text(String),
    }
    let number = match Seconds::deserialize(deserializer) {
        Ok(Seconds::Number(number)) => Some(number),
        Ok(Seconds::Text(text)) => text.parse().ok(),
        Err(_) => None,
    };
    number.ok_or_else(|| D::Error::custom("must be a number of seconds"))
}

/// `POST /object/sign/{bucket}/{key}`
pub(super) async fn sign(State(state): State<StorageState>, place: Place, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.sign").await?;
    let wanted: SignOne = read_json(&parts, body).await?;
    let transform = wanted.transform.filter(|fields| !fields.is_empty());
    let transform =
        transform.map(|fields| TransformOptions::from_json(&fields, &state.renderer.limits)).transpose()?;
    let ends = ends(&state, wanted.expires_in)?;
    let at = objects::At { bucket: &place.bucket, name: place.key.as_str() };
    objects::find(&state.callers, &acting, at).await?.ok_or(StorageError::NoSuchKey)?;
    Ok(Json(json!({ "signedURL": signed_url(&state, &place.full(), ends, transform.as_ref())? })))
}

/// `POST /object/sign/{bucket}`
pub(super) async fn sign_many(
    State(state): State<StorageState>,
    Named(bucket): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.sign_many").await?;
    let wanted: SignMany = read_json(&parts, body).await?;
    if wanted.paths.is_empty() || wanted.paths.len() > MOST {
        return Err(StorageError::InvalidRequest(format!("body/paths must have 1 to {MOST} paths")));
    }
    let ends = ends(&state, wanted.expires_in)?;
    let seen = objects::seen(&state.callers, &acting, &bucket, &wanted.paths).await?;
    let seen: std::collections::HashSet<&str> = seen.iter().map(String::as_str).collect();
    let mut answers = Vec::with_capacity(wanted.paths.len());
    for path in &wanted.paths {
        answers.push(if seen.contains(path.as_str()) {
            let url = signed_url(&state, &format!("{bucket}/{path}"), ends, None)?;
            json!({ "error": null, "path": path, "signedURL": url })
        } else {
            let error = "Either the object does not exist or you do not have access to it";
            json!({ "error": error, "path": path, "signedURL": null })
        });
    }
    Ok(Json(Value::Array(answers)))
}

/// `POST /object/upload/sign/{bucket}/{key}`: whoever may write it now lets somebody else do so.
pub(super) async fn sign_upload(State(state): State<StorageState>, place: Place, parts: Parts) -> Answer {
    let acting = state.acting(&parts, "storage.object.sign_upload_url").await?;
    let (full, wants_upsert) = (place.full(), wants_upsert(&parts.headers));
    let owner = acting.caller.subject.as_deref().map(str::to_owned);
    let mut target = Target {
        bucket: state.bucket(&place.bucket).await?,
        key: place.key,
        owner: owner.clone(),
        options: UploadOptions::beside_a_form(&parts.headers)?,
        upsert: wants_upsert,
        replaceable: None,
    };
    state.probe(&acting, &mut target, None).await?;
    // Where nothing could be tried to replace, nobody said that it may be.
    let upsert = wants_upsert && target.replaceable.is_none_or(|id| !id.is_nil());
    let now = state.clock.unix_seconds();
    let lifetime = i64::try_from(state.config.upload_url_lifetime.get().as_secs()).unwrap_or(i64::MAX);
    let claims = UrlClaims {
        url: full.clone(),
        scope: Scope::Upload,
        iat: now,
        exp: now.saturating_add(lifetime),
        by: owner.is_none().then(|| acting.begun_by().to_string()),
        owner,
        upsert,
        transformations: None,
        format: None,
    };
    let token = state.url_key.sign(&claims).ok_or(StorageError::Internal)?;
    let path = utf8_percent_encode(&full, PATH);
    Ok(Json(json!({ "url": format!("/object/upload/sign/{path}?token={token}"), "token": token })))
}

fn signed_url(
    state: &StorageState,
    full: &str,
    ends: i64,
    transform: Option<&TransformOptions>,
) -> Result<String, StorageError> {
    let claims = UrlClaims {
        url: full.to_owned(),
        scope: Scope::Download,
        iat: state.clock.unix_seconds(),
        exp: ends,
        owner: None,
        by: None,
        upsert: false,
        transformations: transform.map(TransformOptions::claim),
        format: transform.and_then(|options| options.format).map(|format| format.name().to_owned()),
    };
    let token = state.url_key.sign(&claims).ok_or(StorageError::Internal)?;
    let route = if transform.is_some() { "render/image" } else { "object" };
    Ok(format!("/{route}/sign/{full}?token={token}"))
}

/// The second at which a URL ends.
fn ends(state: &StorageState, expires_in: i64) -> Result<i64, StorageError> {
    let longest = i64::try_from(state.config.max_signed_url.get().as_secs()).unwrap_or(i64::MAX);
    if !(1..=longest).contains(&expires_in) {
        return Err(StorageError::InvalidRequest(format!(
            "body/expiresIn must be between 1 and {longest} seconds"
        )));
    }
    Ok(state.clock.unix_seconds().saturating_add(expires_in))
}
