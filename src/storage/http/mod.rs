//! The REST protocol (contract sections 3 to 7). The names behind `/object/` that are no buckets come first.

mod buckets;
mod cdn;
mod download;
pub(super) mod form_head;
mod lingering;
mod listing;
mod operations;
mod places;
mod quarantine;
mod render;
pub(super) mod request;
mod s3_keys;
mod sign;
mod upload;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post, put};
use axum::{Json, extract::DefaultBodyLimit};
use serde_json::{Value, json};

use http::request::Parts;

use super::error::StorageError;
use super::s3;
use super::state::StorageState;
use super::tus;

/// The routes, without the prefix.
pub fn router(state: StorageState) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/bucket", get(buckets::list).post(buckets::create))
        .route("/bucket/", get(buckets::list).post(buckets::create))
        .route("/bucket/{id}", get(buckets::show).put(buckets::update).delete(buckets::remove))
        .route("/bucket/{id}/empty", post(buckets::empty))
        .route("/quota/owner/{id}", put(buckets::owner_quota))
        .route("/object/public/{bucket}/{*key}", get(download::public))
        .route("/object/authenticated/{bucket}/{*key}", get(download::authenticated))
        .route("/object/info/public/{bucket}/{*key}", get(download::info_public))
        .route("/object/info/authenticated/{bucket}/{*key}", get(download::info))
        .route("/object/info/{bucket}/{*key}", get(download::info))
        .route("/object/sign/{bucket}", post(sign::sign_many))
        .route("/object/sign/{bucket}/{*key}", get(download::signed).post(sign::sign))
        .route("/object/upload/sign/{bucket}/{*key}", post(sign::sign_upload).put(upload::signed))
        .route("/object/list/{bucket}", post(listing::list))
        .route("/object/list-v2/{bucket}", post(listing::list_v2))
        .route("/object/move", post(operations::move_object))
        .route("/object/copy", post(operations::copy_object))
        .route("/object/move-prefix", post(operations::move_prefix))
        .route("/object/prefix", delete(operations::remove_prefix))
        .route("/object/{bucket}", delete(operations::remove_many))
        .route(
            "/object/{bucket}/{*key}",
            get(download::object).post(upload::create).put(upload::replace).delete(operations::remove),
        )
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/{version}/release", post(quarantine::release))
        .route("/s3-keys", get(s3_keys::list).post(s3_keys::create))
        .route("/s3-keys/{id}", delete(s3_keys::remove))
        .route("/s3", any(s3::serve))
        .route("/s3/", any(s3::serve))
        .route("/s3/{*path}", any(s3::serve))
        .merge(tus::router())
        .route("/render/image/public/{bucket}/{*key}", get(render::public))
        .route("/render/image/authenticated/{bucket}/{*key}", get(render::authenticated))
        .route("/render/image/sign/{bucket}/{*key}", get(render::signed))
        .route("/cdn/", delete(cdn::purge))
        .route("/cdn/{*place}", delete(cdn::purge))
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), lingering::linger))
        .with_state(state)
}

async fn no_route(parts: Parts) -> StorageError {
    StorageError::NoRoute(format!("Route {}:{} not found", parts.method, parts.uri.path()))
}

async fn health() -> Json<Value> {
    Json(json!({ "healthy": true }))
}
