//! Who may see and change what holds for the channels of others, and what the audit log is told of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::Method;
use http::request::Parts;
use serde_json::{Map, Value};

use super::credentials;
use crate::kernel::audit::{AuditOrigin, AuditOutcome, AuditRecord};
use crate::kernel::http::{RequestContext, read_body};
use crate::kernel::identity::Capability;
use crate::realtime::credentials::CredentialsError;
use crate::realtime::error::ManagementError;
use crate::realtime::state::RealtimeState;

/// A caller that runs the project. Naming it in a handler is the check.
pub(super) struct Operator {
    origin: Arc<AuditOrigin>,
}

/// What is done, for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// The word for it.
    pub(super) verb: &'static str,
    /// The schema of the table that it is done to.
    pub(super) schema: Arc<str>,
    /// The table.
    pub(super) table: Arc<str>,
    /// What of the table.
    pub(super) key: Option<Value>,
}

impl Deed {
    /// Something done to a definition.
    pub(super) fn on_definition(verb: &'static str, key: Value) -> Self {
        Self { verb, schema: Arc::from("goforward"), table: Arc::from("channels"), key: Some(key) }
    }
}

impl Operator {
    /// Puts on record how something ended.
    pub(super) fn audited<T>(
        &self,
        state: &RealtimeState,
        deed: Deed,
        outcome: Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        note(state, Arc::clone(&self.origin), deed, outcome.as_ref().err());
        outcome
    }
}

fn note(state: &RealtimeState, origin: Arc<AuditOrigin>, deed: Deed, error: Option<&ManagementError>) {
    let Deed { verb, schema, table, key } = deed;
    let outcome = match error {
        None => AuditOutcome::Done,
        Some(error) if error.is_failure() => AuditOutcome::Failed,
        Some(_) => AuditOutcome::Refused,
    };
    let error_code = error.map(|error| error.code().to_owned());
    state.audit.note(vec![AuditRecord { origin, verb, schema, table, key, rows: None, outcome, error_code }]);
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
            let deed = Deed::on_definition("realtime.manage", serde_json::json!({ "path": path }));
            note(state, origin, deed, Some(&ManagementError::NotAllowed));
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
