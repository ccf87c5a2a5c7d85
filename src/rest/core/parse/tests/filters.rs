//! What filters and logic trees may say, and what it means.

use super::selects::{column, inside, key};
use super::{encode, query};
use crate::rest::core::parse::params;
use crate::rest::core::query::{
    Filter, FullTextOperator, IsValue, JsonOperation, LogicOperator, LogicTree, Operation,
    OperatorExpression, QuantifiedOperator, Quantifier, SimpleOperator,
};

fn operation(value: &str) -> OperatorExpression {
    query(&format!("a={}", encode(value))).unwrap().filters.remove(0).1.operation
}

fn plain(operation: Operation) -> OperatorExpression {
    OperatorExpression { negated: false, operation }
}

fn equal(value: &str) -> OperatorExpression {
    plain(Operation::Quantified(QuantifiedOperator::Equal, None, value.to_owned()))
}

fn list(values: &[&str]) -> OperatorExpression {
    plain(Operation::In(values.iter().map(|value| (*value).to_owned()).collect()))
}

#[test]
fn every_operator_has_a_name() {
    use QuantifiedOperator as Q;
    use SimpleOperator as S;
    let value = || "v".to_owned();
    for (name, operator) in [
        ("neq", S::NotEqual),
        ("cs", S::Contains),
        ("cd", S::Contained),
        ("ov", S::Overlap),
        ("sl", S::StrictlyLeft),
        ("sr", S::StrictlyRight),
        ("nxr", S::NotExtendsRight),
        ("nxl", S::NotExtendsLeft),
        ("adj", S::Adjacent),
    ] {
        assert_eq!(operation(&format!("{name}.v")), plain(Operation::Simple(operator, value())));
        assert!(query(&format!("a={name}(any).v")).is_err(), "{name}");
    }
    for (name, operator) in [
        ("eq", Q::Equal),
        ("gte", Q::GreaterThanEqual),
        ("gt", Q::GreaterThan),
        ("lte", Q::LessThanEqual),
        ("lt", Q::LessThan),
        ("like", Q::Like),
        ("ilike", Q::ILike),
        ("match", Q::Match),
        ("imatch", Q::IMatch),
    ] {
        for (quantifier, text) in
            [(None, ""), (Some(Quantifier::Any), "(any)"), (Some(Quantifier::All), "(all)")]
        {
            let expected = Operation::Quantified(operator, quantifier, value());
            assert_eq!(operation(&format!("{name}{text}.v")), plain(expected.clone()));
            let negated = OperatorExpression { negated: true, operation: expected };
            assert_eq!(operation(&format!("not.{name}{text}.v")), negated);
        }
    }
    for (name, operator) in [
        ("fts", FullTextOperator::Plain),
        ("plfts", FullTextOperator::PlainTo),
        ("phfts", FullTextOperator::PhraseTo),
        ("wfts", FullTextOperator::WebSearchTo),
    ] {
        assert_eq!(operation(&format!("{name}.v")), plain(Operation::FullText(operator, None, value())));
        let french = plain(Operation::FullText(operator, Some("french".to_owned()), value()));
        assert_eq!(operation(&format!("{name}(french).v")), french);
    }
    assert_eq!(operation("isdistinct.v"), plain(Operation::IsDistinctFrom(value())));
}

#[test]
fn is_takes_five_words_in_any_case() {
    for (word, value) in [
        ("null", IsValue::Null),
        ("NULL", IsValue::Null),
        ("not_null", IsValue::NotNull),
        ("True", IsValue::True),
        ("false", IsValue::False),
        ("unKNOWN", IsValue::Unknown),
    ] {
        assert_eq!(operation(&format!("is.{word}")), plain(Operation::Is(value)));
    }
}

#[test]
fn a_value_is_everything_behind_the_operator() {
    for value in ["", " ", "a.b.c", "(x)", "\"quoted\"", "new\nline", "日本", "1,2", "%_*\\'", "--;"] {
        assert_eq!(operation(&format!("eq.{value}")), equal(value));
    }
}

#[test]
fn lists_hold_values_that_may_be_quoted() {
    for (text, expected) in [
        ("(1,2,3)", list(&["1", "2", "3"])),
        ("()", list(&[""])),
        ("(,)", list(&["", ""])),
        ("( a , b )", list(&["a ", " b "])),
        ("(\"a,b\",\"c)\")", list(&["a,b", "c)"])),
        (r#"("a\"b\\c")"#, list(&[r#"a"b\c"#])),
        ("(\"\")", list(&[""])),
        ("(\"a\"b,c)", list(&["\"a\"b", "c"])),
        ("(a\"b)", list(&["a\"b"])),
        ("(NULL)", list(&["NULL"])),
        ("(1,2)ignored", list(&["1", "2"])),
    ] {
        assert_eq!(operation(&format!("in.{text}")), expected, "{text}");
    }
}

#[test]
fn filters_belong_to_levels_and_fields_may_be_paths() {
    let params = query("a.b.c=eq.1&d->e=eq.2&f=eq.3").unwrap();
    let deep = Filter { field: column("c"), operation: equal("1") };
    let path = Filter { field: inside("d", &[JsonOperation::Arrow(key("e"))]), operation: equal("2") };
    let plain = Filter { field: column("f"), operation: equal("3") };
    let level = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(params.filters_root, [path.clone(), plain.clone()]);
    assert_eq!(params.filters, [(level, deep), (vec![], path), (vec![], plain)]);
    assert_eq!(params.filter_fields.into_iter().collect::<Vec<_>>(), ["a.b.c", "d->e", "f"]);
}

#[test]
fn a_read_call_takes_what_is_no_filter_as_an_argument() {
    let params = params::parse("id=eq.1&name=val&name=val2&dot.ted=x&empty=&novalue", true).unwrap();
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(params.params, owned(&[("name", "val"), ("name", "val2"), ("ted", "x"), ("empty", "")]));
    assert_eq!(params.filters_root, [Filter { field: column("id"), operation: equal("1") }]);
    // Text that begins like a filter must be one.
    assert!(params::parse("a=in.x", true).is_err());
    assert!(params::parse("a=not.x", true).is_err());
    assert_eq!(params::parse("a=eqx", true).unwrap().params, owned(&[("a", "eqx")]));
}

#[test]
fn logic_trees_nest_and_may_be_negated() {
    let leaf = |name: &str, operation| LogicTree::Filter(Filter { field: column(name), operation });
    let node = |negated, operator, children| LogicTree::Expression { negated, operator, children };
    let logic = |text: &str| query(text).unwrap().logic.remove(0);
    assert_eq!(
        logic("or=(a.eq.1,not.and( b.in.(1,2) , or(c.is.null,d.not.eq.4) ))"),
        (
            vec![],
            node(
                false,
                LogicOperator::Or,
                vec![
                    leaf("a", equal("1")),
                    node(
                        true,
                        LogicOperator::And,
                        vec![
                            leaf("b", list(&["1", "2"])),
                            node(
                                false,
                                LogicOperator::Or,
                                vec![
                                    leaf("c", plain(Operation::Is(IsValue::Null))),
                                    leaf("d", OperatorExpression { negated: true, ..equal("4") }),
                                ]
                            ),
                        ]
                    ),
                ]
            )
        )
    );
    for name in ["x.y.not.or", "not.x.y.or"] {
        let (path, tree) = logic(&format!("{name}=(a.eq.1)"));
        assert_eq!(path, ["x", "y"]);
        assert_eq!(tree, node(true, LogicOperator::Or, vec![leaf("a", equal("1"))]));
    }
}

#[test]
fn values_inside_a_tree_end_at_commas_and_parentheses_unless_quoted_or_arrays() {
    let value = |text: &str| {
        let tree = query(&format!("and=(a.eq.{},b.eq.2)", encode(text))).unwrap().logic.remove(0).1;
        match tree {
            LogicTree::Expression { mut children, .. } if children.len() == 2 => children.remove(0),
            other => panic!("{other:?}"),
        }
    };
    for (text, expected) in [
        ("x y", "x y"),
        ("\"a,b)\"", "a,b)"),
        (r#""a\"b""#, "a\"b"),
        ("{1,2}", "{1,2}"),
        ("a.b", "a.b"),
        ("", ""),
        ("\"x\"y", "\"x\"y"),
    ] {
        assert_eq!(
            value(text),
            LogicTree::Filter(Filter { field: column("a"), operation: equal(expected) }),
            "{text}"
        );
    }
}
