//! How long changes and messages are kept.
//!
//! Changes lie in a ring of partitions (`migrations/…_realtime_changes.sql`). There is one rule: when the present one is old
//! or large enough, the next is emptied and becomes the present one. So a change is kept for the whole time, or until there
//! is no room; all together take the size that is allowed, and a partition more at most.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::kernel::db::pool;
use crate::kernel::sql::SqlBuf;

/// How many partitions the ring has.
const SLOTS: i32 = 8;
/// How often it is looked.
const PAUSE: Duration = Duration::from_secs(10);
/// How many days ahead messages have partitions.
const DAYS_AHEAD: i32 = 3;
/// Rows that go by one statement.
const AT_ONCE: i64 = 1000;
/// The longest wait for a table: whoever comes after us would wait behind us.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '50ms'";

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Changes, at least for so long.
    pub changes: Duration,
    /// And at most about so many bytes of them, which is the stronger of the two.
    pub bytes: u64,
    /// Messages, in whole days.
    pub messages: Duration,
}

/// Several nodes do this: one at a time.
const LOCK: &str = "select pg_try_advisory_xact_lock(hashtextextended('goforward realtime retention', 0))";
const PRESENT: &str = "
select pg_sequence_last_value('realtime.slot'), extract(epoch from clock_timestamp() - opened_at)::float8,
       coalesce(pg_total_relation_size(to_regclass('realtime.changes_' || pg_sequence_last_value('realtime.slot'))), 0)
from realtime.retention";
const EXISTS: &str = "select to_regclass('realtime.changes_' || $1) is not null";
const OPEN: &str = "update realtime.retention set opened_at = clock_timestamp()";
/// What no partition took.
const DELETE_STRAYS: &str = "
with gone as (
    delete from realtime.changes_default where ctid = any (array(
        select ctid from realtime.changes_default
        where written_at < clock_timestamp() - make_interval(secs => $1) limit $2))
    returning xid
)
update realtime.retention
set horizon = greatest(horizon, (select xid from gone order by xid desc limit 1)), removed = pg_current_snapshot()
where exists (select from gone)";
const MISSING_DAYS: &str = "
select to_char(day, 'YYYY_MM_DD'), to_char(day, 'YYYY-MM-DD'), to_char(day + interval '1 day', 'YYYY-MM-DD')
from generate_series(date_trunc('day', now() at time zone 'utc'),
                     date_trunc('day', now() at time zone 'utc') + make_interval(days => $1), '1 day') as day
where (select relkind = 'p' from pg_class where oid = 'realtime.messages'::regclass)
  and to_regclass('realtime.messages_' || to_char(day, 'YYYY_MM_DD')) is null
order by day";
const OLD_DAYS: &str = "
select relname::text from pg_inherits join pg_class on pg_class.oid = inhrelid
where inhparent = 'realtime.messages'::regclass and relname ~ '^messages_\\d{4}_\\d{2}_\\d{2}$'
  and to_date(substr(relname, 10), 'YYYY_MM_DD') + interval '1 day'
      < (now() at time zone 'utc') - make_interval(secs => $1)";
const DELETE_MESSAGES: &str = "
delete from realtime.messages where (id, inserted_at) in (
    select id, inserted_at from realtime.messages
    where inserted_at < (now() at time zone 'utc') - make_interval(secs => $1) limit $2)";

/// Keeps to the limits until `stop`.
pub async fn run(pool: PgPool, keep: Keep, stop: CancellationToken) {
    loop {
        let upkeep = async {
            tend(&pool, keep).await;
            sleep(PAUSE).await;
        };
        if stop.run_until_cancelled(upkeep).await.is_none() {
            break;
        }
    }
}

async fn tend(pool: &PgPool, keep: Keep) {
    let failed = |what: &str, error: sqlx::Error| tracing::debug!(%error, "{what}; it is tried again");
    if let Err(error) = advance(pool, keep).await {
        failed("old changes cannot be removed now", error);
    }
    if let Err(error) = delete_strays(pool, keep).await {
        failed("stray changes cannot be removed now", error);
    }
    if let Err(error) = tend_messages(pool, keep).await {
        failed("the days of messages cannot be kept in order now", error);
    }
}

/// Goes on to the next partition if it is time; whether it did. Fails with 55P03 where a transaction that wrote to the next
/// one is still open: its changes are not to be removed, since nobody has seen them.
pub async fn advance(pool: &PgPool, keep: Keep) -> Result<bool, sqlx::Error> {
    let mut transaction = pool::begin(pool).await?;
    if !sqlx::query_scalar::<_, bool>(LOCK).fetch_one(&mut *transaction).await? {
        return Ok(false);
    }
    let (slot, age, size): (i64, f64, i64) = sqlx::query_as(PRESENT).fetch_one(&mut *transaction).await?;
    // When a partition is emptied, all the others but the new one have been filled since.
    let is_old = age >= keep.changes.as_secs_f64() / f64::from(SLOTS - 1);
    let is_large = size.cast_unsigned() >= keep.bytes / u64::from(SLOTS.cast_unsigned());
    if !is_old && !is_large {
        return Ok(false);
    }
    let Some(next) = next(&mut transaction, slot).await? else { return Ok(false) };
    empty(&mut transaction, next).await?;
    transaction.execute(OPEN).await?;
    transaction.commit().await?;
    // Not before it is empty: a sequence does not wait for commits.
    sqlx::query("select setval('realtime.slot', $1)").bind(next).execute(pool).await?;
    Ok(true)
}

/// The next partition that is there.
async fn next(connection: &mut PgConnection, slot: i64) -> Result<Option<i64>, sqlx::Error> {
    for next in (1..SLOTS).map(|step| (slot + i64::from(step)) % i64::from(SLOTS)) {
        if sqlx::query_scalar(EXISTS).bind(next.to_string()).fetch_one(&mut *connection).await? {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// Removes all of a partition, and writes down of what.
async fn empty(connection: &mut PgConnection, slot: i64) -> Result<(), sqlx::Error> {
    let partition = format!("changes_{slot}");
    let statement = |head: &'static str, tail: &'static str| {
        let mut sql = SqlBuf::new();
        sql.lit(head).name("realtime", &partition).lit(tail);
        AssertSqlSafe(sql.into_parts().0)
    };
    let holds: bool =
        sqlx::query_scalar(statement("select exists (select from ", ")")).fetch_one(&mut *connection).await?;
    if !holds {
        // Whoever writes there now is not to be disturbed either.
        return Ok(());
    }
    connection.execute(LOCK_TIMEOUT).await?;
    connection.execute(statement("lock table only ", " in access exclusive mode")).await?;
    let note = statement(
        "update realtime.retention set removed = pg_current_snapshot(),
             horizon = greatest(horizon, (select xid from ",
        " order by xid desc limit 1))",
    );
    connection.execute(note).await?;
    connection.execute(statement("truncate only ", "")).await?;
    Ok(())
}

async fn delete_strays(pool: &PgPool, keep: Keep) -> Result<(), sqlx::Error> {
    let query = sqlx::query(DELETE_STRAYS).bind(keep.changes.as_secs_f64()).bind(AT_ONCE);
    query.execute(pool).await.map(drop)
}

/// Makes the partitions of the coming days, and removes those that are over.
pub async fn tend_messages(pool: &PgPool, keep: Keep) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let missing: Vec<(String, String, String)> =
        sqlx::query_as(MISSING_DAYS).bind(DAYS_AHEAD).fetch_all(&mut *connection).await?;
    for (day, from, to) in missing {
        let mut sql = SqlBuf::new();
        sql.lit("create table ").name("realtime", &format!("messages_{day}"));
        sql.lit(" partition of realtime.messages for values from (").quoted(&from).lit(") to (").quoted(&to);
        sql.lit(")");
        // Where messages of that day lie in the default partition already, or Supabase cut its days otherwise.
        alter(&mut connection, sql, &["23514", "42P17", "42P07"]).await?;
    }
    let old: Vec<String> =
        sqlx::query_scalar(OLD_DAYS).bind(keep.messages.as_secs_f64()).fetch_all(&mut *connection).await?;
    for day in old {
        let mut sql = SqlBuf::new();
        sql.lit("drop table ").name("realtime", &day);
        alter(&mut connection, sql, &["42P01"]).await?;
    }
    let delete = sqlx::query(DELETE_MESSAGES).bind(keep.messages.as_secs_f64()).bind(AT_ONCE);
    delete.execute(&mut *connection).await.map(drop)
}

/// One statement under the short wait; these SQLSTATEs are none of a failure.
async fn alter(connection: &mut PgConnection, sql: SqlBuf, harmless: &[&str]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    transaction.execute(LOCK_TIMEOUT).await?;
    match transaction.execute(AssertSqlSafe(sql.into_parts().0)).await {
        Ok(_) => transaction.commit().await,
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| harmless.contains(&code.as_ref())) =>
        {
            transaction.rollback().await
        }
        Err(error) => Err(error),
    }
}
