//! Something that operators do, and its record in the audit log: in the transaction of the deed, or noted where it failed.

use std::sync::Arc;

use serde_json::Value;
use sqlx::postgres::PgExecutor;

use super::audit_log;
use crate::kernel::audit::{AuditOrigin, AuditOutcome, AuditRecord};

/// Something done. Services have functions that name theirs.
#[derive(Clone, Debug)]
pub struct Deed {
    verb: &'static str,
    schema: Arc<str>,
    table: Arc<str>,
    key: Option<Value>,
}

impl Deed {
    /// Named by a verb, done to a schema's table, or to what `key` says of that.
    pub fn new(
        verb: &'static str,
        (schema, table): (impl Into<Arc<str>>, impl Into<Arc<str>>),
        key: Option<Value>,
    ) -> Self {
        Self { verb, schema: schema.into(), table: table.into(), key }
    }

    /// Its record, as one that a request asked for.
    pub fn record(
        self,
        origin: Arc<AuditOrigin>,
        outcome: AuditOutcome,
        error_code: Option<String>,
    ) -> AuditRecord {
        let Self { verb, schema, table, key } = self;
        AuditRecord { origin, verb, schema, table, key, rows: None, outcome, error_code }
    }

    /// Puts it on record in the transaction of what a request does.
    pub async fn write(
        self,
        connection: impl PgExecutor<'_>,
        origin: Arc<AuditOrigin>,
    ) -> Result<(), sqlx::Error> {
        audit_log::write(connection, &[self.record(origin, AuditOutcome::Done, None)]).await
    }

    /// Puts it on record in the transaction of a command.
    pub async fn write_command(self, connection: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        audit_log::write_command(connection, self.verb, (&self.schema, &self.table), self.key).await
    }
}
