//! GET `/admin/users`: pages with a total, or a walk through all accounts (`limit` and `cursor`).
//!
//! The statements are static SQL with bound parameters: one per order, so that each has its plan, and nothing of a request
//! is ever text of a statement. A query builder would have little to build.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::LINK;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::extract::Server;
use super::page::{Page, step};
use crate::auth::error::AuthError;
use crate::auth::model::Account;
use crate::auth::state::{AuthState, Connection};
use crate::auth::store::admin_users::{self, Direction, SortBy};

const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// The query.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    page: Option<String>,
    per_page: Option<String>,
    filter: Option<String>,
    sort: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(state): State<AuthState>,
    _: Server,
    Query(asked): Query<Asked>,
) -> Result<Response, AuthError> {
    let filter = asked.filter.as_deref().filter(|filter| !filter.is_empty());
    let mut connection = state.connection().await?;
    if asked.limit.is_some() || asked.cursor.is_some() {
        return walk(&state, &mut connection, &asked, filter).await;
    }
    let page = Page::of(asked.page.as_deref(), asked.per_page.as_deref())?;
    let order = order(asked.sort.as_deref().unwrap_or_default())?;
    let total = admin_users::count(&mut connection, filter).await?;
    let accounts = admin_users::page(&mut connection, filter, order, (page.limit(), page.offset())).await?;
    let users = shown(&mut connection, &accounts).await?;
    let mut response = Json(json!({"users": users, "aud": state.settings.audience})).into_response();
    let headers = response.headers_mut();
    headers.insert(X_TOTAL_COUNT, HeaderValue::from(total));
    let mut list = state.settings.external_url.clone();
    list.set_path(&format!("{}/admin/users", list.path().trim_end_matches('/')));
    let kept: Vec<(&str, &str)> = [("filter", filter), ("sort", asked.sort.as_deref())]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    if let Some(links) = page.links(&list, total, &kept) {
        headers.insert(LINK, links);
    }
    Ok(response)
}

/// The accounts after the one that the cursor names.
async fn walk(
    state: &AuthState,
    connection: &mut Connection,
    asked: &Asked,
    filter: Option<&str>,
) -> Result<Response, AuthError> {
    let limit = step(asked.limit.as_deref())?;
    let cursor = asked.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    let last = cursor.map(Uuid::parse_str).transpose();
    let last = last.map_err(|_| AuthError::Invalid("cursor must be one that a list gave".to_owned()))?;
    let mut accounts = admin_users::after(connection, filter, last, limit + 1).await?;
    let has_more = i64::try_from(accounts.len()).is_ok_and(|found| found > limit);
    if has_more {
        accounts.pop();
    }
    let next = accounts.last().filter(|_| has_more).map(|account| account.id);
    let users = shown(connection, &accounts).await?;
    Ok(Json(json!({
        "users": users, "aud": state.settings.audience,
        "pagination": {"next_cursor": next, "has_more": has_more},
    }))
    .into_response())
}

async fn shown(connection: &mut Connection, accounts: &[Account]) -> Result<Vec<Value>, AuthError> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id).collect();
    let mut identities = HashMap::<Uuid, Vec<_>>::new();
    for identity in admin_users::identities(connection, &ids).await? {
        identities.entry(identity.user_id).or_default().push(identity);
    }
    let mut factors = HashMap::<Uuid, Vec<_>>::new();
    for factor in admin_users::factors(connection, &ids).await? {
        factors.entry(factor.user_id).or_default().push(factor);
    }
    let shown = accounts.iter().map(|account| {
        let identities = identities.remove(&account.id).unwrap_or_default();
        account.shown(&identities, &factors.remove(&account.id).unwrap_or_default())
    });
    Ok(shown.collect())
}

/// A field and, in the second word, a direction.
fn order(text: &str) -> Result<(SortBy, Direction), AuthError> {
    let mut words = text.split_whitespace();
    let Some(field) = words.next() else { return Ok((SortBy::CreatedAt, Direction::Descending)) };
    let by = match field {
        "created_at" => Some(SortBy::CreatedAt),
        "updated_at" => Some(SortBy::UpdatedAt),
        "last_sign_in_at" => Some(SortBy::LastSignInAt),
        "email" => Some(SortBy::Email),
        _ => None,
    };
    let direction = match (words.next().map(str::to_ascii_lowercase).as_deref(), words.next()) {
        (None | Some("asc"), None) => Some(Direction::Ascending),
        (Some("desc"), None) => Some(Direction::Descending),
        _ => None,
    };
    by.zip(direction).ok_or_else(|| {
        let fields = "created_at, updated_at, last_sign_in_at or email";
        AuthError::Invalid(format!("sort must be {fields}, and asc or desc"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_known_field_and_a_direction() {
        for (text, expected) in [
            ("", (SortBy::CreatedAt, Direction::Descending)),
            ("created_at", (SortBy::CreatedAt, Direction::Ascending)),
            ("email DESC", (SortBy::Email, Direction::Descending)),
        ] {
            assert_eq!(order(text).unwrap(), expected, "{text}");
        }
        for text in ["id", "email sideways", "email desc nulls", "email;drop table users", "email, phone"] {
            assert!(order(text).is_err(), "{text}");
        }
    }
}
