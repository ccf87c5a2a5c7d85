//! What every action leaves in the audit log: who did what to whom from where, and how it ended; refusals too.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Map, Value};
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
    subjects: Map<String, Value>,
}

/// The longest name of something acted on that is kept, in characters.
const LONGEST_SUBJECT: usize = 100;

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

    /// The request is about this one, of that kind: an account, a role, a key.
    pub(super) fn acts_on(&self, kind: &'static str, which: &(impl ToString + ?Sized)) {
        let which = which.to_string();
        let which: String = which.chars().filter(|c| !c.is_control()).take(LONGEST_SUBJECT).collect();
        self.known().subjects.insert(kind.to_owned(), which.into());
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
    for (kind, which) in path.iter().flat_map(|template| subjects(template, request.uri().path())) {
        asker.acts_on(kind, which);
    }
    request.extensions_mut().insert(asker.clone());
    let response = next.run(request).await;
    let status = response.status();
    if let Some(as_whom) = response.extensions().get::<SignedInAs>() {
        asker.is_user(as_whom.user, Some(as_whom.session));
    }
    let mut known = asker.known();
    let subjects = std::mem::take(&mut known.subjects);
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
        key: (!subjects.is_empty()).then_some(Value::Object(subjects)),
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

/// What the path of a request names, by kind: what stands in the places that its route has for it.
fn subjects<'a>(route: &str, path: &'a str) -> Vec<(&'static str, &'a str)> {
    let route = route.strip_prefix(PREFIX).unwrap_or(route).split('/');
    let path = path.strip_prefix(PREFIX).unwrap_or(path).split('/');
    let (mut before, mut found) = ("", Vec::new());
    for (place, which) in route.zip(path) {
        if place.starts_with('{') {
            found.extend(kind_in(before).map(|kind| (kind, which)));
        }
        before = place;
    }
    found
}

/// What stands behind a part of a path.
fn kind_in(collection: &str) -> Option<&'static str> {
    match collection {
        "users" => Some("user"),
        "factors" => Some("factor"),
        "passkeys" => Some("passkey"),
        "roles" => Some("role"),
        "blocklists" => Some("blocklist"),
        "templates" => Some("template"),
        "sessions" => Some("session"),
        "identities" => Some("identity"),
        "keys" => Some("key"),
        _ => None,
    }
}

/// What an administrator does is called.
fn admin_action(method: &str, path: &str) -> &'static str {
    match (method, path.strip_prefix("/admin").unwrap_or(path)) {
        ("POST", "/users") => "auth.admin.create_user",
        ("PUT", "/users/{id}") => "auth.admin.change_user",
        ("DELETE", "/users/{id}") => "auth.admin.delete_user",
        ("POST", "/users/{id}/unlock") => "auth.admin.unlock_user",
        ("POST", "/users/{id}/logout") => "auth.admin.log_out_user",
        ("POST", "/invite") => "auth.admin.invite",
        ("POST", "/generate_link") => "auth.admin.link",
        (_, "/users/{id}/roles") => "auth.admin.user_roles",
        (_, path) if path.starts_with("/users/{id}/factors") => "auth.admin.factor",
        (_, path) if path.starts_with("/users/{id}/passkeys") => "auth.admin.passkey",
        (_, path) if path.starts_with("/roles") => "auth.admin.role",
        (_, path) if path.starts_with("/blocklists") => "auth.admin.blocklist",
        (_, path) if path.starts_with("/templates") => "auth.admin.template",
        _ => "auth.admin.other",
    }
}

/// The router is nested below this, which is part of what was matched.
const PREFIX: &str = "/auth/v1";

/// What an action is called in the log; none for those that only read what everybody may.
fn action(method: &Method, path: &str) -> Option<&'static str> {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let action = match (method.as_str(), path) {
        ("POST", "/signup") => "auth.sign_up",
        ("POST", "/token") => "auth.token",
        ("POST", "/otp" | "/magiclink") => "auth.otp",
        ("POST", "/recover") => "auth.recover",
        ("POST", "/resend") => "auth.resend",
        ("GET", "/verify") | ("POST", "/verify" | "/verify/confirm") => "auth.verify",
        ("GET", "/reauthenticate") => "auth.reauthenticate",
        ("PUT", "/user") => "auth.change_user",
        ("PATCH", "/user/settings") => "auth.change_settings",
        ("POST", "/logout") => "auth.log_out",
        ("DELETE", "/sessions/{id}") => "auth.end_session",
        ("GET", "/authorize" | "/user/identities/authorize") => "auth.authorize",
        ("GET" | "POST", "/callback") => "auth.callback",
        ("DELETE", "/user/identities/{id}") => "auth.unlink_identity",
        ("POST", "/introspect" | "/keys/verify") | ("GET", _) => return None,
        (_, path) if path.starts_with("/factors") => "auth.factor",
        (_, path) if path.starts_with("/passkeys") => "auth.passkey",
        (_, path) if path.starts_with("/keys") => "auth.key",
        (_, path) if path.starts_with("/admin") || path == "/invite" => admin_action(method.as_str(), path),
        _ => "auth.other",
    };
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_names_is_known_by_its_kind() {
        for (route, path, expected) in [
            ("/auth/v1/admin/users/{id}", "/admin/users/1", vec![("user", "1")]),
            (
                "/auth/v1/admin/users/{id}/factors/{factor}",
                "/auth/v1/admin/users/1/factors/2",
                vec![("user", "1"), ("factor", "2")],
            ),
            ("/auth/v1/admin/roles/{name}", "/admin/roles/editor", vec![("role", "editor")]),
            ("/auth/v1/keys/{id}/rotate", "/keys/7/rotate", vec![("key", "7")]),
            ("/auth/v1/user/identities/{id}", "/user/identities/3", vec![("identity", "3")]),
            ("/auth/v1/signup", "/signup", vec![]),
        ] {
            assert_eq!(subjects(route, path), expected, "{route}");
        }
    }

    #[test]
    fn what_is_kept_of_a_name_is_short_and_plain() {
        let asker = Asker::default();
        asker.acts_on("role", &("a\0b\n".to_owned() + &"c".repeat(500)));
        let kept = asker.known().subjects["role"].as_str().unwrap().to_owned();
        assert!(kept.starts_with("abc") && kept.len() == LONGEST_SUBJECT, "{kept}");
    }

    #[test]
    fn every_action_that_changes_something_has_a_name_and_reading_has_none() {
        for (method, path, name) in [
            (Method::POST, "/auth/v1/token", Some("auth.token")),
            (Method::GET, "/auth/v1/verify", Some("auth.verify")),
            (Method::GET, "/auth/v1/user", None),
            (Method::GET, "/auth/v1/settings", None),
            (Method::PUT, "/auth/v1/admin/users/{id}", Some("auth.admin.change_user")),
            (Method::POST, "/auth/v1/invite", Some("auth.admin.invite")),
            (Method::PUT, "/auth/v1/admin/templates/{name}", Some("auth.admin.template")),
            (Method::POST, "/auth/v1/admin/templates/{name}/preview", Some("auth.admin.template")),
            (Method::DELETE, "/auth/v1/admin/users/{id}/passkeys/{passkey}", Some("auth.admin.passkey")),
            (Method::DELETE, "/auth/v1/factors/{id}", Some("auth.factor")),
            (Method::PATCH, "/auth/v1/user/settings", Some("auth.change_settings")),
        ] {
            assert_eq!(action(&method, path), name, "{method} {path}");
        }
    }
}
