//! Asks the database as a caller: role and claims are set for one transaction, which is rolled back.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::Semaphore;

use crate::catalog::load::LoadOptions;
use crate::catalog::model::Relation;
use crate::kernel::db::login::Login;
use crate::kernel::sql::SqlBuf;
use crate::policy::lint::Finding;
use crate::policy::model::Verb;
use crate::policy::store::lint;
use crate::security::error::SecurityError;

/// How long a question waits for its turn and its connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks as callers; one connection at a time, open only while it is used. Cheap to clone.
#[derive(Clone)]
pub(in crate::security) struct CallerProbe {
    login: Login,
    turn: Arc<Semaphore>,
}

/// Whether a role has a privilege on a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::security) enum Privileges {
    /// On the whole.
    Table,
    /// On these columns.
    Columns(Vec<String>),
}

/// A row policy that applies to a role and a verb.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub(in crate::security) struct RowPolicy {
    /// Its name.
    pub name: String,
    /// Whether it narrows what others permit.
    pub restrictive: bool,
    /// The condition on rows that are there.
    pub using: Option<String>,
    /// The condition on rows as they become.
    pub check: Option<String>,
}

/// What the database says of a role and a relation.
#[derive(Clone, Debug)]
pub(in crate::security) struct Facts {
    /// Its privileges for the verb.
    pub privileges: Privileges,
    /// Whether row-level security is on and binds the role: then nothing is reached that no policy permits.
    pub is_bound: bool,
    /// The policies that bind it.
    pub policies: Vec<RowPolicy>,
}

/// Whether a caller reaches a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::security) enum RowVerdict {
    /// It does.
    Reachable,
    /// There is none, or policies keep it away.
    Unreachable,
}

/// Asked under the role itself, which `row_security_active` is about.
const STANDING: &str = "
select has_table_privilege($1, $2, $3),
       array(
         select a.attname::text from pg_attribute a
         where a.attrelid = $2::regclass and a.attnum > 0 and not a.attisdropped
           and case when $3 = 'delete' then false else has_column_privilege($1, a.attrelid, a.attnum, $3) end
       ),
       row_security_active($2::regclass)";

/// The column that an update is tried on: one that can be set and, if there is one, read too.
const UPDATABLE: &str = "
select a.attname::text from pg_attribute a
where a.attrelid = $2::regclass and a.attnum > 0 and not a.attisdropped
  and a.attgenerated = '' and a.attidentity <> 'a' and a.attname = any($3)
  and has_column_privilege($1, a.attrelid, a.attnum, 'update')
order by has_column_privilege($1, a.attrelid, a.attnum, 'select') desc, a.attnum
limit 1";

const POLICIES: &str = "
select p.policyname::text as name, p.permissive = 'RESTRICTIVE' as restrictive, p.qual as using, p.with_check as check
from pg_policies p
join pg_class c on c.oid = $2::regclass and c.relrowsecurity
join pg_namespace n on n.oid = c.relnamespace and n.nspname = p.schemaname and c.relname = p.tablename
where lower(p.cmd) in ('all', $3)
  and exists (
    select from unnest(p.roles) as of (role)
    where of.role = 'public' or pg_has_role($1, of.role, 'MEMBER')
  )
  and not (select r.rolsuper or r.rolbypassrls from pg_roles r where r.rolname = $1)
order by restrictive, name";

impl CallerProbe {
    /// A probe by the login that switches to the roles of callers.
    pub(in crate::security) fn new(login: Login) -> Self {
        Self { login, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Privileges and policies of a role.
    pub(in crate::security) async fn facts(
        &self,
        role: &str,
        claims: &str,
        relation: &Relation,
        verb: Verb,
    ) -> Result<Facts, sqlx::Error> {
        let mut name = SqlBuf::new();
        name.name(&relation.name.schema, &relation.name.name);
        let name = name.into_parts().0;
        self.as_caller(role, claims, async |connection| {
            let (has, columns, is_bound): (bool, Vec<String>, bool) = sqlx::query_as(STANDING)
                .bind(role)
                .bind(&name)
                .bind(verb.word())
                .fetch_one(&mut *connection)
                .await?;
            let policies = sqlx::query_as(POLICIES)
                .bind(role)
                .bind(&name)
                .bind(verb.word())
                .fetch_all(connection)
                .await?;
            let privileges = if has { Privileges::Table } else { Privileges::Columns(columns) };
            Ok(Facts { privileges, is_bound, policies })
        })
        .await
    }

    /// Whether the caller reaches the row with this key. Writes are tried: an update leaves the row as it is, an insert
    /// makes one of these columns.
    pub(in crate::security) async fn row(
        &self,
        (role, claims): (&str, &str),
        relation: &Relation,
        verb: Verb,
        key: &Map<String, Value>,
    ) -> Result<RowVerdict, sqlx::Error> {
        let found = self
            .as_caller(role, claims, async |connection| {
                let sql = match verb {
                    Verb::Select => select(relation, key),
                    Verb::Insert => insert(relation, key),
                    Verb::Delete => delete(relation, key),
                    Verb::Update => {
                        let Some(column) = updatable(connection, role, relation).await? else {
                            return Ok(false);
                        };
                        update(relation, &column, key)
                    }
                };
                let (text, params) = sql.into_parts();
                let mut query = sqlx::query(AssertSqlSafe(text));
                for param in &params {
                    let value = param.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
                    query = query.bind(value);
                }
                Ok(query.fetch_optional(connection).await?.is_some())
            })
            .await;
        match found {
            Ok(true) => Ok(RowVerdict::Reachable),
            Ok(false) => Ok(RowVerdict::Unreachable),
            Err(sqlx::Error::Database(error)) => match error.code().as_deref().unwrap_or_default() {
                // A policy's check, or a privilege on a column.
                "42501" => Ok(RowVerdict::Unreachable),
                // Constraints are looked at after policies, so those let the row through.
                code if code.starts_with("23") => Ok(RowVerdict::Reachable),
                _ => Err(sqlx::Error::Database(error)),
            },
            Err(error) => Err(error),
        }
    }

    /// What is wrong with how the database is protected, by what the login itself can see.
    pub(in crate::security) async fn lint(
        &self,
        options: &LoadOptions,
    ) -> Result<Vec<Finding>, SecurityError> {
        let linted = async {
            let _turn = self.turn.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let mut connection = self.login.connect().await?;
            let findings = lint::lint(&mut connection, options).await;
            let _ = connection.close().await;
            Ok(findings?)
        };
        tokio::time::timeout(PATIENCE, linted).await.unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))
    }

    async fn as_caller<T>(
        &self,
        role: &str,
        claims: &str,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let asked = async {
            let _turn = self.turn.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let mut connection = self.login.connect().await?;
            let mut transaction = connection.begin().await?;
            sqlx::query(
                "select set_config('statement_timeout', '5s', true), set_config('lock_timeout', '2s', true),
                        set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
            )
            .bind(role)
            .bind(claims)
            .execute(&mut *transaction)
            .await?;
            let answer = ask(&mut transaction).await;
            transaction.rollback().await?;
            let _ = connection.close().await;
            answer
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

/// The column that the caller can set, if there is one.
async fn updatable(
    connection: &mut PgConnection,
    role: &str,
    relation: &Relation,
) -> Result<Option<String>, sqlx::Error> {
    let mut name = SqlBuf::new();
    name.name(&relation.name.schema, &relation.name.name);
    let writable = relation.columns.values().filter(|column| column.access.write);
    let writable: Vec<&str> = writable.map(|column| &*column.name).collect();
    let found = sqlx::query_scalar(UPDATABLE).bind(role).bind(name.into_parts().0).bind(writable);
    found.fetch_optional(connection).await
}

fn select(relation: &Relation, key: &Map<String, Value>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("select 1 from ").name(&relation.name.schema, &relation.name.name);
    where_key(&mut sql, key);
    sql
}

fn delete(relation: &Relation, key: &Map<String, Value>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("delete from ").name(&relation.name.schema, &relation.name.name);
    where_key(&mut sql, key);
    sql.lit(" returning 1");
    sql
}

fn update(relation: &Relation, column: &str, key: &Map<String, Value>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("update ").name(&relation.name.schema, &relation.name.name).lit(" set ");
    sql.ident(column).lit(" = ").ident(column);
    where_key(&mut sql, key);
    sql.lit(" returning 1");
    sql
}

/// A new row of the key's columns; an absent owner is filled in as REST does.
fn insert(relation: &Relation, key: &Map<String, Value>) -> SqlBuf {
    let name = &relation.name;
    let owner = relation.restriction.owner_column.as_deref().filter(|owner| !key.contains_key(*owner));
    let mut columns: Vec<&str> = key.keys().map(String::as_str).collect();
    columns.extend(owner);
    let mut sql = SqlBuf::new();
    sql.lit("insert into ").name(&name.schema, &name.name).lit(" (").join(", ", &columns, |sql, column| {
        sql.ident(column);
    });
    // The row's type reads each value as the column's own.
    sql.lit(") select ").join(", ", &columns, |sql, column| {
        sql.lit("given.").ident(column);
    });
    let mut row = key.clone();
    if let Some(owner) = owner {
        row.insert(owner.to_owned(), Value::Null);
    }
    sql.lit(" from jsonb_populate_record(null::").name(&name.schema, &name.name).lit(", ");
    sql.bind_text(&Value::Object(row).to_string()).lit("::jsonb");
    if let Some(owner) = owner {
        sql.lit(" || jsonb_build_object(").quoted(owner).lit(", auth.jwt() ->> 'sub')");
    }
    sql.lit(") as given returning 1");
    sql
}

fn where_key(sql: &mut SqlBuf, key: &Map<String, Value>) {
    sql.lit(" where ").join(" and ", key, |sql, (column, value)| {
        sql.ident(column).lit("::text = ");
        match value {
            Value::String(text) => sql.bind_text(text),
            other => sql.bind_text(&other.to_string()),
        };
    });
}
