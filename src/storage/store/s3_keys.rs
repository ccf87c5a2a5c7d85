//! Long-lived access keys of the S3 protocol. Their secrets are sealed before they come here.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgPool;
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::types::Json;

/// A key as it may be shown: without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct StoredKey {
    /// Names it.
    pub access_key_id: String,
    /// What people call it.
    pub name: String,
    /// As whom its holder acts.
    #[sqlx(json)]
    pub claims: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Keeps a key; `sealed` is its secret.
pub async fn add(
    connection: impl PgExecutor<'_>,
    (id, name): (&str, &str),
    sealed: &str,
    claims: &Map<String, Value>,
) -> Result<StoredKey, sqlx::Error> {
    let sql =
        "insert into goforward.storage_s3_keys (access_key_id, name, secret, claims) values ($1, $2, $3, $4)
        returning access_key_id, name, claims, created_at";
    sqlx::query_as(sql).bind(id).bind(name).bind(sealed).bind(Json(claims)).fetch_one(connection).await
}

/// All keys, oldest first.
pub async fn list(connection: impl PgExecutor<'_>) -> Result<Vec<StoredKey>, sqlx::Error> {
    let sql = "select access_key_id, name, claims, created_at from goforward.storage_s3_keys
        order by created_at, access_key_id";
    sqlx::query_as(sql).fetch_all(connection).await
}

/// Removes a key; whether there was one.
pub async fn remove(connection: impl PgExecutor<'_>, id: &str) -> Result<bool, sqlx::Error> {
    let sql = "delete from goforward.storage_s3_keys where access_key_id = $1";
    sqlx::query(sql).bind(id).execute(connection).await.map(|done| done.rows_affected() > 0)
}

/// The sealed secret of a key, and its claims.
pub(in crate::storage) async fn find(
    pool: &PgPool,
    id: &str,
) -> Result<Option<(String, Map<String, Value>)>, sqlx::Error> {
    let sql = "select secret, claims from goforward.storage_s3_keys where access_key_id = $1";
    let found: Option<(String, Json<Map<String, Value>>)> =
        sqlx::query_as(sql).bind(id).fetch_optional(pool).await?;
    Ok(found.map(|(secret, claims)| (secret, claims.0)))
}

/// SQLSTATE of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// The ids of all keys with their sealed secrets. A database that no server of this version has prepared has none.
pub(in crate::storage) async fn sealed(
    connection: &mut PgConnection,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let sql = "select access_key_id, secret from goforward.storage_s3_keys";
    match sqlx::query_as(sql).fetch_all(connection).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            Ok(Vec::new())
        }
        found => found,
    }
}

/// Puts another sealed secret in the place of the one that is there, if it is still that one.
pub(in crate::storage) async fn replace_sealed(
    connection: &mut PgConnection,
    id: &str,
    (old, new): (&str, &str),
) -> Result<bool, sqlx::Error> {
    let sql = "update goforward.storage_s3_keys set secret = $3 where access_key_id = $1 and secret = $2";
    let done = sqlx::query(sql).bind(id).bind(old).bind(new).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
