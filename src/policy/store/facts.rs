//! What a table has now: its kind and owner, its policies, and who was granted what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use crate::catalog::load::table_security::policy_state;
use crate::catalog::model::{QualifiedName, RelationKind};
use crate::policy::desired::MARK;

use super::error::{StoreError, code_of};
use super::grants::{Holder, Privilege};

/// A table and what decides about changes to it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: QualifiedName,
    pub(super) oid: Oid,
    pub(super) kind: RelationKind,
    pub(super) row_security: bool,
    pub(super) owner: String,
    pub(super) login: String,
    /// Whether the connected role has the owner's rights.
    pub(super) may_change: bool,
    pub(super) columns: Vec<String>,
    pub(super) policies: Vec<FoundPolicy>,
    /// Privileges on the whole table that its owner granted, and whether they can be passed on.
    pub(super) table_grants: BTreeMap<Holder, bool>,
    /// Privileges on single columns that its owner granted.
    pub(super) column_grants: BTreeMap<Holder, BTreeSet<String>>,
    /// Privileges on the whole table that we took, and whether they could be passed on.
    pub(super) taken: BTreeMap<Holder, bool>,
}

/// A policy that a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundPolicy {
    pub(super) name: String,
    pub(super) permissive: bool,
    /// Whether its comment says that we made it.
    pub(super) is_marked: bool,
    /// The mark, if the policy still says what it said when it was marked.
    pub(super) mark: Option<String>,
}

impl Facts {
    /// Whether row policies can hold it.
    pub(super) fn has_row_policies(&self) -> bool {
        matches!(self.kind, RelationKind::Table | RelationKind::PartitionedTable)
    }

    /// Refuses where the connected role may not change the table.
    pub(super) fn require_owner(&self) -> Result<(), StoreError> {
        if self.may_change {
            return Ok(());
        }
        let (table, owner, login) = (self.name.clone(), self.owner.clone(), self.login.clone());
        Err(StoreError::NotOwner { table, owner, login })
    }
}

#[derive(sqlx::FromRow)]
struct TableRow {
    oid: Oid,
    schema: String,
    name: String,
    kind: String,
    row_security: bool,
    owner: String,
    login: String,
    may_change: bool,
    columns: Vec<String>,
}

const TABLES: &str = "
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       c.relrowsecurity as row_security, pg_get_userbyid(c.relowner)::text as owner, current_user::text as login,
       pg_has_role(c.relowner, 'USAGE') as may_change,
       array(select a.attname::text from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
from unnest($1::text[], $2::text[]) as wanted (schema, name)
join pg_namespace n on n.nspname::text = wanted.schema
join pg_class c on c.relnamespace = n.oid and c.relname::text = wanted.name and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 2, 3";

#[derive(sqlx::FromRow)]
struct PolicyRow {
    relation: Oid,
    name: String,
    permissive: bool,
    comment: Option<String>,
    state: String,
}

const POLICIES: &str = concat!(
    "
select p.polrelid as relation, p.polname::text as name, p.polpermissive as permissive, d.description as comment, ",
    policy_state!(),
    " as state
from pg_policy p
left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_policy'::regclass and d.objsubid = 0
where p.polrelid = any($1) order by 1, 2"
);

#[derive(sqlx::FromRow)]
struct GrantRow {
    relation: Oid,
    /// None for the whole table.
    column: Option<String>,
    role: String,
    privilege: String,
    is_grantable: bool,
}

const GRANTS: &str = "
select c.oid as relation, null::text as column, r.rolname::text as role, a.privilege_type as privilege,
       a.is_grantable
from pg_class c
cross join lateral aclexplode(c.relacl) a
join pg_roles r on r.oid = a.grantee
where c.oid = any($1) and a.grantor = c.relowner and a.grantee <> c.relowner
  and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE')
union all
select c.oid, t.attname::text, r.rolname::text, a.privilege_type, a.is_grantable
from pg_class c
join pg_attribute t on t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped
cross join lateral aclexplode(t.attacl) a
join pg_roles r on r.oid = a.grantee
where c.oid = any($1) and a.grantor = c.relowner and a.grantee <> c.relowner
  and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE')";

/// A grant on a whole table that we took.
#[derive(sqlx::FromRow)]
struct TakenRow {
    schema_name: String,
    table_name: String,
    role_name: String,
    privilege: String,
    is_grantable: bool,
}

const TAKEN: &str = "
select role_name, privilege, is_grantable, schema_name, table_name from goforward.narrowed_grants
where (schema_name, table_name) in (select * from unnest($1::text[], $2::text[]))";

/// One table; `None` if there is none of that name.
pub(super) async fn one(
    connection: &mut PgConnection,
    name: &QualifiedName,
) -> Result<Option<Facts>, StoreError> {
    Ok(many(connection, std::slice::from_ref(name)).await?.pop())
}

/// Those of the named tables that exist, by name.
pub(super) async fn many(
    connection: &mut PgConnection,
    names: &[QualifiedName],
) -> Result<Vec<Facts>, StoreError> {
    let schemas: Vec<&str> = names.iter().map(|name| &*name.schema).collect();
    let tables: Vec<&str> = names.iter().map(|name| &*name.name).collect();
    let rows: Vec<TableRow> = sqlx::query_as(TABLES)
        .persistent(false)
        .bind(&schemas)
        .bind(&tables)
        .fetch_all(&mut *connection)
        .await?;
    let oids: Vec<Oid> = rows.iter().map(|row| row.oid).collect();
    let mut found: HashMap<Oid, Facts> = rows.into_iter().filter_map(facts_of).collect();
    let policies: Vec<PolicyRow> =
        sqlx::query_as(POLICIES).persistent(false).bind(&oids).fetch_all(&mut *connection).await?;
    for row in policies {
        if let Some(facts) = found.get_mut(&row.relation) {
            facts.policies.push(row.into());
        }
    }
    add_grants(connection, &oids, &mut found).await?;
    add_taken(connection, (&schemas, &tables), &mut found).await?;
    Ok(oids.iter().filter_map(|oid| found.remove(oid)).collect())
}

fn facts_of(row: TableRow) -> Option<(Oid, Facts)> {
    let facts = Facts {
        name: QualifiedName::new(row.schema, row.name),
        oid: row.oid,
        kind: RelationKind::from_code(&row.kind)?,
        row_security: row.row_security,
        owner: row.owner,
        login: row.login,
        may_change: row.may_change,
        columns: row.columns,
        policies: Vec::new(),
        table_grants: BTreeMap::new(),
        column_grants: BTreeMap::new(),
        taken: BTreeMap::new(),
    };
    Some((row.oid, facts))
}

impl From<PolicyRow> for FoundPolicy {
    fn from(row: PolicyRow) -> Self {
        let comment = row.comment.unwrap_or_default();
        let marked = comment.split_once(STATE).filter(|(mark, _)| mark.starts_with(MARK));
        Self {
            name: row.name,
            permissive: row.permissive,
            is_marked: comment.starts_with(MARK),
            mark: marked.filter(|(_, state)| *state == row.state).map(|(mark, _)| mark.to_owned()),
        }
    }
}

/// Stands between the mark and the word for what PostgreSQL made of the policy.
pub(super) const STATE: &str = ", state ";

/// The word for what a policy says, as its comment is to hold it.
pub(super) async fn policy_state(
    connection: &mut PgConnection,
    table: Oid,
    policy: &str,
) -> Result<String, sqlx::Error> {
    const QUERY: &str = concat!(
        "select ",
        policy_state!(),
        " from pg_policy p where p.polrelid = $1 and p.polname::text = $2"
    );
    sqlx::query_scalar(QUERY).persistent(false).bind(table).bind(policy).fetch_one(connection).await
}

async fn add_grants(
    connection: &mut PgConnection,
    oids: &[Oid],
    found: &mut HashMap<Oid, Facts>,
) -> Result<(), StoreError> {
    let rows: Vec<GrantRow> =
        sqlx::query_as(GRANTS).persistent(false).bind(oids).fetch_all(connection).await?;
    for row in rows {
        let (Some(facts), Some(privilege)) =
            (found.get_mut(&row.relation), Privilege::from_word(&row.privilege))
        else {
            continue;
        };
        let holder = Holder { role: row.role, privilege };
        match row.column {
            None => {
                facts.table_grants.insert(holder, row.is_grantable);
            }
            Some(column) => {
                facts.column_grants.entry(holder).or_default().insert(column);
            }
        }
    }
    Ok(())
}

async fn add_taken(
    connection: &mut PgConnection,
    (schemas, tables): (&[&str], &[&str]),
    found: &mut HashMap<Oid, Facts>,
) -> Result<(), StoreError> {
    let rows: Result<Vec<TakenRow>, sqlx::Error> =
        sqlx::query_as(TAKEN).persistent(false).bind(schemas).bind(tables).fetch_all(connection).await;
    let rows = rows.map_err(|error| match code_of(&error).as_deref() {
        Some("42P01" | "3F000") => StoreError::NotPrepared,
        _ => error.into(),
    })?;
    for row in rows {
        let is_meant =
            |facts: &&mut Facts| *facts.name.schema == row.schema_name && *facts.name.name == row.table_name;
        let facts = found.values_mut().find(is_meant);
        if let (Some(facts), Some(privilege)) = (facts, Privilege::from_word(&row.privilege)) {
            facts.taken.insert(Holder { role: row.role_name, privilege }, row.is_grantable);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod samples {
    //! A table of [`crate::policy::samples`] without policies and grants.

    use super::*;
    use crate::policy::samples::{catalog_with_rules, name};

    pub(in crate::policy::store) fn facts(table: &str) -> Facts {
        let relation = catalog_with_rules(&[]).relations[&name(table)].clone();
        Facts {
            name: relation.name.clone(),
            oid: Oid(20_000),
            kind: relation.kind,
            row_security: false,
            owner: "app".to_owned(),
            login: "app".to_owned(),
            may_change: true,
            columns: relation.columns.keys().map(ToString::to_string).collect(),
            policies: Vec::new(),
            table_grants: BTreeMap::new(),
            column_grants: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }
}
