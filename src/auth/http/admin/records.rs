//! GET `/admin/audit` (contract section 8) and `/admin/security-events`: what happened, the newest first.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::extract::Server;
use super::page::Page;
use crate::auth::error::AuthError;
use crate::auth::model::rfc3339;
use crate::auth::state::AuthState;
use crate::auth::store::events::{self, Event, Record};

/// The query of the audit log.
#[derive(Debug, Deserialize)]
pub(super) struct AuditAsked {
    page: Option<String>,
    per_page: Option<String>,
    query: Option<String>,
}

pub(super) async fn audit(
    State(state): State<AuthState>,
    _: Server,
    Query(asked): Query<AuditAsked>,
) -> Result<Json<Value>, AuthError> {
    let page = Page::of(asked.page.as_deref(), asked.per_page.as_deref())?;
    let wanted = search(asked.query.as_deref().unwrap_or_default());
    let mut connection = state.connection().await?;
    let records = events::audit(&mut connection, wanted, (page.limit(), page.offset())).await?;
    Ok(Json(records.iter().map(record).collect()))
}

/// What is looked for in actions, and what in actors: `author:...`, `action:...`, or a text for actions.
fn search(query: &str) -> (Option<&str>, Option<&str>) {
    let given = |text: &str| !text.trim().is_empty();
    match query.split_once(':') {
        Some(("author" | "actor", text)) => (None, Some(text.trim()).filter(|text| given(text))),
        Some(("action", text)) => (Some(text.trim()).filter(|text| given(text)), None),
        _ => (Some(query.trim()).filter(|text| given(text)), None),
    }
}

/// A record. Its number takes the form of an id. A request with a service key has no user: the actor is the role.
fn record(record: &Record) -> Value {
    let actor = record.actor.as_deref().or(record.role.as_deref());
    json!({
        "id": record.id.to_string(),
        "payload": {
            "action": record.verb,
            "actor_id": record.actor,
            "actor_username": actor,
            "actor_via_sso": false,
            "log_type": if record.actor.is_some() { "user" } else { "server" },
            "traits": {
                "on": record.key, "outcome": record.outcome, "error_code": record.error_code, "session_id": record.session,
                "user_agent": record.agent, "request_id": record.request_id,
            },
        },
        "created_at": rfc3339(record.occurred_at),
        "ip_address": record.ip.map(|ip| ip.to_string()).unwrap_or_default(),
    })
}

/// The query of security events.
#[derive(Debug, Deserialize)]
pub(super) struct EventsAsked {
    page: Option<String>,
    per_page: Option<String>,
    kind: Option<String>,
    user: Option<String>,
}

pub(super) async fn security_events(
    State(state): State<AuthState>,
    _: Server,
    Query(asked): Query<EventsAsked>,
) -> Result<Json<Value>, AuthError> {
    let page = Page::of(asked.page.as_deref(), asked.per_page.as_deref())?;
    let wanted = (asked.kind.as_deref(), asked.user.as_deref());
    let mut connection = state.connection().await?;
    let events = events::page(&mut connection, wanted, (page.limit(), page.offset())).await?;
    Ok(Json(events.iter().map(event).collect()))
}

fn event(event: &Event) -> Value {
    json!({
        "id": event.id, "occurred_at": rfc3339(event.occurred_at), "kind": event.kind,
        "severity": event.severity, "user_id": event.actor, "ip_address": event.ip,
        "user_agent": event.agent, "request_id": event.request_id, "details": event.details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_looks_in_actions_unless_it_names_an_author() {
        for (query, expected) in [
            ("", (None, None)),
            ("token", (Some("token"), None)),
            ("action:sign_up", (Some("sign_up"), None)),
            ("author: service_role", (None, Some("service_role"))),
            ("author:", (None, None)),
        ] {
            assert_eq!(search(query), expected, "{query}");
        }
    }
}
