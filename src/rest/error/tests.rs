//! Which status, code and help each failure becomes.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::catalog::model::QualifiedName;
use crate::kernel::db::wire::{SqlError, Unavailable};
use crate::policy::protected::Unprotected;
use crate::rest::core::media::MediaType;
use crate::rest::core::samples::Request;

const ANONYMOUS: Disclosure = Disclosure::NOTHING;
const USER: Disclosure = Disclosure { authenticated: true, verbose: false, minimal: false, conceals: false };
const OPERATOR: Disclosure =
    Disclosure { authenticated: true, verbose: true, minimal: false, conceals: false };

fn sql(code: &str, message: &str) -> RestError {
    let error = SqlError { code: code.to_owned(), message: message.to_owned(), ..SqlError::default() };
    RestError::Database(DbError::Sql(Box::new(error)))
}

fn unavailable(maybe_committed: bool) -> RestError {
    let retry_after = Duration::from_millis(2500);
    RestError::Database(DbError::Unavailable(Box::new(Unavailable {
        reason: "",
        retry_after,
        maybe_committed,
    })))
}

/// The error of planning `METHOD /url`.
fn planning(method: &str, url: &str, accept: &str) -> RestError {
    Request::of(method, url, &[("accept", accept)], r#"{"nme":1}"#).plan().unwrap_err().into()
}

#[test]
fn a_sqlstate_decides_the_status() {
    for (code, message, anonymous, user) in [
        ("08006", "", 503, 503),
        ("22P02", "", 400, 400),
        ("22023", "role \"x\" does not exist", 401, 401),
        ("22023", "another", 400, 400),
        ("23502", "", 400, 400),
        ("23503", "", 409, 409),
        ("23505", "", 409, 409),
        ("25006", "", 405, 405),
        ("21000", "DELETE requires a WHERE clause", 400, 400),
        ("21000", "more than one row", 500, 500),
        ("28000", "", 403, 403),
        ("40001", "", 500, 500),
        ("42501", "", 401, 403),
        ("42883", "function x() does not exist", 404, 404),
        ("42883", "function xmlagg(json) does not exist", 406, 406),
        ("42P01", "", 404, 404),
        ("42P17", "", 500, 500),
        ("42703", "", 400, 400),
        ("53300", "", 503, 503),
        ("53400", "", 500, 500),
        ("57014", "", 500, 500),
        ("57P01", "", 503, 503),
        ("P0001", "", 400, 400),
        ("P0002", "", 500, 500),
        ("PT418", "", 418, 418),
        ("PTxyz", "", 500, 500),
        ("XX000", "", 500, 500),
        ("ZZ999", "", 400, 400),
    ] {
        for (disclosure, expected) in [(ANONYMOUS, anonymous), (USER, user)] {
            let parts = sql(code, message).parts(disclosure);
            assert_eq!((parts.status.as_u16(), parts.code.as_str()), (expected, code), "{code} {message}");
            let asks_for_token = parts.headers.iter().any(|(name, _)| name == header::WWW_AUTHENTICATE);
            assert_eq!(asks_for_token, expected == 401, "{code} {message}");
        }
    }
}

#[test]
fn what_a_request_means_decides_status_and_code() {
    for (error, status, code) in [
        (planning("GET", "/nowhere", "*/*"), 404, "PGRST205"),
        (planning("GET", "/clients?select=nowhere(id)", "*/*"), 400, "PGRST200"),
        (planning("GET", "/orders?select=addresses(id)", "*/*"), 300, "PGRST201"),
        (planning("GET", "/rpc/nowhere", "*/*"), 404, "PGRST202"),
        (planning("GET", "/rpc/pick?a=1", "*/*"), 300, "PGRST203"),
        (planning("POST", "/clients", "*/*"), 400, "PGRST204"),
        (planning("PUT", "/clients?id=gt.1", "*/*"), 405, "PGRST105"),
        (planning("GET", "/clients", "text/html"), 406, "PGRST107"),
        (planning("GET", "/clients?invoices.id=eq.1", "*/*"), 400, "PGRST108"),
        (planning("GET", "/clients?select=invoices(id)&order=invoices(id)", "*/*"), 400, "PGRST118"),
        (planning("GET", "/clients?select=id::no such type", "*/*"), 400, "PGRST100"),
        (PlanError::AggregatesNotAllowed.into(), 400, "PGRST123"),
        (PlanError::NotImplemented("").into(), 400, "PGRST127"),
        (PlanError::MaxAffectedNeedsSet.into(), 400, "PGRST128"),
        (RestError::NotSingular(2), 406, "PGRST116"),
        (RestError::MaxAffected(9), 400, "PGRST124"),
        (RestError::PutMismatch, 400, "PGRST115"),
        (ResponseError::OutOfBounds { offset: 9, total: 3 }.into(), 416, "PGRST103"),
        (ResponseError::HeadersSetting.into(), 500, "PGRST111"),
        (ResponseError::StatusSetting.into(), 500, "PGRST112"),
        (RestError::ResultTooLarge { limit: 1 }, 400, "result_too_large"),
        (RestError::EncodedBody, 415, "encoded_body"),
        (RestError::NoCatalog, 503, "PGRST002"),
        (unavailable(false), 503, "PGRST000"),
        (DbError::PoolTimeout.into(), 504, "PGRST003"),
        (DbError::QueueFull.into(), 503, "database_queue_full"),
        (DbError::Timeout.into(), 504, "database_timeout"),
        (DbError::Internal("a secret").into(), 500, "PGRSTX00"),
        (RestError::Unreadable("a secret"), 500, "PGRSTX00"),
        (RestError::NotIdentified, 500, "PGRSTX00"),
    ] {
        let parts = error.parts(USER);
        assert_eq!((parts.status.as_u16(), parts.code.as_str()), (status, code), "{error:?}");
        assert!(!format!("{parts:?}").contains("secret"), "{parts:?}");
        assert!(code != "PGRSTX00" || error.fault().is_some() || matches!(error, RestError::NotIdentified));
    }
}

#[test]
fn a_database_that_is_away_says_when_to_try_again_and_whether_a_write_may_have_happened() {
    let retry_after = |error: RestError| {
        let headers = error.parts(USER).headers;
        headers.into_iter().find(|(name, _)| name == header::RETRY_AFTER).map(|(_, value)| value)
    };
    assert_eq!(retry_after(unavailable(false)).unwrap(), "2");
    assert_eq!(retry_after(RestError::NoCatalog).unwrap(), "1");
    assert_eq!(retry_after(DbError::QueueFull.into()).unwrap(), "1");
    assert_eq!(retry_after(sql("53300", "")).unwrap(), "1");
    assert!(unavailable(false).parts(USER).details.is_none());
    assert!(unavailable(true).parts(USER).details.unwrap().as_str().unwrap().contains("may have happened"));
}

#[test]
fn rows_and_names_of_others_are_told_to_nobody_who_may_not_see_them() {
    let violation = SqlError {
        code: "23505".to_owned(),
        detail: Some("Key (email)=(a@example.com) already exists.".to_owned()),
        ..SqlError::default()
    };
    let violation = RestError::Database(DbError::Sql(Box::new(violation)));
    assert!(violation.parts(USER).details.is_none());
    assert!(violation.parts(OPERATOR).details.is_some());

    let misspelt = planning("GET", "/client", "*/*");
    assert!(misspelt.parts(ANONYMOUS).hint.is_none());
    assert_eq!(misspelt.parts(USER).hint.as_deref(), Some("Perhaps you meant the table 'test.clients'"));
}

#[test]
fn a_refusal_says_what_would_mend_it() {
    let relation = QualifiedName::new("test", "clients");
    let unprotected = Refusal::Unprotected(Unprotected {
        relation: relation.clone(),
        reason: "has no row-level security".to_owned(),
        fix: "ALTER TABLE …".to_owned(),
    });
    for (refusal, status, code, hint) in [
        (unprotected, 403, "42501", "ALTER TABLE …"),
        (
            Refusal::Unfiltered { verb: "DELETE" },
            400,
            "21000",
            "Add a filter that names the rows, such as id=eq.1",
        ),
        (
            Refusal::DefinerFunction(relation),
            403,
            "42501",
            "Make it SECURITY INVOKER, or set rest.definer_functions to allow",
        ),
    ] {
        let parts = RestError::Refused(Box::new(refusal)).parts(USER);
        assert_eq!((parts.status.as_u16(), parts.code.as_str()), (status, code));
        assert_eq!(parts.hint.as_deref(), Some(hint));
    }
}

#[test]
fn candidates_of_an_ambiguous_embed_are_listed_with_the_hints_that_choose() {
    let parts = planning("GET", "/orders?select=addresses(id)", "*/*").parts(USER);

    let hint = parts.hint.unwrap();
    assert!(hint.contains("'addresses!orders_bill_to_fkey', 'addresses!orders_ship_to_fkey'"), "{hint}");
    assert_eq!(
        parts.details.unwrap()[0],
        serde_json::json!({
            "cardinality": "many-to-one",
            "embedding": "orders with addresses",
            "relationship": "orders_bill_to_fkey using orders(bill_to) and addresses(id)",
        })
    );
}

#[test]
fn a_function_that_is_not_there_is_described_as_it_was_looked_for() {
    let not_found = |arguments: &[&str], content_type: MediaType| {
        let error = PlanError::FunctionNotFound {
            schema: "s".to_owned(),
            name: "f".to_owned(),
            arguments: arguments.iter().map(|name| (*name).to_owned()).collect(),
            content_type,
            is_post: true,
            suggestion: None,
        };
        RestError::Plan(Box::new(error)).parts(USER).details.unwrap().as_str().unwrap().to_owned()
    };
    for (arguments, content_type, searched) in [
        (&["a"][..], MediaType::UrlEncoded, "s.f with parameter a,"),
        (&["a", "b"], MediaType::UrlEncoded, "s.f with parameters a, b,"),
        (&[], MediaType::UrlEncoded, "s.f without parameters,"),
        (&["a"], MediaType::Json, "s.f with parameter a or with a single unnamed json/jsonb parameter,"),
        (&[], MediaType::PlainText, "s.f with a single unnamed text parameter,"),
    ] {
        let details = not_found(arguments, content_type);
        assert!(details.contains(searched), "{details}");
    }
    let overloads = ["integer", "text"].map(|kind| {
        let parameter = crate::catalog::samples::parameter("a", kind);
        Arc::new(crate::catalog::samples::function("s", "f", vec![parameter]))
    });
    let error = RestError::Plan(Box::new(PlanError::AmbiguousFunction(overloads.to_vec())));
    assert!(error.parts(USER).message.ends_with("between: s.f(a => integer), s.f(a => text)"));
}

#[test]
fn a_minimal_answer_has_code_and_message_only() {
    let minimal = Disclosure { minimal: true, ..USER };
    for (disclosure, keys) in [(minimal, "code message"), (USER, "code details hint message")] {
        let response = RestError::PutMismatch.into_response(disclosure);
        assert_eq!(response.headers()["proxy-status"], "PostgREST; error=PGRST115");
        let body = futures_util::FutureExt::now_or_never(axum::body::to_bytes(response.into_body(), 1024));
        let body: serde_json::Map<String, Value> = serde_json::from_slice(&body.unwrap().unwrap()).unwrap();
        assert_eq!(body.keys().cloned().collect::<Vec<_>>().join(" "), keys);
    }
}

#[test]
fn an_error_does_not_repeat_a_long_request_in_full() {
    let long = "x".repeat(20_000);
    let body = format!(r#"{{"{long}":1}}"#);
    let post = |url: &str| Request::of("POST", url, &[], &body).plan().unwrap_err().into();
    let errors: Vec<RestError> = vec![
        planning("GET", &format!("/{long}"), "*/*"),
        planning("GET", &format!("/clients?select={long}(id)"), "*/*"),
        planning("GET", &format!("/clients?{long}.id=eq.1"), "*/*"),
        planning("GET", &format!("/clients?select=id::no such {long}"), "*/*"),
        planning("GET", &format!("/rpc/{long}?{long}=1"), "*/*"),
        post("/clients"),
        post("/rpc/pick"),
        RequestError::QueryParam { message: format!("({long})\" (line 1, column 4)"), details: long.clone() }
            .into(),
        RequestError::InvalidPreferences(vec![long.clone(); 3]).into(),
    ];
    for error in errors {
        let parts = error.parts(USER);
        let hint = parts.hint.clone().unwrap_or_default();
        let details = parts.details.as_ref().and_then(Value::as_str).unwrap_or_default();
        for text in [&parts.message, &hint, details] {
            assert!(text.chars().count() <= 4096, "{} characters of {}", text.len(), parts.code);
        }
        assert!(format!("{parts:?}").contains('…'), "{}: {}", parts.code, parts.message);
        if let RestError::Request(RequestError::QueryParam { .. }) = error {
            assert!(parts.message.ends_with("(line 1, column 4)"), "{}", parts.message);
        }
    }
}
