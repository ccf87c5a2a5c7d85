//! What administrators ask of accounts: lists, changes that need nobody's consent, and removal.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::users::{account, account_columns};
use crate::auth::model::{Account, Contact, Factor, Identity};

/// Whether the text `$1` is anywhere in what an account is known by; without a text every account is found.
macro_rules! matching {
    () => {
        "($1::text is null
            or position(lower($1) in coalesce(u.email, '')) > 0
            or position($1 in coalesce(u.phone, '')) > 0
            or position(lower($1) in coalesce(n.normalised, '')) > 0
            or position(lower($1) in lower(coalesce(u.raw_user_meta_data ->> 'full_name', ''))) > 0
            or position(lower($1) in lower(concat_ws(' ', u.raw_user_meta_data ->> 'first_name',
                u.raw_user_meta_data ->> 'last_name'))) > 0)"
    };
}

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortBy {
    /// When accounts were made.
    CreatedAt,
    /// When they were changed last.
    UpdatedAt,
    /// The last sign-in.
    LastSignInAt,
    /// The address.
    Email,
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

/// The accounts from one place of a list to another.
pub(crate) async fn page(
    connection: &mut PgConnection,
    filter: Option<&str>,
    order: (SortBy, Direction),
    (limit, offset): (i64, i64),
) -> Result<Vec<Account>, sqlx::Error> {
    macro_rules! ordered {
        ($order:literal) => {
            account!(matching!(), " order by ", $order, " limit $2 offset $3")
        };
    }
    let query = match order {
        (SortBy::CreatedAt, Direction::Ascending) => ordered!("u.created_at, u.id"),
        (SortBy::CreatedAt, Direction::Descending) => ordered!("u.created_at desc, u.id desc"),
        (SortBy::UpdatedAt, Direction::Ascending) => ordered!("u.updated_at, u.id"),
        (SortBy::UpdatedAt, Direction::Descending) => ordered!("u.updated_at desc, u.id desc"),
        (SortBy::LastSignInAt, Direction::Ascending) => ordered!("u.last_sign_in_at nulls first, u.id"),
        (SortBy::LastSignInAt, Direction::Descending) => {
            ordered!("u.last_sign_in_at desc nulls last, u.id desc")
        }
        (SortBy::Email, Direction::Ascending) => ordered!("u.email nulls last, u.id"),
        (SortBy::Email, Direction::Descending) => ordered!("u.email desc nulls last, u.id desc"),
    };
    sqlx::query_as(query).bind(filter).bind(limit).bind(offset).fetch_all(connection).await
}

/// The accounts after one, in the order of their ids: a walk that meets every account once, whatever comes meanwhile.
pub(crate) async fn after(
    connection: &mut PgConnection,
    filter: Option<&str>,
    last: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Account>, sqlx::Error> {
    sqlx::query_as(account!(matching!(), " and ($2::uuid is null or u.id > $2) order by u.id limit $3"))
        .bind(filter)
        .bind(last)
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// How many accounts there are.
pub(crate) async fn count(connection: &mut PgConnection, filter: Option<&str>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(concat!(
        "select count(*) from auth.users as u left join goforward.auth_usernames as n on n.user_id = u.id where ",
        matching!()
    ))
    .bind(filter)
    .fetch_one(connection)
    .await
}

/// The identities of several users, the oldest first.
pub(crate) async fn identities(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<Vec<Identity>, sqlx::Error> {
    sqlx::query_as(
        "select id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at, email
         from auth.identities where user_id = any ($1) order by created_at, id",
    )
    .bind(users)
    .fetch_all(connection)
    .await
}

/// The factors of several users, the oldest first.
pub(crate) async fn factors(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<Vec<Factor>, sqlx::Error> {
    sqlx::query_as(
        "select id, user_id, friendly_name, factor_type, status, secret, phone, created_at, updated_at,
            last_challenged_at, web_authn_credential, web_authn_aaguid
         from auth.mfa_factors where user_id = any ($1) order by created_at, id",
    )
    .bind(users)
    .fetch_all(connection)
    .await
}

/// What becomes of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ban {
    /// There is none any more.
    Lifted,
    /// It lasts until then.
    Until(DateTime<Utc>),
}

/// What an account counts as; what is none stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing<'a> {
    /// The role that its tokens name.
    pub(crate) role: Option<&'a str>,
    /// The audience of its tokens.
    pub(crate) aud: Option<&'a str>,
    /// Whether it may be used.
    pub(crate) ban: Option<Ban>,
}

/// Changes what an account counts as.
pub(crate) async fn set_standing(
    connection: &mut PgConnection,
    id: Uuid,
    standing: Standing<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let banned_until = match standing.ban {
        Some(Ban::Until(end)) => Some(end),
        Some(Ban::Lifted) | None => None,
    };
    sqlx::query(
        "update auth.users set role = coalesce($2, role), aud = coalesce($3, aud),
            banned_until = case when $4 then $5 else banned_until end, updated_at = $6
         where id = $1",
    )
    .bind(id)
    .bind(standing.role)
    .bind(standing.aud)
    .bind(standing.ban.is_some())
    .bind(banned_until)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Gives an account an address or number at once; a change that was under way is given up. One that is taken is a unique
/// violation.
pub(crate) async fn set_contact(
    connection: &mut PgConnection,
    id: Uuid,
    contact: &Contact,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = match contact {
        Contact::Email(_) => {
            "update auth.users set email = $2, email_change = '', email_change_confirm_status = 0, updated_at = $3
             where id = $1"
        }
        Contact::Phone(_) => {
            "update auth.users set phone = $2, phone_change = '', updated_at = $3 where id = $1"
        }
    };
    sqlx::query(query).bind(id).bind(contact.as_str()).bind(now).execute(connection).await.map(drop)
}

/// What goes with a user whose row stays.
const BELONGINGS: [&str; 13] = [
    "delete from auth.sessions where user_id = $1",
    "delete from auth.identities where user_id = $1",
    "delete from auth.mfa_factors where user_id = $1",
    "delete from auth.webauthn_credentials where user_id = $1",
    "delete from auth.one_time_tokens where user_id = $1",
    "delete from auth.flow_state where user_id = $1",
    "delete from goforward.auth_usernames where user_id = $1",
    "delete from goforward.auth_user_settings where user_id = $1",
    "delete from goforward.auth_user_roles where user_id = $1",
    "delete from goforward.auth_api_keys where user_id = $1",
    "delete from goforward.auth_recovery_codes where user_id = $1",
    "delete from goforward.auth_known_devices where user_id = $1",
    "delete from goforward.auth_lockouts where user_id = $1",
];

/// Deletes an account and keeps its row, so that what refers to it still does. Digests take the place of address and
/// number, which are free again.
pub(crate) async fn soft_delete(
    connection: &mut PgConnection,
    id: Uuid,
    (email, phone): (Option<&str>, Option<&str>),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    for statement in BELONGINGS {
        sqlx::query(statement).bind(id).execute(&mut *connection).await?;
    }
    sqlx::query(
        "update auth.users set email = $2, phone = $3, email_change = '', phone_change = '', encrypted_password = null,
            raw_app_meta_data = '{}', raw_user_meta_data = '{}', deleted_at = $4, updated_at = $4
         where id = $1",
    )
    .bind(id)
    .bind(email)
    .bind(phone)
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Removes an account with all that belongs to it; whether there was one.
pub(crate) async fn delete(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("delete from auth.users where id = $1")
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}
