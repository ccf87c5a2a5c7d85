//! Filters as clients write them, and what they say of rows.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::realtime::changes::value::{Collation, Width};

fn columns() -> Vec<Column> {
    let column = |name: &str, type_name: &str, kind, is_text| Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        kind,
        is_text,
    };
    vec![
        column("id", "uuid", Kind::Uuid, false),
        column("n", "int4", Kind::Integer(Width::Four), false),
        column("done", "bool", Kind::Bool, false),
        column("title", "text", Kind::Text(Collation::Default), true),
        column("code", "text", Kind::Text(Collation::C), true),
        column("price", "numeric", Kind::Plain, false),
        column("state", "mood", Kind::Enum, false),
    ]
}

fn parse(text: &str) -> Filter {
    Filter::parse(text, &columns()).unwrap()
}

fn says(text: &str, image: &Value) -> Option<bool> {
    parse(text).evaluate(image.as_object().unwrap()).unwrap()
}

#[test]
fn comparisons_answer_as_postgresql_does() {
    let row = json!({ "n": 5, "done": true, "title": "a,b", "code": "b", "price": 1.5,
                      "id": "00000000-0000-0000-0000-00000000000a" });
    for (filter, expected) in [
        ("", true),
        ("n=eq.5", true),
        ("n=not.eq.5", false),
        ("n=neq.5", false),
        ("n=lt.6,n=gt.4", true),
        ("n=lte.5 , n=gte.6", false),
        ("id=eq.0000000000000000000000000000000A", true),
        ("n=in.(1,5)", true),
        ("n=not.in.(1, 6)", true),
        ("n=in.()", false),
        ("n=not.in.()", true),
        ("title=eq.\"a,b\"", true),
        ("title=in.(c,\"a,b\")", true),
        ("title=like.a%", true),
        ("title=not.like.b%", true),
        ("code=lt.c", true),
        ("done=is.true", true),
        ("done=not.is.false", true),
        ("done=is.unknown", false),
        ("price=is.null", false),
        ("price=not.is.NULL", true),
        ("title=isdistinct.x", true),
    ] {
        assert_eq!(says(filter, &row), Some(expected), "{filter}");
    }
}

#[test]
fn null_is_neither_equal_nor_unequal_but_distinct() {
    let row = json!({ "n": null });
    for filter in ["n=eq.5", "n=neq.5", "n=not.eq.5", "n=in.(5)", "n=not.in.(5)", "n=lt.5", "title=like.%"] {
        assert_eq!(says(filter, &row), None, "{filter}");
    }
    for filter in ["n=isdistinct.5", "n=is.null", "done=is.unknown", "done=not.is.true", "n=not.in.()"] {
        assert_eq!(says(filter, &row), Some(true), "{filter}");
    }
    assert_eq!(says("n=eq.5,done=is.true", &row), Some(false));
}

#[test]
fn a_filter_that_is_wrong_is_refused_in_known_words() {
    for (filter, words) in [
        ("undefined", "Error parsing `filter` params: [\"undefined\"]"),
        ("title=foo.hey", "Error parsing `filter` params: [\"foo\", \"hey\"]"),
        ("title=hey", "Error parsing `filter` params: [\"hey\"]"),
        (
            "n=eq.1,,n=eq.2",
            "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)",
        ),
        ("n=in.1", "Error parsing `filter` params: `in` filter value must be wrapped by parentheses"),
        ("other=eq.1", "invalid column for filter other"),
        ("N=eq.1", "invalid column for filter N"),
        (
            "n=is.maybe",
            "Error parsing `filter` params: `is` filter value must be null, true, false or unknown",
        ),
        ("n=like.1%", "Error parsing `filter` params: patterns need a column of a text type, `n` is none"),
        ("n=is.true", "Error parsing `filter` params: `is` filter value must be null, `n` is no boolean"),
        (
            "n=in.(1,,2)",
            "Error parsing `filter` params: `in` filter must not contain empty values (check for extra commas)",
        ),
    ] {
        assert_eq!(Filter::parse(filter, &columns()).unwrap_err().to_string(), words, "{filter}");
    }
}

#[test]
fn a_list_holds_at_most_a_hundred_values() {
    let list = |length: usize| format!("n=in.({})", vec!["1"; length].join(","));
    assert!(Filter::parse(&list(100), &columns()).is_ok());
    let error = Filter::parse(&list(101), &columns()).unwrap_err();
    assert_eq!(error.to_string(), "too many values for `in` filter. Maximum 100");
}

#[test]
fn what_only_postgresql_knows_is_left_to_it() {
    for filter in [
        "title=lt.x",
        "title=ilike.x",
        "title=match.x",
        "title=imatch.x",
        "price=eq.1",
        "state=eq.sad",
        "id=eq.x",
        "n=eq. 5",
        "n=eq.3000000000",
        "title=like.x\\",
        "title=like.x_y",
        "n=eq.1,price=gt.2",
    ] {
        let filter = parse(filter);
        assert!(!filter.is_decided_here(), "{filter:?}");
        assert_eq!(filter.evaluate(&Image::new()), Err(Undecided));
    }
}

#[test]
fn conditions_become_sql_without_text_in_it() {
    let filter =
        parse("price=gte.1.5,state=not.in.(a,\"b\\\"c\"),title=imatch.^x,price=is.null,id=isdistinct.1");
    let found: Vec<_> = filter.conditions.iter().map(Condition::sql).collect();
    let expected = [
        ("price", ">=", false, SqlValue::OfColumnType("1.5")),
        ("state", "= any", true, SqlValue::ListOfColumnType(vec!["a", "b\"c"])),
        ("title", "~*", false, SqlValue::Text("^x")),
        ("price", "is null", false, SqlValue::Nothing),
        ("id", "is distinct from", false, SqlValue::OfColumnType("1")),
    ]
    .map(|(column, operator, is_negated, value)| SqlCondition { column, operator, is_negated, value });
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_an_error(text in "[a-z\"(),.=\\\\ ä\0]{0,40}") {
        let _ = Filter::parse(&text, &columns());
    }

    #[test]
    fn any_value_in_quotes_comes_back(value in "[^\0]{0,20}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = parse(&format!("title=eq.\"{quoted}\",title=in.(x,\"{quoted}\")"));
        let image = json!({ "title": value });
        prop_assert_eq!(filter.evaluate(image.as_object().unwrap()), Ok(Some(true)));
    }
}
