//! Accounts: `auth.users`, with the name from `goforward.auth_usernames`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::model::{Account, AccountWithRoles, Contact};
use crate::auth::token::one_time::Purpose;

/// The columns of an account of `u` (the user) and `n` (its name).
macro_rules! account_columns {
    () => {
            "u.id, coalesce(nullif(u.aud, ''), 'authenticated') as aud,
                coalesce(nullif(u.role, ''), 'authenticated') as role, nullif(u.email, '') as email,
                nullif(u.phone, '') as phone, nullif(u.encrypted_password, '') as encrypted_password,
                u.email_confirmed_at, u.phone_confirmed_at, u.invited_at, u.confirmation_sent_at, u.recovery_sent_at,
                coalesce(u.email_change, '') as email_change, u.email_change_sent_at,
                coalesce(u.phone_change, '') as phone_change, u.phone_change_sent_at, u.reauthentication_sent_at,
                u.last_sign_in_at, coalesce(nullif(u.raw_app_meta_data, 'null'), '{}') as raw_app_meta_data,
                coalesce(nullif(u.raw_user_meta_data, 'null'), '{}') as raw_user_meta_data,
                coalesce(u.created_at, 'epoch') as created_at, coalesce(u.updated_at, 'epoch') as updated_at,
                u.banned_until, u.deleted_at, u.is_sso_user, u.is_anonymous, n.username"
    };
}
pub(super) use account_columns;

/// The application's roles of `u`; who has none is a `user`.
macro_rules! role_column {
    () => {
        "coalesce((select array_agg(r.role order by r.role) from goforward.auth_user_roles as r where r.user_id = u.id),
            array['user']) as app_roles"
    };
}
pub(super) use role_column;

/// An account by a condition on `u` (the user) and `n` (its name), in one or several pieces.
macro_rules! account {
    ($($condition:expr),+) => {
        concat!(
            "select ",
            account_columns!(),
            " from auth.users as u left join goforward.auth_usernames as n on n.user_id = u.id
            where ",
            $($condition),+
        )
    };
}
pub(super) use account;

/// A new account.
#[derive(Clone, Debug)]
pub(crate) struct NewAccount<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// The role that its tokens name.
    pub(crate) role: &'a str,
    /// The address, in lower case.
    pub(crate) email: Option<&'a str>,
    /// The number, digits only.
    pub(crate) phone: Option<&'a str>,
    /// The hash of the password.
    pub(crate) encrypted_password: Option<&'a str>,
    /// What the server says of it.
    pub(crate) app_metadata: &'a Value,
    /// What the user says.
    pub(crate) user_metadata: &'a Value,
    /// Whether it has no identifier.
    pub(crate) is_anonymous: bool,
    /// When it is made.
    pub(crate) now: DateTime<Utc>,
}

/// Makes an account, with its settings and the role of every user. A taken address or number is a unique violation.
pub(crate) async fn insert(connection: &mut PgConnection, new: &NewAccount<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with made as (
            insert into auth.users (instance_id, id, aud, role, email, phone, encrypted_password, raw_app_meta_data,
                raw_user_meta_data, is_anonymous, confirmation_token, recovery_token, email_change_token_new,
                email_change, created_at, updated_at)
            values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', $2, $3, $4, $5, $6, $7, $8,
                '', '', '', '', $9, $9)
            returning id
        ), settled as (
            insert into goforward.auth_user_settings (user_id) select id from made
        )
        insert into goforward.auth_user_roles (user_id, role)
        select made.id, known.name from made join goforward.auth_app_roles as known on known.name = 'user'",
    )
    .bind(new.id)
    .bind(new.role)
    .bind(new.email)
    .bind(new.phone)
    .bind(new.encrypted_password)
    .bind(new.app_metadata)
    .bind(new.user_metadata)
    .bind(new.is_anonymous)
    .bind(new.now)
    .execute(connection)
    .await
    .map(drop)
}

/// The account of this id.
pub(crate) async fn by_id(connection: &mut PgConnection, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(account!("u.id = $1")).bind(id).fetch_optional(connection).await
}

/// The same, and nobody changes it until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(account!("u.id = $1 for update of u")).bind(id).fetch_optional(connection).await
}

/// The account that has this address or number. Users of single sign-on are not found by it.
pub(crate) async fn by_contact(
    connection: &mut PgConnection,
    contact: &Contact,
) -> Result<Option<Account>, sqlx::Error> {
    let query = match contact {
        Contact::Email(_) => account!("u.email = $1 and not u.is_sso_user and u.deleted_at is null"),
        Contact::Phone(_) => account!("u.phone = $1 and not u.is_sso_user and u.deleted_at is null"),
    };
    sqlx::query_as(query).bind(contact.as_str()).fetch_optional(connection).await
}

/// The account with this name, in its normalised form.
pub(crate) async fn by_username(
    connection: &mut PgConnection,
    normalised: &str,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(account!("n.normalised = $1 and u.deleted_at is null"))
        .bind(normalised)
        .fetch_optional(connection)
        .await
}

/// Gives the user a name; one that is taken is a unique violation.
pub(crate) async fn set_username(
    connection: &mut PgConnection,
    id: Uuid,
    (username, normalised): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_usernames (user_id, username, normalised) values ($1, $2, $3)
         on conflict (user_id) do update
         set username = excluded.username, normalised = excluded.normalised, changed_at = now()",
    )
    .bind(id)
    .bind(username)
    .bind(normalised)
    .execute(connection)
    .await
    .map(drop)
}

/// Counts an address or number as confirmed, and tells the user so in its metadata.
pub(crate) async fn confirm(
    connection: &mut PgConnection,
    id: Uuid,
    contact: &Contact,
) -> Result<(), sqlx::Error> {
    macro_rules! confirmed {
        ($kind:literal) => {
            concat!(
                "update auth.users set ",
                $kind,
                "_confirmed_at = coalesce(",
                $kind,
                "_confirmed_at, now()), is_anonymous = false, updated_at = now(),
                raw_user_meta_data = coalesce(nullif(raw_user_meta_data, 'null'), '{}') || '{\"",
                $kind,
                "_verified\": true}' where id = $1"
            )
        };
    }
    let statement = match contact {
        Contact::Email(_) => confirmed!("email"),
        Contact::Phone(_) => confirmed!("phone"),
    };
    sqlx::query(statement).bind(id).execute(connection).await.map(drop)
}

/// Changes the password's hash.
pub(crate) async fn set_password(
    connection: &mut PgConnection,
    id: Uuid,
    hash: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.users set encrypted_password = $2, updated_at = now() where id = $1")
        .bind(id)
        .bind(hash)
        .execute(connection)
        .await
        .map(drop)
}

/// Replaces a hash by a better one of the same password, unless the password has changed meanwhile.
pub(crate) async fn rehash_password(
    connection: &mut PgConnection,
    id: Uuid,
    (old, new): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.users set encrypted_password = $3 where id = $1 and encrypted_password = $2")
        .bind(id)
        .bind(old)
        .bind(new)
        .execute(connection)
        .await
        .map(drop)
}

/// Changes what the user and the server say of it.
pub(crate) async fn set_metadata(
    connection: &mut PgConnection,
    id: Uuid,
    (app, user): (&Value, &Value),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.users set raw_app_meta_data = $2, raw_user_meta_data = $3, updated_at = now() where id = $1",
    )
    .bind(id)
    .bind(app)
    .bind(user)
    .execute(connection)
    .await
    .map(drop)
}

/// Remembers a sign-in; who signed in.
pub(crate) async fn signed_in(
    connection: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<AccountWithRoles>, sqlx::Error> {
    sqlx::query_as(concat!(
        "with signed as (update auth.users set last_sign_in_at = $2, updated_at = $2 where id = $1 returning *)
         select ",
        account_columns!(),
        ", ",
        role_column!(),
        " from signed as u left join goforward.auth_usernames as n on n.user_id = u.id",
    ))
    .bind(id)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// An account and what it may do in the application.
pub(crate) async fn with_roles(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<AccountWithRoles>, sqlx::Error> {
    sqlx::query_as(concat!(
        "select ",
        account_columns!(),
        ", ",
        role_column!(),
        " from auth.users as u left join goforward.auth_usernames as n on n.user_id = u.id where u.id = $1",
    ))
    .bind(id)
    .fetch_optional(connection)
    .await
}

/// The application's roles of a user.
pub(crate) async fn app_roles(connection: &mut PgConnection, id: Uuid) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(concat!("select ", role_column!(), " from auth.users as u where u.id = $1"))
        .bind(id)
        .fetch_one(connection)
        .await
}

/// Remembers that a token of this purpose was sent.
pub(crate) async fn sent(
    connection: &mut PgConnection,
    id: Uuid,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = match purpose {
        Purpose::Signup | Purpose::PhoneConfirmation | Purpose::Claim => {
            "update auth.users set confirmation_sent_at = $2, updated_at = $2 where id = $1"
        }
        Purpose::Invite => {
            "update auth.users set invited_at = $2, confirmation_sent_at = $2, updated_at = $2 where id = $1"
        }
        Purpose::MagicLink | Purpose::Recovery => {
            "update auth.users set recovery_sent_at = $2, updated_at = $2 where id = $1"
        }
        Purpose::EmailChangeNew | Purpose::EmailChangeCurrent => {
            "update auth.users set email_change_sent_at = $2, updated_at = $2 where id = $1"
        }
        Purpose::PhoneChange => {
            "update auth.users set phone_change_sent_at = $2, updated_at = $2 where id = $1"
        }
        Purpose::Reauthentication => {
            "update auth.users set reauthentication_sent_at = $2, updated_at = $2 where id = $1"
        }
    };
    sqlx::query(query).bind(id).bind(now).execute(connection).await.map(drop)
}

/// The account that waits for this address or number to be confirmed as its new one.
pub(crate) async fn by_pending_contact(
    connection: &mut PgConnection,
    contact: &Contact,
) -> Result<Option<Account>, sqlx::Error> {
    let query = match contact {
        Contact::Email(_) => account!(
            "u.email_change = $1 and u.deleted_at is null order by u.email_change_sent_at desc nulls last limit 1"
        ),
        Contact::Phone(_) => account!(
            "u.phone_change = $1 and u.deleted_at is null order by u.phone_change_sent_at desc nulls last limit 1"
        ),
    };
    sqlx::query_as(query).bind(contact.as_str()).fetch_optional(connection).await
}

/// Notes the address or number that is to become the user's; a change that was under way is given up.
pub(crate) async fn begin_change(
    connection: &mut PgConnection,
    id: Uuid,
    contact: &Contact,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = match contact {
        Contact::Email(_) => {
            "update auth.users set email_change = $2, email_change_confirm_status = 0, updated_at = $3 where id = $1"
        }
        Contact::Phone(_) => "update auth.users set phone_change = $2, updated_at = $3 where id = $1",
    };
    sqlx::query(query).bind(id).bind(contact.as_str()).bind(now).execute(connection).await.map(drop)
}

/// Notes that one of two addresses has confirmed a change; whether the other had already. The status is the sum of 1 for
/// the new address and 2 for the current one.
pub(crate) async fn confirm_half(
    connection: &mut PgConnection,
    id: Uuid,
    half: Purpose,
) -> Result<bool, sqlx::Error> {
    let bit: i16 = if half == Purpose::EmailChangeNew { 1 } else { 2 };
    let before: i16 = sqlx::query_scalar(
        "update auth.users as u set email_change_confirm_status = case when old.status in (0, $2) then $2 else 0 end
         from (select id, coalesce(email_change_confirm_status, 0::int2) as status from auth.users where id = $1) as old
         where u.id = old.id returning old.status",
    )
    .bind(id)
    .bind(bit)
    .fetch_one(connection)
    .await?;
    Ok(before != 0 && before != bit)
}

/// Makes the pending address or number the user's.
pub(crate) async fn apply_change(
    connection: &mut PgConnection,
    id: Uuid,
    contact: &Contact,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let statement = match contact {
        Contact::Email(_) => {
            "update auth.users set email = email_change, email_change = '', email_change_confirm_status = 0,
                email_confirmed_at = $2, updated_at = $2 where id = $1"
        }
        Contact::Phone(_) => {
            "update auth.users set phone = phone_change, phone_change = '', phone_confirmed_at = $2, updated_at = $2
             where id = $1"
        }
    };
    sqlx::query(statement).bind(id).bind(now).execute(connection).await.map(drop)
}

/// Whether this is the first time that the user is to be welcomed.
pub(crate) async fn welcome_once(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query("insert into goforward.auth_welcomed (user_id) values ($1) on conflict do nothing")
        .bind(id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
}
