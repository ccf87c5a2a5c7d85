//! A caller's question to PostgreSQL: under its role and claims, read-only, with a limit of time. The only way in which realtime
//! asks anything in the name of somebody.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use super::request::Topic;
use crate::kernel::db::lanes::Lanes;
use crate::kernel::db::wire::{Access, DbError, Group, Query};
use crate::kernel::identity::Caller;
use crate::kernel::sql::SqlBuf;

/// The way to the database for callers.
#[derive(Clone)]
pub(super) struct CallerQueries {
    lanes: Lanes,
    search_path: Bytes,
}

impl CallerQueries {
    /// Asks in `lanes`, where expressions of policies see these schemas.
    pub(super) fn new(lanes: Lanes, search_path: String) -> Self {
        Self { lanes, search_path: search_path.into() }
    }

    /// Asks a query of one row and one column, and gives its text. `topic` is what policies see as `realtime.topic()`.
    pub(super) async fn ask(
        &self,
        (caller, topic): (&Caller, Option<&Topic>),
        sql: SqlBuf,
        time_limit: &'static str,
    ) -> Result<Vec<u8>, DbError> {
        let query = Query::new(sql, 1);
        let mut hasher = DefaultHasher::new();
        (&query.sql, &caller.role).hash(&mut hasher);
        let mut group = Group::new(query, Access::Read { shape: hasher.finish() });
        group.set("search_path", self.search_path.clone());
        group.set("statement_timeout", time_limit);
        group.set("role", Bytes::copy_from_slice(caller.role.as_bytes()));
        group.set("request.jwt.claims", caller.claims_json.clone());
        let subject = caller.subject.as_deref().unwrap_or_default();
        group.set("request.jwt.claim.sub", Bytes::copy_from_slice(subject.as_bytes()));
        group.set("request.jwt.claim.role", Bytes::copy_from_slice(caller.role.as_bytes()));
        group.set("request.headers", "{}");
        if let Some(topic) = topic {
            group.set("realtime.topic", Bytes::copy_from_slice(topic.name().as_bytes()));
        }
        let mut reply = self.lanes.run(group).await?;
        let mut found = Vec::new();
        if reply.next_row().await?.is_some() {
            while let Some(chunk) = reply.chunk().await? {
                found.extend_from_slice(&chunk);
            }
        }
        reply.finish().await?;
        Ok(found)
    }
}

/// Whether nothing was decided, so that it is worth asking again.
pub(super) fn is_outage(error: &DbError) -> bool {
    match error {
        DbError::Unavailable(_) | DbError::PoolTimeout | DbError::QueueFull | DbError::Timeout => true,
        // The server goes down, comes up, is full, or gave up for no reason of the statement.
        DbError::Sql(error) => {
            let code = error.code.as_str();
            matches!(code.get(..2), Some("08" | "53")) || code.starts_with("57P") || error.is_retryable()
        }
        DbError::ClientGone | DbError::Internal(_) => false,
    }
}

/// What the log may know of an error: messages of PostgreSQL may hold values of rows, and what a caller sent.
pub(super) fn said(error: &DbError) -> String {
    error.sql().map_or_else(|| error.to_string(), |sql| format!("SQLSTATE {}", sql.code))
}
