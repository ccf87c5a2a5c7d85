//! The publication `supabase_realtime`: which tables are in it, and putting tables into it and out of it. What is in it is
//! captured (`capture.rs`).

use serde::Serialize;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::catalog::model::QualifiedName;
use crate::kernel::sql::SqlBuf;

/// The publication whose tables are captured.
const PUBLICATION: &str = "supabase_realtime";
/// The longest wait for a table: whoever comes after us would wait behind us.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '1s'";

/// A published table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Published {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Whether what happens to it is written down already. If not it is tried again, every second.
    pub is_captured: bool,
}

/// What was done to publish a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The table.
    pub table: Published,
    /// Whether it was not published before.
    pub is_new: bool,
}

/// Why a table is not published or withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// There is none.
    #[error("there is no table {0}")]
    NoSuchTable(QualifiedName),
    /// Its changes cannot be followed.
    #[error("{table} cannot be published: it is {problem}")]
    Unsuitable {
        /// The table.
        table: QualifiedName,
        /// What it is.
        problem: String,
    },
    /// It is not published.
    #[error("{0} is not published")]
    NotPublished(QualifiedName),
    /// It is published together with others, and cannot be withdrawn alone.
    #[error("{table} is published with all tables, those of its schema, or its parent")]
    Wholesale {
        /// The table.
        table: QualifiedName,
    },
    /// PostgreSQL leaves it to the owner of the table and of the publication.
    #[error("the login of this server may not do that: {0}")]
    NotOwner(String),
    /// Others keep the table locked.
    #[error("{0} is locked by others")]
    Busy(QualifiedName),
    /// There is no publication, or no login that may change it.
    #[error("the publication {PUBLICATION} is not there, or not ours to change")]
    NotPrepared,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl PublicationError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchTable(_) => Some("Check the name and its case; write it as schema.table"),
            Self::Wholesale { .. } => {
                Some("Change the publication itself: alter publication supabase_realtime …")
            }
            Self::NotOwner(_) => Some("Grant the owner of the table and of the publication to that login"),
            Self::NotPrepared => Some("create publication supabase_realtime; `goforward doctor` says more"),
            Self::Busy(_) => Some("Try again"),
            Self::Unsuitable { .. } | Self::NotPublished(_) | Self::Database(_) => None,
        }
    }
}

/// `schema.table`; only the first dot separates.
pub fn table_name(text: &str) -> Option<QualifiedName> {
    let (schema, table) = text.split_once('.')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains('\0');
    (is_name(schema) && is_name(table)).then(|| QualifiedName::new(schema, table))
}

/// Those that stand in it, and the roots of what it holds otherwise. Casts name the functions and operators of the system
/// exactly: those that another login may have put into a schema of the search path never fit better.
const LIST: &str = "
with listed as (
    select prrelid as id from pg_publication_rel where prpubid = (select oid from pg_publication where pubname = $1)
), published as (
    select id from listed
    union
    select coalesce(pg_partition_root(class.oid::regclass)::oid, class.oid)
    from pg_publication_tables as shown
    join pg_namespace as space on space.nspname = shown.schemaname
    join pg_class as class on class.relnamespace = space.oid and class.relname = shown.tablename
    where shown.pubname = $1 and not exists (
        select from listed where id = class.oid or id in (select relid::oid from pg_partition_ancestors(class.oid::regclass)))
)
select space.nspname::text as schema, class.relname::text as \"table\",
       exists (select from pg_trigger where tgrelid = class.oid
                   and tgfoid = to_regprocedure('realtime.capture()')::oid) as is_captured
from published
join pg_class as class on class.oid = published.id
join pg_namespace as space on space.oid = class.relnamespace
where space.nspname <> all ($2) and space.nspname !~ '^pg_'
order by space.nspname, class.relname
limit 10000";

/// Schemas of ours and of the system: what happens there is nobody's to follow.
const CLOSED: [&str; 7] =
    ["auth", "extensions", "goforward", "graphql_public", "information_schema", "realtime", "storage"];

const FACTS: &str = "
select class.oid, class.relkind::text as kind, class.relpersistence::text as persistence,
       (select format('%s.%s', space.nspname, parent.relname) from pg_class as parent
        join pg_namespace as space on space.oid = parent.relnamespace
        where class.relispartition and parent.oid = pg_partition_root(class.oid::regclass)::oid) as root,
       exists (select from pg_publication_rel
               where prpubid = publication.oid and prrelid = class.oid) as is_listed,
       exists (select from pg_publication_tables as shown
               where shown.pubname = publication.pubname and (shown.schemaname, shown.tablename) in (
                   select space.nspname, member.relname
                   from (select class.oid as id union select relid::oid from pg_partition_tree(class.oid::regclass)) as tree
                   join pg_class as member on member.oid = tree.id
                   join pg_namespace as space on space.oid = member.relnamespace)) as is_published,
       publication.oid is not null as has_publication
from pg_namespace as space
join pg_class as class on class.relnamespace = space.oid
left join pg_publication as publication on publication.pubname = $3
where space.nspname = $1 and class.relname = $2";

#[derive(sqlx::FromRow)]
struct Facts {
    oid: Oid,
    kind: String,
    persistence: String,
    /// Of a partition the table that it is part of.
    root: Option<String>,
    /// Whether it stands in the publication.
    is_listed: bool,
    /// Whether it is in it in any way.
    is_published: bool,
    has_publication: bool,
}

impl Facts {
    /// What keeps it from being followed.
    fn problem(&self, name: &QualifiedName) -> Option<String> {
        if CLOSED.contains(&&*name.schema) || name.schema.starts_with("pg_") {
            return Some("in a schema of goforward or of PostgreSQL itself".to_owned());
        }
        match (self.kind.as_str(), self.persistence.as_str(), &self.root) {
            ("v" | "m", ..) => Some("a view: publish the tables that it reads".to_owned()),
            ("f", ..) => Some("a foreign table".to_owned()),
            ("r" | "p", _, Some(root)) => Some(format!("a partition of {root}: publish that")),
            ("r" | "p", "p", None) => None,
            ("r" | "p", ..) => Some("unlogged or temporary".to_owned()),
            _ => Some("no table".to_owned()),
        }
    }
}

/// The published tables, by name.
pub async fn list(connection: impl PgExecutor<'_>) -> Result<Vec<Published>, sqlx::Error> {
    let closed: Vec<String> = CLOSED.map(str::to_owned).to_vec();
    sqlx::query_as(LIST).bind(PUBLICATION).bind(closed).fetch_all(connection).await
}

/// Publishes a table: what happens to it is written down from now on. `owner` is the login that owns it.
pub async fn publish(owner: &mut PgConnection, name: &QualifiedName) -> Result<Publishing, PublicationError> {
    let facts = facts(owner, name).await?;
    if let Some(problem) = facts.problem(name) {
        return Err(PublicationError::Unsuitable { table: name.clone(), problem });
    }
    let is_new = !facts.is_listed && !facts.is_published;
    if is_new {
        alter(owner, " add table ", name).await?;
    }
    let is_captured = uncaptured(owner, &facts).await?.is_none();
    let (schema, table) = (name.schema.to_string(), name.name.to_string());
    Ok(Publishing { table: Published { schema, table, is_captured }, is_new })
}

/// Takes a table out again.
pub async fn withdraw(owner: &mut PgConnection, name: &QualifiedName) -> Result<(), PublicationError> {
    let facts = facts(owner, name).await?;
    match (facts.is_listed, facts.is_published) {
        (true, _) => alter(owner, " drop table ", name).await?,
        (false, true) => return Err(PublicationError::Wholesale { table: name.clone() }),
        (false, false) => return Err(PublicationError::NotPublished(name.clone())),
    }
    uncaptured(owner, &facts).await?;
    Ok(())
}

async fn facts(owner: &mut PgConnection, name: &QualifiedName) -> Result<Facts, PublicationError> {
    let query = sqlx::query_as(FACTS).bind(&*name.schema).bind(&*name.name).bind(PUBLICATION);
    let found: Option<Facts> = query.fetch_optional(owner).await?;
    let facts = found.ok_or_else(|| PublicationError::NoSuchTable(name.clone()))?;
    if facts.has_publication { Ok(facts) } else { Err(PublicationError::NotPrepared) }
}

async fn alter(
    owner: &mut PgConnection,
    what: &'static str,
    name: &QualifiedName,
) -> Result<(), PublicationError> {
    let mut sql = SqlBuf::new();
    sql.lit("alter publication ").ident(PUBLICATION).lit(what).name(&name.schema, &name.name);
    let altered = async {
        let mut transaction = owner.begin().await?;
        transaction.execute(LOCK_TIMEOUT).await?;
        transaction.execute(AssertSqlSafe(sql.into_parts().0)).await?;
        transaction.commit().await
    };
    let Err(error) = altered.await else { return Ok(()) };
    let Some(cause) = error.as_database_error() else { return Err(error.into()) };
    Err(match cause.code().as_deref() {
        // Somebody else was faster.
        Some("42710") => return Ok(()),
        Some("42501") => PublicationError::NotOwner(cause.message().to_owned()),
        Some("55P03") => PublicationError::Busy(name.clone()),
        _ => error.into(),
    })
}

/// Brings capture to where the publication wants it; why that was not possible for a table.
async fn uncaptured(owner: &mut PgConnection, facts: &Facts) -> Result<Option<String>, sqlx::Error> {
    let sync = sqlx::query_scalar("select problem from realtime.sync_capture() where relation::oid = $1");
    sync.bind(facts.oid).fetch_optional(owner).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_with_its_schema() {
        assert_eq!(table_name("public.todos"), Some(QualifiedName::new("public", "todos")));
        assert_eq!(table_name("a.b.c"), Some(QualifiedName::new("a", "b.c")));
        for text in ["todos", ".todos", "public.", "", "public.\0"] {
            assert_eq!(table_name(text), None, "{text}");
        }
    }
}
