//! Second factors: `auth.mfa_factors`, and the last step of each authenticator app, `goforward.auth_totp_steps`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::model::{Factor, FactorType};

/// Factors by a condition.
macro_rules! factor {
    ($condition:literal) => {
        concat!(
            "select id, user_id, friendly_name, factor_type, status, secret, phone, created_at, updated_at,
                last_challenged_at, web_authn_credential, web_authn_aaguid
            from auth.mfa_factors where ",
            $condition
        )
    };
}

/// The factors of a user, the oldest first.
pub(crate) async fn of_user(connection: &mut PgConnection, user: Uuid) -> Result<Vec<Factor>, sqlx::Error> {
    sqlx::query_as(factor!("user_id = $1 order by created_at, id")).bind(user).fetch_all(connection).await
}

/// A factor of a user.
pub(crate) async fn by_id(
    connection: &mut PgConnection,
    user: Uuid,
    id: Uuid,
) -> Result<Option<Factor>, sqlx::Error> {
    sqlx::query_as(factor!("user_id = $1 and id = $2")).bind(user).bind(id).fetch_optional(connection).await
}

/// Whether a user has a factor that counts.
pub(crate) async fn has_verified(connection: &mut PgConnection, user: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from auth.mfa_factors where user_id = $1 and status = 'verified')",
    )
    .bind(user)
    .fetch_one(connection)
    .await
}

/// A factor that does not count yet.
#[derive(Clone, Debug)]
pub(crate) struct NewFactor<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// What it is.
    pub(crate) kind: FactorType,
    /// What the user calls it.
    pub(crate) friendly_name: Option<&'a str>,
    /// The secret, encrypted.
    pub(crate) secret: Option<&'a str>,
    /// The number, digits only.
    pub(crate) phone: Option<&'a str>,
    /// When it is made.
    pub(crate) now: DateTime<Utc>,
}

/// Adds a factor.
pub(crate) async fn insert(connection: &mut PgConnection, new: &NewFactor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.mfa_factors
            (id, user_id, friendly_name, factor_type, status, secret, phone, created_at, updated_at)
         values ($1, $2, $3, $4, 'unverified', $5, $6, $7, $7)",
    )
    .bind(new.id)
    .bind(new.user_id)
    .bind(new.friendly_name)
    .bind(new.kind)
    .bind(new.secret)
    .bind(new.phone)
    .bind(new.now)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes the factors of a user that were made before then and never verified.
pub(crate) async fn remove_stale(
    connection: &mut PgConnection,
    user: Uuid,
    before: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from auth.mfa_factors where user_id = $1 and status = 'unverified' and created_at < $2",
    )
    .bind(user)
    .bind(before)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes the unverified factors of a user that are of this type, or have this number, but for one.
pub(crate) async fn remove_unverified(
    connection: &mut PgConnection,
    user: Uuid,
    (kind, phone, except): (FactorType, Option<&str>, Option<Uuid>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from auth.mfa_factors
         where user_id = $1 and status = 'unverified' and factor_type = $2
            and ($3::text is null or phone = $3) and id is distinct from $4",
    )
    .bind(user)
    .bind(kind)
    .bind(phone)
    .bind(except)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes a factor.
pub(crate) async fn remove(connection: &mut PgConnection, user: Uuid, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.mfa_factors where user_id = $1 and id = $2")
        .bind(user)
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// How many users have this role of the application and no factor that counts; 0 where nobody keeps accounts.
pub(crate) async fn without_any(connection: &mut PgConnection, role: &str) -> Result<i64, sqlx::Error> {
    let is_prepared: bool = sqlx::query_scalar(
        "select pg_catalog.to_regclass('goforward.auth_user_roles') is not null
            and pg_catalog.to_regclass('auth.mfa_factors') is not null",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_prepared {
        return Ok(0);
    }
    sqlx::query_scalar(
        "select count(*) from goforward.auth_user_roles as held
         join auth.users as u on u.id = held.user_id and u.deleted_at is null
         where held.role = $1 and not exists (
            select from auth.mfa_factors as f where f.user_id = u.id and f.status = 'verified')",
    )
    .bind(role)
    .fetch_one(connection)
    .await
}

/// Lets a factor count.
pub(crate) async fn mark_verified(
    connection: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.mfa_factors set status = 'verified', updated_at = $2 where id = $1")
        .bind(id)
        .bind(now)
        .execute(connection)
        .await
        .map(drop)
}

/// Notes that a factor was asked for.
pub(crate) async fn mark_challenged(
    connection: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.mfa_factors set last_challenged_at = $2 where id = $1")
        .bind(id)
        .bind(now)
        .execute(connection)
        .await
        .map(drop)
}

/// Changes what a factor is called and its number, where given.
pub(crate) async fn change(
    connection: &mut PgConnection,
    id: Uuid,
    (friendly_name, phone): (Option<&str>, Option<&str>),
    now: DateTime<Utc>,
) -> Result<Factor, sqlx::Error> {
    sqlx::query_as(
        "update auth.mfa_factors
         set friendly_name = coalesce($2, friendly_name), phone = coalesce($3, phone), updated_at = $4
         where id = $1
         returning id, user_id, friendly_name, factor_type, status, secret, phone, created_at, updated_at,
            last_challenged_at, web_authn_credential, web_authn_aaguid",
    )
    .bind(id)
    .bind(friendly_name)
    .bind(phone)
    .bind(now)
    .fetch_one(connection)
    .await
}

/// Keeps the secret of a factor, encrypted anew.
pub(crate) async fn set_secret(
    connection: &mut PgConnection,
    id: Uuid,
    sealed: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.mfa_factors set secret = $2 where id = $1")
        .bind(id)
        .bind(sealed)
        .execute(connection)
        .await
        .map(drop)
}

/// Keeps the credential of a security key.
pub(crate) async fn set_credential(
    connection: &mut PgConnection,
    id: Uuid,
    (credential, aaguid): (&Value, Uuid),
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.mfa_factors set web_authn_credential = $2, web_authn_aaguid = $3 where id = $1")
        .bind(id)
        .bind(credential)
        .bind(aaguid)
        .execute(connection)
        .await
        .map(drop)
}

/// Uses up all steps of an app up to this one; `false` if it is used up already. However many come at once with the code of
/// one step, one of them gets `true` (threat B08).
pub(crate) async fn use_step(
    connection: &mut PgConnection,
    factor: Uuid,
    step: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_totp_steps as used (factor_id, last_step) values ($1, $2)
         on conflict (factor_id) do update set last_step = excluded.last_step
         where used.last_step < excluded.last_step",
    )
    .bind(factor)
    .bind(step)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}
