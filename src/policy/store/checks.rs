//! Whether the columns that rules name are there, and fit.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::policy::model::TableSecurity;

use super::error::StoreError;
use super::facts::Facts;

/// Functions that take a row of the table alone: its computed fields.
const COMPUTED: &str = "
select p.proname::text from pg_proc p
join pg_class c on c.reltype = p.proargtypes[0]
where c.oid = $1 and p.pronargs - p.pronargdefaults <= 1 and p.proname::text = any($2)";

/// The type of a column, and whether its values can be somebody's id: a text, a number, a UUID.
const OWNER_TYPE: &str = "
select format_type(t.oid, a.atttypmod),
       t.typcategory in ('S', 'N') or t.oid = 'uuid'::regtype or t.typbasetype = 'uuid'::regtype
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = $1 and a.attname::text = $2 and a.attnum > 0 and not a.attisdropped";

/// Refuses rules that name what the table does not have: a misspelled column protects nothing.
pub(super) async fn names(
    connection: &mut PgConnection,
    facts: &Facts,
    rules: &TableSecurity,
) -> Result<(), StoreError> {
    let columns: BTreeSet<&str> = facts.columns.iter().map(String::as_str).collect();
    let lists: [(&str, Vec<&String>); 4] = [
        ("ownership_column", rules.ownership_column.iter().collect()),
        ("writable_fields", rules.writable_fields.iter().collect()),
        ("hidden_fields", rules.hidden_fields.iter().collect()),
        ("field_permissions", rules.field_permissions.keys().collect()),
    ];
    for (field, names) in lists {
        if let Some(column) = names.into_iter().find(|name| !columns.contains(name.as_str())) {
            return Err(no_such_column(facts, field, column));
        }
    }
    readable(connection, facts, &columns, rules).await?;
    owner(connection, facts, rules).await
}

fn no_such_column(facts: &Facts, field: &str, column: &str) -> StoreError {
    StoreError::NoSuchColumn { field: field.to_owned(), column: column.to_owned(), table: facts.name.clone() }
}

/// A readable field is a column or a computed field.
async fn readable(
    connection: &mut PgConnection,
    facts: &Facts,
    columns: &BTreeSet<&str>,
    rules: &TableSecurity,
) -> Result<(), StoreError> {
    let fields: Vec<&String> =
        rules.readable_fields.iter().filter(|field| !columns.contains(field.as_str())).collect();
    if fields.is_empty() {
        return Ok(());
    }
    let computed: Vec<String> = sqlx::query_scalar(COMPUTED)
        .persistent(false)
        .bind(facts.oid)
        .bind(&fields)
        .fetch_all(connection)
        .await?;
    match fields.into_iter().find(|field| !computed.contains(field)) {
        Some(field) => Err(no_such_column(facts, "readable_fields", field)),
        None => Ok(()),
    }
}

async fn owner(
    connection: &mut PgConnection,
    facts: &Facts,
    rules: &TableSecurity,
) -> Result<(), StoreError> {
    let Some(column) = &rules.ownership_column else { return Ok(()) };
    let found: Option<(String, bool)> = sqlx::query_as(OWNER_TYPE)
        .persistent(false)
        .bind(facts.oid)
        .bind(column)
        .fetch_optional(connection)
        .await?;
    match found {
        None => Err(no_such_column(facts, "ownership_column", column)),
        Some((_, true)) => Ok(()),
        Some((data_type, false)) => Err(StoreError::Unsuitable {
            field: "ownership_column".to_owned(),
            problem: format!(
                "{column} is of type {data_type}, which holds no user's id; use a column of type uuid or text"
            ),
        }),
    }
}
