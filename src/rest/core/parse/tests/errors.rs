//! What a client is told when a parameter does not follow the grammar.

use super::encode;
use crate::rest::core::parse::RequestError;
use crate::rest::core::samples::Request;

/// Message and details for one wrong parameter.
fn complaint(name: &str, value: &str) -> (String, String) {
    let url = format!("/items?{}={}", encode(name).replace("%2E", "."), encode(value));
    match Request::get(&url).parse() {
        Err(RequestError::QueryParam { message, details }) => (message, details),
        other => panic!("{name}={value} gave {other:?}"),
    }
}

/// Checks `(value, column, details)` rows for one parameter.
fn check(name: &str, source: &str, table: &[(&str, usize, &str)]) {
    for (value, column, details) in table {
        let message = format!("\"failed to parse {source} ({value})\" (line 1, column {column})");
        assert_eq!(complaint(name, value), (message, (*details).to_owned()), "{name}={value}");
    }
}

#[test]
fn filters_say_where_the_operator_or_its_value_goes_wrong() {
    let operator = "expecting operator (eq, gt, ...)";
    check(
        "a.b",
        "filter",
        &[
            ("noop.0", 1, "unexpected \"o\" expecting \"not\" or operator (eq, gt, ...)"),
            ("val", 1, "unexpected \"v\" expecting \"not\" or operator (eq, gt, ...)"),
            ("", 1, "unexpected end of input expecting \"not\" or operator (eq, gt, ...)"),
            ("not.val", 5, &format!("unexpected \"v\" {operator}")),
            ("fts().value", 5, &format!("unexpected \")\" {operator}")),
            ("eq().value", 4, &format!("unexpected \")\" {operator}")),
            ("is().value", 3, &format!("unexpected \"(\" {operator}")),
            ("in().value", 3, &format!("unexpected \"(\" {operator}")),
            ("in.1,2", 4, "unexpected \"1\" expecting \"(\""),
            ("in.(1,2", 8, "unexpected end of input expecting \",\" or \")\""),
            ("is.nothing", 7, "unexpected \"h\" expecting isVal: (null, not_null, true, false, unknown)"),
        ],
    );
}

#[test]
fn names_of_filters_say_what_a_name_is() {
    for (name, details) in [
        ("", "unexpected end of input expecting field name (* or [a..z0..9_$])"),
        (":", "unexpected \":\" expecting field name (* or [a..z0..9_$])"),
    ] {
        let message = format!("\"failed to parse tree path ({name})\" (line 1, column 1)");
        assert_eq!(complaint(name, "eq.1"), (message, details.to_owned()));
    }
}

#[test]
fn selects_list_everything_that_could_stand_at_the_place() {
    check(
        "select",
        "select parameter",
        &[
            (
                "id,clients(name[])",
                16,
                "unexpected '[' expecting letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input",
            ),
            (
                "data->>-78xy",
                11,
                "unexpected 'x' expecting digit, \"->\", \"::\", \".\", \",\" or end of input",
            ),
            (
                "name!hint",
                5,
                "unexpected '!' expecting letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input",
            ),
            ("id,*!hint", 5, "unexpected '!' expecting \")\", \",\" or end of input"),
            ("name::", 7, "unexpected end of input expecting letter or digit"),
            (
                "data->(!@#$%^&*_d->>!@#$%^&*_e::integer",
                7,
                "unexpected \"(\" expecting \"-\", digit or any non reserved character different from: .,>()",
            ),
        ],
    );
}

#[test]
fn json_paths_fail_on_badly_formed_negative_indexes() {
    check(
        "select",
        "select parameter",
        &[
            ("d->>-78xy", 8, "unexpected 'x' expecting digit, \"->\", \"::\", \".\", \",\" or end of input"),
            ("d->>--34", 6, "unexpected \"-\" expecting digit"),
            ("d->>-xy-4", 6, "unexpected \"x\" expecting digit"),
        ],
    );
}

#[test]
fn orders_name_the_keywords_that_could_come_next() {
    check(
        "order",
        "order",
        &[
            (
                "clients(name,id)",
                8,
                "unexpected '(' expecting letter, digit, \"-\", \"->>\", \"->\", delimiter (.), \",\" or end of input",
            ),
            ("id.ac", 4, "unexpected \"c\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\""),
            ("id.descc", 8, "unexpected 'c' expecting delimiter (.), \",\" or end of input"),
            (
                "id.nulsfist",
                4,
                "unexpected \"n\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"",
            ),
            ("id.nullslasttt", 13, "unexpected 't' expecting \",\" or end of input"),
            ("id.smth34", 4, "unexpected \"s\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\""),
            ("id.asc.nlsfst", 8, "unexpected \"l\" expecting \"nullsfirst\" or \"nullslast\""),
            ("id.asc.nullslasttt", 17, "unexpected 't' expecting \",\" or end of input"),
            ("id.asc.smth34", 8, "unexpected \"s\" expecting \"nullsfirst\" or \"nullslast\""),
        ],
    );
}

#[test]
fn logic_trees_are_counted_with_their_operator_in_front() {
    let head = "field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)";
    check(
        "or",
        "logic tree",
        &[
            ("()", 4, &format!("unexpected \")\" expecting {head}")),
            ("(id.in.1,2,id.eq.3)", 10, "unexpected \"1\" expecting \"(\""),
            (")(", 3, "unexpected \")\" expecting \"(\""),
            ("(id.eq.1,not.xor(id.eq.2,id.eq.3))", 16, "unexpected \"x\" expecting logic operator (and, or)"),
        ],
    );
    check("and", "logic tree", &[("(ord(id.eq.1,id.eq.1),id.eq.2)", 7, "unexpected \"d\" expecting \"(\"")]);
}

#[test]
fn columns_and_on_conflict_need_names() {
    let details = "unexpected end of input expecting field name (* or [a..z0..9_$])";
    check("columns", "columns parameter", &[("", 1, details), ("a,", 3, details)]);
    check("on_conflict", "on_conflict parameter", &[("", 1, details)]);
}

#[test]
fn lines_are_counted_and_details_stay_on_one_line() {
    let (message, details) = complaint("select", "a\n!");
    assert_eq!(message, "\"failed to parse select parameter (a\n!)\" (line 1, column 2)");
    assert!(details.starts_with(r"unexpected '\n' expecting"), "{details}");
}

#[test]
fn the_first_wrong_parameter_is_told_orders_before_trees_before_selects_before_filters() {
    let told = |query: &str| Request::get(&format!("/items?{query}")).parse().unwrap_err().message();
    assert!(told("a=x&select=a!&or=x&order=!").contains("failed to parse order"));
    assert!(told("a=x&select=a!&or=x").contains("failed to parse logic tree"));
    assert!(told("a=x&select=a!").contains("failed to parse select"));
    assert!(told("a=x").contains("failed to parse filter"));
}
