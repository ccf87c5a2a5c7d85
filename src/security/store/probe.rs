//! Asks the database as a caller: role and claims are set for one transaction, which is rolled back.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::Semaphore;

use crate::catalog::model::Relation;
use crate::kernel::db::login::Login;
use crate::kernel::sql::SqlBuf;
use crate::policy::model::Verb;

/// How long a question waits for its turn and its connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks as callers; one connection at a time, open only while it is used. Cheap to clone.
#[derive(Clone)]
pub(in crate::security) struct CallerProbe {
    login: Login,
    turn: Arc<Semaphore>,
}

/// Whether a role has a privilege on a relation, on the whole or on a column of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::security) enum Privileges {
    /// It has one.
    Some,
    /// It has none.
    None,
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
    /// The policies that bind it, none where row-level security is off or does not bind the role.
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

const PRIVILEGE: &str =
    "select has_table_privilege($1, $2, $3) or ($3 <> 'delete' and has_any_column_privilege($1, $2, $3))";

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
            let has: bool = sqlx::query_scalar(PRIVILEGE)
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
            Ok(Facts { privileges: if has { Privileges::Some } else { Privileges::None }, policies })
        })
        .await
    }

    /// Whether the caller reaches the row with this key. For writes the row is tried to be written as it is.
    pub(in crate::security) async fn row(
        &self,
        role: &str,
        claims: &str,
        relation: &Relation,
        verb: Verb,
        key: &Map<String, Value>,
    ) -> Result<RowVerdict, sqlx::Error> {
        let sql = row_query(relation, verb, key);
        let (text, params) = sql.into_parts();
        let found = self
            .as_caller(role, claims, async |connection| {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for param in &params {
                    let value = param.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
                    query = query.bind(value);
                }
                query.fetch_optional(connection).await
            })
            .await;
        match found {
            Ok(Some(_)) => Ok(RowVerdict::Reachable),
            Ok(None) => Ok(RowVerdict::Unreachable),
            // A policy's check, or a privilege on a column.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "42501") => {
                Ok(RowVerdict::Unreachable)
            }
            Err(error) => Err(error),
        }
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

/// A statement that gives a row if the caller may do it to the row with this key; insert asks whether it would be seen.
fn row_query(relation: &Relation, verb: Verb, key: &Map<String, Value>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    let name = &relation.name;
    match verb {
        Verb::Select | Verb::Insert => {
            sql.lit("select 1 from ").name(&name.schema, &name.name);
        }
        Verb::Update => {
            let column = key.keys().next().map_or("", String::as_str);
            sql.lit("update ").name(&name.schema, &name.name).lit(" set ");
            sql.ident(column).lit(" = ").ident(column);
        }
        Verb::Delete => {
            sql.lit("delete from ").name(&name.schema, &name.name);
        }
    }
    sql.lit(" where ").join(" and ", key, |sql, (column, value)| {
        sql.ident(column).lit("::text = ");
        match value {
            Value::String(text) => sql.bind_text(text),
            other => sql.bind_text(&other.to_string()),
        };
    });
    if matches!(verb, Verb::Update | Verb::Delete) {
        sql.lit(" returning 1");
    }
    sql
}
