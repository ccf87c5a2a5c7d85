//! The gateway's own refusals, in the shape that the clients of the refused service expect.

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::kernel::identity::{IdentityError, SessionRefusal};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const X_API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");
/// From this version on `code` is the code.
const API_VERSION: &str = "2024-01-01";

/// How a refusal's body looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{code, message, hint?}`.
    #[default]
    Goforward,
    /// `{code, details, hint, message}` with `Proxy-Status`, as PostgREST answers.
    PostgRest,
    /// `{code, message}` with `Proxy-Status`: PostgREST with `client-error-verbosity = minimal`.
    PostgRestMinimal,
    /// As GoTrue answers: `{code, error_code, msg}`, or [`GoTrueToday`](Self::GoTrueToday) where the request asks for it.
    GoTrue,
    /// `{code, message}` and the version in a header, for clients that name one.
    GoTrueToday,
}

impl ErrorShape {
    /// The shape that a request asks for.
    pub(super) fn asked_for(self, headers: &HeaderMap) -> Self {
        let version = headers.get(X_API_VERSION).and_then(|version| version.to_str().ok());
        let is_new = version.is_some_and(|version| version >= API_VERSION);
        if self == Self::GoTrue && is_new { Self::GoTrueToday } else { self }
    }

    fn is_gotrue(self) -> bool {
        matches!(self, Self::GoTrue | Self::GoTrueToday)
    }

    /// The code as this shape's clients know it.
    fn code(self, code: &'static str) -> &'static str {
        match code {
            "body_too_large" if self.is_gotrue() => "request_entity_too_large",
            "timed_out" if self.is_gotrue() => "request_timeout",
            "internal_error" if self.is_gotrue() => "unexpected_failure",
            "sessions_unavailable" if self.is_gotrue() => "service_unavailable",
            code => code,
        }
    }
}

/// A refusal that the gateway makes by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

pub(super) const NOT_FOUND: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    code: "not_found",
    message: "Nothing is served at this path",
    hint: "The API is served below /rest/v1, unless the server's configuration moves it",
};
pub(super) const URL_TOO_LONG: Refusal = Refusal {
    status: StatusCode::URI_TOO_LONG,
    code: "url_too_long",
    message: "The URL is too long",
    hint: "Send long filters as arguments of a function call by POST",
};
pub(super) const HEADERS_TOO_LARGE: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    code: "headers_too_large",
    message: "The request headers are too large",
    hint: "Send fewer or shorter headers and cookies",
};
pub(super) const BODY_TOO_LARGE: Refusal = Refusal {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    code: "body_too_large",
    message: "The request body is too large",
    hint: "Send it in smaller parts, or raise the limit of this service in the server's configuration",
};
pub(super) const TIMED_OUT: Refusal = Refusal {
    status: StatusCode::GATEWAY_TIMEOUT,
    code: "timed_out",
    message: "The request took too long and was given up",
    hint: "Ask for less at a time",
};
pub(super) const RATE_LIMITED: Refusal = Refusal {
    status: StatusCode::TOO_MANY_REQUESTS,
    code: "over_request_rate_limit",
    message: "Too many requests",
    hint: "Wait as long as the Retry-After header says",
};
const NOT_YET: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "service_unavailable",
    message: "The service cannot reach its data yet",
    hint: "Try again in a moment",
};
pub(super) const OUT_OF_SCOPE: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "insufficient_scope",
    message: "The scopes of this API key do not allow it",
    hint: "Use a key with a scope for this service",
};
pub(super) const INTERNAL: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: "internal_error",
    message: "Something went wrong on the server",
    hint: "Tell the operator the X-Request-Id of this answer",
};

impl Refusal {
    pub(super) fn answer(self, shape: ErrorShape) -> Response<Body> {
        let code = shape.code(self.code);
        let body = match shape {
            ErrorShape::GoTrue | ErrorShape::GoTrueToday => {
                return gotrue(self.status, code, self.message, shape);
            }
            ErrorShape::Goforward => json!({"code": self.code, "message": self.message, "hint": self.hint}),
            ErrorShape::PostgRest => {
                json!({"code": self.code, "details": null, "hint": self.hint, "message": self.message})
            }
            ErrorShape::PostgRestMinimal => json!({"code": self.code, "message": self.message}),
        };
        respond(self.status, code, shape, &body)
    }
}

/// The answer to a token whose session does not allow it any more.
pub(super) fn by_session(shape: ErrorShape, refusal: SessionRefusal) -> Response<Body> {
    let mut response = session(refusal).answer(shape);
    if refusal == SessionRefusal::Unavailable {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn session(refusal: SessionRefusal) -> Refusal {
    match refusal {
        SessionRefusal::Ended => Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: "session_not_found",
            message: "The session of this token has ended",
            hint: "Sign in again",
        },
        SessionRefusal::Banned => Refusal {
            status: StatusCode::FORBIDDEN,
            code: "user_banned",
            message: "The account of this token is banned",
            hint: "Ask an administrator of this project",
        },
        SessionRefusal::FactorGone => Refusal {
            status: StatusCode::FORBIDDEN,
            code: "insufficient_aal",
            message: "The second factor behind this token was removed",
            hint: "Refresh the session",
        },
        SessionRefusal::FactorOwed => Refusal {
            status: StatusCode::FORBIDDEN,
            code: "insufficient_aal",
            message: "This session needs the second factor of its account",
            hint: "Challenge and verify a factor",
        },
        SessionRefusal::Unavailable => Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "sessions_unavailable",
            message: "Sessions cannot be checked at the moment",
            hint: "Try again in a moment",
        },
    }
}

/// 429 with `Retry-After`.
pub(super) fn rate_limited(shape: ErrorShape, seconds: u64) -> Response<Body> {
    let mut response = RATE_LIMITED.answer(shape);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The answer to credentials that are not accepted.
pub(super) fn unidentified(shape: ErrorShape, error: &IdentityError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let message = error.to_string();
    // Supabase's gateways answer so, and clients compare the text.
    if matches!(error, IdentityError::KeyMissing | IdentityError::KeyInvalid) {
        return respond(status, error.code(), ErrorShape::Goforward, &json!({"message": message}));
    }
    if shape.is_gotrue() {
        return gotrue(status, error.code(), &message, shape);
    }
    let hint = match error {
        IdentityError::RoleRefused => {
            Some("Grant the role to the authenticator login, or name another role in the token")
        }
        IdentityError::KeyNotAccepted => {
            Some("It is wrong, has ended, or is for other networks; GET /auth/v1/keys shows its owner which")
        }
        IdentityError::KeyUnknowable => {
            Some("Send it to the server with the accounts, or exchange it there: POST /auth/v1/keys/exchange")
        }
        IdentityError::KeysUnavailable => Some("Try again in a moment"),
        _ => None,
    };
    let body = match shape {
        ErrorShape::PostgRestMinimal => json!({"code": error.code(), "message": message}),
        ErrorShape::PostgRest => {
            json!({"code": error.code(), "details": error.details(), "hint": hint, "message": message})
        }
        ErrorShape::Goforward | ErrorShape::GoTrue | ErrorShape::GoTrueToday => {
            json!({"code": error.code(), "message": message, "details": error.details(), "hint": hint})
        }
    };
    let mut response = respond(status, error.code(), shape, &body);
    if let Some(value) = error.www_authenticate().and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    if *error == IdentityError::KeysUnavailable {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// As GoTrue answers.
fn gotrue(status: StatusCode, code: &str, message: &str, shape: ErrorShape) -> Response<Body> {
    let body = if shape == ErrorShape::GoTrueToday {
        json!({"code": code, "message": message})
    } else {
        json!({"code": status.as_u16(), "error_code": code, "msg": message})
    };
    let mut response = respond(status, code, shape, &body);
    let headers = response.headers_mut();
    if shape == ErrorShape::GoTrueToday {
        headers.insert(X_API_VERSION, HeaderValue::from_static(API_VERSION));
    }
    headers.extend(HeaderValue::try_from(code).ok().map(|code| (X_ERROR_CODE, code)));
    response
}

/// The answer while there is no service yet: the database has not been reached.
pub fn not_yet(shape: ErrorShape, headers: &HeaderMap) -> Response<Body> {
    let mut response = NOT_YET.answer(shape.asked_for(headers));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn respond(status: StatusCode, code: &str, shape: ErrorShape, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if matches!(shape, ErrorShape::PostgRest | ErrorShape::PostgRestMinimal)
        && let Ok(value) = HeaderValue::try_from(format!("PostgREST; error={code}"))
    {
        response.headers_mut().insert(PROXY_STATUS, value);
    }
    response
}
