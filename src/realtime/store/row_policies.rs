//! The row-level security of a table as it applies to a role, put together as PostgreSQL does
//! (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>), to be asked about rows that no table holds.

use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::types::Oid;
use sqlx::types::Json;

use crate::kernel::db::pool;
use crate::kernel::sql::SqlBuf;

/// What would be done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::realtime) enum Deed {
    /// Seen.
    Select,
    /// Added.
    Insert,
}

/// One policy that applies to the role.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
struct Policy {
    /// As in `pg_policy.polcmd`: `r`, `a`, `*`.
    command: String,
    is_permissive: bool,
    /// The expression of USING, as PostgreSQL writes it for an empty search path.
    using: Option<String>,
    /// The expression of WITH CHECK.
    check: Option<String>,
}

/// The policies of one table for one role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::realtime) struct RowPolicies {
    schema: String,
    table: String,
    /// Whether policies decide at all for this role.
    is_guarded: bool,
    may_select: bool,
    may_insert: bool,
    policies: Vec<Policy>,
}

/// A table owner, BYPASSRLS and superusers are not bound, as in `check_enable_rls` of PostgreSQL.
const OF_TABLE: &str = "
select space.nspname::text, class.relname::text,
       class.relrowsecurity and not role.rolbypassrls and not role.rolsuper
           and (class.relforcerowsecurity or not pg_has_role(role.oid, class.relowner, 'USAGE')),
       has_schema_privilege(role.oid, space.oid, 'USAGE') and has_any_column_privilege(role.oid, class.oid, 'SELECT'),
       has_schema_privilege(role.oid, space.oid, 'USAGE') and has_any_column_privilege(role.oid, class.oid, 'INSERT'),
       coalesce((
           select jsonb_agg(jsonb_build_object(
                      'command', policy.polcmd, 'is_permissive', policy.polpermissive,
                      'using', pg_get_expr(policy.polqual, policy.polrelid),
                      'check', pg_get_expr(policy.polwithcheck, policy.polrelid)) order by policy.polname)
           from pg_policy policy
           where policy.polrelid = class.oid and policy.polcmd in ('r', 'a', '*')
             and exists (
                 select from unnest(policy.polroles) as listed (id)
                 where case when listed.id = 0 then true else pg_has_role(role.oid, listed.id, 'USAGE') end)), '[]')
from pg_class class
join pg_namespace space on space.oid = class.relnamespace
join pg_roles role on role.rolname = $2
where class.oid = $1";

type Row = (String, String, bool, bool, bool, Json<Vec<Policy>>);

/// The policies of `realtime.messages` for a role.
pub(in crate::realtime) async fn of_messages(pool: &PgPool, role: &str) -> Result<RowPolicies, sqlx::Error> {
    let oid: Option<Oid> =
        sqlx::query_scalar("select to_regclass('realtime.messages')::oid").fetch_one(pool).await?;
    match oid {
        Some(oid) => of_table(pool, oid.0, role).await,
        None => Ok(RowPolicies::nothing()),
    }
}

/// A transaction in which PostgreSQL writes the schema before every name that is not its own.
pub(in crate::realtime) async fn begin_whole_names(
    pool: &PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let mut transaction = pool::begin(pool).await?;
    sqlx::query("select set_config('search_path', '', true)").execute(&mut *transaction).await?;
    Ok(transaction)
}

/// The policies of a table for a role. A role or table that is not there may do nothing.
pub(in crate::realtime) async fn of_table(
    pool: &PgPool,
    oid: u32,
    role: &str,
) -> Result<RowPolicies, sqlx::Error> {
    let mut transaction = begin_whole_names(pool).await?;
    let row: Option<Row> =
        sqlx::query_as(OF_TABLE).bind(Oid(oid)).bind(role).fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.map_or_else(
        RowPolicies::nothing,
        |(schema, table, is_guarded, may_select, may_insert, policies)| RowPolicies {
            schema,
            table,
            is_guarded,
            may_select,
            may_insert,
            policies: policies.0,
        },
    ))
}

impl RowPolicies {
    /// Those of a role that may do nothing.
    pub(in crate::realtime) fn nothing() -> Self {
        Self {
            schema: "realtime".to_owned(),
            table: "messages".to_owned(),
            is_guarded: true,
            may_select: false,
            may_insert: false,
            policies: Vec::new(),
        }
    }

    /// Whether what they decide may change although they and the claims stay the same: where they read tables, ask the
    /// time, or call functions that may do either. When in doubt, yes.
    pub(in crate::realtime) fn read_tables(&self) -> bool {
        let expressions = self.policies.iter().flat_map(|policy| [&policy.using, &policy.check]);
        self.is_guarded && expressions.flatten().any(|expression| !is_constant(expression))
    }

    /// The expressions about a deed: those of permissive policies and those of restrictive ones. None where policies do not
    /// decide: then everything is allowed, or nothing.
    pub(in crate::realtime) fn expressions(&self, deed: Deed) -> Result<[Vec<&str>; 2], bool> {
        if !self.is_granted(deed) || !self.is_guarded {
            return Err(self.is_granted(deed));
        }
        Ok([true, false].map(|is_permissive| {
            let applies = move |policy: &&Policy| policy.is_permissive == is_permissive;
            self.policies.iter().filter(applies).filter_map(|policy| policy.expression(deed)).collect()
        }))
    }

    /// Whether the role has the right to do it to any row.
    fn is_granted(&self, deed: Deed) -> bool {
        match deed {
            Deed::Select => self.may_select,
            Deed::Insert => self.may_insert,
        }
    }

    /// Asks for the extensions of those of the rows (a JSON array) that the deed may be done to, with commas between.
    pub(in crate::realtime) fn visible_extensions(&self, deed: Deed, rows: &str) -> SqlBuf {
        let mut sql = SqlBuf::new();
        // Named as the table is, because expressions with subqueries name its columns so.
        sql.lit("select coalesce(string_agg(")
            .ident(&self.table)
            .lit(".extension, ','), '') from jsonb_populate_recordset(null::");
        sql.name(&self.schema, &self.table).lit(", ").bind_text(rows).lit("::jsonb) as ").ident(&self.table);
        sql.lit(" where ");
        self.condition(deed, &mut sql);
        sql
    }

    /// Writes what must hold for a row: one permissive policy, and all restrictive ones.
    pub(in crate::realtime) fn condition(&self, deed: Deed, sql: &mut SqlBuf) {
        let [permissive, restrictive] = match self.expressions(deed) {
            Ok(expressions) => expressions,
            Err(is_allowed) => {
                sql.lit(if is_allowed { "true" } else { "false" });
                return;
            }
        };
        // Without a permissive policy nothing is allowed.
        sql.lit("(false");
        for expression in permissive {
            sql.lit(" or (").catalog_sql(expression).lit(")");
        }
        sql.lit(")");
        for expression in restrictive {
            sql.lit(" and (").catalog_sql(expression).lit(")");
        }
    }
}

impl Policy {
    /// Its expression about a deed; none where it says nothing about it.
    fn expression(&self, deed: Deed) -> Option<&str> {
        let says = match deed {
            Deed::Select => matches!(self.command.as_str(), "r" | "*"),
            Deed::Insert => matches!(self.command.as_str(), "a" | "*"),
        };
        // A policy for all commands without WITH CHECK checks new rows by USING.
        let expression = match deed {
            Deed::Select => self.using.as_deref(),
            Deed::Insert => self.check.as_deref().or(self.using.as_deref()),
        };
        says.then(|| expression.unwrap_or("true"))
    }
}

/// Functions that policies call and that say the same as long as claims and topic do.
const CONSTANT_FUNCTIONS: [&str; 7] = [
    "realtime.topic(",
    "auth.uid(",
    "auth.jwt(",
    "auth.role(",
    "auth.email(",
    "current_setting(",
    "split_part(",
];

/// Whether an expression holds no table and no function but those known, judged by its words.
fn is_constant(expression: &str) -> bool {
    let mut text = expression.to_ascii_lowercase();
    for known in CONSTANT_FUNCTIONS {
        text = text.replace(known, "");
    }
    let has_call = text.match_indices('(').any(|(place, _)| {
        text[..place].chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '"'))
    });
    let names_time = ["current_", "local", " now"].iter().any(|word| text.contains(word));
    !has_call && !names_time && !text.contains(" from ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(command: &str, is_permissive: bool, using: Option<&str>, check: Option<&str>) -> Policy {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Policy { command: command.to_owned(), is_permissive, using: owned(using), check: owned(check) }
    }

    fn condition(policies: Vec<Policy>, deed: Deed, is_guarded: bool) -> String {
        let policies = RowPolicies {
            is_guarded,
            may_select: true,
            may_insert: true,
            policies,
            ..RowPolicies::nothing()
        };
        let mut sql = SqlBuf::new();
        policies.condition(deed, &mut sql);
        sql.text().to_owned()
    }

    #[test]
    fn one_permissive_policy_and_all_restrictive_ones_must_hold() {
        let policies = || {
            vec![
                policy("r", true, Some("a"), None),
                policy("*", true, Some("b"), None),
                policy("a", true, None, Some("c")),
                policy("*", false, Some("d"), Some("e")),
            ]
        };
        assert_eq!(condition(policies(), Deed::Select, true), "(false or (a) or (b)) and (d)");
        assert_eq!(condition(policies(), Deed::Insert, true), "(false or (b) or (c)) and (e)");
        assert_eq!(condition(policies(), Deed::Select, false), "true");
        assert_eq!(condition(Vec::new(), Deed::Select, true), "(false)");
    }

    #[test]
    fn what_reads_tables_is_decided_again_and_again() {
        for (expression, is_constant) in [
            ("true", true),
            ("((realtime.topic() = 'room'::text) AND (extension = 'broadcast'::text))", true),
            ("(realtime.topic() ~~ (('user:'::text || ( SELECT auth.uid() AS uid)))::text)", true),
            ("(EXISTS ( SELECT 1 FROM public.members WHERE (members.uid = auth.uid())))", false),
            ("public.is_member(realtime.topic())", false),
            ("(inserted_at > now())", false),
            ("(inserted_at > CURRENT_TIMESTAMP)", false),
        ] {
            assert_eq!(super::is_constant(expression), is_constant, "{expression}");
        }
    }

    #[test]
    fn without_the_right_policies_do_not_matter() {
        let mut sql = SqlBuf::new();
        RowPolicies { is_guarded: false, ..RowPolicies::nothing() }.condition(Deed::Select, &mut sql);
        assert_eq!(sql.text(), "false");
    }
}
