//! What is done to access keys, and what `storage fsck` mends: their records in the audit log, in the transaction of the deed.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::postgres::PgExecutor;

use crate::kernel::audit::{AuditOrigin, AuditOutcome, AuditRecord};
use crate::kernel::db::audit_log;
use crate::storage::fsck::Report;

/// Something done.
#[derive(Clone, Debug)]
pub struct Deed {
    verb: &'static str,
    table: (&'static str, &'static str),
    key: Value,
}

impl Deed {
    /// An access key is made, whose holder acts under a role; its id where it is known.
    pub fn make_key(access_key_id: Option<&str>, role: &str) -> Self {
        Self::on_keys("storage.s3_key.create", json!({ "access_key_id": access_key_id, "role": role }))
    }

    /// An access key is taken away.
    pub fn remove_key(access_key_id: &str) -> Self {
        Self::on_keys("storage.s3_key.delete", json!({ "access_key_id": access_key_id }))
    }

    /// A request of somebody who may change nothing.
    pub(in crate::storage) fn not_allowed(path: &str) -> Self {
        Self::on_keys("storage.manage", json!({ "path": path }))
    }

    fn on_keys(verb: &'static str, key: Value) -> Self {
        Self { verb, table: ("goforward", "storage_s3_keys"), key }
    }

    /// `storage fsck --repair` has ended, or failed, with this.
    pub fn repair(report: &Report) -> Self {
        let key = json!({ "found": report.found, "repaired": report.repaired });
        Self { verb: "storage.fsck.repair", table: ("storage", "objects"), key }
    }

    /// `storage fsck --remove-objects` removes an object that has no bytes.
    pub(in crate::storage) fn remove_object(bucket: &str, name: &str, version: Option<&str>) -> Self {
        let key = json!({ "bucket": bucket, "name": name, "version": version });
        Self { verb: "storage.fsck.remove_object", table: ("storage", "objects"), key }
    }

    /// Its record, as one that a request asked for.
    pub(in crate::storage) fn record(
        self,
        origin: Arc<AuditOrigin>,
        outcome: AuditOutcome,
        error_code: Option<String>,
    ) -> AuditRecord {
        let (schema, table) = (Arc::from(self.table.0), Arc::from(self.table.1));
        AuditRecord {
            origin,
            verb: self.verb,
            schema,
            table,
            key: Some(self.key),
            rows: None,
            outcome,
            error_code,
        }
    }

    /// Puts it on record in the transaction of what a request does.
    pub(in crate::storage) async fn write(
        self,
        connection: impl PgExecutor<'_>,
        origin: Arc<AuditOrigin>,
    ) -> Result<(), sqlx::Error> {
        audit_log::write(connection, &[self.record(origin, AuditOutcome::Done, None)]).await
    }

    /// Puts it on record in the transaction of a command.
    pub async fn write_command(self, connection: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        audit_log::write_command(connection, self.verb, self.table, Some(self.key)).await
    }
}
