//! Lints a database: reads the facts, the catalog first, and lets the rules of `policy::lint` say what they find.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::postgres::types::Oid;
use sqlx::{Connection as _, PgConnection};

use super::lint_rows::{
    AccessRow, ColumnRow, ComputedRow, PolicyColumnRow, PolicyRow, RelationRow, Rows, Subject, read,
};
use crate::catalog::load::{LoadError, LoadOptions, load};
use crate::catalog::model::{Catalog, QualifiedName, RelationKind, TableSecurityRows};
use crate::policy::desired::bound_roles;
use crate::policy::lint::facts::{
    Details, Facts, FunctionFact, KeyFact, PolicyColumn, PolicyFact, RelationFact, RoleAccess,
};
use crate::policy::lint::{Finding, lint as findings};
use crate::policy::model::Verb;

/// Why a database could not be linted.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] LoadError),
    /// What the rules need beside it could not be read.
    #[error("cannot read how the database is protected: {0}")]
    Database(#[from] sqlx::Error),
    /// The rules did not come to an end.
    #[error("cannot judge how the database is protected: {0}")]
    Rules(#[from] tokio::task::JoinError),
}

/// What is wrong with how the database protects what `options` expose.
///
/// Needs no more rights than any login has, but for the rules of tables the right to read `goforward.table_security`.
pub async fn lint(connection: &mut PgConnection, options: &LoadOptions) -> Result<Vec<Finding>, LintError> {
    let facts = facts(connection, options).await?;
    // Some tens of milliseconds for thousands of tables.
    Ok(tokio::task::spawn_blocking(move || findings(&facts)).await?)
}

/// The facts. The catalog reads in a transaction of its own, so an object that is made or dropped between the two is
/// missing on one side, and not judged.
async fn facts(connection: &mut PgConnection, options: &LoadOptions) -> Result<Facts, LintError> {
    let catalog = load(connection, options, None).await?;
    // PostgreSQL's own roles have no callers; a superuser may switch to them.
    let mut roles = bound_roles(&catalog);
    roles.retain(|role| !role.starts_with("pg_"));
    let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
    let ruled = ruled(&catalog);
    let subject =
        Subject { schemas: &options.schemas, roles: &names, ruled: (ruled.0.as_slice(), ruled.1.as_slice()) };
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // Compiling these plans would take longer than running them.
    sqlx::raw_sql("SET LOCAL search_path = ''; SET LOCAL jit = off; SET LOCAL statement_timeout = '60s'")
        .execute(&mut *transaction)
        .await?;
    let rows = read(&mut transaction, &subject).await?;
    transaction.commit().await?;
    Ok(Facts::new(catalog, details(rows, roles)))
}

/// Schemas and names of the relations that have rules.
fn ruled(catalog: &Catalog) -> (Vec<String>, Vec<String>) {
    match &*catalog.table_security {
        TableSecurityRows::Read(rows) => {
            rows.keys().map(|name| (name.schema.to_string(), name.name.to_string())).unzip()
        }
        TableSecurityRows::Absent | TableSecurityRows::Unreadable(_) => (Vec::new(), Vec::new()),
    }
}

fn details(rows: Rows, roles: Vec<Arc<str>>) -> Details {
    let Rows { policies, policy_columns, functions, function_uses, keys, .. } = rows;
    let mut uses: HashMap<Oid, BTreeSet<QualifiedName>> = HashMap::new();
    for used in function_uses {
        uses.entry(used.function).or_default().insert(QualifiedName::new(used.schema, used.name));
    }
    let functions = functions.into_iter().map(|row| FunctionFact {
        name: QualifiedName::new(row.schema, row.name),
        arguments: row.arguments,
        exposed: row.exposed,
        callers: shared(row.callers),
        definer: row.definer,
        bound_body: row.bound_body,
        search_path: row.search_path,
        open_schemas: row.open_schemas,
        body: row.body.to_lowercase(),
        reads: uses.remove(&row.oid).unwrap_or_default(),
    });
    let keys = keys.into_iter().map(|row| KeyFact {
        table: QualifiedName::new(row.schema, row.table),
        name: row.name,
        is_foreign: row.is_foreign,
        columns: row.columns,
    });
    Details {
        functions: functions.collect(),
        keys: keys.collect(),
        policies: policy_facts(policies, policy_columns),
        relations: relation_facts(rows.relations, rows.access, rows.columns, rows.computed),
        roles,
    }
}

fn policy_facts(
    policies: Vec<PolicyRow>,
    columns: Vec<PolicyColumnRow>,
) -> BTreeMap<QualifiedName, Vec<PolicyFact>> {
    let mut columns_of: HashMap<Oid, Vec<PolicyColumn>> = HashMap::new();
    for row in columns {
        columns_of.entry(row.policy).or_default().push(PolicyColumn {
            table: QualifiedName::new(row.schema, row.table),
            name: row.name,
            is_text: row.is_text,
            is_indexed: row.is_indexed,
        });
    }
    let mut facts: BTreeMap<QualifiedName, Vec<PolicyFact>> = BTreeMap::new();
    for row in policies {
        let table = QualifiedName::new(row.schema, row.table);
        let fact = PolicyFact {
            table: table.clone(),
            name: row.name,
            permissive: row.permissive,
            verb: verb_of_command(&row.command),
            roles: shared(row.roles),
            using: row.using,
            check: row.check,
            is_ours: row.is_ours,
            columns: columns_of.remove(&row.oid).unwrap_or_default(),
        };
        facts.entry(table).or_default().push(fact);
    }
    facts
}

/// From `pg_policy.polcmd`; `None` for all verbs.
fn verb_of_command(command: &str) -> Option<Verb> {
    match command {
        "r" => Some(Verb::Select),
        "a" => Some(Verb::Insert),
        "w" => Some(Verb::Update),
        "d" => Some(Verb::Delete),
        _ => None,
    }
}

fn relation_facts(
    relations: Vec<RelationRow>,
    access: Vec<AccessRow>,
    columns: Vec<ColumnRow>,
    computed: Vec<ComputedRow>,
) -> BTreeMap<QualifiedName, RelationFact> {
    let mut facts: BTreeMap<QualifiedName, RelationFact> = relations
        .into_iter()
        .filter_map(|row| {
            let fact = RelationFact {
                kind: RelationKind::from_code(&row.kind)?,
                row_security: row.row_security,
                security_invoker: row.security_invoker,
                access: Vec::new(),
                columns: BTreeMap::new(),
                computed: BTreeSet::new(),
            };
            Some((QualifiedName::new(row.schema, row.name), fact))
        })
        .collect();
    for row in access {
        if let Some(fact) = facts.get_mut(&QualifiedName::new(row.schema, row.name)) {
            let verbs = Verb::ALL.into_iter().filter(|verb| row.verbs.iter().any(|word| word == verb.word()));
            fact.access.push(RoleAccess {
                role: Arc::from(row.role),
                verbs: verbs.collect(),
                selects_all: row.selects_all,
            });
        }
    }
    for row in columns {
        if let Some(fact) = facts.get_mut(&QualifiedName::new(row.schema, row.relation)) {
            fact.columns.insert(row.name, shared(row.readers));
        }
    }
    for row in computed {
        if let Some(fact) = facts.get_mut(&QualifiedName::new(row.schema, row.relation)) {
            fact.computed.insert(row.name);
        }
    }
    facts
}

fn shared(names: Vec<String>) -> BTreeSet<Arc<str>> {
    names.into_iter().map(Arc::from).collect()
}
