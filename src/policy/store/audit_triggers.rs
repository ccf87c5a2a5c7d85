//! Brings the audit triggers of a table to where its rules want them.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;
use crate::policy::audit::{AUDIT_TRIGGER_NAMES, AuditTrigger, audit_triggers};
use crate::policy::model::Verb;

/// The longest wait for a table that others use: whoever waits for it behind us waits as long.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '3s'";

const KIND: &str = "
select c.relkind::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2";

/// The table and, of a partitioned one, everything below it: a write that names a partition runs no trigger of its
/// parent, and one that names the parent none of the partition. With each the triggers by our names, and those of them
/// that work.
const TABLES: &str = "
with root as (
  select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relname = $2
), member as (
  select oid from root union select relid from root, pg_catalog.pg_partition_tree(root.oid)
)
select n.nspname::text, c.relname::text,
       array(select tgname::text from pg_catalog.pg_trigger
             where tgrelid = c.oid and not tgisinternal and tgname::text = any ($3)),
       array(select tgname::text from pg_catalog.pg_trigger
             where tgrelid = c.oid and not tgisinternal and tgname::text = any ($3) and tgenabled in ('O', 'A')
               and tgfoid = 'goforward.record_table_change()'::pg_catalog.regprocedure)
from member
join pg_catalog.pg_class c on c.oid = member.oid and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 1, 2";

/// Why triggers cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum AuditTriggerError {
    /// The table is not there.
    #[error("{0} does not exist")]
    Missing(QualifiedName),
    /// It is a view or the like, which runs no triggers that see rows; or a table of goforward.
    #[error("{0} is no table whose writes can be recorded; record those of the tables below it")]
    NotATable(QualifiedName),
    /// The database refuses, for instance because the table is somebody else's or in use (55P03).
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// One step on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerChange {
    /// Makes a trigger on a table.
    Create(QualifiedName, AuditTrigger),
    /// Removes one by name.
    Drop(QualifiedName, String),
}

/// What is missing and what is too much of the triggers of a table that record `verbs`.
pub async fn drift(
    connection: &mut PgConnection,
    name: &QualifiedName,
    verbs: &BTreeSet<Verb>,
) -> Result<Vec<TriggerChange>, AuditTriggerError> {
    let kind: Option<String> = sqlx::query_scalar(KIND)
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .fetch_optional(&mut *connection)
        .await?;
    match kind.as_deref() {
        None => return Err(AuditTriggerError::Missing(name.clone())),
        Some("r" | "p") if &*name.schema != "goforward" => {}
        Some(_) => return Err(AuditTriggerError::NotATable(name.clone())),
    }
    let tables: Vec<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(TABLES)
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .bind(AUDIT_TRIGGER_NAMES)
        .fetch_all(connection)
        .await?;
    let wanted = audit_triggers(verbs);
    let changes = tables.into_iter().flat_map(|(schema, table, there, working)| {
        let table = QualifiedName::new(schema, table);
        changes_of(&table, &wanted, there, &working)
    });
    Ok(changes.collect())
}

/// The steps for one table. A trigger that is switched off or calls something else is made anew.
fn changes_of(
    table: &QualifiedName,
    wanted: &[AuditTrigger],
    there: Vec<String>,
    working: &[String],
) -> Vec<TriggerChange> {
    let is_good = |name: &str| working.iter().any(|known| known == name);
    let missing: Vec<AuditTrigger> =
        wanted.iter().copied().filter(|trigger| !is_good(trigger.name)).collect();
    let is_wanted = |name: &str| wanted.iter().any(|trigger| trigger.name == name);
    let dropped = there.into_iter().filter(|name| !is_wanted(name) || !is_good(name));
    let mut changes: Vec<TriggerChange> =
        dropped.map(|name| TriggerChange::Drop(table.clone(), name)).collect();
    changes.extend(missing.into_iter().map(|trigger| TriggerChange::Create(table.clone(), trigger)));
    changes
}

/// Makes the triggers that record `verbs`, on the table and all its partitions, and removes those of other verbs.
/// Returns what was done: nothing where all was in place.
///
/// All or nothing, in a transaction of its own or a savepoint of the caller's. A table that cannot be locked within
/// three seconds is an error.
pub async fn ensure(
    connection: &mut PgConnection,
    name: &QualifiedName,
    verbs: &BTreeSet<Verb>,
) -> Result<Vec<TriggerChange>, AuditTriggerError> {
    let mut transaction = connection.begin().await?;
    let changes = drift(&mut transaction, name, verbs).await?;
    if !changes.is_empty() {
        transaction.execute(LOCK_TIMEOUT).await?;
    }
    for change in &changes {
        let sql = statement(change).into_parts().0;
        transaction.execute(AssertSqlSafe(sql)).await?;
    }
    transaction.commit().await?;
    Ok(changes)
}

pub(super) fn statement(change: &TriggerChange) -> SqlBuf {
    let mut sql = SqlBuf::new();
    match change {
        TriggerChange::Create(table, trigger) => sql
            .lit("create trigger ")
            .ident(trigger.name)
            .lit(trigger.event)
            .name(&table.schema, &table.name)
            .lit(trigger.rows)
            .lit(" for each statement execute function goforward.record_table_change()"),
        TriggerChange::Drop(table, trigger) => {
            sql.lit("drop trigger if exists ").ident(trigger).lit(" on ").name(&table.schema, &table.name)
        }
    };
    sql
}
