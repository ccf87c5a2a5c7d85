//! The audit record of a command of the operator, in the transaction of what it does: there the server that otherwise keeps
//! the log need not run.

use serde_json::Value;
use sqlx::postgres::PgExecutor;
use sqlx::types::Json;

const NOTE: &str = "
insert into goforward.audit_log (verb, schema_name, table_name, key, database_role, proved)
values ($1, $2, $3, $4, session_user, false)";

/// Puts on record what is done to a table of this schema and name, and to what of it.
pub async fn note(
    connection: impl PgExecutor<'_>,
    verb: &str,
    (schema, table): (&str, &str),
    key: Option<Value>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(NOTE).bind(verb).bind(schema).bind(table).bind(key.map(Json));
    query.execute(connection).await.map(drop)
}
