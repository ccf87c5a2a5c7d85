//! What operators do to definitions and published tables, and its record in the audit log: in the transaction of the deed.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::postgres::PgExecutor;

use crate::catalog::model::QualifiedName;
use crate::kernel::audit::{AuditOrigin, AuditOutcome, AuditRecord};
use crate::kernel::db::audit_log;

/// Something done.
#[derive(Clone, Debug)]
pub struct Deed {
    verb: &'static str,
    /// The schema of the table that it is done to, and the table.
    schema: Arc<str>,
    table: Arc<str>,
    /// What of the table.
    key: Option<Value>,
}

impl Deed {
    /// A definition is made or changed; `of` says which.
    pub fn define(of: Value) -> Self {
        Self::on_definitions("realtime.definition.put", of)
    }

    /// A definition is removed.
    pub fn undefine(of: Value) -> Self {
        Self::on_definitions("realtime.definition.remove", of)
    }

    /// A request of somebody who may change nothing.
    pub(in crate::realtime) fn not_allowed(path: &str) -> Self {
        Self::on_definitions("realtime.manage", json!({ "path": path }))
    }

    fn on_definitions(verb: &'static str, of: Value) -> Self {
        Self { verb, schema: Arc::from("goforward"), table: Arc::from("channels"), key: Some(of) }
    }

    /// A table is published.
    pub fn publish(table: &QualifiedName) -> Self {
        Self::on_table("realtime.table.publish", table)
    }

    /// A table is withdrawn.
    pub fn withdraw(table: &QualifiedName) -> Self {
        Self::on_table("realtime.table.withdraw", table)
    }

    fn on_table(verb: &'static str, table: &QualifiedName) -> Self {
        Self { verb, schema: table.schema.clone(), table: table.name.clone(), key: None }
    }

    /// Its record, as one that a request asked for.
    pub(in crate::realtime) fn record(
        self,
        origin: Arc<AuditOrigin>,
        outcome: AuditOutcome,
        error_code: Option<String>,
    ) -> AuditRecord {
        let Self { verb, schema, table, key } = self;
        AuditRecord { origin, verb, schema, table, key, rows: None, outcome, error_code }
    }

    /// Puts it on record in the transaction of what a request does.
    pub(in crate::realtime) async fn write(
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
