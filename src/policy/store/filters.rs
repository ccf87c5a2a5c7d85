//! Whether custom filters may be stored, as PostgreSQL sees them: each is made a policy (or the condition of a view), read
//! back as PostgreSQL understood it, and undone.

use std::collections::BTreeSet;

use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::kernel::sql::SqlBuf;
use crate::policy::expression::RowExpression;
use crate::policy::model::TableSecurity;

use super::error::{StoreError, code_of};
use super::facts::Facts;
use super::node_tree::{self, Uses};
use super::session;

/// The name of what is made and undone.
const PROBE: &str = "goforward_probe";

const POLICY_TREE: &str = "select polqual::text from pg_policy where polrelid = $1 and polname::text = $2";

/// The condition of a view stands in a tree that names the view's own tables too.
const VIEW_TREE: &str = "
select w.ev_action::text from pg_rewrite w join pg_class c on c.oid = w.ev_class
where c.relnamespace = pg_my_temp_schema() and c.relname::text = $1 and w.ev_type = '1'";

/// Functions that a filter cannot use, with the reason: also those behind operators, aggregates, casts by way of text and
/// domains. What is said of built-in functions is for those that change nothing by their own word, but run a query that
/// is given as text, take a transaction number, or tell of the server and of other sessions.
const FORBIDDEN_FUNCTIONS: &str = r"
with used as (
  select unnest($1::oid[]) as id
  union select o.oprcode from pg_operator o where o.oid = any($2)
  union select unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn])
        from pg_aggregate a where a.aggfnoid = any($1)
  union select unnest(array[t.typinput, t.typoutput]) from pg_type t where t.oid = any($3)
)
select p.oid::regprocedure::text,
       case when p.prosecdef then 'it runs with the rights of its owner (SECURITY DEFINER)'
            when p.provolatile = 'v' then 'it is volatile'
            else 'it tells of the server, or runs a query of its own' end
from pg_proc p join used on used.id = p.oid
where p.prosecdef or p.provolatile = 'v'
   or (p.pronamespace = 'pg_catalog'::regnamespace and p.proname::text ~ (
        '^(pg_stat_|pg_ls_|pg_read_|pg_lock|pg_blocking_pids|pg_show_|pg_get_(userbyid|functiondef|viewdef|ruledef|triggerdef)'
        '|pg_config|pg_hba|pg_ident|pg_postmaster|pg_conf_load|pg_control_|pg_backend|pg_current_(xact|wal|logfile)'
        '|txid_|inet_(client|server)_|version$|current_schemas$|obj_description|col_description|shobj_description'
        '|dblink|lo_|(table|query|cursor|schema|database)_to_xml|ts_stat|pg_cursor|pg_prepared|pg_available|pg_file)'))
order by 1 limit 1";

/// Relations of the system, and of ours, that a filter cannot read.
const FORBIDDEN_RELATIONS: &str = "
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any($1) and n.nspname in ('pg_catalog', 'information_schema', 'pg_toast', 'goforward')
order by 1 limit 1";

/// What views read and call in turn.
const VIEWS: &str = "
select w.ev_class, w.ev_action::text from pg_rewrite w join pg_class c on c.oid = w.ev_class
where c.oid = any($1) and c.relkind = 'v' and w.ev_type = '1'";

/// What the checks of domains call.
const DOMAIN_CHECKS: &str =
    "select conbin::text from pg_constraint where contypid = any($1) and conbin is not null";

/// Refuses the first filter that PostgreSQL or we do not take.
pub(super) async fn validate(
    connection: &mut PgConnection,
    facts: &Facts,
    rules: &TableSecurity,
) -> Result<(), StoreError> {
    for (name, text) in &rules.custom_filters {
        let refused = |problem: String| StoreError::Filter { name: name.clone(), problem };
        let expression = RowExpression::parse(text).map_err(|error| refused(error.to_string()))?;
        let mut probe = connection.begin().await?;
        let tree = match tree_of(&mut probe, facts, &expression).await {
            Ok(tree) => tree,
            Err(error) => return Err(unless_refused(error).unwrap_or_else(refused)),
        };
        let problem = problem_with(&mut probe, facts, &tree).await?;
        // The end of an inner transaction undoes it to its beginning.
        probe.rollback().await?;
        if let Some(problem) = problem {
            return Err(refused(problem));
        }
    }
    Ok(())
}

/// What PostgreSQL says against the text, or the error that is none of the text's.
fn unless_refused(error: sqlx::Error) -> Result<StoreError, String> {
    let code = code_of(&error).unwrap_or_default();
    // Syntax and names, wrong data, what is not supported there, too complex; a privilege that the owner lacks.
    let is_about_text = ["42", "22", "0A", "54", "21", "2B"].iter().any(|class| code.starts_with(class));
    match error.as_database_error() {
        Some(answer) if is_about_text => Err(format!("PostgreSQL says: {}", answer.message())),
        _ => Ok(error.into()),
    }
}

/// The expression as PostgreSQL understood it.
async fn tree_of(
    connection: &mut PgConnection,
    facts: &Facts,
    expression: &RowExpression,
) -> Result<String, sqlx::Error> {
    session::see_neighbours(connection, &facts.name).await?;
    let mut sql = SqlBuf::new();
    let has_policies = facts.has_row_policies();
    // The brackets of the expression are closed, so it stays between these.
    if has_policies {
        sql.lit("create policy ").ident(PROBE).lit(" on ").name(&facts.name.schema, &facts.name.name);
        sql.lit(" as restrictive using ((").catalog_sql(expression.text()).lit("))");
    } else {
        sql.lit("create view pg_temp.").ident(PROBE).lit(" as select 1 as one from ");
        sql.name(&facts.name.schema, &facts.name.name);
        sql.lit(" where ((").catalog_sql(expression.text()).lit("))");
    }
    sqlx::raw_sql(AssertSqlSafe(sql.into_parts().0)).execute(&mut *connection).await?;
    session::see_qualified(connection).await?;
    if has_policies {
        let query = sqlx::query_scalar(POLICY_TREE).persistent(false).bind(facts.oid).bind(PROBE);
        query.fetch_one(connection).await
    } else {
        sqlx::query_scalar(VIEW_TREE).persistent(false).bind(PROBE).fetch_one(connection).await
    }
}

/// Why an expression that PostgreSQL understands cannot be a filter.
async fn problem_with(
    connection: &mut PgConnection,
    facts: &Facts,
    tree: &str,
) -> Result<Option<String>, StoreError> {
    let direct = node_tree::uses(tree);
    if facts.has_row_policies() && direct.relations.contains(&facts.oid.0) {
        let problem = format!(
            "it reads {} itself, whose policies PostgreSQL would then ask without end; compare columns of the row",
            facts.name
        );
        return Ok(Some(problem));
    }
    if direct.locks {
        return Ok(Some("it locks rows (for update and the like)".to_owned()));
    }
    let uses = with_views(connection, direct, facts.oid).await?;
    let relation: Option<String> = sqlx::query_scalar(FORBIDDEN_RELATIONS)
        .persistent(false)
        .bind(oids(&uses.relations))
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(relation) = relation {
        return Ok(Some(format!("it reads {relation}, which is not for callers")));
    }
    let function: Option<(String, String)> = sqlx::query_as(FORBIDDEN_FUNCTIONS)
        .persistent(false)
        .bind(oids(&uses.functions))
        .bind(oids(&uses.operators))
        .bind(oids(&uses.types))
        .fetch_optional(connection)
        .await?;
    Ok(function.map(|(function, why)| format!("it uses {function}: {why}")))
}

/// What an expression uses, the views that it reads and the domains that it converts to looked through. What the filter's
/// own relation is made of is not the filter's.
async fn with_views(connection: &mut PgConnection, direct: Uses, own: Oid) -> Result<Uses, sqlx::Error> {
    let mut all = Uses { relations: [own.0].into(), ..Uses::default() };
    let mut next = direct;
    while !(next.relations.is_subset(&all.relations)
        && next.types.is_subset(&all.types)
        && next.functions.is_subset(&all.functions)
        && next.operators.is_subset(&all.operators))
    {
        let relations = oids(&next.relations.difference(&all.relations).copied().collect());
        let types = oids(&next.types.difference(&all.types).copied().collect());
        add(&mut all, next);
        let views: Vec<(Oid, String)> =
            sqlx::query_as(VIEWS).persistent(false).bind(relations).fetch_all(&mut *connection).await?;
        let checks: Vec<String> = sqlx::query_scalar(DOMAIN_CHECKS)
            .persistent(false)
            .bind(types)
            .fetch_all(&mut *connection)
            .await?;
        next = Uses::default();
        for tree in views.iter().map(|(_, tree)| tree).chain(&checks) {
            add(&mut next, node_tree::uses(tree));
        }
    }
    Ok(all)
}

fn add(to: &mut Uses, more: Uses) {
    to.functions.extend(more.functions);
    to.operators.extend(more.operators);
    to.relations.extend(more.relations);
    to.types.extend(more.types);
}

fn oids(ids: &BTreeSet<u32>) -> Vec<Oid> {
    ids.iter().copied().map(Oid).collect()
}
