//! POST `/logout`, and a user's own sessions (contract section 5; GET and DELETE `/sessions` are ours).

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::extract::{FirstProof, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::refusal::Refusal;
use crate::auth::state::AuthState;
use crate::auth::store::{flows, sessions};

/// Which sessions end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// All of the user's.
    #[default]
    Global,
    /// This one.
    Local,
    /// All but this one.
    Others,
}

/// The query.
#[derive(Debug, Deserialize)]
pub(super) struct Ending {
    #[serde(default)]
    scope: Scope,
}

pub(super) async fn log_out(
    State(state): State<AuthState>,
    Query(ending): Query<Ending>,
    FirstProof(user): FirstProof,
) -> Result<StatusCode, AuthError> {
    let mut connection = state.connection().await?;
    let (id, session) = (user.account.id, user.session.id);
    match ending.scope {
        Scope::Global => {
            flows::remove_of_user(&mut connection, id).await?;
            sessions::remove_all(&mut connection, id, None).await?;
        }
        Scope::Others => drop(sessions::remove_all(&mut connection, id, Some(session)).await?),
        Scope::Local => drop(sessions::remove(&mut connection, id, session).await?),
    }
    state.revocations.tell(if matches!(ending.scope, Scope::Local) { session } else { id });
    Ok(StatusCode::NO_CONTENT)
}

/// Where the user is signed in.
pub(super) async fn list(State(state): State<AuthState>, user: SignedIn) -> Result<Json<Value>, AuthError> {
    let mut connection = state.connection().await?;
    let sessions = sessions::of_user(&mut connection, user.account.id).await?;
    Ok(Json(sessions.iter().map(|session| session.shown(user.session.id)).collect()))
}

/// Ends one of them.
pub(super) async fn end(
    State(state): State<AuthState>,
    Path(id): Path<String>,
    user: SignedIn,
) -> Result<StatusCode, AuthError> {
    let id = Uuid::parse_str(&id).map_err(|_| Refusal::PathIdNotUuid)?;
    let mut connection = state.connection().await?;
    if sessions::remove(&mut connection, user.account.id, id).await? {
        state.revocations.tell(id);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::NoSuchSession.into())
    }
}
