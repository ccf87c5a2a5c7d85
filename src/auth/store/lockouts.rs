//! Failed sign-ins and the devices that are not locked out by those of others: `goforward.auth_lockouts`,
//! `goforward.auth_known_devices`.

use chrono::{DateTime, Duration, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// What failures are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// An account at an address.
    Pair,
    /// An account, whatever the address, from devices that it does not know.
    Account,
}

impl Counted {
    fn word(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Account => "account",
        }
    }
}

/// How many failures in which time lead to what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockRule {
    /// Failures until it locks.
    pub(crate) failures: i32,
    /// Time within which they are counted.
    pub(crate) window: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
}

/// What is known of who tries to sign in.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Standing {
    /// Whether the account was signed in to from this device.
    pub(crate) is_known_device: bool,
    /// Whether the account is locked for devices that it does not know.
    pub(crate) is_account_locked: bool,
    /// How often the account was tried from this address.
    pub(crate) failures: i32,
}

/// The standing of an account at an address: digests of the pair, of the account, and those that the device may have.
pub(crate) async fn standing(
    connection: &mut PgConnection,
    (pair, account, devices): (&[u8], &[u8], &[Vec<u8>]),
    user: Option<Uuid>,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Standing, sqlx::Error> {
    sqlx::query_as(
        "select
            exists (select from goforward.auth_known_devices where user_id = $4 and digest = any ($3)) as is_known_device,
            exists (select from goforward.auth_lockouts
                    where kind = 'account' and digest = $2 and locked_until > $5) as is_account_locked,
            coalesce((select failures from goforward.auth_lockouts
                      where kind = 'pair' and digest = $1
                        and not coalesce(locked_until <= $5, window_started_at <= $6)), 0) as failures",
    )
    .bind(pair)
    .bind(account)
    .bind(devices)
    .bind(user)
    .bind(now)
    .bind(now - window)
    .fetch_one(connection)
    .await
}

/// Counts one; how many there are now. Beyond the rule's number it locks; counts begin anew when the window or the lock has
/// ended.
pub(crate) async fn count(
    connection: &mut PgConnection,
    (counted, digest): (Counted, &[u8]),
    user: Option<Uuid>,
    rule: LockRule,
    now: DateTime<Utc>,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(
        "insert into goforward.auth_lockouts as held (kind, digest, user_id, failures, window_started_at)
         values ($1, $2, $3, 1, $4)
         on conflict (kind, digest) do update set
            user_id = coalesce(excluded.user_id, held.user_id),
            failures = case
                when coalesce(held.locked_until <= $4, held.window_started_at <= $6) then 1
                else held.failures + 1 end,
            window_started_at = case
                when coalesce(held.locked_until <= $4, held.window_started_at <= $6) then $4
                else held.window_started_at end,
            locked_until = case
                when coalesce(held.locked_until <= $4, held.window_started_at <= $6) then null
                when held.failures + 1 > $5 then coalesce(held.locked_until, $7) end
         returning failures",
    )
    .bind(counted.word())
    .bind(digest)
    .bind(user)
    .bind(now)
    .bind(rule.failures)
    .bind(now - rule.window)
    .bind(now + rule.lasts)
    .fetch_one(connection)
    .await
}

/// Unlocks an account everywhere.
pub(crate) async fn unlock(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from goforward.auth_lockouts where user_id = $1")
        .bind(user)
        .execute(connection)
        .await
        .map(drop)
}

/// The right password was given: forgets the failures of the account at the address and remembers the device; the longest
/// unused of more than 50 are forgotten.
pub(crate) async fn succeeded(
    connection: &mut PgConnection,
    pair: &[u8],
    (user, device): (Option<Uuid>, &[u8]),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with forgotten as (
            delete from goforward.auth_lockouts where kind = 'pair' and digest = $4
         ), kept as (
            insert into goforward.auth_known_devices (user_id, digest, first_seen_at, last_seen_at)
            select $1, $2, $3, $3 where $1::uuid is not null on conflict (user_id, digest) do update set last_seen_at = $3
         )
         delete from goforward.auth_known_devices where user_id = $1 and digest <> $2 and digest in (
            select digest from goforward.auth_known_devices where user_id = $1 order by last_seen_at desc offset 50)",
    )
    .bind(user)
    .bind(device)
    .bind(now)
    .bind(pair)
    .execute(connection)
    .await
    .map(drop)
}
