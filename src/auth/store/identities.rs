//! The ways in which users sign in: `auth.identities`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::model::{Contact, Identity};

const COLUMNS: &str =
    "select id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at,
    email from auth.identities where user_id = $1 order by created_at, provider, id";

/// The identities of a user, the oldest first.
pub(crate) async fn of_user(connection: &mut PgConnection, user: Uuid) -> Result<Vec<Identity>, sqlx::Error> {
    sqlx::query_as(COLUMNS).bind(user).fetch_all(connection).await
}

/// Makes an identity, or changes what its provider says. One that is another user's is left alone: `false`.
pub(crate) async fn put(
    connection: &mut PgConnection,
    user: Uuid,
    (provider, provider_id): (&str, &str),
    data: &Value,
) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "insert into auth.identities (id, user_id, provider, provider_id, identity_data, last_sign_in_at, created_at,
            updated_at)
         values (gen_random_uuid(), $1, $2, $3, $4, now(), now(), now())
         on conflict (provider_id, provider) do update
         set identity_data = auth.identities.identity_data || excluded.identity_data, updated_at = now()
         where auth.identities.user_id = excluded.user_id",
    )
    .bind(user)
    .bind(provider)
    .bind(provider_id)
    .bind(data)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Removes an identity.
pub(crate) async fn remove(connection: &mut PgConnection, user: Uuid, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.identities where user_id = $1 and id = $2")
        .bind(user)
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Lets nobody else who asks for the same name go on until the transaction ends.
pub(crate) async fn reserve(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('auth identity ' || $1, 0))",
    )
    .bind(name)
    .execute(connection)
    .await
    .map(drop)
}

/// Whose an identity is.
pub(crate) async fn owner(
    connection: &mut PgConnection,
    (provider, provider_id): (&str, &str),
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select user_id from auth.identities where provider = $1 and provider_id = $2")
        .bind(provider)
        .bind(provider_id)
        .fetch_optional(connection)
        .await
}

/// Remembers a sign-in by an identity, which is made if there is none, and what its provider says now. One that is another
/// user's is left alone: `false`.
pub(crate) async fn sign_in(
    connection: &mut PgConnection,
    user: Uuid,
    (provider, provider_id): (&str, &str),
    data: &Value,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "insert into auth.identities (id, user_id, provider, provider_id, identity_data, last_sign_in_at, created_at,
            updated_at)
         values (gen_random_uuid(), $1, $2, $3, $4, $5, $5, $5)
         on conflict (provider_id, provider) do update
         set identity_data = excluded.identity_data, last_sign_in_at = $5, updated_at = $5
         where auth.identities.user_id = excluded.user_id",
    )
    .bind(user)
    .bind(provider)
    .bind(provider_id)
    .bind(data)
    .bind(now)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Leaves an account with one contact and one identity: whatever else there is may be somebody else's who began it
/// (threat D03). Passwords, sessions, factors, keys and what was mailed go.
pub(crate) async fn disown(
    connection: &mut PgConnection,
    user: Uuid,
    kept: &Contact,
    (provider, provider_id): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with sessions as (delete from auth.sessions where user_id = $1),
            identities as (
                delete from auth.identities where user_id = $1 and (provider, provider_id) is distinct from ($2, $3)
            ),
            factors as (delete from auth.mfa_factors where user_id = $1),
            passkeys as (delete from auth.webauthn_credentials where user_id = $1),
            tokens as (delete from auth.one_time_tokens where user_id = $1),
            flows as (
                delete from auth.flow_state where user_id = $1 and auth_code is not null or linking_target_id = $1
            ),
            keys as (delete from goforward.auth_api_keys where user_id = $1),
            codes as (delete from goforward.auth_recovery_codes where user_id = $1),
            devices as (delete from goforward.auth_known_devices where user_id = $1)
         update auth.users set encrypted_password = null, phone_change = '', email_change = '',
            email_change_confirm_status = 0, updated_at = now(),
            phone = case when $4 then phone end, phone_confirmed_at = case when $4 then phone_confirmed_at end,
            email = case when $4 then null else email end,
            email_confirmed_at = case when $4 then null else email_confirmed_at end
         where id = $1",
    )
    .bind(user)
    .bind(provider)
    .bind(provider_id)
    .bind(matches!(kept, Contact::Phone(_)))
    .execute(connection)
    .await
    .map(drop)
}

/// Takes the address from an account that never showed that it is its own.
pub(crate) async fn give_up_email(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with gone as (delete from auth.identities where user_id = $1 and provider = 'email')
         update auth.users set email = null, updated_at = now() where id = $1 and email_confirmed_at is null",
    )
    .bind(user)
    .execute(connection)
    .await
    .map(drop)
}

/// Counts an account as one with an identity, and gives it an address where one is given.
pub(crate) async fn joined(
    connection: &mut PgConnection,
    user: Uuid,
    email: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.users set is_anonymous = false, email = coalesce($2, email),
            email_confirmed_at = case when $2 is null then email_confirmed_at else now() end, updated_at = now()
         where id = $1",
    )
    .bind(user)
    .bind(email)
    .execute(connection)
    .await
    .map(drop)
}

/// Changes the address to that of another identity; one that another account has is a unique violation.
pub(crate) async fn set_email(
    connection: &mut PgConnection,
    user: Uuid,
    email: Option<&str>,
    is_confirmed: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.users set email = $2,
            email_confirmed_at = case when $3 then coalesce(email_confirmed_at, now()) end,
            raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || jsonb_build_object('email_verified', $3),
            updated_at = now()
         where id = $1",
    )
    .bind(user)
    .bind(email)
    .bind(is_confirmed)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes the number from an account.
pub(crate) async fn forget_phone(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.users set phone = null, phone_confirmed_at = null, phone_change = '', updated_at = now()
         where id = $1",
    )
    .bind(user)
    .execute(connection)
    .await
    .map(drop)
}
