//! One step of the set-up: a transaction under the advisory lock, in which single statements may fail.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Postgres, Transaction};

use super::error::{BootstrapError, has_code};
use crate::kernel::sql::SqlBuf;

/// `goforwar` in ASCII: the key of the advisory lock.
const LOCK_KEY: i64 = 0x676f_666f_7277_6172;

/// Opens a transaction and waits for the lock, which it holds to its end: this way it also works through a pooler.
pub(super) async fn begin(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, BootstrapError> {
    let mut transaction = connection.begin().await?;
    transaction.execute("set local lock_timeout = '60s'; set local client_min_messages = warning").await?;
    sqlx::query("select pg_catalog.pg_advisory_xact_lock($1)")
        .bind(LOCK_KEY)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// Runs a statement.
pub(super) async fn execute(connection: &mut PgConnection, sql: &SqlBuf) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(sql.text().to_owned())).await.map(drop)
}

/// Runs a statement that the owner may lack the rights or the server the means for; `false` if that was so.
///
/// What is lacking is told later, by [`super::inspect`], which looks at the result.
pub(super) async fn attempt(connection: &mut PgConnection, sql: &SqlBuf) -> Result<bool, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    match execute(&mut savepoint, sql).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(error) if is_refusal(&error) => {
            tracing::debug!(%error, statement = sql.text(), "not possible on this database");
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// No rights, a role that could not be made, a membership that would be circular, an extension that is not there.
fn is_refusal(error: &sqlx::Error) -> bool {
    has_code(error, &["42501", "42704", "0LP01", "0A000", "58P01", "22023", "55000"])
}

/// Whether another database's set-up of the same cluster-wide role came in between.
pub(super) fn is_collision(error: &BootstrapError) -> bool {
    match error {
        // duplicate role by constraint or by check; "tuple concurrently updated" has no code of its own
        BootstrapError::Database(error) => has_code(error, &["23505", "42710", "XX000", "40001", "40P01"]),
        _ => false,
    }
}
