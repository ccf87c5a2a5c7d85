//! Words and statuses of what PostgreSQL raises, and of a database that does not answer.
//!
//! SQLSTATE to status as PostgREST documents it (references/errors, "HTTP Status Codes"). `RAISE SQLSTATE 'PGRST'`
//! gives a function full control over the answer.

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{DATABASE_QUEUE_FULL, DATABASE_TIMEOUT, Disclosure, ErrorParts};
use crate::kernel::db::wire::{DbError, SqlError};
use crate::rest::core::response::{final_status, frames_messages};

/// What the caller sees of `error`.
pub(super) fn parts(error: &DbError, disclosure: Disclosure) -> ErrorParts {
    match error {
        DbError::Sql(error) => sql_parts(error, disclosure),
        DbError::Unavailable(unavailable) => {
            let seconds = unavailable.retry_after.as_secs().max(1).to_string();
            let parts =
                ErrorParts::new(StatusCode::SERVICE_UNAVAILABLE, "PGRST000", "Database connection error.")
                    .header(header::RETRY_AFTER, &seconds);
            if unavailable.maybe_committed {
                parts.details(
                    "The connection was lost before the outcome was known; the write may have happened.",
                )
            } else {
                parts
            }
        }
        DbError::PoolTimeout => ErrorParts::new(
            StatusCode::GATEWAY_TIMEOUT,
            "PGRST003",
            "Timed out acquiring connection from connection pool.",
        ),
        DbError::QueueFull => ErrorParts::own(&DATABASE_QUEUE_FULL).header(header::RETRY_AFTER, "1"),
        DbError::Timeout => ErrorParts::own(&DATABASE_TIMEOUT),
        DbError::ClientGone | DbError::Internal(_) => {
            ErrorParts::new(StatusCode::INTERNAL_SERVER_ERROR, "PGRSTX00", "Internal error")
        }
    }
}

fn sql_parts(error: &SqlError, disclosure: Disclosure) -> ErrorParts {
    if error.code == "PGRST" {
        return raised(error);
    }
    let status = status(error, disclosure.authenticated);
    let mut parts = if disclosure.conceals && error.code != "P0001" {
        concealed(status, error)
    } else {
        let mut parts = ErrorParts::new(status, &error.code, error.message.clone());
        parts.hint.clone_from(&error.hint);
        // The detail of a constraint violation quotes the row, which may be another's.
        if disclosure.verbose || !error.code.starts_with("23") {
            parts.details = error.detail.clone().map(Value::String);
        }
        parts
    };
    if status == StatusCode::UNAUTHORIZED {
        parts = parts.header(header::WWW_AUTHENTICATE, "Bearer");
    }
    // `RAISE SQLSTATE 'PT402' USING MESSAGE = 'Payment Required'` words the status too.
    if error.code.strip_prefix("PT").and_then(|digits| digits.parse().ok()) == Some(status.as_u16()) {
        parts.reason = Some(error.message.clone());
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        parts = parts.header(header::RETRY_AFTER, "1");
    }
    parts
}

/// An error about a table with protected columns: detail, hint, and the message of a violated constraint could name one.
fn concealed(status: StatusCode, error: &SqlError) -> ErrorParts {
    let message = match error.code.as_str() {
        "23502" => "null value in a column violates its not-null constraint",
        "23503" => "the write violates a foreign key constraint",
        "23505" => "duplicate key value violates a unique constraint",
        "23514" => "the row violates a check constraint",
        code if code.starts_with("23") => "the write violates a constraint",
        _ => &error.message,
    };
    ErrorParts::new(status, &error.code, message)
        .details("Some columns of this table are protected, so no more is told")
}

fn status(error: &SqlError, authenticated: bool) -> StatusCode {
    use StatusCode as S;
    let message = error.message.as_str();
    match error.code.as_str() {
        "23503" | "23505" => S::CONFLICT,
        "25006" => S::METHOD_NOT_ALLOWED,
        // pg-safeupdate refuses what the client asked for; any other is a function's or view's fault.
        "21000" if message.ends_with("requires a WHERE clause") => S::BAD_REQUEST,
        "21000" | "42P17" | "53400" => S::INTERNAL_SERVER_ERROR,
        "22023" if message.starts_with("role") && message.ends_with("does not exist") => S::UNAUTHORIZED,
        "57P01" => S::SERVICE_UNAVAILABLE,
        "P0001" => S::BAD_REQUEST,
        "42883" if message.starts_with("function xmlagg(") => S::NOT_ACCEPTABLE,
        "42883" | "42P01" => S::NOT_FOUND,
        "42501" if authenticated => S::FORBIDDEN,
        "42501" => S::UNAUTHORIZED,
        code => class_status(code),
    }
}

/// The status of a whole class of SQLSTATEs, by its first two characters.
fn class_status(code: &str) -> StatusCode {
    use StatusCode as S;
    match code.get(..2).unwrap_or_default() {
        "08" | "53" => S::SERVICE_UNAVAILABLE,
        "0L" | "0P" | "28" => S::FORBIDDEN,
        "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV" | "P0"
        | "XX" => S::INTERNAL_SERVER_ERROR,
        "PT" => code
            .get(2..)
            .and_then(|digits| final_status(digits.parse().ok()?))
            .unwrap_or(S::INTERNAL_SERVER_ERROR),
        _ => S::BAD_REQUEST,
    }
}

/// MESSAGE of `RAISE SQLSTATE 'PGRST'`.
#[derive(Deserialize)]
struct RaisedMessage {
    code: String,
    message: String,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

/// DETAIL of `RAISE SQLSTATE 'PGRST'`.
#[derive(Deserialize)]
struct RaisedDetail {
    status: u16,
    #[serde(default)]
    status_text: Option<String>,
    headers: std::collections::BTreeMap<String, String>,
}

fn raised(error: &SqlError) -> ErrorParts {
    let Ok(message) = serde_json::from_str::<RaisedMessage>(&error.message) else {
        return invalid_raise(
            format!("Invalid JSON value for MESSAGE: '{}'", error.message),
            "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'.",
        );
    };
    let detail_hint = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.";
    let Some(detail) = &error.detail else {
        return invalid_raise("DETAIL is missing in the RAISE statement".to_owned(), detail_hint);
    };
    let parsed = serde_json::from_str::<RaisedDetail>(detail).ok();
    let Some((parsed, status)) =
        parsed.and_then(|parsed| final_status(parsed.status).map(|status| (parsed, status)))
    else {
        return invalid_raise(format!("Invalid JSON value for DETAIL: '{detail}'"), detail_hint);
    };
    let mut parts = ErrorParts::new(status, &message.code, message.message);
    parts.details = message.details.map(Value::String);
    parts.hint = message.hint;
    parts.reason = parsed.status_text;
    parts.headers = parsed
        .headers
        .into_iter()
        .filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        })
        .filter(|(name, _)| !frames_messages(name))
        .collect();
    parts
}

fn invalid_raise(details: String, hint: &'static str) -> ErrorParts {
    ErrorParts::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "PGRST121",
        "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
    )
    .details(details)
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_raise_can_neither_be_interim_nor_frame_messages() {
        let error = |code: &str, message: &str, detail: Option<&str>| SqlError {
            severity: "ERROR".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            ..SqlError::default()
        };
        for (code, expected) in [("PT101", 500), ("PT099", 500), ("PT404", 404), ("PT204", 204)] {
            assert_eq!(status(&error(code, "", None), true).as_u16(), expected, "{code}");
        }
        let message = r#"{"code":"1","message":"m"}"#;
        let detail =
            r#"{"status":409,"headers":{"Transfer-Encoding":"chunked","Content-Length":"9","X-Mine":"1"}}"#;
        let parts = raised(&error("PGRST", message, Some(detail)));
        let names: Vec<&str> = parts.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((parts.status.as_u16(), names), (409, vec!["x-mine"]));
        let interim = r#"{"status":101,"headers":{}}"#;
        assert_eq!(raised(&error("PGRST", message, Some(interim))).code, "PGRST121");
    }

    #[test]
    fn what_functions_raise_words_the_status_too() {
        let error = |code: &str, message: &str, detail: Option<&str>| SqlError {
            code: code.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            ..SqlError::default()
        };
        let reason = |error: SqlError| sql_parts(&error, Disclosure::NOTHING).reason;
        let message = r#"{"code":"1","message":"m"}"#;
        let worded = r#"{"status":404,"status_text":"Nowhere","headers":{}}"#;
        let wordless = r#"{"status":404,"headers":{}}"#;
        assert_eq!(reason(error("PGRST", message, Some(worded))).as_deref(), Some("Nowhere"));
        assert_eq!(reason(error("PGRST", message, Some(wordless))), None);
        assert_eq!(reason(error("PT402", "Pay first", None)).as_deref(), Some("Pay first"));
        for other in ["PT40A", "PT101", "P0001"] {
            assert_eq!(reason(error(other, "m", None)), None, "{other}");
        }
    }
}
