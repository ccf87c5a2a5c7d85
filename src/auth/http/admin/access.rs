//! POST `/admin/users/{id}/unlock` and `/admin/users/{id}/logout`.

use axum::extract::{Path, State};
use http::StatusCode;

use super::super::extract::Server;
use crate::auth::error::AuthError;
use crate::auth::state::AuthState;
use crate::auth::store::{lockouts, sessions};

/// Forgets the failed sign-ins of an account, wherever they came from.
pub(super) async fn unlock(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
) -> Result<StatusCode, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &id).await?;
    lockouts::unlock(&mut connection, account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of an account.
pub(super) async fn log_out(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
) -> Result<StatusCode, AuthError> {
    let mut connection = state.connection().await?;
    let account = super::account(&mut connection, &id).await?;
    sessions::remove_all(&mut connection, account.id, None).await?;
    state.revocations.tell(account.id);
    Ok(StatusCode::NO_CONTENT)
}
