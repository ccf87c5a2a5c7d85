//! What every action leaves in the audit log: who did what from where, and how it ended; refusals too.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use uuid::Uuid;

use super::answer::SignedInAs;
use crate::auth::state::{AuthState, Origin};
use crate::kernel::audit::{AuditOrigin, AuditOutcome, AuditRecord};
use crate::kernel::http::RequestContext;

/// Who a request turns out to be of: filled in as it is found out. An extension of the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Asker(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    role: Option<Arc<str>>,
    user: Option<Uuid>,
    session: Option<Uuid>,
}

impl Asker {
    /// The request has credentials for this role.
    pub(super) fn has_role(&self, role: &Arc<str>) {
        self.known().role = Some(Arc::clone(role));
    }

    /// The request is this user's, in this session.
    pub(super) fn is_user(&self, user: Uuid, session: Option<Uuid>) {
        let mut known = self.known();
        known.user = Some(user);
        known.session = session;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records what an action did, when it has been answered.
pub(super) async fn record(State(state): State<AuthState>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let action = path.as_deref().and_then(|path| action(request.method(), path));
    let context = request.extensions().get::<Arc<RequestContext>>().cloned();
    let (Some(action), Some(context)) = (action, context) else { return next.run(request).await };
    let origin = Origin::of(&context, request.headers());
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let response = next.run(request).await;
    let status = response.status();
    if let Some(as_whom) = response.extensions().get::<SignedInAs>() {
        asker.is_user(as_whom.user, Some(as_whom.session));
    }
    let known = asker.known();
    let actor = known.user.map(|user| Arc::from(user.to_string()));
    let by_default = if actor.is_some() { state.settings.authenticated_role } else { "anon" };
    let origin = AuditOrigin {
        role: known.role.clone().unwrap_or_else(|| Arc::from(by_default)),
        actor,
        ip: origin.ip,
        agent: origin.user_agent,
        session: known.session.map(|session| Arc::from(session.to_string())),
        request_id: origin.request_id,
    };
    drop(known);
    let code = response.headers().get(super::X_ERROR_CODE).and_then(|code| code.to_str().ok());
    let outcome = outcome(status, code.is_some());
    metrics::counter!("goforward_auth_actions_total", "action" => action, "outcome" => outcome.word())
        .increment(1);
    state.audit.note(vec![AuditRecord {
        origin: Arc::new(origin),
        verb: action,
        schema: Arc::from("auth"),
        table: Arc::from("users"),
        rows: None,
        outcome,
        error_code: code.map(str::to_owned),
    }]);
    response
}

fn outcome(status: StatusCode, has_error: bool) -> AuditOutcome {
    if status.is_server_error() {
        AuditOutcome::Failed
    } else if status.is_client_error() || has_error {
        AuditOutcome::Refused
    } else {
        AuditOutcome::Done
    }
}

/// What an action is called in the log; none for those that only read what everybody may.
fn action(method: &Method, path: &str) -> Option<&'static str> {
    // The router is nested below a prefix, which is part of what was matched.
    let path = path.strip_prefix("/auth/v1").unwrap_or(path);
    let action = match (method.as_str(), path) {
        ("POST", "/signup") => "auth.sign_up",
        ("POST", "/token") => "auth.token",
        ("POST", "/otp" | "/magiclink") => "auth.otp",
        ("POST", "/recover") => "auth.recover",
        ("POST", "/resend") => "auth.resend",
        ("GET", "/verify") | ("POST", "/verify" | "/verify/confirm") => "auth.verify",
        ("GET", "/reauthenticate") => "auth.reauthenticate",
        ("PUT", "/user") => "auth.change_user",
        ("POST", "/logout") => "auth.log_out",
        ("DELETE", "/sessions/{id}") => "auth.end_session",
        ("GET", "/authorize" | "/user/identities/authorize") => "auth.authorize",
        ("GET" | "POST", "/callback") => "auth.callback",
        ("DELETE", "/user/identities/{id}") => "auth.unlink_identity",
        ("POST", "/introspect" | "/keys/verify") | ("GET", _) => return None,
        (_, path) if path.starts_with("/factors") => "auth.factor",
        (_, path) if path.starts_with("/passkeys") => "auth.passkey",
        (_, path) if path.starts_with("/keys") => "auth.key",
        (_, path) if path.starts_with("/admin") || path == "/invite" => "auth.admin",
        _ => "auth.other",
    };
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_that_changes_something_has_a_name_and_reading_has_none() {
        for (method, path, name) in [
            (Method::POST, "/auth/v1/token", Some("auth.token")),
            (Method::GET, "/auth/v1/verify", Some("auth.verify")),
            (Method::GET, "/auth/v1/user", None),
            (Method::GET, "/auth/v1/settings", None),
            (Method::PUT, "/auth/v1/admin/users/{id}", Some("auth.admin")),
            (Method::DELETE, "/auth/v1/factors/{id}", Some("auth.factor")),
            (Method::PATCH, "/auth/v1/user/settings", Some("auth.other")),
        ] {
            assert_eq!(action(&method, path), name, "{method} {path}");
        }
    }
}
