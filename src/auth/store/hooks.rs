//! Calling hooks that are functions in the database.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::kernel::db::pool;
use crate::kernel::sql::SqlBuf;

/// The longest that a function may take.
const TIME_LIMIT: &str = "set local statement_timeout = '2s'; set local lock_timeout = '1s'";

/// What the function answers, as JSON text. `patience` bounds the wait for a connection too.
pub(crate) async fn call(
    pool: &PgPool,
    (schema, name): (&str, &str),
    input: &Value,
    patience: Duration,
) -> Result<Option<String>, sqlx::Error> {
    let mut sql = SqlBuf::new();
    sql.lit("select (").name(schema, name).lit("($1::jsonb))::text");
    let called = async {
        let mut transaction = pool::begin(pool).await?;
        sqlx::raw_sql(TIME_LIMIT).execute(&mut *transaction).await?;
        let reply: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql.into_parts().0))
            .bind(input)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(reply)
    };
    tokio::time::timeout(patience, called).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
