//! Rules of tables: list, show, replace, change, remove, history.

use std::collections::BTreeMap;

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
    let rules = without_bookkeeping(json_object(&parts, body).await?);
    let rules = TableSecurity::parse(rules.into())?;
    let change = Change::begin(&state, &manager, &table, &parts.headers).await?;
    let status = if change.before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    change.store(&rules, status).await
}

/// Single rules changed (RFC 7396): what is null is off again.
pub(super) async fn change(
    manager: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    parts: Parts,
    body: Body,
) -> Result<Response, SecurityError> {
    let changes = without_bookkeeping(json_object(&parts, body).await?);
    let change = Change::begin(&state, &manager, &table, &parts.headers).await?;
    let rules = TableSecurity::parse(patched(change.rules_before()?, changes))?;
    change.store(&rules, StatusCode::OK).await
}

/// A table without rules.
pub(super) async fn remove(
    manager: RuleManager,
    State(state): State<SecurityState>,
    Path(table): Path<String>,
    headers: HeaderMap,
) -> Result<Response, SecurityError> {
    Change::begin(&state, &manager, &table, &headers).await?.remove().await
}

/// The warning beside a change that was made and that this server could not read.
const NOT_IN_FORCE: &str = r#"199 - "The change is stored, but this server cannot read it yet: the table is closed here until it can""#;

/// A change to the rules of one table: what is stored now, and what must still be stored when the change is made.
struct Change<'a> {
    state: &'a SecurityState,
    manager: &'a RuleManager,
    name: QualifiedName,
    before: Option<StoredRules>,
    expected: Expected,
}

impl<'a> Change<'a> {
    async fn begin(
        state: &'a SecurityState,
        manager: &'a RuleManager,
        table: &str,
        headers: &HeaderMap,
    ) -> Result<Self, SecurityError> {
        let name = name(table)?;
        let asked_for = expected(headers)?;
        let before = match state.rules.get(&name).await {
            Ok(stored) => Some(stored),
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let expected = of_what_was_read(asked_for, before.as_ref());
        Ok(Self { state, manager, name, before, expected })
    }

    /// The rules that are to be changed.
    fn rules_before(&self) -> Result<&TableSecurity, StoreError> {
        let stored = self.before.as_ref().ok_or_else(|| StoreError::NotFound(self.name.clone()))?;
        stored
            .rules
            .as_ref()
            .map_err(|problem| StoreError::Unreadable { table: self.name.clone(), problem: problem.clone() })
    }

    /// Conditions on rows may only be changed by who may write some. Those of rules that cannot be read are not known, so
    /// that to replace them counts as a change.
    fn check_filters(&self, after: &BTreeMap<String, String>) -> Result<(), SecurityError> {
        let keeps = match self.before.as_ref().map(|stored| &stored.rules) {
            Some(Ok(rules)) => rules.custom_filters == *after,
            Some(Err(_)) => false,
            None => after.is_empty(),
        };
        self.manager.check_filters(!keeps)
    }

    async fn store(self, rules: &TableSecurity, status: StatusCode) -> Result<Response, SecurityError> {
        self.check_filters(&rules.custom_filters)?;
        let catalog = self.state.catalog()?;
        let by = self.manager.name();
        let stored = self.state.rules.put(&catalog, &self.name, rules, self.expected, by).await?;
        let mut answer = answer(status, &stored);
        self.put_in_force(answer.headers_mut()).await;
        Ok(answer)
    }

    async fn remove(self) -> Result<Response, SecurityError> {
        self.check_filters(&BTreeMap::new())?;
        let catalog = self.state.catalog()?;
        let by = self.manager.name();
        self.state.rules.delete(&catalog, &self.name, self.expected, by).await?;
        let mut answer = StatusCode::NO_CONTENT.into_response();
        self.put_in_force(answer.headers_mut()).await;
        Ok(answer)
    }

    /// Has this server read the rules again. Where it cannot, the change is made all the same, and the answer says so.
    async fn put_in_force(&self, headers: &mut HeaderMap) {
        self.state.catalog.reload_rules(&self.name).await;
        if self.state.catalog.is_stale() {
            headers.insert(header::WARNING, HeaderValue::from_static(NOT_IN_FORCE));
        }
    }
}

/// What was read is what is changed, also where the client did not ask for it: what was checked against the one version
/// says nothing about another.
fn of_what_was_read(asked_for: Expected, before: Option<&StoredRules>) -> Expected {
    match (asked_for, before) {
        (Expected::Any | Expected::Present, Some(stored)) => Expected::Version(stored.version),
        (Expected::Any, None) => Expected::Absent,
        (named, _) => named,
    }
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
