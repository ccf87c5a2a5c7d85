//! What a custom access token hook may not do to the claims (threats A11 and J04). Pure.
//!
//! A hook adds claims and lowers rights. It does not turn a session into somebody else's, into a stronger or longer one, or
//! into a database role that its operator did not list.

use serde_json::{Map, Value};

/// Whether a claim's value has the right type.
type Form = fn(&Value) -> bool;

/// Claims that must be left, with the form they must have.
const REQUIRED: &[(&str, Form)] = &[
    ("aud", is_audience),
    ("exp", Value::is_i64),
    ("iat", Value::is_i64),
    ("sub", Value::is_string),
    ("email", Value::is_string),
    ("phone", Value::is_string),
    ("role", Value::is_string),
    ("aal", Value::is_string),
    ("session_id", Value::is_string),
    ("is_anonymous", Value::is_boolean),
];

/// Claims that say whose session it is and who vouches for it.
const FIXED: &[&str] = &["iss", "sub", "session_id", "iat"];

/// Why claims are not signed. Only names of claims are told, no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// A required claim is gone or has another type.
    #[error("the claim {0} is missing or of the wrong type")]
    Required(&'static str),
    /// A claim that identifies the session was changed.
    #[error("the claim {0} must not change")]
    Fixed(&'static str),
    /// The role is neither the user's own nor an allowed one.
    #[error("the role is not allowed")]
    Role,
    /// The assurance level is above the session's.
    #[error("the claim aal must not rise")]
    Aal,
    /// The token would live longer, or begin later.
    #[error("the claim {0} must not extend the token's life")]
    Lifetime(&'static str),
}

/// Gives the hook's claims back if they may be signed.
///
/// `before` are the claims as the hook got them. `allowed_roles` are the roles besides the user's own that the operator lets
/// hooks choose; names compare exactly, as PostgreSQL does.
pub fn check_claims(
    before: &Map<String, Value>,
    after: Map<String, Value>,
    allowed_roles: &[String],
) -> Result<Map<String, Value>, ClaimsError> {
    for (name, has_form) in REQUIRED {
        if !after.get(*name).is_some_and(has_form) {
            return Err(ClaimsError::Required(name));
        }
    }
    for name in FIXED {
        if after.get(*name) != before.get(*name) {
            return Err(ClaimsError::Fixed(name));
        }
    }
    let text = |claims: &Map<String, Value>, name: &str| claims[name].as_str().map(str::to_owned);
    let role = text(&after, "role");
    if after.get("role") != before.get("role")
        && !allowed_roles.iter().any(|allowed| Some(allowed) == role.as_ref())
    {
        return Err(ClaimsError::Role);
    }
    if after.get("aal") != before.get("aal") && after["aal"] != "aal1" {
        return Err(ClaimsError::Aal);
    }
    let seconds = |claims: &Map<String, Value>, name: &str| claims.get(name).and_then(Value::as_i64);
    if seconds(&after, "exp") > seconds(before, "exp") {
        return Err(ClaimsError::Lifetime("exp"));
    }
    Ok(after)
}

fn is_audience(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(all) => !all.is_empty() && all.iter().all(Value::is_string),
        _ => false,
    }
}
