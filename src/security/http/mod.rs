//! The routes of the service, and who may use them.

mod explain;
mod lint;
mod tables;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::routing::{get, post};
use http::request::Parts;

use crate::kernel::http::{RequestContext, read_body};
use crate::kernel::identity::{Caller, Capability};

use super::error::SecurityError;
use super::state::SecurityState;

/// The routes, without the prefix.
pub fn router(state: SecurityState) -> Router {
    Router::new()
        .route("/tables", get(tables::list))
        .route(
            "/tables/{table}",
            get(tables::show).put(tables::replace).patch(tables::change).delete(tables::remove),
        )
        .route("/tables/{table}/history", get(tables::history))
        .route("/explain", post(explain::explain))
        .route("/check", post(explain::check))
        .route("/lint", get(lint::lint))
        .with_state(state)
}

/// A caller that may manage rules of tables. Naming it in a handler is the check.
pub(super) struct RuleManager {
    caller: Arc<Caller>,
    may_filter: bool,
}

impl RuleManager {
    /// The name under which changes are kept.
    pub(super) fn name(&self) -> &str {
        self.caller.subject.as_deref().unwrap_or(&self.caller.role)
    }

    /// Conditions on rows are SQL that runs in everybody's queries, so they take more.
    pub(super) fn check_filters(&self, changes_filters: bool) -> Result<(), SecurityError> {
        if changes_filters && !self.may_filter {
            return Err(SecurityError::NotAllowed("change custom_filters"));
        }
        Ok(())
    }
}

impl FromRequestParts<SecurityState> for RuleManager {
    type Rejection = SecurityError;

    async fn from_request_parts(parts: &mut Parts, state: &SecurityState) -> Result<Self, SecurityError> {
        let context = parts.extensions.get::<Arc<RequestContext>>();
        let caller = context.and_then(|context| context.caller.clone());
        let allowed = |caller: &Caller, capability| state.authority.allows(caller, capability);
        match caller {
            Some(caller) if allowed(&caller, Capability::ManageTableSecurity) => {
                let may_filter = allowed(&caller, Capability::ManageRowFilters);
                Ok(Self { caller, may_filter })
            }
            _ => Err(SecurityError::NotAllowed("manage the rules of tables")),
        }
    }
}

/// The body as a JSON object.
pub(super) async fn json_object(
    parts: &Parts,
    body: Body,
) -> Result<serde_json::Map<String, serde_json::Value>, SecurityError> {
    let context = parts.extensions.get::<Arc<RequestContext>>().cloned();
    let Some(context) = context else { return Err(SecurityError::BadBody("no request".to_owned())) };
    let deadline = context.body_deadline.min(context.deadline);
    let bytes = read_body(body, context.body_limit, deadline, &context.body_budget)
        .await
        .map_err(SecurityError::Body)?;
    serde_json::from_slice(&bytes).map_err(|error| SecurityError::BadBody(error.to_string()))
}
