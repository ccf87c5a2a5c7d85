//! Who may see and change what holds for the channels of others, and what the audit log is told of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::Method;
use http::request::Parts;
use serde_json::{Map, Value};
use sqlx::{Postgres, Transaction};

use super::credentials;
use crate::kernel::audit::{AuditOrigin, AuditOutcome};
use crate::kernel::db::deed::Deed;
use crate::kernel::http::{RequestContext, read_body};
use crate::kernel::identity::Capability;
use crate::realtime::credentials::CredentialsError;
use crate::realtime::error::ManagementError;
use crate::realtime::state::RealtimeState;
use crate::realtime::store::deeds;

/// A caller that runs the project. Naming it in a handler is the check.
pub(super) struct Operator {
    origin: Arc<AuditOrigin>,
}

impl Operator {
    /// Ends the transaction of something that is done, with its record: whoever hangs up, there is neither without the other.
    pub(super) async fn commit(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        deed: Deed,
    ) -> Result<(), sqlx::Error> {
        deed.write(&mut *transaction, Arc::clone(&self.origin)).await?;
        transaction.commit().await
    }

    /// Puts on record what was not done.
    pub(super) fn audited<T>(
        &self,
        state: &RealtimeState,
        deed: Deed,
        outcome: Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        outcome.inspect_err(|error| note(state, Arc::clone(&self.origin), deed, error))
    }
}

fn note(state: &RealtimeState, origin: Arc<AuditOrigin>, deed: Deed, error: &ManagementError) {
    let outcome = if error.is_failure() { AuditOutcome::Failed } else { AuditOutcome::Refused };
    state.audit.note(vec![deed.record(origin, outcome, Some(error.code().to_owned()))]);
}

impl FromRequestParts<RealtimeState> for Operator {
    type Rejection = ManagementError;

    async fn from_request_parts(parts: &mut Parts, state: &RealtimeState) -> Result<Self, ManagementError> {
        let context = parts.extensions.get::<Arc<RequestContext>>().cloned();
        let context = context.ok_or(ManagementError::Credentials(CredentialsError::Missing))?;
        let who = credentials(state, &context, &parts.headers).await.map_err(ManagementError::Credentials)?;
        let origin = Arc::new(AuditOrigin::new(&who.caller, &context, &parts.headers));
        let (reads, path) = (parts.method == Method::GET, parts.uri.path());
        let wanted = if reads { Capability::InspectRealtime } else { Capability::ManageRealtime };
        if state.authority.allows(&who.caller, wanted) {
            return Ok(Self { origin });
        }
        if !reads {
            note(state, origin, deeds::not_allowed(path), &ManagementError::NotAllowed);
        }
        Err(ManagementError::NotAllowed)
    }
}

/// The body, a JSON object as it stands: where `null` says something.
pub(super) struct Object(pub(super) Map<String, Value>);

impl FromRequest<RealtimeState> for Object {
    type Rejection = ManagementError;

    async fn from_request(request: Request, _: &RealtimeState) -> Result<Self, ManagementError> {
        let (parts, body): (Parts, Body) = request.into_parts();
        let context = parts.extensions.get::<Arc<RequestContext>>().cloned();
        let context = context.ok_or_else(|| ManagementError::BadBody("no request".to_owned()))?;
        let deadline = context.body_deadline.min(context.deadline);
        let bytes = read_body(body, context.body_limit, deadline, &context.body_budget).await;
        let bytes = bytes.map_err(ManagementError::Body)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ManagementError::BadBody(error.to_string()))
    }
}
