//! Status and headers, as tables from request and result to what the client sees.

use super::*;
use crate::rest::core::plan::PlanOptions;
use crate::rest::core::samples::{OPTIONS, Request};

/// A result of `rows` rows, of `total` where they were counted.
fn result(rows: i64, total: Option<i64>) -> ResultHead {
    ResultHead { total, rows, ..ResultHead::default() }
}

/// The answer to `METHOD /url | preferences`, as its status and then its headers, with `no body` where there is none.
fn answer(text: &str, head: &ResultHead) -> Vec<String> {
    let (line, prefer) = text.split_once(" | ").unwrap_or((text, ""));
    let (method, url) = line.split_once(' ').unwrap();
    let headers = [("prefer", prefer)];
    let body = if url.starts_with("/rpc") { "" } else { r#"{"id":1}"# };
    let request = Request::of(method, url, &headers, body);
    let response = respond(&request.plan().unwrap(), &request.parse().unwrap(), head).unwrap();
    let mut shown = vec![response.status.as_u16().to_string()];
    shown.extend(response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    match response.body {
        BodyUse::Send => {}
        BodyUse::Omit { length: false } => shown.push("no body".to_owned()),
        BodyUse::Omit { length: true } => shown.push("no body, length 0".to_owned()),
    }
    shown
}

const JSON: &str = "content-type: application/json; charset=utf-8";

#[test]
fn a_read_tells_its_range_and_where_it_came_from() {
    for (text, head, expected) in [
        (
            "GET /clients",
            result(3, None),
            vec!["200", "content-range: 0-2/*", "content-location: /clients", JSON],
        ),
        (
            "GET /clients?select=id&id=gt.1 | count=exact",
            result(3, Some(3)),
            vec![
                "200",
                "content-range: 0-2/3",
                "content-location: /clients?id=gt.1&select=id",
                JSON,
                "preference-applied: count=exact",
            ],
        ),
        (
            "GET /clients?limit=2&offset=4 | count=exact",
            result(2, Some(9)),
            vec![
                "206",
                "content-range: 4-5/9",
                "content-location: /clients?limit=2&offset=4",
                JSON,
                "preference-applied: count=exact",
            ],
        ),
        (
            "HEAD /clients",
            result(0, None),
            vec!["200", "content-range: */*", "content-location: /clients", JSON, "no body"],
        ),
    ] {
        assert_eq!(answer(text, &head), expected, "{text}");
    }
}

#[test]
fn an_offset_behind_the_last_row_is_out_of_bounds() {
    let request = Request::of("GET", "/clients?offset=9", &[("prefer", "count=exact")], "");
    let answer = respond(&request.plan().unwrap(), &request.parse().unwrap(), &result(0, Some(3)));
    assert_eq!(answer.unwrap_err(), ResponseError::OutOfBounds { offset: 9, total: 3 });
}

#[test]
fn a_write_answers_with_its_rows_only_if_asked() {
    let location =
        ResultHead { location: Some(r#"[["id","a b"],["kind",null]]"#.to_owned()), ..result(1, None) };
    let upsert = |inserted| ResultHead { inserted, ..result(2, None) };
    let full = "preference-applied: return=representation";
    let merged = "preference-applied: resolution=merge-duplicates";
    for (text, head, expected) in [
        ("POST /clients", result(1, None), vec!["201", "content-range: */*", "no body, length 0"]),
        (
            "POST /clients | return=minimal",
            result(1, None),
            vec!["201", "content-range: */*", "preference-applied: return=minimal", "no body, length 0"],
        ),
        (
            "POST /clients | return=representation",
            result(1, None),
            vec!["201", "content-range: */*", full, JSON],
        ),
        (
            "POST /clients | return=headers-only",
            location,
            vec![
                "201",
                "location: /clients?id=eq.a%20b&kind=is.null",
                "content-range: */*",
                "preference-applied: return=headers-only",
                "no body, length 0",
            ],
        ),
        // An upsert creates only if it inserted something.
        (
            "POST /clients | resolution=merge-duplicates",
            upsert(Some(1)),
            vec!["201", "content-range: */*", merged, "no body, length 0"],
        ),
        (
            "POST /clients | resolution=merge-duplicates",
            upsert(Some(0)),
            vec!["200", "content-range: */*", merged, "no body, length 0"],
        ),
        ("PATCH /clients?id=eq.1", result(1, None), vec!["204", "content-range: 0-0/*", "no body"]),
        ("PATCH /clients?id=eq.1", result(0, None), vec!["204", "content-range: */*", "no body"]),
        (
            "PATCH /clients?id=eq.1 | return=representation",
            result(1, None),
            vec!["200", "content-range: 0-0/*", full, JSON],
        ),
        ("DELETE /clients?id=eq.1", result(1, None), vec!["204", "content-range: */*", "no body"]),
        (
            "DELETE /clients?id=eq.1 | count=exact",
            result(1, None),
            vec!["204", "content-range: */1", "preference-applied: count=exact", "no body"],
        ),
        ("PUT /clients?id=eq.1", upsert(Some(1)), vec!["204", "no body"]),
        ("PUT /clients?id=eq.1 | return=representation", upsert(Some(1)), vec!["201", full, JSON]),
        ("PUT /clients?id=eq.1 | return=representation", upsert(Some(0)), vec!["200", full, JSON]),
    ] {
        assert_eq!(answer(text, &head), expected, "{text}");
    }
}

#[test]
fn a_call_that_returns_nothing_has_no_content() {
    assert_eq!(answer("POST /rpc/reset", &result(1, None)), ["204", "content-range: 0-0/*", "no body"]);
    assert_eq!(answer("GET /rpc/numbers", &result(2, None)), ["200", "content-range: 0-1/*", JSON]);
}

#[test]
fn only_preferences_that_had_a_meaning_are_confirmed() {
    for (text, applied) in [
        (
            "GET /clients | return=minimal, resolution=merge-duplicates, missing=default, tx=commit",
            Some("tx=commit"),
        ),
        (
            "POST /clients | missing=default, resolution=ignore-duplicates",
            Some("resolution=ignore-duplicates, missing=default"),
        ),
        // Nothing to conflict on.
        ("POST /notes | resolution=ignore-duplicates", None),
        ("DELETE /clients?id=eq.1 | missing=default", None),
        (
            "DELETE /clients?id=eq.1 | handling=strict, max-affected=5",
            Some("handling=strict, max-affected=5"),
        ),
        ("POST /clients | handling=strict, max-affected=5", Some("handling=strict")),
    ] {
        let headers = answer(text, &result(1, None));
        let told = headers.iter().find_map(|line| line.strip_prefix("preference-applied: "));
        assert_eq!(told, applied, "{text}");
    }
}

#[test]
fn the_database_sets_status_and_headers_and_replaces_ours() {
    let response =
        overridden(r#"[{"Content-Type":"text/html"},{"Set-Cookie":"a=1"},{"Set-Cookie":"b=2"}]"#, "201");
    let shown: Vec<_> = response
        .unwrap()
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(shown, ["content-type: text/html", "set-cookie: a=1", "set-cookie: b=2"]);
    for malformed in ["{}", "[1]", r#"[{"a":1}]"#, r#"[{"a":"1","b":"2"}]"#, "[{}]", "x"] {
        assert_eq!(overridden(malformed, "200").unwrap_err(), ResponseError::HeadersSetting, "{malformed}");
    }
}

#[test]
fn a_warning_names_the_alias_that_should_have_been_used() {
    let warning = |url: &str| {
        let options = PlanOptions { target_names: true, ..OPTIONS };
        let Plan::Read(action) = Request::get(url).plan_with(&options).unwrap() else { panic!("a read") };
        target_name_warning(&action.tree)
    };
    assert_eq!(warning("/clients?select=bills:invoices(id)&bills.id=eq.1"), None);
    let told = warning("/clients?select=bills:invoices(id)&invoices.id=eq.1").unwrap();
    assert!(told.starts_with("299 ") && told.contains("Update `invoices` to `bills` in"), "{told}");
}

fn overridden(headers: &str, status: &str) -> Result<ResponseHead, ResponseError> {
    let mut response = ResponseHead::new(StatusCode::OK);
    response.push(header::CONTENT_TYPE, "text/plain");
    let (headers, status) = (Some(headers.to_owned()), Some(status.to_owned()));
    let head = ResultHead { headers, status, ..ResultHead::default() };
    override_by_settings(&mut response, &head).map(|()| response)
}

#[test]
fn the_database_cannot_set_how_messages_are_framed() {
    let set = r#"[{"Transfer-Encoding":"chunked"},{"content-length":"3"},{"Connection":"upgrade"},
        {"Upgrade":"websocket"},{"Keep-Alive":"timeout=1"},{"X-Mine":"1"}]"#;
    let response = overridden(set, "418").unwrap();
    assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
    let names: Vec<&str> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-mine"]);
}

#[test]
fn an_interim_status_and_a_line_break_in_a_header_are_refused() {
    for status in ["99", "100", "101", "199", "1000", "x"] {
        assert_eq!(overridden("[]", status).unwrap_err(), ResponseError::StatusSetting, "{status}");
    }
    for headers in [r#"[{"X":"a\r\nSet-Cookie: b"}]"#, r#"[{"X\r\nY":"a"}]"#, r#"[{"X":"a\u0000"}]"#] {
        assert_eq!(overridden(headers, "200").unwrap_err(), ResponseError::HeadersSetting, "{headers}");
    }
}

#[test]
fn a_location_that_clients_could_not_read_is_left_out() {
    assert_eq!(content_location("t", "").as_deref(), Some("/t"));
    assert_eq!(content_location("t", "id=eq.1").as_deref(), Some("/t?id=eq.1"));
    assert_eq!(content_location("t", &"x".repeat(60_000)), None);
}
