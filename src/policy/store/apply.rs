//! What the rules ask for beside what is there, and the way from one to the other: the dry run and the run.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::catalog::model::{Catalog, QualifiedName};
use crate::kernel::sql::SqlBuf;
use crate::policy::audit::{AUDIT_TRIGGER_NAMES, audited_writes};
use crate::policy::desired::DesiredPolicy;
use crate::policy::model::TableSecurity;

use super::audit_triggers::{self, AuditTriggerError, TriggerChange};
use super::change::{Action, Change};
use super::error::StoreError;
use super::facts::{self, Facts, STATE};
use super::grants::{self, Privilege};
use super::session::{self, Session};
use super::{RuleStore, Tries, checks, filters, policies, rows};

/// What a run over several tables did, and where it failed.
#[derive(Debug, Default)]
pub struct Applied {
    /// The changes that were made; of a dry run, those to make.
    pub changes: Vec<Change>,
    /// The tables that could not be brought to what their rules ask for, and why. They stay as they were.
    pub failures: Vec<(QualifiedName, StoreError)>,
}

/// How often each of several tables is tried: one that is in use must not hold up the others.
const TRIES_OF_MANY: u32 = 3;

/// Tables with traces of rules: policies that we marked, grants that we narrowed, triggers that record writes (those of a
/// partition go with its root).
const TRACES: &str = "
select n.nspname::text, c.relname::text
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_description d on d.objoid = p.oid and d.classoid = 'pg_policy'::regclass and d.objsubid = 0
where d.description like $1 || '%'
union
select schema_name, table_name from goforward.narrowed_grants
union
select n.nspname::text, c.relname::text
from pg_trigger t
join pg_class c on c.oid = t.tgrelid and not c.relispartition
join pg_namespace n on n.oid = c.relnamespace
where t.tgname::text = any ($2) and not t.tgisinternal";

impl RuleStore {
    /// What [`RuleStore::apply`] would do, to one table or to all.
    pub async fn plan(&self, catalog: &Catalog, only: Option<&QualifiedName>) -> Result<Applied, StoreError> {
        self.plan_with(catalog, only, &BTreeMap::new()).await
    }

    /// The same as if these rules were stored, or for `None` no rules.
    pub async fn plan_with(
        &self,
        catalog: &Catalog,
        only: Option<&QualifiedName>,
        instead: &BTreeMap<QualifiedName, Option<TableSecurity>>,
    ) -> Result<Applied, StoreError> {
        let mut session = self.session().await?;
        let planned = self.plan_in(&mut session.connection, catalog, only, instead).await;
        session.close().await;
        planned
    }

    /// Brings PostgreSQL to what the stored rules ask for, one table or all, each in a transaction of its own. Where
    /// nothing is to be done it only reads.
    pub async fn apply(
        &self,
        catalog: &Catalog,
        only: Option<&QualifiedName>,
    ) -> Result<Applied, StoreError> {
        let mut session = self.session().await?;
        let applied = self.apply_in(&mut session, catalog, only).await;
        session.close().await;
        applied
    }

    async fn apply_in(
        &self,
        session: &mut Session<'_>,
        catalog: &Catalog,
        only: Option<&QualifiedName>,
    ) -> Result<Applied, StoreError> {
        let planned = self.plan_in(&mut session.connection, catalog, only, &BTreeMap::new()).await?;
        let tables: BTreeSet<QualifiedName> =
            planned.changes.into_iter().map(|change| change.table).collect();
        let mut applied = Applied { changes: Vec::new(), failures: planned.failures };
        for table in tables {
            match self.apply_table(session, catalog, &table).await {
                Ok(changes) => applied.changes.extend(changes),
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => applied.failures.push((table, error)),
            }
        }
        Ok(applied)
    }

    async fn apply_table(
        &self,
        session: &mut Session<'_>,
        catalog: &Catalog,
        name: &QualifiedName,
    ) -> Result<Vec<Change>, StoreError> {
        let mut tries = Tries { table: name, left: TRIES_OF_MANY };
        loop {
            let attempt = self.apply_once(session, catalog, name).await;
            if let Some(applied) = tries.outcome(attempt).await {
                return applied;
            }
        }
    }

    /// Looks again under the lock: another node may have done it meanwhile.
    async fn apply_once(
        &self,
        session: &mut Session<'_>,
        catalog: &Catalog,
        name: &QualifiedName,
    ) -> Result<Vec<Change>, StoreError> {
        let mut transaction = session.connection.begin().await?;
        session::prepare_for_change(&mut transaction).await?;
        let stored = rows::find(&mut transaction, name).await?;
        let rules = match stored.map(|stored| stored.rules) {
            Some(Err(problem)) => return Err(StoreError::Unreadable { table: name.clone(), problem }),
            Some(Ok(rules)) => Some(rules),
            None => None,
        };
        let Some(facts) = facts::one(&mut transaction, name).await? else { return Ok(Vec::new()) };
        if let Some(rules) = &rules {
            // Rules about a column that is gone would loosen what kept it under its old name.
            checks::names(&mut transaction, &facts, rules).await?;
        }
        let changes = self.changes(&mut transaction, catalog, &facts, rules.as_ref()).await?;
        if changes.is_empty() {
            return Ok(changes);
        }
        facts.require_owner()?;
        if let Some(rules) = rules.filter(|_| changes.iter().any(Change::makes_policy)) {
            // The row may have been written by other ways than ours.
            filters::validate(&mut transaction, &facts, &rules).await?;
        }
        carry_out(&mut transaction, &facts, &changes).await?;
        transaction.commit().await?;
        Ok(changes)
    }

    async fn plan_in(
        &self,
        connection: &mut PgConnection,
        catalog: &Catalog,
        only: Option<&QualifiedName>,
        instead: &BTreeMap<QualifiedName, Option<TableSecurity>>,
    ) -> Result<Applied, StoreError> {
        let mut transaction =
            connection.begin_with("begin isolation level repeatable read read only").await?;
        session::prepare_to_look(&mut transaction).await?;
        let is_meant = |name: &QualifiedName| only.is_none_or(|only| only == name);
        let mut rules: BTreeMap<QualifiedName, Result<TableSecurity, String>> = rows::list(&mut transaction)
            .await?
            .into_iter()
            .filter(|stored| is_meant(&stored.name))
            .map(|stored| (stored.name, stored.rules))
            .collect();
        for (name, other) in instead.iter().filter(|(name, _)| is_meant(name)) {
            match other {
                Some(other) => rules.insert(name.clone(), Ok(other.clone())),
                None => rules.remove(name),
            };
        }
        let traces: Vec<(String, String)> = sqlx::query_as(TRACES)
            .persistent(false)
            .bind(crate::policy::desired::MARK)
            .bind(AUDIT_TRIGGER_NAMES)
            .fetch_all(&mut *transaction)
            .await?;
        let mut names: BTreeSet<QualifiedName> = rules.keys().cloned().collect();
        names.extend(
            traces.into_iter().map(|(schema, table)| QualifiedName::new(schema, table)).filter(is_meant),
        );
        let names: Vec<QualifiedName> = names.into_iter().collect();
        let mut planned = Applied::default();
        let found = facts::many(&mut transaction, &names).await?;
        let is_there = |name: &QualifiedName| found.iter().any(|facts| facts.name == *name);
        let missing = rules.keys().find(|name| !is_there(name)).cloned();
        for facts in found {
            let name = facts.name.clone();
            if let Some(Ok(known)) = rules.get(&name)
                && let Err(error) = checks::names(&mut transaction, &facts, known).await
            {
                planned.failures.push((name, error));
                continue;
            }
            let changes = match rules.remove(&name) {
                // It may be the table of those rules under another name, so nothing of it is loosened.
                None if missing.is_some() && only.is_none() => Err(StoreError::Orphaned {
                    table: name.clone(),
                    missing: missing.clone().unwrap_or_else(|| name.clone()),
                }),
                // Rules that are not understood take nothing away: what they brought before stays.
                Some(Err(problem)) => Err(StoreError::Unreadable { table: name.clone(), problem }),
                Some(Ok(rules)) => self.changes(&mut transaction, catalog, &facts, Some(&rules)).await,
                None => self.changes(&mut transaction, catalog, &facts, None).await,
            };
            match changes {
                Ok(changes) => planned.changes.extend(changes),
                Err(error) => planned.failures.push((name, error)),
            }
        }
        transaction.commit().await?;
        Ok(planned)
    }

    /// What is to change on one table so that it enforces these rules.
    pub(super) async fn changes(
        &self,
        connection: &mut PgConnection,
        catalog: &Catalog,
        facts: &Facts,
        rules: Option<&TableSecurity>,
    ) -> Result<Vec<Change>, StoreError> {
        let mut actions = policies::changes(catalog, facts, rules).map_err(|error| {
            StoreError::Unsuitable { field: "custom_filters".to_owned(), problem: error.to_string() }
        })?;
        actions.extend(grants::changes(catalog, facts, rules.filter(|_| self.column_grants)));
        actions.extend(triggers(connection, facts, rules).await?.into_iter().map(Action::Record));
        Ok(actions.into_iter().map(|action| Change { table: facts.name.clone(), action }).collect())
    }
}

/// What is to change of the triggers that record writes.
async fn triggers(
    connection: &mut PgConnection,
    facts: &Facts,
    rules: Option<&TableSecurity>,
) -> Result<Vec<TriggerChange>, StoreError> {
    let verbs = rules.map(audited_writes).unwrap_or_default();
    match audit_triggers::drift(connection, &facts.name, &verbs).await {
        Ok(changes) => Ok(changes),
        Err(AuditTriggerError::Database(error)) => Err(error.into()),
        Err(AuditTriggerError::Missing(_) | AuditTriggerError::NotATable(_)) if verbs.is_empty() => {
            Ok(Vec::new())
        }
        Err(error) => {
            Err(StoreError::Unsuitable { field: "audit_actions".to_owned(), problem: error.to_string() })
        }
    }
}

/// Makes the changes, in a transaction that [`session::prepare_for_change`] began.
pub(super) async fn carry_out(
    connection: &mut PgConnection,
    facts: &Facts,
    changes: &[Change],
) -> Result<(), StoreError> {
    for change in changes {
        session::see_neighbours(connection, &facts.name).await?;
        for statement in change.sql() {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        session::see_qualified(connection).await?;
        match &change.action {
            Action::MakePolicy(policy) | Action::ReplacePolicy { policy, .. } => {
                mark(connection, facts, policy).await?;
            }
            Action::TakeGrant { role, privilege, is_grantable, .. } => {
                remember(connection, facts, (role, *privilege), *is_grantable).await?;
            }
            Action::GiveGrantBack { role, privilege, .. } | Action::ForgetGrant { role, privilege } => {
                forget(connection, facts, (role, *privilege)).await?;
            }
            Action::EnableRowSecurity
            | Action::DropPolicy { .. }
            | Action::AdjustGrant { .. }
            | Action::Record(_) => {}
        }
    }
    Ok(())
}

/// Says in the policy's comment what it was made from and what PostgreSQL made of it.
async fn mark(
    connection: &mut PgConnection,
    facts: &Facts,
    policy: &DesiredPolicy,
) -> Result<(), sqlx::Error> {
    let state = facts::policy_state(connection, facts.oid, policy.name).await?;
    let mut sql = SqlBuf::new();
    sql.lit("comment on policy ").ident(policy.name).lit(" on ").name(&facts.name.schema, &facts.name.name);
    sql.lit(" is ").quoted(&format!("{}{STATE}{state}", policy.mark()));
    sqlx::raw_sql(AssertSqlSafe(sql.into_parts().0)).execute(connection).await.map(drop)
}

async fn remember(
    connection: &mut PgConnection,
    facts: &Facts,
    (role, privilege): (&str, Privilege),
    is_grantable: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.narrowed_grants (schema_name, table_name, role_name, privilege, is_grantable)
         values ($1, $2, $3, $4, $5)
         on conflict (schema_name, table_name, role_name, privilege) do update
         set is_grantable = excluded.is_grantable, taken_at = now()",
    )
    .persistent(false)
    .bind(&*facts.name.schema)
    .bind(&*facts.name.name)
    .bind(role)
    .bind(privilege.word())
    .bind(is_grantable)
    .execute(connection)
    .await
    .map(drop)
}

async fn forget(
    connection: &mut PgConnection,
    facts: &Facts,
    (role, privilege): (&str, Privilege),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from goforward.narrowed_grants
         where schema_name = $1 and table_name = $2 and role_name = $3 and privilege = $4",
    )
    .persistent(false)
    .bind(&*facts.name.schema)
    .bind(&*facts.name.name)
    .bind(role)
    .bind(privilege.word())
    .execute(connection)
    .await
    .map(drop)
}
