//! What happened: security events in `goforward.security_events`, and the part of the audit log that is about accounts.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::state::Origin;

/// Records an event.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    (kind, severity): (&str, &str),
    user: Option<Uuid>,
    origin: &Origin,
    details: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.security_events (kind, severity, actor, ip, agent, request_id, details)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(kind)
    .bind(severity)
    .bind(user.map(|user| user.to_string()))
    .bind(origin.ip)
    .bind(origin.user_agent.as_deref())
    .bind(&origin.request_id)
    .bind(details)
    .execute(connection)
    .await
    .map(drop)
}

/// A security event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Event {
    /// Its number.
    pub(crate) id: i64,
    /// When it happened.
    pub(crate) occurred_at: DateTime<Utc>,
    /// What happened.
    pub(crate) kind: String,
    /// `info`, `warning` or `critical`.
    pub(crate) severity: String,
    /// The user that it is about.
    pub(crate) actor: Option<String>,
    /// Where it came from.
    pub(crate) ip: Option<IpAddr>,
    /// The client's program.
    pub(crate) agent: Option<String>,
    /// The request.
    pub(crate) request_id: Option<String>,
    /// More, by kind.
    pub(crate) details: Value,
}

/// Security events, the newest first.
pub(crate) async fn page(
    connection: &mut PgConnection,
    (kind, user): (Option<&str>, Option<&str>),
    (limit, offset): (i64, i64),
) -> Result<Vec<Event>, sqlx::Error> {
    sqlx::query_as(
        "select id, occurred_at, kind, severity, actor, ip, agent, request_id, details
         from goforward.security_events
         where ($1::text is null or kind = $1) and ($2::text is null or actor = $2)
         order by id desc limit $3 offset $4",
    )
    .bind(kind)
    .bind(user)
    .bind(limit)
    .bind(offset)
    .fetch_all(connection)
    .await
}

/// A record of the audit log.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Record {
    /// Its number.
    pub(crate) id: i64,
    /// When it was made.
    pub(crate) occurred_at: DateTime<Utc>,
    /// What was done.
    pub(crate) verb: String,
    /// What it was done to.
    pub(crate) key: Option<Value>,
    /// How it ended.
    pub(crate) outcome: String,
    /// Why it did not end well.
    pub(crate) error_code: Option<String>,
    /// The user who did it.
    pub(crate) actor: Option<String>,
    /// The role that it was done in.
    pub(crate) role: Option<String>,
    /// Where it came from.
    pub(crate) ip: Option<IpAddr>,
    /// The client's program.
    pub(crate) agent: Option<String>,
    /// The session.
    pub(crate) session: Option<String>,
    /// The request.
    pub(crate) request_id: Option<String>,
}

/// Records about accounts whose verb or actor holds a text, the newest first.
pub(crate) async fn audit(
    connection: &mut PgConnection,
    (action, actor): (Option<&str>, Option<&str>),
    (limit, offset): (i64, i64),
) -> Result<Vec<Record>, sqlx::Error> {
    sqlx::query_as(
        "select id, occurred_at, verb, key, outcome, error_code, actor, role, ip, agent, session, request_id
         from goforward.audit_log
         where schema_name = 'auth' and table_name = 'users'
            and ($1::text is null or position(lower($1) in verb) > 0)
            and ($2::text is null or position(lower($2) in coalesce(actor, role, '')) > 0)
         order by id desc limit $3 offset $4",
    )
    .bind(action)
    .bind(actor)
    .bind(limit)
    .bind(offset)
    .fetch_all(connection)
    .await
}
