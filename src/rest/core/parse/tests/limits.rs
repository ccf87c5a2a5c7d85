//! Input made to hurt: deep, long, or both. Every one is answered at once and in linear time.

use std::time::{Duration, Instant};

use super::{encode, query};
use crate::rest::core::parse::{MAX_DEPTH, MAX_SELECT_ITEMS, RequestError, params};
use crate::rest::core::query::Operation;
use crate::rest::core::samples::Request;

/// Runs `parse` and checks that it took nowhere near quadratic time.
fn quickly<T>(parse: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = parse();
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    result
}

/// The refusal of a query that is too deep or too long.
fn refusal(text: &str) -> String {
    match quickly(|| query(text)) {
        Err(error @ RequestError::TooComplex(_)) => {
            assert_eq!((error.status_code(), error.code()), (400, "PGRST100"));
            error.message()
        }
        other => panic!("{}", format!("{other:?}").chars().take(500).collect::<String>()),
    }
}

#[test]
fn selects_nest_to_a_limit() {
    let nested = |depth: usize| format!("select={}id{}", "a(".repeat(depth), ")".repeat(depth));
    assert!(query(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refusal(&nested(MAX_DEPTH + 1)), "The select parameter is nested deeper than 64 levels");
    assert!(refusal(&nested(100_000)).contains("64 levels"));
    assert!(refusal(&format!("select={}", "...a!inner(".repeat(100_000))).contains("64 levels"));
    assert!(refusal(&format!("select={}", "x:a(b,".repeat(100_000))).contains("64 levels"));
}

#[test]
fn selects_hold_a_limited_number_of_items_in_all_their_lists() {
    let wide = |items: usize| format!("select={}", vec!["a"; items].join(","));
    assert_eq!(query(&wide(MAX_SELECT_ITEMS)).unwrap().select.len(), MAX_SELECT_ITEMS);
    assert_eq!(refusal(&wide(MAX_SELECT_ITEMS + 1)), "The select parameter has more than 1600 items");
    refusal(&wide(1_000_000));
    refusal(&format!("select={}", vec!["r(a,b)"; 600].join(",")));
}

#[test]
fn logic_trees_nest_to_a_limit() {
    let nested =
        |depth: usize, open: &str| format!("and=({}a.eq.1{})", open.repeat(depth - 1), ")".repeat(depth - 1));
    assert!(query(&nested(MAX_DEPTH, "or(")).is_ok());
    assert_eq!(refusal(&nested(MAX_DEPTH + 1, "or(")), "The logic tree is nested deeper than 64 levels");
    refusal(&nested(100_000, "not.and("));
    refusal(&nested(100_000, "or(a.in.(1,2),"));
    assert!(quickly(|| query(&format!("and={}", "(".repeat(100_000)))).is_err());
}

#[test]
fn json_paths_have_a_limited_number_of_steps() {
    let path = |steps: usize| format!("a{}", "->b".repeat(steps));
    for text in ["select={}", "order={}", "{}=eq.1", "and=({}.eq.1)"] {
        let of = |steps: usize| text.replace("{}", &path(steps));
        assert!(query(&of(MAX_DEPTH)).is_ok(), "{text}");
        assert_eq!(refusal(&of(MAX_DEPTH + 1)), "The JSON path is longer than 64 steps", "{text}");
        refusal(&of(100_000));
    }
}

#[test]
fn a_million_values_are_a_matter_of_time_only() {
    let million = 1_000_000;
    for (element, value, count) in
        [("1", "1", million), ("\"1\"", "1", million / 4), ("\"x", "\"x", million / 4), ("", "", million / 4)]
    {
        let text = format!("a=in.({})", encode(&vec![element; count].join(",")));
        let filter = quickly(|| query(&text)).unwrap().filters.remove(0).1;
        let Operation::In(values) = filter.operation.operation else { panic!("no list") };
        assert_eq!((values.len(), values[0].as_str()), (count, value), "{element}");
    }
}

#[test]
fn long_tokens_and_many_parameters_take_linear_time() {
    let long = 200_000;
    for text in [
        format!("select={}", "a".repeat(long)),
        format!("select={}", "-a".repeat(long)),
        format!("select=\"{}", "a".repeat(long)),
        format!("select=a{}", "%20".repeat(long)),
        format!("order={}", vec!["a.desc"; long / 10].join(",")),
        format!("columns={}", vec!["a"; long].join(",")),
        format!("{}=eq.1", vec!["a"; long].join(".")),
        format!("and=({})", vec!["a.eq.{"; long / 10].join(",")),
        format!("and=({})", vec!["a.eq.\"x"; long / 10].join(",")),
        "a=eq.1&".repeat(long / 10),
        "limit=1&a.offset=2&".repeat(long / 10),
        (0..long / 10).map(|at| format!("p{at}.limit=1")).collect::<Vec<_>>().join("&"),
        format!("a={}", "not.".repeat(long)),
        format!("limit={}{}", "(".repeat(long), ")".repeat(long)),
        "%".repeat(long),
        ";".repeat(long),
    ] {
        let _ = quickly(|| query(&text));
        let _ = quickly(|| params::parse(&text, true));
    }
}

#[test]
fn long_headers_take_linear_time() {
    let long = 200_000;
    for (name, value) in [
        ("accept", "a/b;q=0.5,".repeat(long)),
        ("accept", "application/vnd.pgrst.plan;for=\"".repeat(long)),
        ("content-type", format!("application/json{}", ";a=b".repeat(long))),
        ("prefer", "return=minimal,".repeat(long)),
        ("cookie", "a=b;".repeat(long)),
        ("range", "9".repeat(long)),
    ] {
        let headers = [(name, value.as_str())];
        let _ = quickly(|| Request::of("GET", "/t", &headers, "").parse());
    }
}
