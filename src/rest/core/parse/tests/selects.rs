//! What `select` and `order` may say, and what it means.

use super::{encode, query};
use crate::rest::core::query::{
    Aggregate, Field, JoinType, JsonOperand, JsonOperation, OrderDirection, OrderNulls, OrderTerm,
    SelectItem, SelectNode,
};

fn select(value: &str) -> Vec<SelectNode> {
    query(&format!("select={}", encode(value))).unwrap().select
}

pub(super) fn column(name: &str) -> Field {
    Field { name: name.to_owned(), json_path: Vec::new() }
}

pub(super) fn inside(name: &str, json_path: &[JsonOperation]) -> Field {
    Field { name: name.to_owned(), json_path: json_path.to_vec() }
}

pub(super) fn key(text: &str) -> JsonOperand {
    JsonOperand::Key(text.to_owned())
}

pub(super) fn index(text: &str) -> JsonOperand {
    JsonOperand::Index(text.to_owned())
}

fn item(field: Field) -> SelectItem {
    SelectItem::Field { field, aggregate: None, aggregate_cast: None, cast: None, alias: None }
}

fn leaf(item: SelectItem) -> SelectNode {
    SelectNode { item, children: Vec::new() }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn relation(name: &str, alias: &str, hint: &str, join_type: Option<JoinType>) -> SelectItem {
    SelectItem::Relation { name: name.to_owned(), alias: some(alias), hint: some(hint), join_type }
}

#[test]
fn no_select_means_every_column_and_an_empty_one_none() {
    assert_eq!(query("").unwrap().select, [leaf(item(column("*")))]);
    assert_eq!(query("select").unwrap().select, [leaf(item(column("*")))]);
    assert_eq!(select("*"), [leaf(item(column("*")))]);
    assert_eq!(select(""), []);
}

#[test]
fn names_are_identifiers_with_blanks_and_dashes_or_quoted() {
    for (text, name) in [
        ("name", "name"),
        ("with spaces", "with spaces"),
        ("  trimmed  ", "trimmed"),
        ("with-dashes", "with-dashes"),
        ("123", "123"),
        ("_$", "_$"),
        ("ценник", "ценник"),
        ("\":\"", ":"),
        ("\" not trimmed \"", " not trimmed "),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        ("\"a,b(c)\"", "a,b(c)"),
    ] {
        assert_eq!(select(text), [leaf(item(column(name)))], "{text}");
    }
}

#[test]
fn json_paths_are_arrows_with_keys_or_indexes() {
    use JsonOperation::{Arrow, DoubleArrow};
    for (text, field) in [
        ("a->b", inside("a", &[Arrow(key("b"))])),
        ("a->>b", inside("a", &[DoubleArrow(key("b"))])),
        ("a->1->>-2", inside("a", &[Arrow(index("+1")), DoubleArrow(index("-2"))])),
        ("a->1b", inside("a", &[Arrow(key("1b"))])),
        ("a->!@#$%^&*_a", inside("a", &[Arrow(key("!@#$%^&*_a"))])),
        ("a->b-c->d", inside("a", &[Arrow(key("b-c")), Arrow(key("d"))])),
        ("a->\"b.c\"", inside("a", &[Arrow(key("b.c"))])),
    ] {
        assert_eq!(select(text), [leaf(item(field))], "{text}");
    }
    let long = "9".repeat(500);
    assert_eq!(
        select(&format!("a->{long}")),
        [leaf(item(inside("a", &[Arrow(index(&format!("+{long}")))])))]
    );
}

#[test]
fn fields_take_alias_cast_aggregate_and_cast_of_the_aggregate() {
    let plain =
        |alias: &str, cast: &str, aggregate: Option<Aggregate>, aggregate_cast: &str| SelectItem::Field {
            field: column("a"),
            aggregate,
            aggregate_cast: some(aggregate_cast),
            cast: some(cast),
            alias: some(alias),
        };
    for (text, expected) in [
        ("x:a", plain("x", "", None, "")),
        ("a::text", plain("", "text", None, "")),
        ("a::double precision", plain("", "double precision", None, "")),
        ("x : a ::text", plain("x", "text", None, "")),
        ("a.sum()", plain("", "", Some(Aggregate::Sum), "")),
        ("x:a::int.max()::text", plain("x", "int", Some(Aggregate::Max), "text")),
        ("a.min()", plain("", "", Some(Aggregate::Min), "")),
        ("a.avg()", plain("", "", Some(Aggregate::Avg), "")),
        ("a.count()", plain("", "", Some(Aggregate::Count), "")),
    ] {
        assert_eq!(select(text), [leaf(expected)], "{text}");
    }
}

#[test]
fn count_alone_counts_rows_but_stays_a_name_elsewhere() {
    let counted = |alias: &str, cast: &str| SelectItem::Field {
        field: column("*"),
        aggregate: Some(Aggregate::Count),
        aggregate_cast: some(cast),
        cast: None,
        alias: some(alias),
    };
    assert_eq!(select("count()"), [leaf(counted("", ""))]);
    assert_eq!(select("n:count()::text"), [leaf(counted("n", "text"))]);
    assert_eq!(select("count"), [leaf(item(column("count")))]);
    assert!(query("select=count(id)").is_err());
}

#[test]
fn relations_take_alias_hint_and_join_in_any_order() {
    for (text, expected) in [
        ("r()", relation("r", "", "", None)),
        ("x:r()", relation("r", "x", "", None)),
        ("r!hint()", relation("r", "", "hint", None)),
        ("r!inner()", relation("r", "", "", Some(JoinType::Inner))),
        ("r!left()", relation("r", "", "", Some(JoinType::Left))),
        ("x:r!inner!hint()", relation("r", "x", "hint", Some(JoinType::Inner))),
        ("r!hint!inner()", relation("r", "", "hint", Some(JoinType::Inner))),
        ("r!one!two()", relation("r", "", "one", None)),
    ] {
        assert_eq!(select(text), [leaf(expected)], "{text}");
    }
}

#[test]
fn embeds_and_spreads_nest() {
    let spread =
        SelectItem::Spread { name: "c".to_owned(), hint: some("h"), join_type: Some(JoinType::Inner) };
    let expected = [
        leaf(item(column("*"))),
        SelectNode {
            item: relation("a", "", "", None),
            children: vec![
                leaf(item(column("id"))),
                SelectNode { item: relation("b", "", "", None), children: vec![leaf(item(column("*")))] },
            ],
        },
        SelectNode { item: spread, children: vec![leaf(item(column("name")))] },
    ];
    assert_eq!(select("*,a(id,b(*)),...c!h!inner(name)"), expected);
    assert_eq!(select("*, a( id , b(*)) , ...c!h!inner(name)"), expected);
}

#[test]
fn what_does_not_begin_like_a_select_selects_nothing_and_text_behind_its_end_is_ignored() {
    assert_eq!(select("!"), []);
    assert_eq!(select("*!hint"), []);
    assert_eq!(select("id)anything"), [leaf(item(column("id")))]);
    assert_eq!(select("r()anything"), [leaf(relation("r", "", "", None))]);
}

#[test]
fn orders_take_direction_and_nulls_for_columns_and_related_columns() {
    let term = |relation: &str, field: Field, direction, nulls| OrderTerm {
        relation: some(relation),
        field,
        direction,
        nulls,
    };
    let path = inside("j", &[JsonOperation::Arrow(key("k"))]);
    for (text, expected) in [
        ("a", term("", column("a"), None, None)),
        ("a.asc", term("", column("a"), Some(OrderDirection::Asc), None)),
        ("a.nullsfirst", term("", column("a"), None, Some(OrderNulls::First))),
        ("a.desc.nullslast", term("", column("a"), Some(OrderDirection::Desc), Some(OrderNulls::Last))),
        ("j->k.desc", term("", path.clone(), Some(OrderDirection::Desc), None)),
        ("r(a)", term("r", column("a"), None, None)),
        ("r(j->k).asc.nullsfirst", term("r", path, Some(OrderDirection::Asc), Some(OrderNulls::First))),
    ] {
        let both = format!("x.r.order={}&order=b, {}", encode(text), encode(text));
        let order = query(&both).unwrap().order;
        assert_eq!(order[0], (vec!["x".to_owned(), "r".to_owned()], vec![expected.clone()]), "{text}");
        assert_eq!(order[1], (vec![], vec![term("", column("b"), None, None), expected]), "{text}");
    }
}
