//! `/api/definitions`: what holds for channels by name. A change holds here at once, elsewhere and on open sockets within two
//! seconds.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::operator::{Deed, Object, Operator};
use crate::realtime::definitions::{Definition, DefinitionError};
use crate::realtime::error::ManagementError;
use crate::realtime::state::RealtimeState;
use crate::realtime::store::definitions::{self as store, ListError, StoreError, StoredDefinition};

/// What the audit log calls a change.
const PUT: &str = "realtime.definition.put";
const REMOVE: &str = "realtime.definition.remove";

pub(super) async fn list(
    _: Operator,
    State(state): State<RealtimeState>,
) -> Result<Json<Vec<StoredDefinition>>, ManagementError> {
    store::list(&state.pool).await.map(Json).map_err(|error| match error {
        ListError::Database(error) => StoreError::Database(error).into(),
        error => ManagementError::Unreadable(error.to_string()),
    })
}

pub(super) async fn show(
    _: Operator,
    State(state): State<RealtimeState>,
    Path(id): Path<String>,
) -> Result<Json<StoredDefinition>, ManagementError> {
    Ok(Json(store::one(&state.pool, self::id(&id)?).await?))
}

pub(super) async fn create(
    operator: Operator,
    State(state): State<RealtimeState>,
    Object(sent): Object,
) -> Result<(StatusCode, Json<StoredDefinition>), ManagementError> {
    let pattern = sent.get("pattern").cloned();
    let made = async {
        let definition = Definition::parse(sent)?;
        Ok(store::add(&state.pool, &definition).await?)
    };
    let made = made.await;
    in_force(&state, &made).await;
    let deed = Deed::on_definition(PUT, json!({ "pattern": pattern }));
    operator.audited(&state, deed, made).map(|made| (StatusCode::CREATED, Json(made)))
}

/// Fields changed (RFC 7396): what is null is as it was without a definition.
pub(super) async fn change(
    operator: Operator,
    State(state): State<RealtimeState>,
    Path(id): Path<String>,
    Object(sent): Object,
) -> Result<Json<StoredDefinition>, ManagementError> {
    changed(&operator, &state, &id, |before| before.changed(sent)).await
}

/// A definition in place of the one that there is.
pub(super) async fn replace(
    operator: Operator,
    State(state): State<RealtimeState>,
    Path(id): Path<String>,
    Object(sent): Object,
) -> Result<Json<StoredDefinition>, ManagementError> {
    changed(&operator, &state, &id, |_| Definition::parse(sent)).await
}

async fn changed(
    operator: &Operator,
    state: &RealtimeState,
    id: &str,
    change: impl FnOnce(&Definition) -> Result<Definition, DefinitionError>,
) -> Result<Json<StoredDefinition>, ManagementError> {
    let id = self::id(id)?;
    let made = store::change(&state.pool, id, change).await.map_err(ManagementError::from);
    in_force(state, &made).await;
    let pattern = made.as_ref().ok().map(|made| made.definition.pattern.as_str().to_owned());
    let deed = Deed::on_definition(PUT, json!({ "id": id, "pattern": pattern }));
    operator.audited(state, deed, made).map(Json)
}

pub(super) async fn remove(
    operator: Operator,
    State(state): State<RealtimeState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ManagementError> {
    let id = self::id(&id)?;
    let gone = store::remove(&state.pool, id).await.map_err(ManagementError::from);
    in_force(&state, &gone).await;
    let deed = Deed::on_definition(REMOVE, json!({ "id": id, "pattern": gone.as_ref().ok() }));
    operator.audited(&state, deed, gone).map(|_| StatusCode::NO_CONTENT)
}

/// An id that is none names nothing.
fn id(text: &str) -> Result<Uuid, ManagementError> {
    Uuid::parse_str(text).map_err(|_| StoreError::Absent.into())
}

/// Has this server read the definitions again. Where it cannot, it goes on trying.
async fn in_force<T>(state: &RealtimeState, changed: &Result<T, ManagementError>) {
    if changed.is_ok()
        && let Err(error) = state.definitions.read().await
    {
        tracing::warn!("a definition of channels is stored and not in force here yet: {error}");
    }
}
