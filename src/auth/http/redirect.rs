//! Redirects: where an action's links shall lead, as the request asks and the allow-list permits, and sending a browser
//! there with tokens, a code or an error (contract sections 5 and 7).

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, REFERER, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::auth::error::{AuthError, X_ERROR_CODE};
use crate::auth::model::NewTokens;
use crate::auth::state::AuthState;
use crate::kernel::secret::Secret;

/// The query of actions that send links.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    pub(super) redirect_to: Option<String>,
}

/// The query's address, else that of the header of the same name, else the page that asks; the site's where none of them
/// is allowed.
pub(super) fn redirect_to(state: &AuthState, wanted: &Wanted, headers: &HeaderMap) -> String {
    target(state, wanted.redirect_to.as_deref(), headers)
}

/// The same for a query that was read otherwise.
pub(super) fn target(state: &AuthState, wanted: Option<&str>, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = wanted.or_else(|| text("redirect_to"));
    state.redirects.choose(asked.filter(|asked| !asked.is_empty()), text(REFERER.as_str())).to_string()
}

/// A way back to the application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back<'a> {
    /// 303 after a link of ours, 302 after a provider.
    pub(super) status: StatusCode,
    /// Where the application is.
    pub(super) target: &'a str,
}

impl<'a> Back<'a> {
    /// From a link that we have sent.
    pub(super) fn from_link(target: &'a str) -> Self {
        Self { status: StatusCode::SEE_OTHER, target }
    }

    /// From a provider.
    pub(super) fn from_provider(target: &'a str) -> Self {
        Self { status: StatusCode::FOUND, target }
    }

    /// With tokens: in the fragment, which no server sees (threat D10).
    pub(super) fn with_tokens(self, tokens: &NewTokens, kind: Option<&str>) -> Response {
        let provider =
            |name, token: &Option<Secret>| token.as_ref().map(|token| (name, token.expose().to_owned()));
        let fields = [
            Some(("access_token", tokens.access_token.expose().to_owned())),
            Some(("expires_at", tokens.expires_at.to_string())),
            Some(("expires_in", tokens.expires_in.to_string())),
            provider("provider_refresh_token", &tokens.provider_refresh_token),
            provider("provider_token", &tokens.provider_token),
            Some(("refresh_token", tokens.refresh_token.expose().to_owned())),
            Some(("sb", String::new())),
            Some(("token_type", "bearer".to_owned())),
            kind.map(|kind| ("type", kind.to_owned())),
        ];
        self.with(&[], &fields.into_iter().flatten().collect::<Vec<_>>())
    }

    /// With the code that ends a flow under PKCE.
    pub(super) fn with_code(self, code: &str) -> Response {
        self.with(&[("code", code.to_owned())], &[])
    }

    /// With a message.
    pub(super) fn with_message(self, message: &str) -> Response {
        self.with(&[], &[("message", message.to_owned()), ("sb", String::new())])
    }

    /// With an error of ours: in the fragment, and where `in_query` in the query too.
    pub(super) fn with_error(self, error: &AuthError, in_query: bool) -> Response {
        error.log();
        self.with_reason(reason(error), error.code(), &error.to_string(), in_query)
    }

    /// With any error.
    pub(super) fn with_reason(
        self,
        reason: &str,
        code: &'static str,
        text: &str,
        in_query: bool,
    ) -> Response {
        let mut fields = vec![
            ("error", reason.to_owned()),
            ("error_code", code.to_owned()),
            ("error_description", text.to_owned()),
        ];
        let query = if in_query { fields.clone() } else { Vec::new() };
        fields.push(("sb", String::new()));
        let mut response = self.with(&query, &fields);
        response.headers_mut().insert(X_ERROR_CODE, HeaderValue::from_static(code));
        response
    }

    /// With these fields; the address tells no other site where it came from.
    fn with(self, query: &[(&str, String)], fragment: &[(&str, String)]) -> Response {
        let mut address = self.target.split('#').next().unwrap_or_default().to_owned();
        if !query.is_empty() {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(&Serializer::new(String::new()).extend_pairs(query).finish());
        }
        if !fragment.is_empty() {
            address.push('#');
            address.push_str(&Serializer::new(String::new()).extend_pairs(fragment).finish());
        }
        to(self.status, &address)
    }
}

/// To an address, which no cache keeps and which does not learn where it was come from.
pub(super) fn to(status: StatusCode, address: &str) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    if let Ok(address) = HeaderValue::try_from(address) {
        headers.insert(LOCATION, address);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The word of OAuth for an error (RFC 6749 section 4.1.2.1). Who may not come in is told so, whatever the status.
fn reason(error: &AuthError) -> &'static str {
    match (error.code(), error.status().as_u16()) {
        ("signup_disabled" | "signup_blocked" | "user_banned" | "provider_email_needs_verification", _) => {
            "access_denied"
        }
        (_, 400 | 422) => "invalid_request",
        (_, 401) => "unauthorized_client",
        (_, 500) => "server_error",
        (_, 503) => "temporarily_unavailable",
        _ => "access_denied",
    }
}
