//! A connection of the owner, and the settings under which it looks and changes.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::SemaphorePermit;

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;

use super::error::StoreError;
use super::{PATIENCE, RuleStore};

/// `goforpol` in ASCII: the key of the advisory lock under which rules change.
const LOCK_KEY: i64 = 0x676f_666f_7270_6f6c;

/// Names come out qualified, so that the same expression always reads the same (see `POLICY_STATE`).
const LOOK: &str = "set local search_path = ''; set local quote_all_identifiers = off";

/// Others may hold the lock of all changes for as long as theirs takes.
const WAIT_FOR_TURN: &str = "set local lock_timeout = '10s'; set local statement_timeout = '60s'; \
                             set local client_min_messages = warning";

/// Whoever waits for the lock of a table makes everybody else wait for it too: better give up soon and come again.
const WAIT_FOR_TABLE: &str = "set local lock_timeout = '300ms'";

/// One connection, alone in its turn.
pub(super) struct Session<'a> {
    pub(super) connection: PgConnection,
    _turn: SemaphorePermit<'a>,
}

impl RuleStore {
    pub(super) async fn session(&self) -> Result<Session<'_>, StoreError> {
        let opened = async {
            let turn = self.turn.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = self.owner.connect().await?;
            Ok(Session { connection, _turn: turn })
        };
        tokio::time::timeout(PATIENCE, opened)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(StoreError::Unavailable)
    }
}

impl Session<'_> {
    /// Says goodbye to the server; a connection that is lost needs none.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

/// Settings of a transaction that only reads.
pub(super) async fn prepare_to_look(transaction: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(LOOK).execute(transaction).await?;
    Ok(())
}

/// Waits for the turn of this transaction among all that change rules.
pub(super) async fn prepare_for_change(transaction: &mut PgConnection) -> Result<(), StoreError> {
    prepare_to_look(transaction).await?;
    sqlx::raw_sql(WAIT_FOR_TURN).execute(&mut *transaction).await?;
    sqlx::query("select pg_catalog.pg_advisory_xact_lock($1)")
        .persistent(false)
        .bind(LOCK_KEY)
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(WAIT_FOR_TABLE).execute(transaction).await?;
    Ok(())
}

/// Lets an expression name what stands beside the table, in `public` and in `extensions` without their schemas.
pub(super) async fn see_neighbours(
    transaction: &mut PgConnection,
    table: &QualifiedName,
) -> Result<(), sqlx::Error> {
    let mut sql = SqlBuf::new();
    sql.lit("set local search_path = ").ident(&table.schema).lit(", public, extensions, pg_temp");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into_parts().0)).execute(transaction).await.map(drop)
}

/// Ends what [`see_neighbours`] began.
pub(super) async fn see_qualified(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(LOOK).execute(transaction).await.map(drop)
}
