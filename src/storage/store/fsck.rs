//! What the database says of the blobs that the backend has. A pass writes down what the backend listed in a temporary table;
//! PostgreSQL compares it with the rows and gives candidates, and of each it is asked once more how things are by then.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::deeds;

/// A policy that hid rows would make their blobs look like nobody's: an error is better.
const PREPARE: &str = "
set row_security = off;
create temporary table storage_found (version text primary key, size bigint not null, is_old boolean not null);
create temporary table storage_candidates (
    number bigint generated always as identity primary key, version text, object_id uuid
)";

/// Begins a pass on this connection.
pub(in crate::storage) async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(PREPARE)).await.map(drop)
}

/// A blob of the backend.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Found {
    pub(in crate::storage) version: Uuid,
    pub(in crate::storage) size: u64,
    /// Whether nobody can be writing it any more.
    pub(in crate::storage) is_old: bool,
}

/// Writes down what the backend has.
pub(in crate::storage) async fn note(
    connection: &mut PgConnection,
    found: &[Found],
) -> Result<(), sqlx::Error> {
    let sql = "insert into pg_temp.storage_found select * from unnest($1::text[], $2::bigint[], $3::boolean[]) on conflict do nothing";
    let versions: Vec<String> = found.iter().map(|found| found.version.to_string()).collect();
    let sizes: Vec<i64> = found.iter().map(|found| i64::try_from(found.size).unwrap_or(i64::MAX)).collect();
    let old: Vec<bool> = found.iter().map(|found| found.is_old).collect();
    sqlx::query(sql).bind(versions).bind(sizes).bind(old).execute(connection).await.map(drop)
}

/// What may differ, by one look at everything. The sizes are those of bytes as they are and encrypted.
const COMPARE: &str = "
insert into pg_temp.storage_candidates (version, object_id)
select found.version, null::uuid
from pg_temp.storage_found as found
where found.is_old
    and not exists (select from goforward.storage_blobs as blob where blob.version = found.version)
    and not exists (select from storage.objects as object where object.version = found.version)
union all
select blob.version, null
from goforward.storage_blobs as blob
where blob.touched_at < now() - make_interval(secs => $1) and blob.state in ('writing', 'dead', 'stored')
    and (blob.claimed_until is null or blob.claimed_until < now())
    and not exists (select from storage.objects as object where object.version = blob.version)
union all
select object.version, object.id
from storage.objects as object
left join pg_temp.storage_found as found on found.version = object.version
left join goforward.storage_blobs as blob on blob.version = object.version
cross join lateral (
    select case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end as size
) as said
where not object.is_delete_marker
    and coalesce(object.updated_at < now() - make_interval(secs => $1), true)
    and (found.version is null or blob.version is null or blob.state in ('writing', 'dead')
        or found.size is distinct from said.size
            and found.size is distinct from said.size + 8 + 16 * greatest((said.size + 65535) / 65536, 1))";

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::storage) struct Counts {
    /// Blobs of the backend.
    pub(in crate::storage) blobs: i64,
    /// Those of them that the database knows.
    pub(in crate::storage) known: i64,
    /// Objects.
    pub(in crate::storage) objects: i64,
    /// The highest number of a candidate.
    pub(in crate::storage) candidates: i64,
}

const COUNT: &str = "
select (select count(*) from pg_temp.storage_found) as blobs,
    (select count(*) from pg_temp.storage_found join goforward.storage_blobs using (version)) as known,
    (select count(*) from storage.objects) as objects,
    (select coalesce(max(number), 0) from pg_temp.storage_candidates) as candidates";

/// Finds the candidates, and counts.
pub(in crate::storage) async fn compare(
    connection: &mut PgConnection,
    grace: Duration,
) -> Result<Counts, sqlx::Error> {
    connection.execute(sqlx::raw_sql("analyze pg_temp.storage_found")).await?;
    sqlx::query(COMPARE).bind(grace.as_secs_f64()).execute(&mut *connection).await?;
    sqlx::query_as(COUNT).fetch_one(connection).await
}

/// A candidate, as things are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::storage) struct Candidate {
    /// Orders them.
    pub(in crate::storage) number: i64,
    /// The name of the bytes.
    pub(in crate::storage) version: Option<String>,
    /// The state of the blob's row, if there is one.
    pub(in crate::storage) state: Option<String>,
    /// Whether somebody has touched that row within the grace, or is removing the bytes of no object.
    pub(in crate::storage) is_fresh: bool,
    /// The object that has the version now, if one has.
    pub(in crate::storage) object_id: Option<Uuid>,
    pub(in crate::storage) bucket: Option<String>,
    pub(in crate::storage) name: Option<String>,
    /// The size that the object's metadata says.
    pub(in crate::storage) said: Option<i64>,
}

/// An object that has another version by now is none any more; a blob may have an object by now.
const CANDIDATES: &str = "
with page as (select * from pg_temp.storage_candidates where number > $1 and number <= $1 + $2)
select page.number, page.version, blob.state,
    coalesce(blob.touched_at >= now() - make_interval(secs => $3), false) as is_fresh, object.id as object_id, object.bucket_id as bucket, object.name,
    case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end as said
from page
left join goforward.storage_blobs as blob on blob.version = page.version
join storage.objects as object on object.id = page.object_id and object.version is not distinct from page.version
union all
select page.number, page.version, blob.state,
    coalesce(blob.touched_at >= now() - make_interval(secs => $3) or object.id is null and blob.claimed_until >= now(), false),
    object.id, object.bucket_id, object.name,
    case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end
from page
left join goforward.storage_blobs as blob on blob.version = page.version
left join storage.objects as object on object.version = page.version
where page.object_id is null
order by number";

/// The candidates of the next numbers after one.
pub(in crate::storage) async fn candidates(
    connection: &mut PgConnection,
    (after, most): (i64, i64),
    grace: Duration,
) -> Result<Vec<Candidate>, sqlx::Error> {
    sqlx::query_as(CANDIDATES).bind(after).bind(most).bind(grace.as_secs_f64()).fetch_all(connection).await
}

/// What is mended in the database. Each looks once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Mend<'a> {
    /// Forget a blob that no object has, in this state.
    Forget { version: &'a str, state: &'a str },
    /// Say of a blob that an object has it. Where there is a scanner that has not seen it, it waits for that one.
    Keep { version: &'a str, scans: bool },
    /// Remove an object, which is in this bucket and has this name.
    Remove { object: Uuid, version: Option<&'a str>, place: (&'a str, &'a str) },
}

/// Does it, if nothing has changed; `bytes` removes what belongs to it before it holds. Whether it did.
pub(in crate::storage) async fn mend<E>(
    connection: &mut PgConnection,
    mend: Mend<'_>,
    bytes: impl Future<Output = Result<(), E>>,
) -> Result<bool, MendError<E>> {
    let mut transaction = connection.begin().await?;
    let query = match mend {
        Mend::Forget { version, state } => sqlx::query(
            "delete from goforward.storage_blobs where version = $1 and state = $2
                and not exists (select from storage.objects where version = $1)",
        )
        .bind(version)
        .bind(state),
        Mend::Keep { version, scans } => sqlx::query(
            "insert into goforward.storage_blobs as blob (version, state, scan)
             select $1, 'stored', case when $2 then 'pending' end
             where exists (select from storage.objects where version = $1)
             on conflict (version) do update
                set state = 'stored', touched_at = now(), claimed_until = null, scan = coalesce(blob.scan, excluded.scan)
                where blob.state in ('writing', 'dead') and (blob.claimed_until is null or blob.claimed_until < now())",
        )
        .bind(version)
        .bind(scans),
        Mend::Remove { object, version, .. } => {
            sqlx::query("select set_config('storage.allow_delete_query', 'true', true)")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("delete from storage.objects where id = $1 and version is not distinct from $2")
                .bind(object)
                .bind(version)
        }
    };
    if query.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    bytes.await.map_err(MendError::Bytes)?;
    if let Mend::Remove { version, place: (bucket, name), .. } = mend {
        deeds::remove_object(bucket, name, version).write_command(&mut *transaction).await?;
        // There are no bytes that a sweeper would have to remove.
        sqlx::query("delete from goforward.storage_blobs where version = $1 and state = 'dead'")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Why nothing was mended.
#[derive(Debug, thiserror::Error)]
pub(in crate::storage) enum MendError<E> {
    /// The database failed.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The bytes could not be removed.
    #[error("{0}")]
    Bytes(E),
}
