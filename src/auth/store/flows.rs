//! Sign-ins that have left for a mailbox or a provider: `auth.flow_state`.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// A flow, and what its client must show at the end (RFC 7636).
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Flow {
    /// Its id: the parameter `state` towards providers.
    pub(crate) id: Uuid,
    /// Whose it is, once that is known.
    pub(crate) user_id: Option<Uuid>,
    /// The digest of the code that ends it.
    pub(crate) auth_code: Option<String>,
    /// `s256` or `plain`.
    pub(crate) code_challenge_method: Option<String>,
    /// What the client has shown at the start.
    pub(crate) code_challenge: Option<String>,
    /// The provider; `email` and `phone` for mailboxes.
    pub(crate) provider_type: String,
    /// What it is for, as in `magiclink`.
    pub(crate) authentication_method: String,
    /// When it began.
    pub(crate) created_at: DateTime<Utc>,
    /// When its code was issued.
    pub(crate) auth_code_issued_at: Option<DateTime<Utc>>,
    /// Where it leads back to.
    pub(crate) referrer: Option<String>,
    /// The user that an identity is to be linked to.
    pub(crate) linking_target_id: Option<Uuid>,
    /// The provider's tokens, encrypted.
    pub(crate) provider_access_token: Option<String>,
    /// The provider's refresh token, encrypted.
    pub(crate) provider_refresh_token: Option<String>,
}

macro_rules! columns {
    () => {
        "id, user_id, auth_code, code_challenge_method::text as code_challenge_method, code_challenge, provider_type,
         authentication_method, coalesce(created_at, 'epoch') as created_at, auth_code_issued_at, referrer,
         linking_target_id, provider_access_token, provider_refresh_token"
    };
}

/// Begins a flow.
pub(crate) async fn insert(connection: &mut PgConnection, flow: &Flow) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
            authentication_method, created_at, updated_at, auth_code_issued_at, referrer, linking_target_id,
            provider_access_token, provider_refresh_token)
         values ($1, $2, $3, $4::auth.code_challenge_method, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13)",
    )
    .bind(flow.id)
    .bind(flow.user_id)
    .bind(&flow.auth_code)
    .bind(&flow.code_challenge_method)
    .bind(&flow.code_challenge)
    .bind(&flow.provider_type)
    .bind(&flow.authentication_method)
    .bind(flow.created_at)
    .bind(flow.auth_code_issued_at)
    .bind(&flow.referrer)
    .bind(flow.linking_target_id)
    .bind(&flow.provider_access_token)
    .bind(&flow.provider_refresh_token)
    .execute(connection)
    .await
    .map(drop)
}

/// Gives a flow the code that will end it, once; none if there is no such flow.
pub(crate) async fn issue_code(
    connection: &mut PgConnection,
    id: Uuid,
    code_digest: &str,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "update auth.flow_state set auth_code = $2, auth_code_issued_at = $3, updated_at = $3
         where id = $1 and code_challenge is not null and auth_code_issued_at is null
         returning id",
    )
    .bind(id)
    .bind(code_digest)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// Ends the flows of a user: what they lead to was meant for whoever knew the account before.
pub(crate) async fn remove_of_user(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.flow_state where user_id = $1")
        .bind(user)
        .execute(connection)
        .await
        .map(drop)
}

/// Ends the flow of a code, which is stored as one of these digests: who gets it has had it first.
pub(crate) async fn take_by_code(
    connection: &mut PgConnection,
    code_digests: &[String],
) -> Result<Option<Flow>, sqlx::Error> {
    sqlx::query_as(concat!("delete from auth.flow_state where auth_code = any ($1) returning ", columns!()))
        .bind(code_digests)
        .fetch_optional(connection)
        .await
}

/// The word for flows that are with a provider.
pub(crate) const WITH_PROVIDER: &str = "oauth";

/// Takes the flow that a provider answers to: who gets it has come first, and nobody comes again.
pub(crate) async fn take_by_state(
    connection: &mut PgConnection,
    state: Uuid,
) -> Result<Option<Flow>, sqlx::Error> {
    sqlx::query_as(concat!(
        "delete from auth.flow_state
         where id = $1 and authentication_method = $2 and auth_code is null and user_id is null
         returning ",
        columns!()
    ))
    .bind(state)
    .bind(WITH_PROVIDER)
    .fetch_optional(connection)
    .await
}
