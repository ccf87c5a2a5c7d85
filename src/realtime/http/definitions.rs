//! `/api/definitions`: what holds for channels by name. A change holds here at once, elsewhere and on open sockets within two
//! seconds.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::json;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::operator::{Object, Operator};
use crate::kernel::db::pool;
use crate::realtime::definitions::{Definition, DefinitionError};
use crate::realtime::error::ManagementError;
use crate::realtime::state::RealtimeState;
use crate::realtime::store::deeds;
use crate::realtime::store::definitions::{self as store, ListError, StoreError, StoredDefinition};

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
    let deed = deeds::define(json!({ "pattern": sent.get("pattern") }));
    let made = async {
        let definition = Definition::parse(sent)?;
        let mut transaction = begin(&state).await?;
        let made = store::add(&mut *transaction, &definition).await?;
        operator.commit(transaction, deed.clone()).await.map_err(StoreError::from)?;
        Ok(made)
    };
    let made = operator.audited(&state, deed.clone(), made.await)?;
    in_force(&state).await;
    Ok((StatusCode::CREATED, Json(made)))
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
    let made = async {
        let mut transaction = begin(state).await?;
        let made = store::change(&mut *transaction, id, change).await?;
        let deed = deeds::define(json!({ "id": id, "pattern": made.definition.pattern.as_str() }));
        operator.commit(transaction, deed).await.map_err(StoreError::from)?;
        Ok(made)
    };
    let made = operator.audited(state, deeds::define(json!({ "id": id })), made.await)?;
    in_force(state).await;
    Ok(Json(made))
}

pub(super) async fn remove(
    operator: Operator,
    State(state): State<RealtimeState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ManagementError> {
    let id = self::id(&id)?;
    let gone = async {
        let mut transaction = begin(&state).await?;
        let pattern = store::remove(&mut *transaction, id).await?;
        let deed = deeds::undefine(json!({ "id": id, "pattern": pattern }));
        operator.commit(transaction, deed).await.map_err(StoreError::from)?;
        Ok(())
    };
    operator.audited(&state, deeds::undefine(json!({ "id": id })), gone.await)?;
    in_force(&state).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn begin(state: &RealtimeState) -> Result<Transaction<'static, Postgres>, StoreError> {
    Ok(pool::begin(&state.pool).await?)
}

/// An id that is none names nothing.
fn id(text: &str) -> Result<Uuid, ManagementError> {
    Uuid::parse_str(text).map_err(|_| StoreError::Absent.into())
}

/// Has this server read the definitions again. Where it cannot, it goes on trying.
async fn in_force(state: &RealtimeState) {
    if let Err(error) = state.definitions.read().await {
        tracing::warn!("a definition of channels is stored and not in force here yet: {error}");
    }
}
