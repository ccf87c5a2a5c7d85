//! Whole requests: what is addressed, in which schema, which rows, and what the body gives.

use crate::rest::core::media::MediaType;
use crate::rest::core::parse::ParseConfig;
use crate::rest::core::range::RowRange;
use crate::rest::core::request::{Action, CallMethod, Mutation};
use crate::rest::core::samples::{Request, config};

/// Status and code of a refused request.
fn refusal(request: &Request<'_>) -> (u16, &'static str) {
    let error = request.parse().unwrap_err();
    (error.status_code(), error.code())
}

#[test]
fn path_and_method_say_what_is_done() {
    let target = || "t".to_owned();
    for (method, url, expected) in [
        ("GET", "/t", Action::RelationRead { target: target(), headers_only: false }),
        ("HEAD", "/t", Action::RelationRead { target: target(), headers_only: true }),
        ("POST", "/t", Action::RelationMutate { target: target(), mutation: Mutation::Create }),
        ("PATCH", "/t", Action::RelationMutate { target: target(), mutation: Mutation::Update }),
        ("PUT", "/t", Action::RelationMutate { target: target(), mutation: Mutation::SingleUpsert }),
        ("DELETE", "/t", Action::RelationMutate { target: target(), mutation: Mutation::Delete }),
        ("OPTIONS", "/t", Action::RelationInfo { target: target() }),
        ("GET", "/rpc", Action::RelationRead { target: "rpc".to_owned(), headers_only: false }),
        (
            "GET",
            "/rpc/t",
            Action::Call { target: target(), method: CallMethod::Read { headers_only: false } },
        ),
        (
            "HEAD",
            "/rpc/t",
            Action::Call { target: target(), method: CallMethod::Read { headers_only: true } },
        ),
        ("POST", "/rpc/t", Action::Call { target: target(), method: CallMethod::Write }),
        ("OPTIONS", "/rpc/t", Action::CallInfo { target: target() }),
        ("GET", "/", Action::SchemaRead { headers_only: false }),
        ("HEAD", "/", Action::SchemaRead { headers_only: true }),
        ("OPTIONS", "/", Action::SchemaInfo),
    ] {
        assert_eq!(Request::of(method, url, &[], "{}").parse().unwrap().action, expected, "{method} {url}");
    }
    for (method, url, expected) in [
        ("TRACE", "/t", (405, "PGRST117")),
        ("POST", "/", (405, "PGRST117")),
        ("PUT", "/rpc/t", (405, "PGRST101")),
        ("DELETE", "/rpc/t", (405, "PGRST101")),
        ("GET", "/t/", (404, "PGRST125")),
        ("GET", "/a/b", (404, "PGRST125")),
        ("GET", "/rpc/a/b", (404, "PGRST125")),
        ("GET", "/a%FF", (400, "PGRST100")),
        ("GET", "/a?b=%00", (400, "PGRST100")),
        ("GET", "/a?%FF=1", (400, "PGRST100")),
    ] {
        assert_eq!(refusal(&Request::of(method, url, &[], "")), expected, "{method} {url}");
    }
}

#[test]
fn the_root_is_a_description_or_a_function_or_nothing() {
    let function = ParseConfig { root_function: Some("root".to_owned()), ..config() };
    let action = Request::get("/").parse_with(&function).unwrap().action;
    let method = CallMethod::Read { headers_only: false };
    assert_eq!(action, Action::Call { target: "root".to_owned(), method });
    let disabled = ParseConfig { root_enabled: false, ..function };
    let error = Request::get("/").parse_with(&disabled).unwrap_err();
    assert_eq!((error.status_code(), error.code()), (404, "PGRST126"));
}

#[test]
fn profile_headers_choose_among_exposed_schemas() {
    let config = ParseConfig { schemas: vec!["v1".to_owned(), "v2".to_owned()], ..config() };
    let (accept, content) = ([("Accept-Profile", "v2")], [("Content-Profile", "v2")]);
    for (method, headers, schema) in [
        ("GET", &accept[..], "v2"),
        ("HEAD", &accept[..], "v2"),
        ("GET", &content[..], "v1"),
        ("POST", &content[..], "v2"),
        ("DELETE", &content[..], "v2"),
        ("POST", &accept[..], "v1"),
    ] {
        let request = Request::of(method, "/t", headers, "{}").parse_with(&config).unwrap();
        assert_eq!(
            (request.schema.as_str(), request.negotiated_by_profile),
            (schema, true),
            "{method} {headers:?}"
        );
    }
    let error = Request::of("GET", "/t", &[("Accept-Profile", "no")], "").parse_with(&config).unwrap_err();
    assert_eq!((error.status_code(), error.code()), (406, "PGRST106"));
    assert_eq!(error.message(), "Invalid schema: no");
    assert_eq!(error.hint().unwrap(), "Only the following schemas are exposed: v1, v2");
    assert_eq!(error.details(), None);
    assert!(!Request::get("/t").parse().unwrap().negotiated_by_profile);
}

#[test]
fn limit_offset_and_range_header_combine() {
    let range = |headers: &[(&str, &str)], query: &str| {
        Request::of("GET", &format!("/t?{query}"), headers, "").parse().map(|request| request.top_range)
    };
    for (query, expected) in [
        ("", RowRange::ALL),
        ("limit=5", RowRange::between(0, 4)),
        ("offset=5", RowRange::from_offset(5)),
        ("limit=5&offset=5", RowRange::between(5, 9)),
        ("limit=0", RowRange::LIMIT_ZERO),
        ("limit=0&offset=0", RowRange::LIMIT_ZERO),
        ("limit=abc", RowRange::ALL),
        ("offset=abc", RowRange::ALL),
        ("offset=-3", RowRange::ALL),
        ("limit=+5", RowRange::between(0, 4)),
        ("limit=1&limit=2", RowRange::between(0, 1)),
    ] {
        assert_eq!(range(&[], query).unwrap(), expected, "{query}");
    }
    let header = |value| [("Range", value)];
    assert_eq!(range(&header("2-4"), "").unwrap(), RowRange::between(2, 4));
    assert_eq!(range(&header("2-4"), "limit=4").unwrap(), RowRange::between(2, 3));
    assert_eq!(range(&header("1-0"), "limit=0").unwrap(), RowRange::LIMIT_ZERO);
    for (headers, query, details) in [
        (
            &header("1-0")[..],
            "",
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        ),
        (&[], "limit=-1", "Limit should be greater than or equal to zero."),
        (&[], "limit=x&offset=5", "Limit should be greater than or equal to zero."),
    ] {
        let error = range(headers, query).unwrap_err();
        assert_eq!(
            (error.status_code(), error.code(), error.details().as_deref()),
            (416, "PGRST103", Some(details))
        );
    }
    let long = "9".repeat(1_000);
    assert!(
        range(&[], &format!("limit={long}&offset={long}")).unwrap().limit().unwrap() > i128::from(i64::MAX)
    );
}

#[test]
fn the_range_header_counts_for_get_only_and_put_takes_no_limit() {
    let headers = [("Range", "1-0")];
    assert_eq!(Request::of("HEAD", "/t", &headers, "").parse().unwrap().top_range, RowRange::ALL);
    assert_eq!(Request::of("PUT", "/t", &headers, "{}").parse().unwrap().top_range, RowRange::ALL);
    assert_eq!(refusal(&Request::of("PUT", "/t?offset=1", &[], "{}")), (400, "PGRST114"));
    assert_eq!(refusal(&Request::of("PUT", "/t?limit=1", &[], "{}")), (400, "PGRST114"));
}

#[test]
fn embedded_levels_have_ranges_of_their_own() {
    let request = Request::get("/t?a.b.limit=5&a.b.offset=2&c.offset=1&limit=1&d.limit=-1").parse().unwrap();
    let level = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        request.ranges,
        [
            (level(&["a", "b"]), RowRange::between(2, 6)),
            (level(&["d"]), RowRange::between(0, -2)),
            (level(&["c"]), RowRange::from_offset(1)),
        ]
    );
    assert_eq!(request.ranges[1].1.limit(), Some(-1));
}

#[test]
fn headers_and_cookies_go_on_as_sent() {
    let headers =
        [("X-One", "1"), ("Cookie", "a=b; c=d=e;f"), ("x-one", "2"), ("Accept", "text/csv, */*;q=0.1")];
    let request = Request::of("GET", "/t%20u", &headers, "").parse().unwrap();
    assert_eq!(request.cookies, r#"{"a":"b","c":"d=e","f":""}"#);
    assert_eq!(request.headers, r#"{"x-one":"2","accept":"text/csv, */*;q=0.1"}"#);
    assert_eq!(request.accept, [MediaType::Csv, MediaType::Any]);
    assert_eq!(request.path, "/t%20u");
    assert!(matches!(&request.action, Action::RelationRead { target, .. } if target == "t u"));
    assert_eq!((request.content_type, request.payload), (MediaType::Json, None));
}

#[test]
fn strict_handling_refuses_unknown_preferences_but_not_for_options() {
    let headers = [("Prefer", "handling=strict"), ("Prefer", "something, else")];
    let error = Request::of("GET", "/t", &headers, "").parse().unwrap_err();
    assert_eq!((error.status_code(), error.code()), (400, "PGRST122"));
    assert_eq!(error.message(), "Invalid preferences given with handling=strict");
    assert_eq!(error.details().unwrap(), "Invalid preferences: something, else");
    assert!(Request::of("OPTIONS", "/t", &headers, "").parse().is_ok());
}

#[test]
fn on_conflict_and_columns_are_lists_of_names() {
    let request =
        Request::of("POST", "/t?on_conflict=a,\"b c\"&columns=x, y,x", &[], "[{\"z\":1}]").parse().unwrap();
    assert_eq!(request.query.on_conflict.unwrap(), ["a", "b c"]);
    assert_eq!(request.columns.iter().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(Request::get("/t?select=a&b=eq.1").parse().unwrap().query.canonical, "b=eq.1&select=a");
}
