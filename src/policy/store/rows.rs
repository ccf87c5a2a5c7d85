//! The rows of `goforward.table_security` and of its history.

use sqlx::PgConnection;

use crate::catalog::model::QualifiedName;
use crate::policy::model::TableSecurity;
use crate::policy::rules::parse_row;

use super::error::{StoreError, code_of};
use super::{Expected, PastRules, StoredRules};

/// A row as the queries give it.
#[derive(sqlx::FromRow)]
pub(super) struct RuleRow {
    schema_name: String,
    table_name: String,
    rules: String,
    version: i64,
    created_at: String,
    created_by: Option<String>,
    updated_at: String,
    updated_by: Option<String>,
}

impl From<RuleRow> for StoredRules {
    fn from(row: RuleRow) -> Self {
        Self {
            rules: parse_row(&row.rules),
            name: QualifiedName::new(row.schema_name, row.table_name),
            version: row.version,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
        }
    }
}

/// Times as RFC 3339 writes them, in UTC.
macro_rules! rfc3339 {
    ($column:literal) => {
        concat!("to_char(", $column, " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
    };
}

/// The columns of [`RuleRow`], from `t`.
macro_rules! rule_columns {
    () => {
        concat!(
            "t.schema_name, t.table_name, to_jsonb(t)::text as rules, t.version, t.created_by, t.updated_by, ",
            rfc3339!("t.created_at"),
            " as created_at, ",
            rfc3339!("t.updated_at"),
            " as updated_at"
        )
    };
}

const LIST: &str = concat!(
    "select ",
    rule_columns!(),
    " from goforward.table_security as t order by t.schema_name, t.table_name"
);

const GET: &str = concat!(
    "select ",
    rule_columns!(),
    " from goforward.table_security as t where t.schema_name = $1 and t.table_name = $2"
);

/// The row is made from the JSON of the rules by name, so that a column of a newer version stays as it is. `version`
/// and the times are counted by a trigger. A row that came about since [`expect`] looked, by other ways than ours, stays.
const PUT: &str = concat!(
    "insert into goforward.table_security as t (
       schema_name, table_name, active, display_name, description, require_auth, require_verified, require_mfa,
       allowed_roles, require_ownership, ownership_column, public_read, public_write, ip_allowlist, rate_limit,
       audit_actions, readable_fields, writable_fields, hidden_fields, field_permissions, custom_filters,
       created_by, updated_by)
     select $1, $2, active, display_name, description, require_auth, require_verified, require_mfa,
       allowed_roles, require_ownership, ownership_column, public_read, public_write, ip_allowlist, rate_limit,
       audit_actions, readable_fields, writable_fields, hidden_fields, field_permissions, custom_filters, $4, $4
     from jsonb_populate_record(null::goforward.table_security, $3::jsonb)
     on conflict (schema_name, table_name) do update set
       active = excluded.active, display_name = excluded.display_name, description = excluded.description,
       require_auth = excluded.require_auth, require_verified = excluded.require_verified,
       require_mfa = excluded.require_mfa, allowed_roles = excluded.allowed_roles,
       require_ownership = excluded.require_ownership, ownership_column = excluded.ownership_column,
       public_read = excluded.public_read, public_write = excluded.public_write,
       ip_allowlist = excluded.ip_allowlist, rate_limit = excluded.rate_limit,
       audit_actions = excluded.audit_actions, readable_fields = excluded.readable_fields,
       writable_fields = excluded.writable_fields, hidden_fields = excluded.hidden_fields,
       field_permissions = excluded.field_permissions, custom_filters = excluded.custom_filters,
       updated_by = excluded.updated_by
     where t.version = $5
     returning ",
    rule_columns!()
);

const HISTORY: &str = concat!(
    "select h.version, h.action, h.rules::text as rules, h.changed_by, ",
    rfc3339!("h.changed_at"),
    " as changed_at
     from goforward.table_security_history as h
     where h.schema_name = $1 and h.table_name = $2 order by h.id desc limit $3"
);

/// An error of a query on our own tables: one that says that there are none is the operator's to mend.
fn own(error: sqlx::Error) -> StoreError {
    // undefined_table, invalid_schema_name
    match code_of(&error).as_deref() {
        Some("42P01" | "3F000") => StoreError::NotPrepared,
        _ => error.into(),
    }
}

pub(super) async fn list(connection: &mut PgConnection) -> Result<Vec<StoredRules>, StoreError> {
    let rows: Vec<RuleRow> =
        sqlx::query_as(LIST).persistent(false).fetch_all(connection).await.map_err(own)?;
    Ok(rows.into_iter().map(StoredRules::from).collect())
}

pub(super) async fn find(
    connection: &mut PgConnection,
    name: &QualifiedName,
) -> Result<Option<StoredRules>, StoreError> {
    let row: Option<RuleRow> = sqlx::query_as(GET)
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .fetch_optional(connection)
        .await
        .map_err(own)?;
    Ok(row.map(StoredRules::from))
}

/// Refuses where the stored version is not the expected one. Holds only under the lock of the store.
pub(super) async fn expect(
    connection: &mut PgConnection,
    name: &QualifiedName,
    expected: Expected,
) -> Result<Option<i64>, StoreError> {
    let actual: Option<i64> = sqlx::query_scalar(
        "select version from goforward.table_security where schema_name = $1 and table_name = $2 for update",
    )
    .persistent(false)
    .bind(&*name.schema)
    .bind(&*name.name)
    .fetch_optional(connection)
    .await
    .map_err(own)?;
    let is_expected = match expected {
        Expected::Any => true,
        Expected::Absent => actual.is_none(),
        Expected::Present => actual.is_some(),
        Expected::Version(version) => actual == Some(version),
    };
    if is_expected { Ok(actual) } else { Err(StoreError::VersionMismatch { table: name.clone(), actual }) }
}

/// Stores rules in place of the version `replaced`, which [`expect`] found.
pub(super) async fn put(
    connection: &mut PgConnection,
    name: &QualifiedName,
    rules: &TableSecurity,
    replaced: Option<i64>,
    by: &str,
) -> Result<StoredRules, StoreError> {
    let json = serde_json::to_string(rules).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let row: Option<RuleRow> = sqlx::query_as(PUT)
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .bind(json)
        .bind(by)
        .bind(replaced)
        .fetch_optional(&mut *connection)
        .await
        .map_err(own)?;
    if let Some(row) = row {
        return Ok(row.into());
    }
    let actual = find(connection, name).await?.map(|stored| stored.version);
    Err(StoreError::VersionMismatch { table: name.clone(), actual })
}

/// Removes the row; the trigger that writes the history takes the name from a setting.
pub(super) async fn delete(
    connection: &mut PgConnection,
    name: &QualifiedName,
    by: &str,
) -> Result<(), StoreError> {
    sqlx::query("select set_config('goforward.changed_by', $1, true)")
        .persistent(false)
        .bind(by)
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from goforward.table_security where schema_name = $1 and table_name = $2")
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .execute(connection)
        .await
        .map_err(own)?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct PastRow {
    version: i64,
    action: String,
    rules: Option<String>,
    changed_at: String,
    changed_by: Option<String>,
}

pub(super) async fn history(
    connection: &mut PgConnection,
    name: &QualifiedName,
    limit: u32,
) -> Result<Vec<PastRules>, StoreError> {
    let rows: Vec<PastRow> = sqlx::query_as(HISTORY)
        .persistent(false)
        .bind(&*name.schema)
        .bind(&*name.name)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(own)?;
    rows.into_iter()
        .map(|row| {
            let rules = row.rules.as_deref().map(serde_json::from_str).transpose();
            Ok(PastRules {
                version: row.version,
                action: row.action,
                rules: rules.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                changed_at: row.changed_at,
                changed_by: row.changed_by,
            })
        })
        .collect()
}
