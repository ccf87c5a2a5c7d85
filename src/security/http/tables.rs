//! Rules of tables: list, show, replace, change, remove, history.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::model::QualifiedName;
use crate::policy::model::TableSecurity;
use crate::policy::store::{Expected, StoreError, StoredRules};
use crate::security::error::SecurityError;
use crate::security::model::{
    patched, shown, shown_past, table_name, tag_of_version, version_of_tag, without_bookkeeping,
};
use crate::security::state::SecurityState;

use super::{RuleManager, json_object};

/// The rules of all tables.
pub(super) async fn list(
    _: RuleManager,
    State(state): State<SecurityState>,
) -> Result<Json<Value>, SecurityError> {
    let stored = state.rules.list().await?;
    Ok(Json(stored.iter().map(shown).collect()))
}

/// The rules of one table.
pub(super) async fn show(
    _: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
) -> Result<Response, SecurityError> {
    let stored = state.rules.get(&name(&table)?).await?;
    Ok(answer(StatusCode::OK, &stored))
}

/// Rules in place of those that there are, if any.
pub(super) async fn replace(
    manager: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    parts: Parts,
    body: Body,
) -> Result<Response, SecurityError> {
    let name = name(&table)?;
    let expected = expected(&parts.headers)?;
    let body = without_bookkeeping(json_object(&parts, body).await?);
    let rules = TableSecurity::parse(body.into())?;
    let before = found(state.rules.get(&name).await)?;
    let old_filters =
        before.as_ref().and_then(|stored| stored.rules.as_ref().ok()).map(|rules| &rules.custom_filters);
    manager.check_filters(
        old_filters.map_or(!rules.custom_filters.is_empty(), |old| *old != rules.custom_filters),
    )?;
    let catalog = state.catalog()?;
    let stored = state.rules.put(&catalog, &name, &rules, expected, manager.name()).await?;
    state.catalog.reload().await;
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answer(status, &stored))
}

/// Single rules changed (RFC 7396): what is null is off again.
pub(super) async fn change(
    manager: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    parts: Parts,
    body: Body,
) -> Result<Response, SecurityError> {
    let name = name(&table)?;
    let expected = expected(&parts.headers)?;
    let changes = without_bookkeeping(json_object(&parts, body).await?);
    manager.check_filters(changes.contains_key("custom_filters"))?;
    let stored = state.rules.get(&name).await?;
    let old = stored.rules.map_err(|problem| StoreError::Unreadable { table: name.clone(), problem })?;
    let rules = TableSecurity::parse(patched(&old, changes))?;
    // What was read is what is changed, also where the client did not ask for it.
    let expected = match expected {
        Expected::Any | Expected::Present => Expected::Version(stored.version),
        named => named,
    };
    let catalog = state.catalog()?;
    let stored = state.rules.put(&catalog, &name, &rules, expected, manager.name()).await?;
    state.catalog.reload().await;
    Ok(answer(StatusCode::OK, &stored))
}

/// A table without rules.
pub(super) async fn remove(
    manager: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, SecurityError> {
    let name = name(&table)?;
    let before = found(state.rules.get(&name).await)?.and_then(|stored| stored.rules.ok());
    manager.check_filters(before.is_some_and(|before| !before.custom_filters.is_empty()))?;
    let catalog = state.catalog()?;
    state.rules.delete(&catalog, &name, expected(&headers)?, manager.name()).await?;
    state.catalog.reload().await;
    Ok(StatusCode::NO_CONTENT)
}

/// How many entries of a history are wanted.
#[derive(Deserialize)]
pub(super) struct HistoryPage {
    limit: Option<u32>,
}

/// The newest entries of a history when nothing else is asked for.
const HISTORY_PAGE: u32 = 100;

/// Every version of a table's rules, the newest first.
pub(super) async fn history(
    _: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    Query(page): Query<HistoryPage>,
) -> Result<Json<Value>, SecurityError> {
    let past = state.rules.history(&name(&table)?, page.limit.unwrap_or(HISTORY_PAGE)).await?;
    Ok(Json(past.iter().map(shown_past).collect()))
}

fn name(table: &str) -> Result<QualifiedName, SecurityError> {
    table_name(table).ok_or(SecurityError::BadTable)
}

/// A table without rules is no error here.
fn found(stored: Result<StoredRules, StoreError>) -> Result<Option<StoredRules>, StoreError> {
    match stored {
        Ok(stored) => Ok(Some(stored)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `If-Match` and `If-None-Match` (RFC 9110, 13.1).
fn expected(headers: &HeaderMap) -> Result<Expected, SecurityError> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expected::Any),
        (Some("*"), None) => Ok(Expected::Present),
        (None, Some("*")) => Ok(Expected::Absent),
        (Some(tag), None) => version_of_tag(tag).map(Expected::Version).ok_or(SecurityError::BadCondition),
        _ => Err(SecurityError::BadCondition),
    }
}

fn answer(status: StatusCode, stored: &StoredRules) -> Response {
    let mut response = (status, Json(json!(shown(stored)))).into_response();
    if let Ok(tag) = HeaderValue::try_from(tag_of_version(stored.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
