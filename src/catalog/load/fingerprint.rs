//! Tells cheaply whether the schema changed, for databases where no event trigger can say so.
//!
//! PostgreSQL never changes a catalog row in place for DDL: the new row carries the transaction's number. As numbers
//! only grow, two states of a catalog table with as many rows and the same sum of numbers are the same state. (The
//! numbers wrap after four billion transactions; at worst one reload too many or one found by the next change.)

use sqlx::PgConnection;

use super::table_security;

/// The state of everything that the catalog is made from. Equal means unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

/// Whose rows the sums run over: objects of users (OIDs from 16384 on), no temporary tables, which come and go.
///
/// Tables of realtime are emptied by turns all day, which is no change of a schema.
///
/// Columns are by far the most rows, and `age()` is the fastest way to a number there; measured from a fixed
/// transaction it does not move with time.
const FINGERPRINT: &str = "
select concat_ws(' ',
  (select concat(count(*), ':', sum(age(xmin)::bigint) - count(*) * age('3'::xid)) from pg_attribute
   where attrelid >= 16384 and attnum > 0
     and attrelid not in (select oid from pg_class where relpersistence = 't')),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_class
   where oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'f') and relpersistence <> 't'
     and relnamespace is distinct from to_regnamespace('realtime')),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_constraint where oid >= 16384 and contype <> 'c'),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_attrdef where oid >= 16384),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_proc where oid >= 16384),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_type where oid >= 16384 and typtype in ('d', 'e')),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_enum),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_rewrite where oid >= 16384),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_trigger where not tgisinternal),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_namespace
   where nspname not like 'pg\\_temp\\_%' and nspname not like 'pg\\_toast%'),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_description
   where objoid >= 16384 or classoid = 'pg_namespace'::regclass),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_cast where oid >= 16384),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_policy),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_auth_members),
  (select concat(count(*), ':', sum(xmin::text::bigint)) from pg_db_role_setting),
  (select concat(count(*), ':', sum(hashtextextended(r::text, 0))) from pg_roles r)
)";

/// The present state. Some milliseconds per thousand tables; ask [`snapshot_text`] first.
pub async fn fingerprint(connection: &mut PgConnection) -> Result<Fingerprint, sqlx::Error> {
    let schema: String = sqlx::query_scalar(FINGERPRINT).fetch_one(&mut *connection).await?;
    let rules = table_security::state(connection).await?;
    Ok(Fingerprint(format!("{schema} {rules}")))
}

/// Which transactions have ended. While it stays the same nothing was written at all, the schema included.
///
/// To be taken before what it is to vouch for.
pub async fn snapshot_text(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("select pg_current_snapshot()::text").fetch_one(connection).await
}

/// Whether event triggers announce DDL on `channel`: enabled ones for changed and dropped objects, without a filter by
/// tag, whose functions notify and name the channel. Whoever made them.
pub async fn event_trigger_present(
    connection: &mut PgConnection,
    channel: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select count(distinct t.evtevent) = 2
         from pg_event_trigger t
         join pg_proc p on p.oid = t.evtfoid
         where t.evtevent in ('ddl_command_end', 'sql_drop') and t.evtenabled in ('O', 'A') and t.evttags is null
           and p.prosrc ilike '%notify%' and strpos(p.prosrc, $1) > 0",
    )
    .bind(channel)
    .fetch_one(connection)
    .await
}
