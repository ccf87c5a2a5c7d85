//! Settings kept in the database (`ALTER ROLE authenticator SET pgrst.…`), and the server's version.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};

use crate::catalog::model::QualifiedName;
use crate::kernel::config::DATABASE_SETTINGS;
use crate::kernel::sql::SqlBuf;

const PREFIX: &str = "pgrst.";

/// Later rows win: settings for this database after those for all.
const ROLE_SETTINGS: &str = "
select substr(u.pair, 1, strpos(u.pair, '=') - 1) as name, substr(u.pair, strpos(u.pair, '=') + 1) as value
from pg_db_role_setting s
join pg_roles r on r.oid = s.setrole
cross join lateral unnest(s.setconfig) as u (pair)
where r.rolname::text = coalesce($1, current_user::text)
  and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by s.setdatabase";

const CURRENT_SETTINGS: &str = "
select u.name, current_setting(u.name, true) as value from unnest($1::text[]) as u (name)";

/// The settings that the database holds for `authenticator` (the connection's own login if none is given), sorted.
///
/// What the role has for this database wins over what it has for all, and both over what `pre_config` sets: a function
/// without arguments that is called first, in a transaction that is rolled back. Settings of the database alone do not
/// count. Values may be secrets (`jwt_secret`): never log them.
///
/// # Errors
/// Those of the database, `pre_config`'s own among them.
pub async fn in_database_settings(
    connection: &mut PgConnection,
    authenticator: Option<&str>,
    pre_config: Option<&QualifiedName>,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str, value: String| {
        if let Some(bare) = name.strip_prefix(PREFIX)
            && DATABASE_SETTINGS.contains(&bare)
        {
            found.insert(bare.to_owned(), value);
        }
    };
    let mut transaction = connection.begin().await?;
    if let Some(function) = pre_config {
        let mut call = SqlBuf::new();
        call.lit("select ").name(&function.schema, &function.name).lit("()");
        sqlx::raw_sql(sqlx::AssertSqlSafe(call.text().to_owned())).execute(&mut *transaction).await?;
        let names: Vec<String> = DATABASE_SETTINGS.iter().map(|name| format!("{PREFIX}{name}")).collect();
        let current: Vec<(String, Option<String>)> = sqlx::query_as(CURRENT_SETTINGS)
            .persistent(false)
            .bind(names)
            .fetch_all(&mut *transaction)
            .await?;
        for (name, value) in current {
            // A custom setting that some earlier transaction set reads as empty afterwards.
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                add(&name, value);
            }
        }
    }
    let stored: Vec<(String, String)> = sqlx::query_as(ROLE_SETTINGS)
        .persistent(false)
        .bind(authenticator)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    for (name, value) in stored {
        add(&name, value);
    }
    Ok(found.into_iter().collect())
}

/// `server_version_num`.
pub async fn server_version(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let number: i32 = sqlx::query_scalar("select current_setting('server_version_num')::integer")
        .persistent(false)
        .fetch_one(connection)
        .await?;
    Ok(u32::try_from(number).unwrap_or(0))
}
