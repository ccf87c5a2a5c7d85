//! Objects: found, tried, moved and removed in a caller's name; written by the service once their bytes are there.

use serde_json::{Map, Value};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::caller::{Acting, CallerStore, Kind};
use super::{scans, thumbnails};
use crate::kernel::sql::{Param, SqlBuf};
use crate::storage::error::StorageError;
use crate::storage::model::object::Object;
use crate::storage::model::scan::Hold;

/// The columns of [`Object`].
const COLUMNS: &str = "object.id, object.bucket_id, object.name, object.owner_id, object.version, object.metadata, \
     object.user_metadata, object.created_at, object.updated_at, object.last_accessed_at";

/// What a row says of an object that is written, or would be.
pub(in crate::storage) struct Draft<'a> {
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) name: &'a str,
    pub(in crate::storage) owner: Option<&'a str>,
    pub(in crate::storage) version: Uuid,
    pub(in crate::storage) metadata: &'a Value,
    pub(in crate::storage) user_metadata: Option<&'a Map<String, Value>>,
}

/// Where an object is.
#[derive(Clone, Copy)]
pub(in crate::storage) struct At<'a> {
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) name: &'a str,
}

/// Writes the columns `owner` and `owner_id`: the old one holds nothing but UUIDs.
pub(super) fn bind_owner(sql: &mut SqlBuf, owner: Option<&str>) {
    let as_uuid = owner.filter(|owner| Uuid::try_parse(owner).is_ok());
    let param = |text: Option<&str>| text.map_or_else(Param::null, |text| Param::text(text.to_owned()));
    sql.bind(param(as_uuid)).lit("::uuid, ").bind(param(owner)).lit("::text");
}

/// Texts as PostgreSQL reads an array of them.
pub(super) fn text_array<'a>(items: impl Iterator<Item = &'a str>) -> Param {
    let mut text = String::from("{");
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push('}');
    Param::text(text)
}

/// An object that the caller sees.
pub(in crate::storage) async fn find(
    store: &CallerStore,
    acting: &Acting,
    at: At<'_>,
) -> Result<Option<Object>, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select row_to_json(found)::text from (select ").lit(COLUMNS);
    sql.lit(" from storage.objects as object where object.bucket_id = ").bind_text(at.bucket);
    sql.lit(" and object.name = ").bind_text(at.name).lit(") as found");
    store.run(acting, sql, Kind::Read).await
}

/// Which of these names the caller sees.
pub(in crate::storage) async fn seen(
    store: &CallerStore,
    acting: &Acting,
    bucket: &str,
    names: &[String],
) -> Result<Vec<String>, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select coalesce(json_agg(object.name), '[]')::text from storage.objects as object where object.bucket_id = ");
    sql.bind_text(bucket).lit(" and object.name = any(").bind(text_array(names.iter().map(String::as_str)));
    sql.lit("::text[])");
    store.run(acting, sql, Kind::Read).await.map(Option::unwrap_or_default)
}

/// Whether the caller may write an object, over another one where `upsert`: a row is written and taken back, so that
/// policies see it as it will be.
pub(in crate::storage) async fn probe(
    store: &CallerStore,
    acting: &Acting,
    draft: &Draft<'_>,
    upsert: bool,
) -> Result<(), StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with tried as (insert into storage.objects as object (bucket_id, name, owner, owner_id, version, metadata, user_metadata) values (");
    sql.bind_text(draft.bucket).lit(", ").bind_text(draft.name).lit(", ");
    bind_owner(&mut sql, draft.owner);
    sql.lit(", ").bind_text(&draft.version.to_string()).lit(", ");
    sql.bind_text(&draft.metadata.to_string()).lit("::jsonb, ");
    let user_metadata = draft.user_metadata.map(|map| Value::Object(map.clone()).to_string());
    sql.bind(user_metadata.map_or_else(Param::null, Param::text)).lit("::jsonb)");
    if upsert {
        sql.lit(
            " on conflict (bucket_id, name) do update set owner = excluded.owner, owner_id = excluded.owner_id, \
             version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata",
        );
    }
    sql.lit(") select 'true'::text");
    store.execute(acting, sql, Kind::Probe).await.map(drop)
}

/// Gives a stored blob its object, if the blob is still announced. One statement: the object is there with its bytes, or
/// nothing is changed.
const COMMIT: &str = "
with kept as (
    update goforward.storage_blobs set state = 'stored', touched_at = now(),
        scan = case when $10 then 'pending' end
    where version = $4 and state = 'writing'
    returning version
), written as (
    insert into storage.objects as object (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
    select $1, $2, $7, $3, version, $5, $6 from kept
    on conflict (bucket_id, name) do update set owner = excluded.owner, owner_id = excluded.owner_id,
        version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata
    where $8 and ($9 is null or object.id = $9)
    returning id
)
select (select id from written) as id, exists (select from kept) as is_kept";

/// What is to be done with an object once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Follow {
    /// It is scanned. Nobody reads it before.
    Scan,
    /// Pictures of it are made.
    Thumbnails,
}

/// The id of the object that now has the bytes. What follows is asked for with it. Commits the transaction.
pub(in crate::storage) async fn commit(
    mut transaction: Transaction<'_, Postgres>,
    draft: &Draft<'_>,
    (upsert, replaceable): (bool, Option<Uuid>),
    (follow, now): (Option<Follow>, i64),
) -> Result<Uuid, StorageError> {
    let as_uuid = draft.owner.and_then(|owner| Uuid::try_parse(owner).ok());
    let (id, is_kept): (Option<Uuid>, bool) = sqlx::query_as(COMMIT)
        .bind(draft.bucket)
        .bind(draft.name)
        .bind(draft.owner)
        .bind(draft.version.to_string())
        .bind(draft.metadata)
        .bind(draft.user_metadata.map(|map| Value::Object(map.clone())))
        .bind(as_uuid)
        .bind(upsert)
        .bind(replaceable)
        .bind(follow == Some(Follow::Scan))
        .fetch_one(&mut *transaction)
        .await?;
    match id {
        Some(id) => {
            match follow {
                Some(Follow::Scan) => scans::ask(&mut transaction, draft.version, now).await?,
                Some(Follow::Thumbnails) => thumbnails::ask(&mut transaction, draft.version, now).await?,
                None => {}
            }
            transaction.commit().await?;
            Ok(id)
        }
        // Rolled back as it is dropped, so that the blob stays what it is: to be swept.
        None if is_kept => Err(StorageError::AlreadyExists),
        None => Err(StorageError::GivenUp),
    }
}

/// An object of a public bucket, and whether the bucket is one; which version is there in any case, and whether it is held.
const PUBLIC: &str = "
select coalesce(bucket.public, false), case when $3 or bucket.public then row_to_json(object) end, object.version, blob.scan
from storage.buckets as bucket
left join storage.objects as object on object.bucket_id = bucket.id and object.name = $2
left join goforward.storage_blobs as blob
    on blob.version = object.version and blob.scan in ('pending', 'quarantined')
where bucket.id = $1";

/// What everybody may know.
pub(in crate::storage) struct PublicView {
    /// Whether everybody may read what is in the bucket.
    pub(in crate::storage) is_public: bool,
    /// The object, if the bucket is public or `anyway`.
    pub(in crate::storage) object: Option<Object>,
    /// The version that is there, whoever may read it.
    pub(in crate::storage) version: Option<String>,
    /// Why nobody may read that version, if so.
    pub(in crate::storage) hold: Option<Hold>,
}

/// The object as the service sees it: of a public bucket, or `anyway`, where a signed URL says so.
pub(in crate::storage) async fn public(
    pool: &PgPool,
    at: At<'_>,
    anyway: bool,
) -> Result<Option<PublicView>, StorageError> {
    type Row = (bool, Option<sqlx::types::Json<Object>>, Option<String>, Option<Hold>);
    let found: Option<Row> =
        sqlx::query_as(PUBLIC).bind(at.bucket).bind(at.name).bind(anyway).fetch_optional(pool).await?;
    Ok(found.map(|(is_public, object, version, hold)| PublicView {
        is_public,
        object: object.map(|json| json.0),
        version,
        hold,
    }))
}

/// Gives an object another place, if it still is the one that was `looked_at`, where one was. The bytes stay where they are.
pub(in crate::storage) async fn move_to(
    store: &CallerStore,
    acting: &Acting,
    (from, to): (At<'_>, At<'_>),
    looked_at: Option<&Object>,
) -> Result<Option<Object>, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with moved as (update storage.objects as object set bucket_id = ").bind_text(to.bucket);
    sql.lit(", name = ").bind_text(to.name).lit(" where object.bucket_id = ").bind_text(from.bucket);
    sql.lit(" and object.name = ").bind_text(from.name);
    if let Some(object) = looked_at {
        let version = object.version.clone().map_or_else(Param::null, Param::text);
        sql.lit(" and object.version is not distinct from ").bind(version).lit("::text");
    }
    sql.lit(" returning ").lit(COLUMNS);
    sql.lit(") select row_to_json(moved)::text from moved");
    store.run(acting, sql, Kind::Write).await
}

/// Removes what the caller sees and may remove of these names, and gives their rows.
pub(in crate::storage) async fn remove(
    store: &CallerStore,
    acting: &Acting,
    bucket: &str,
    names: &[String],
) -> Result<Vec<Value>, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with gone as (delete from storage.objects as object where object.bucket_id = ")
        .bind_text(bucket);
    sql.lit(" and object.name = any(").bind(text_array(names.iter().map(String::as_str)));
    sql.lit("::text[]) returning object.*) select coalesce(json_agg(gone), '[]')::text from gone");
    store.run(acting, sql, Kind::Write).await.map(Option::unwrap_or_default)
}

/// Gives all objects that the caller sees below a prefix another one, in one transaction; how many there were. A name that
/// would be too long, or is another object's, moves none.
pub(in crate::storage) async fn move_prefix(
    store: &CallerStore,
    acting: &Acting,
    from: At<'_>,
    to: At<'_>,
) -> Result<i64, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("select storage.goforward_move_prefix(").bind_text(from.bucket);
    sql.lit("::text, ").bind_text(from.name).lit("::text, ");
    sql.bind(after(from.name).map_or_else(Param::null, Param::text)).lit("::text, ");
    sql.bind_text(to.bucket).lit("::text, ").bind_text(to.name).lit("::text)::text");
    store.run(acting, sql, Kind::Write).await.map(Option::unwrap_or_default)
}

/// Removes all objects that the caller sees and may remove below a prefix; how many there were.
pub(in crate::storage) async fn remove_prefix(
    store: &CallerStore,
    acting: &Acting,
    at: At<'_>,
) -> Result<i64, StorageError> {
    let mut sql = SqlBuf::new();
    sql.lit("with gone as (delete from storage.objects as object where object.bucket_id = ")
        .bind_text(at.bucket);
    sql.lit(" and ");
    begins_with(&mut sql, at.name);
    sql.lit(" returning 1) select count(*)::text from gone");
    store.run(acting, sql, Kind::Write).await.map(Option::unwrap_or_default)
}

/// A condition on names by their first bytes, which the index in the order of bytes serves; nothing in a prefix is a pattern.
pub(super) fn begins_with(sql: &mut SqlBuf, prefix: &str) {
    sql.lit("object.name collate \"C\" >= ").bind_text(prefix).lit("::text");
    if let Some(end) = after(prefix) {
        sql.lit(" and object.name collate \"C\" < ").bind_text(&end).lit("::text");
    }
}

/// The first text in the order of bytes that does not begin with `prefix` but comes after all that do.
pub(super) fn after(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match u32::from(last) {
            0xd7ff => char::from_u32(0xe000),
            code => char::from_u32(code + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_array_of_texts_is_read_as_these_texts() {
        let items = ["a", "b\"c", "d\\e", "{f,g}", ""];
        let Param { value: Some(text), .. } = text_array(items.into_iter()) else { panic!("no value") };
        assert_eq!(text, r#"{"a","b\"c","d\\e","{f,g}",""}"#);
    }

    proptest! {
        #[test]
        fn the_range_of_a_prefix_holds_what_begins_with_it(prefix in ".{0,4}", name in ".{0,8}") {
            let is_within = name.as_bytes() >= prefix.as_bytes()
                && after(&prefix).is_none_or(|end| name.as_bytes() < end.as_bytes());
            prop_assert_eq!(is_within, name.starts_with(&prefix));
        }
    }
}
