//! `/api/tables`: whose changes are followed, which is what is in the publication `supabase_realtime`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};

use super::operator::{Object, Operator};
use crate::realtime::error::ManagementError;
use crate::realtime::state::RealtimeState;
use crate::realtime::store::deeds;
use crate::realtime::store::publication::{self, PublicationError, Published};

pub(super) async fn list(
    _: Operator,
    State(state): State<RealtimeState>,
) -> Result<Json<Vec<Published>>, ManagementError> {
    let published = publication::list(&state.pool).await;
    Ok(Json(published.map_err(PublicationError::from)?))
}

/// Has the changes of a table followed from now on.
pub(super) async fn publish(
    operator: Operator,
    State(state): State<RealtimeState>,
    Object(sent): Object,
) -> Result<(StatusCode, Json<Published>), ManagementError> {
    let named = sent.get("table").and_then(Value::as_str);
    let name = named.and_then(publication::table_name).ok_or(ManagementError::BadTable)?;
    if let Some(unknown) = sent.keys().find(|key| *key != "table") {
        return Err(ManagementError::BadBody(format!("there is no field {unknown}")));
    }
    let published = async {
        let mut owner = owner(&state).await?;
        let mut transaction = begin(&mut owner).await?;
        let published = publication::publish(&mut transaction, &name).await?;
        operator.commit(transaction, deeds::publish(&name)).await.map_err(PublicationError::from)?;
        Ok(published)
    };
    let published = operator.audited(&state, deeds::publish(&name), published.await)?;
    let status = if published.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(published.table)))
}

/// Has them followed no more.
pub(super) async fn withdraw(
    operator: Operator,
    State(state): State<RealtimeState>,
    Path(table): Path<String>,
) -> Result<StatusCode, ManagementError> {
    let name = publication::table_name(&table).ok_or(ManagementError::BadTable)?;
    let withdrawn = async {
        let mut owner = owner(&state).await?;
        let mut transaction = begin(&mut owner).await?;
        publication::withdraw(&mut transaction, &name).await?;
        operator.commit(transaction, deeds::withdraw(&name)).await.map_err(PublicationError::from)?;
        Ok(())
    };
    operator.audited(&state, deeds::withdraw(&name), withdrawn.await)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A connection of the tables' owner: publications and triggers are not for others.
async fn owner(state: &RealtimeState) -> Result<PgConnection, PublicationError> {
    let owner = state.owner.as_ref().ok_or(PublicationError::NotPrepared)?;
    Ok(owner.connect().await?)
}

async fn begin(owner: &mut PgConnection) -> Result<Transaction<'_, Postgres>, PublicationError> {
    Ok(owner.begin().await?)
}
