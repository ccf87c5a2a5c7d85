//! The audit log put together: the key of its contexts, and the task that writes its records.

use std::sync::Arc;

use crate::app::Stopping;
use crate::app::database::Database;
use crate::app::error::AppError;
use crate::kernel::audit::{AuditContexts, AuditLog, NoAuditLog};
use crate::kernel::clock::Clock;
use crate::kernel::db::audit_log::{StoredAuditLog, open};
use crate::kernel::random::Random;
use crate::rest::RestAudit;

/// Reads the key and starts the log; a database that was not prepared by this process has none for it.
pub(super) async fn start(
    database: &Database,
    clock: &Clock,
    random: &Random,
    stop: &Stopping,
) -> Result<(RestAudit, Arc<dyn AuditLog>), AppError> {
    let Some((login, key)) = open(&database.audit_logins, clock).await.map_err(AppError::Audit)? else {
        return Ok((RestAudit::default(), Arc::new(NoAuditLog)));
    };
    let log: Arc<dyn AuditLog> = Arc::new(StoredAuditLog::start(login, &stop.tracker, stop.services.clone()));
    let contexts = AuditContexts::new(key, clock.clone(), random.clone());
    Ok((RestAudit::new(Arc::clone(&log), Arc::new(contexts)), log))
}
