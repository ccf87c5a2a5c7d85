//! Roles of the application and who has them: `goforward.auth_app_roles`, `goforward.auth_user_roles`.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// A role.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct AppRole {
    /// Its name, in the claim `app_roles`.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// All roles.
pub(crate) async fn list(connection: &mut PgConnection) -> Result<Vec<AppRole>, sqlx::Error> {
    sqlx::query_as("select name, description, created_at from goforward.auth_app_roles order by name")
        .fetch_all(connection)
        .await
}

/// Makes a role, or changes what one is for.
pub(crate) async fn put(
    connection: &mut PgConnection,
    (name, description): (&str, &str),
    now: DateTime<Utc>,
) -> Result<AppRole, sqlx::Error> {
    sqlx::query_as(
        "insert into goforward.auth_app_roles (name, description, created_at) values ($1, $2, $3)
         on conflict (name) do update set description = excluded.description
         returning name, description, created_at",
    )
    .bind(name)
    .bind(description)
    .bind(now)
    .fetch_one(connection)
    .await
}

/// Removes a role from everybody and altogether; whether there was one.
pub(crate) async fn remove(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from goforward.auth_app_roles where name = $1")
        .bind(name)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Those of these names that no role has. The roles that there are stay until the transaction ends.
pub(crate) async fn unknown(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let known: Vec<String> =
        sqlx::query_scalar("select name from goforward.auth_app_roles where name = any ($1) for key share")
            .bind(names)
            .fetch_all(connection)
            .await?;
    Ok(names.iter().filter(|name| !known.contains(name)).cloned().collect())
}

/// Gives a user roles, beside those that it has.
pub(crate) async fn grant(
    connection: &mut PgConnection,
    user: Uuid,
    names: &[String],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_user_roles (user_id, role, granted_at)
         select $1, name, $3 from unnest($2::text[]) as name on conflict do nothing",
    )
    .bind(user)
    .bind(names)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes a role from a user; whether it had it.
pub(crate) async fn withdraw(
    connection: &mut PgConnection,
    user: Uuid,
    name: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from goforward.auth_user_roles where user_id = $1 and role = $2")
        .bind(user)
        .bind(name)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Takes all roles from a user but these.
pub(crate) async fn withdraw_others(
    connection: &mut PgConnection,
    user: Uuid,
    kept: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from goforward.auth_user_roles where user_id = $1 and role <> all ($2)")
        .bind(user)
        .bind(kept)
        .execute(connection)
        .await
        .map(drop)
}
