//! Reads `realtime.changes`, and tells writers whether somebody sleeps.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgExecutor;
use uuid::Uuid;

use crate::kernel::db::project;
use crate::realtime::changes::cursor::Horizon;
use crate::realtime::changes::{Change, ChangeKind, RowImage, Snapshot};

/// What writers wake sleepers by.
pub const CHANNEL: &str = "goforward_changes";

/// Few rows of many are ever wanted, and always by the index; without statistics, as on a fresh partition, PostgreSQL
/// would not know. So plans are the same whatever the parameters, and to make one takes as long as a look.
pub const SETTINGS: &str = "
set enable_seqscan = off; set enable_bitmapscan = off; set jit = off; set plan_cache_mode = force_generic_plan";

/// Of the timeline the number in use, which a promoted standby has at once; the control file learns it later.
const IDENTITY: &str = "
select concat_ws('/', retention.epoch, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
                 (select oid from pg_catalog.pg_database where datname = current_database())), retention.epoch
from realtime.retention";

/// The transactions that `until` sees (all that are visible now, without it) and `before` does not, with a place after `order`
/// or with rows left there. Unseen by `before` are those above it and those that ran: looked up by number, for one that is
/// open for long must not make every look a look at all that came since, and once they are through, for a large one must
/// not make every look a look at all that it has written so far.
///
/// What was removed is told by the same statement: it locks the partitions before it takes its snapshot, so what it misses
/// because a partition was emptied shows in the horizon.
const PLAN: &str = "
with given as materialized (
    select cast($1 as text)::pg_snapshot as before,
           coalesce(cast($2 as text)::pg_snapshot, pg_current_snapshot()) as until
)
select pg_current_snapshot()::text as now, retention.epoch, retention.horizon::text, retention.removed::text,
       planned.*
from realtime.retention
cross join lateral (
    select coalesce(array_agg(xid::text order by place), '{}') as xids,
           coalesce(array_agg(place order by place), '{}') as places,
           coalesce(array_agg(case when place = $3 then rest else rows end order by place), '{}') as rows,
           coalesce(array_agg(size order by place), '{}') as sizes
    from (
        select xid, max(seq) as place, count(*) as rows, count(*) filter (where seq > $4) as rest,
               sum(coalesce(pg_column_size(old), 0) + coalesce(pg_column_size(new), 0)) as size
        from (
            select xid, seq, old, new from realtime.changes
            where xid >= (select pg_snapshot_xmax(before) from given)
              and xid < (select pg_snapshot_xmax(until) from given)
            union all
            select xid, seq, old, new from realtime.changes
            where xid = any (array(
                select ran from given cross join pg_snapshot_xip(before) as ran
                where pg_visible_in_snapshot(ran, until)))
        ) as unseen
        where pg_visible_in_snapshot(xid, (select until from given))
        group by xid
        having max(seq) > $3 or (max(seq) = $3 and $4 < $3)
        order by place
        limit $5
    ) as found
) as planned";

/// Whole transactions, by runs of numbers without a gap: to go to each of them in each partition takes far longer than to
/// read them.
const ROWS: &str = "
select xid::text, seq, relation::bigint, kind::text, written_at, old::text, new::text
from unnest(cast($1 as text[])::xid8[], cast($2 as text[])::xid8[]) as run (first, last)
join realtime.changes on xid >= first and xid <= last and seq > $3
order by seq";

/// A part of one transaction: as many rows as fit, but one at least.
const PART: &str = "
select xid::text, seq, relation::bigint, kind::text, written_at, old::text, new::text
from (
    select page.*, sum(size) over (order by seq rows unbounded preceding) as total
    from (
        select xid, seq, relation, kind, written_at, old, new,
               coalesce(pg_column_size(old), 0) + coalesce(pg_column_size(new), 0) as size
        from realtime.changes where xid = cast($1 as text)::xid8 and seq > $2
        order by seq limit $3
    ) as page
) as counted
where total <= $4 or total = size
order by seq";

/// Until when a mark holds, in seconds; as in `realtime.hint()`.
const MARK: &str = "
with marked as (
    insert into realtime.readers (node, idle, seen_at) values ($1, $2, clock_timestamp())
    on conflict (node) do update set idle = excluded.idle, seen_at = excluded.seen_at
    returning idle
)
select setval('realtime.idle', greatest(0, ceil(extract(epoch from (
    select max(asleep) from (
        select seen_at + interval '5 seconds' as asleep from realtime.readers where idle and node <> $1
        union all
        select clock_timestamp() + interval '5 seconds' from marked where idle
    ) as sleeper
)))::bigint))";

const FORGET: &str =
    "delete from realtime.readers where node = $1 or seen_at < clock_timestamp() - interval '1 day'";

/// What is known of one transaction before its rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its number.
    pub xid: u64,
    /// Its highest `seq`.
    pub order: i64,
    /// How many rows are to come.
    pub rows: i64,
    /// About how many bytes.
    pub size: i64,
}

/// What is to be read.
#[derive(Debug)]
pub struct Plan {
    /// The moment of the plan.
    pub now: Snapshot,
    /// `realtime.retention.epoch` at that moment.
    pub epoch: Uuid,
    /// What was removed by then.
    pub horizon: Horizon,
    /// By order.
    pub transactions: Vec<Planned>,
}

#[derive(sqlx::FromRow)]
struct PlanRow {
    now: String,
    epoch: Uuid,
    horizon: String,
    removed: String,
    xids: Vec<String>,
    places: Vec<i64>,
    rows: Vec<i64>,
    sizes: Vec<i64>,
}

/// Plans at most `most` transactions, after the place (`order`, `seq`).
pub async fn plan(
    connection: impl PgExecutor<'_>,
    (before, until): (&Snapshot, Option<&Snapshot>),
    (order, seq): (i64, i64),
    most: usize,
) -> Result<Plan, sqlx::Error> {
    let row: PlanRow = sqlx::query_as(PLAN)
        .bind(before.to_string())
        .bind(until.map(Snapshot::to_string))
        .bind(order)
        .bind(seq)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    let horizon = Horizon { horizon: number(&row.horizon)?, removed: number(&row.removed)? };
    let mut transactions = Vec::with_capacity(row.xids.len());
    for (((xid, order), rows), size) in row.xids.iter().zip(row.places).zip(row.rows).zip(row.sizes) {
        transactions.push(Planned { xid: number(xid)?, order, rows, size });
    }
    Ok(Plan { now: number(&row.now)?, epoch: row.epoch, horizon, transactions })
}

/// A row with the number of its transaction.
pub type Written = (u64, Change);

#[derive(sqlx::FromRow)]
struct Row {
    xid: String,
    seq: i64,
    relation: i64,
    kind: String,
    written_at: DateTime<Utc>,
    old: Option<String>,
    new: Option<String>,
}

/// The rows of these transactions, by `seq`; those after `seq`.
pub async fn rows(
    connection: impl PgExecutor<'_>,
    transactions: impl Iterator<Item = u64>,
    seq: i64,
) -> Result<Vec<Written>, sqlx::Error> {
    let (firsts, lasts): (Vec<String>, Vec<String>) =
        runs(transactions).into_iter().map(|(first, last)| (first.to_string(), last.to_string())).unzip();
    let query = sqlx::query_as(ROWS).bind(firsts).bind(lasts).bind(seq);
    let rows: Vec<Row> = query.fetch_all(connection).await?;
    rows.into_iter().map(written).collect()
}

/// The first and the last of each run of consecutive numbers.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if number - *last <= 1 => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// The next rows of one transaction: at most so many, and of about so many bytes.
pub async fn part(
    connection: impl PgExecutor<'_>,
    transaction: u64,
    seq: i64,
    (most_rows, most_bytes): (i64, i64),
) -> Result<Vec<Written>, sqlx::Error> {
    let query = sqlx::query_as(PART).bind(transaction.to_string()).bind(seq).bind(most_rows).bind(most_bytes);
    let rows: Vec<Row> = query.fetch_all(connection).await?;
    rows.into_iter().map(written).collect()
}

fn written(row: Row) -> Result<Written, sqlx::Error> {
    let kind = match row.kind.as_str() {
        "I" => ChangeKind::Insert,
        "U" => ChangeKind::Update,
        "D" => ChangeKind::Delete,
        "T" => ChangeKind::Truncate,
        "M" => ChangeKind::Message,
        other => return Err(sqlx::Error::Decode(format!("a change of kind {other}").into())),
    };
    let image = |text: Option<String>| {
        text.map(RowImage::new).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let change = Change {
        seq: row.seq,
        relation: u32::try_from(row.relation).map_err(|error| sqlx::Error::Decode(error.into()))?,
        kind,
        written_at: row.written_at,
        old: image(row.old)?,
        new: image(row.new)?,
    };
    Ok((number(&row.xid)?, change))
}

/// What tells this life of this database from others: the epoch that was written down, the timeline, the database and its
/// cluster. And that epoch alone, by which to see whether it was changed. Where the number of the cluster is not ours to
/// read, the others must do.
pub async fn identity<C>(connection: &mut C) -> Result<(String, Uuid), sqlx::Error>
where
    for<'c> &'c mut C: PgExecutor<'c>,
{
    let (identity, epoch): (String, Uuid) = sqlx::query_as(IDENTITY).fetch_one(&mut *connection).await?;
    Ok(match project::cluster(connection).await? {
        Some(cluster) => (format!("{identity}/{cluster}"), epoch),
        None => (identity, epoch),
    })
}

/// What is visible now.
pub async fn now(connection: impl PgExecutor<'_>) -> Result<Snapshot, sqlx::Error> {
    let now: String = sqlx::query_scalar("select pg_current_snapshot()::text").fetch_one(connection).await?;
    number(&now)
}

/// What was removed up to now.
pub async fn horizon(connection: impl PgExecutor<'_>) -> Result<Horizon, sqlx::Error> {
    let (horizon, removed): (String, String) =
        sqlx::query_as("select horizon::text, removed::text from realtime.retention")
            .fetch_one(connection)
            .await?;
    Ok(Horizon { horizon: number(&horizon)?, removed: number(&removed)? })
}

/// Says whether this node sleeps.
pub async fn mark(connection: impl PgExecutor<'_>, node: Uuid, idle: bool) -> Result<(), sqlx::Error> {
    sqlx::query(MARK).bind(node).bind(idle).execute(connection).await.map(drop)
}

/// Takes back what this node said, and what others said that are long gone.
pub async fn forget(connection: impl PgExecutor<'_>, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET).bind(node).execute(connection).await.map(drop)
}

/// Takes what PostgreSQL writes for a number or a snapshot.
fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<T, sqlx::Error> {
    text.parse().map_err(|error: T::Err| sqlx::Error::Decode(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn numbers_without_a_gap_are_one_run() {
        assert_eq!(runs([7, 5, 6, 9, 12, 11].into_iter()), [(5, 7), (9, 9), (11, 12)]);
        assert_eq!(runs([u64::MAX, 0].into_iter()), [(0, 0), (u64::MAX, u64::MAX)]);
        assert_eq!(runs([].into_iter()), []);
    }
}
