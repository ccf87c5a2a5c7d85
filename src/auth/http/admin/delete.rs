//! DELETE `/admin/users/{id}`: for good, or so that the row stays and says nothing of the person any more.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::extract::{Payload, Server};
use crate::auth::error::AuthError;
use crate::auth::refusal::Refusal;
use crate::auth::state::{AuthState, Parts};
use crate::auth::store::admin_users;

/// The body; without one the account is removed.
#[derive(Deserialize)]
pub(super) struct How {
    #[serde(default)]
    should_soft_delete: bool,
}

pub(super) async fn delete(
    State(state): State<AuthState>,
    _: Server,
    Path(id): Path<String>,
    Payload(how): Payload<How>,
) -> Result<Json<Value>, AuthError> {
    let id = super::id(&id)?;
    let mut transaction = state.begin().await?;
    if how.should_soft_delete {
        let account = super::lock(&mut transaction, &id.to_string()).await?;
        let email = account.email.as_deref().map(|email| digest(&state, id, email));
        let phone = account.phone.as_deref().map(|phone| digest(&state, id, phone));
        let digests = (email.as_deref(), phone.as_deref());
        admin_users::soft_delete(&mut transaction, id, digests, state.now()).await?;
    } else if !admin_users::delete(&mut transaction, id).await.map_err(in_use)? {
        return Err(Refusal::UserNotFound.into());
    }
    transaction.commit().await?;
    state.revocations.tell(id);
    Ok(Json(json!({})))
}

/// What stands in the place of an identifier: nobody can guess it from a dump, and none is there twice.
fn digest(state: &Parts, user: Uuid, identifier: &str) -> String {
    hex::encode(state.digest("deleted identifier", format!("{user} {identifier}").as_bytes()))
}

/// Rows of the application may hold on to their user.
fn in_use(error: sqlx::Error) -> AuthError {
    match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            let table = database.table().unwrap_or("another table");
            let what = "delete them first, or delete the user softly";
            AuthError::Told(Refusal::Conflict, format!("rows of {table} refer to this user: {what}"))
        }
        _ => error.into(),
    }
}
