//! Definitions of channels: `goforward.channels`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::types::Json;
use sqlx::{Acquire, Postgres};
use uuid::Uuid;

use crate::realtime::definitions::{Count, Definition, DefinitionError};

/// The most definitions that may be made.
const MOST: i64 = 1000;
/// The most that are read: somebody may have made more by hand.
const MOST_READ: usize = 10_000;

/// A stored definition.
#[derive(Clone, Debug, Serialize)]
pub struct StoredDefinition {
    /// Its id.
    pub id: Uuid,
    /// What it says.
    #[serde(flatten)]
    pub definition: Definition,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// Why definitions are not known.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// There are more than can be.
    #[error("there are more than {MOST_READ} definitions of channels")]
    TooMany,
    /// One that was made by hand makes no sense: what it forbids is not known.
    #[error("the definition {id} of channels cannot be read: {problem}")]
    Unreadable {
        /// Which.
        id: Uuid,
        /// What is wrong with it.
        problem: DefinitionError,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Why a definition is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another one has the pattern.
    #[error("there is a definition of {0} already")]
    Taken(String),
    /// There are as many as can be.
    #[error("there are {MOST} definitions of channels already")]
    TooMany,
    /// There is none.
    #[error("there is no such definition")]
    Absent,
    /// The changed one makes no sense.
    #[error(transparent)]
    Invalid(#[from] DefinitionError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A row; one that somebody made by hand need not be a definition.
#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    fields: Json<Map<String, Value>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn read(self) -> Result<StoredDefinition, DefinitionError> {
        let Self { id, fields, created_at, updated_at } = self;
        Ok(StoredDefinition { id, definition: Definition::parse(fields.0)?, created_at, updated_at })
    }
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, jsonb_build_object('pattern', pattern, 'private_only', private_only, 'roles', roles,
             'max_members', max_members, 'max_payload_bytes', max_payload_bytes,
             'messages_per_second', messages_per_second, 'replay', replay) as fields, created_at, updated_at"
    };
}

const LIST: &str =
    concat!("select ", columns!(), " from goforward.channels order by pattern collate \"C\", id limit $1");
const ONE: &str = concat!("select ", columns!(), " from goforward.channels where id = $1");
const LOCK_ONE: &str = concat!("select ", columns!(), " from goforward.channels where id = $1 for update");
/// Nobody waits for locks of others for long: what else is to be known of channels waits meanwhile.
const LOCK_TIMEOUT: &str = "select set_config('lock_timeout', '1s', true)";
/// Nobody else adds any until the transaction ends.
const LOCK: &str = "lock table goforward.channels in share row exclusive mode";
const COUNT: &str = "select count(*) from goforward.channels where pattern <> $1";
const INSERT: &str = concat!(
    "insert into goforward.channels
         (pattern, private_only, roles, max_members, max_payload_bytes, messages_per_second, replay)
     values ($1, $2, $3, $4, $5, $6, $7) returning ",
    columns!()
);
const PUT: &str = concat!(
    "insert into goforward.channels
         (pattern, private_only, roles, max_members, max_payload_bytes, messages_per_second, replay)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (pattern) do update set private_only = excluded.private_only, roles = excluded.roles,
         max_members = excluded.max_members, max_payload_bytes = excluded.max_payload_bytes,
         messages_per_second = excluded.messages_per_second, replay = excluded.replay, updated_at = now()
     returning ",
    columns!()
);
const UPDATE: &str = concat!(
    "update goforward.channels set pattern = $1, private_only = $2, roles = $3, max_members = $4,
         max_payload_bytes = $5, messages_per_second = $6, replay = $7, updated_at = now()
     where id = $8 returning ",
    columns!()
);

/// All definitions, by pattern.
pub async fn list(connection: impl PgExecutor<'_>) -> Result<Vec<StoredDefinition>, ListError> {
    let limit = i64::try_from(MOST_READ + 1).unwrap_or(i64::MAX);
    let rows: Vec<Row> = sqlx::query_as(LIST).bind(limit).fetch_all(connection).await?;
    if rows.len() > MOST_READ {
        return Err(ListError::TooMany);
    }
    let read = rows.into_iter().map(|row| {
        let id = row.id;
        row.read().map_err(|problem| ListError::Unreadable { id, problem })
    });
    read.collect()
}

/// One of them.
pub async fn one(connection: impl PgExecutor<'_>, id: Uuid) -> Result<StoredDefinition, StoreError> {
    let row: Option<Row> = sqlx::query_as(ONE).bind(id).fetch_optional(connection).await?;
    Ok(row.ok_or(StoreError::Absent)?.read()?)
}

/// Adds one.
pub async fn add(
    connection: impl Acquire<'_, Database = Postgres>,
    definition: &Definition,
) -> Result<StoredDefinition, StoreError> {
    insert(connection, INSERT, definition).await
}

/// Adds one, or puts it in place of the one of its pattern.
pub async fn put(
    connection: impl Acquire<'_, Database = Postgres>,
    definition: &Definition,
) -> Result<StoredDefinition, StoreError> {
    insert(connection, PUT, definition).await
}

async fn insert(
    connection: impl Acquire<'_, Database = Postgres>,
    sql: &'static str,
    definition: &Definition,
) -> Result<StoredDefinition, StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    let others: i64 =
        sqlx::query_scalar(COUNT).bind(definition.pattern.as_str()).fetch_one(&mut *transaction).await?;
    if others >= MOST {
        return Err(StoreError::TooMany);
    }
    let stored = write(&mut transaction, (sql, None), definition).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// Changes one to what `change` makes of it.
pub async fn change(
    connection: impl Acquire<'_, Database = Postgres>,
    id: Uuid,
    change: impl FnOnce(&Definition) -> Result<Definition, DefinitionError>,
) -> Result<StoredDefinition, StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    let row: Option<Row> = sqlx::query_as(LOCK_ONE).bind(id).fetch_optional(&mut *transaction).await?;
    let before = row.ok_or(StoreError::Absent)?.read()?;
    let stored = write(&mut transaction, (UPDATE, Some(id)), &change(&before.definition)?).await?;
    transaction.commit().await?;
    Ok(stored)
}

async fn write(
    connection: &mut PgConnection,
    (sql, id): (&'static str, Option<Uuid>),
    definition: &Definition,
) -> Result<StoredDefinition, StoreError> {
    let number = |count: Option<Count>| count.map(|count| i32::try_from(count.get()).unwrap_or(i32::MAX));
    let roles: Option<Vec<String>> =
        definition.roles.as_ref().map(|roles| roles.iter().map(ToString::to_string).collect());
    let query = sqlx::query_as(sql)
        .bind(definition.pattern.as_str())
        .bind(definition.private_only)
        .bind(roles)
        .bind(number(definition.max_members))
        .bind(number(definition.max_payload_bytes))
        .bind(number(definition.messages_per_second))
        .bind(definition.replay);
    let query = match id {
        Some(id) => query.bind(id),
        None => query,
    };
    let row: Result<Row, sqlx::Error> = query.fetch_one(connection).await;
    let row = row.map_err(|error| match error.as_database_error() {
        Some(cause) if cause.is_unique_violation() => StoreError::Taken(definition.pattern.to_string()),
        _ => StoreError::Database(error),
    })?;
    Ok(row.read()?)
}

/// Removes one; gives its pattern.
pub async fn remove(connection: impl PgExecutor<'_>, id: Uuid) -> Result<String, StoreError> {
    let gone = sqlx::query_scalar("delete from goforward.channels where id = $1 returning pattern");
    gone.bind(id).fetch_optional(connection).await?.ok_or(StoreError::Absent)
}

/// Removes the one of a pattern.
pub async fn remove_pattern(connection: impl PgExecutor<'_>, pattern: &str) -> Result<(), StoreError> {
    let gone = sqlx::query("delete from goforward.channels where pattern = $1").bind(pattern);
    let gone = gone.execute(connection).await?.rows_affected();
    if gone == 0 { Err(StoreError::Absent) } else { Ok(()) }
}
