//! Generated input: anything at all, near misses of the grammar, and trees that must survive being written and read.

use proptest::prelude::*;

use super::{encode, query};
use crate::rest::core::parse::params;
use crate::rest::core::query::{
    Field, Filter, JsonOperand, JsonOperation, LogicOperator, LogicTree, Operation, OperatorExpression,
    QuantifiedOperator, SelectItem, SelectNode,
};
use crate::rest::core::samples::Request;

/// Pieces of the grammar, so that random text gets past its first character.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "a",
            "id",
            "*",
            "(",
            ")",
            ",",
            ".",
            "->",
            "->>",
            "::",
            ":",
            "!",
            "...",
            "\"",
            "\\",
            "{",
            "}",
            "-",
            "+",
            "not.",
            "and",
            "or",
            "eq.",
            "in.",
            "is.null",
            "fts",
            "(any)",
            "isdistinct.",
            "count()",
            ".sum()",
            "inner",
            "left",
            "asc",
            "desc",
            "nullslast",
            " ",
            "\t",
            "\n",
            "é",
            "日",
            "0",
            "-1",
            "99999999999999999999",
            "&",
            "=",
            "select=",
            "order=",
            "or=",
            "limit=",
            "offset=",
            "columns=",
            "on_conflict=",
            "%",
            "%2C",
            "%FF",
            "%00",
            ";",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(|it| it.to_string()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_$][a-z0-9_$]{0,5}", "\\PC{1,8}"]
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn field() -> impl Strategy<Value = Field> {
    let operand =
        prop_oneof![name().prop_map(JsonOperand::Key), "[+-][0-9]{1,30}".prop_map(JsonOperand::Index),];
    let step = (any::<bool>(), operand).prop_map(|(text, operand)| {
        if text { JsonOperation::DoubleArrow(operand) } else { JsonOperation::Arrow(operand) }
    });
    (name(), prop::collection::vec(step, 0..4)).prop_map(|(name, mut json_path)| {
        // An index before `)` is read as a key.
        while let Some(
            JsonOperation::Arrow(JsonOperand::Index(_)) | JsonOperation::DoubleArrow(JsonOperand::Index(_)),
        ) = json_path.last()
        {
            json_path.pop();
        }
        Field { name, json_path }
    })
}

fn write_field(field: &Field) -> String {
    let step = |step: &JsonOperation| {
        let (arrow, operand) = match step {
            JsonOperation::Arrow(operand) => ("->", operand),
            JsonOperation::DoubleArrow(operand) => ("->>", operand),
        };
        match operand {
            JsonOperand::Key(key) => format!("{arrow}{}", quote(key)),
            JsonOperand::Index(index) => format!("{arrow}{}", index.trim_start_matches('+')),
        }
    };
    quote(&field.name) + &field.json_path.iter().map(step).collect::<String>()
}

fn select_node() -> impl Strategy<Value = SelectNode> {
    let leaf = (field(), prop::option::of(name()), prop::option::of("[a-z0-9]{1,5}")).prop_map(
        |(field, alias, cast)| SelectNode {
            item: SelectItem::Field { field, aggregate: None, aggregate_cast: None, cast, alias },
            children: Vec::new(),
        },
    );
    leaf.prop_recursive(5, 40, 5, |node| {
        (name(), prop::option::of(name()), prop::option::of(name()), prop::collection::vec(node, 0..5))
            .prop_map(|(name, alias, hint, children)| SelectNode {
                item: SelectItem::Relation { name: format!("{name}_"), alias, hint, join_type: None },
                children,
            })
    })
}

fn write_forest(nodes: &[SelectNode]) -> String {
    nodes.iter().map(write_node).collect::<Vec<_>>().join(",")
}

fn write_node(node: &SelectNode) -> String {
    let aliased = |alias: &Option<String>| alias.as_ref().map(|alias| quote(alias) + ":").unwrap_or_default();
    match &node.item {
        SelectItem::Field { field, cast, alias, .. } => {
            let cast = cast.as_ref().map(|cast| format!("::{cast}")).unwrap_or_default();
            format!("{}{}{cast}", aliased(alias), write_field(field))
        }
        SelectItem::Relation { name, alias, hint, .. } => {
            let hint = hint.as_ref().map(|hint| "!".to_owned() + &quote(hint)).unwrap_or_default();
            format!("{}{}{hint}({})", aliased(alias), quote(name), write_forest(&node.children))
        }
        SelectItem::Spread { .. } => unreachable!("not generated"),
    }
}

fn logic_tree() -> impl Strategy<Value = LogicTree> {
    let operation = prop_oneof![
        any::<String>().prop_map(|value| Operation::Quantified(QuantifiedOperator::Equal, None, value)),
        prop::collection::vec(any::<String>(), 1..4).prop_map(Operation::In),
    ];
    let leaf = (field(), any::<bool>(), operation).prop_map(|(field, negated, operation)| {
        LogicTree::Filter(Filter { field, operation: OperatorExpression { negated, operation } })
    });
    let branch = |node: BoxedStrategy<LogicTree>| {
        (any::<bool>(), any::<bool>(), prop::collection::vec(node, 1..4)).prop_map(
            |(negated, and, children)| {
                let operator = if and { LogicOperator::And } else { LogicOperator::Or };
                LogicTree::Expression { negated, operator, children }
            },
        )
    };
    let inner = leaf.prop_recursive(4, 30, 4, move |node| branch(node.boxed()));
    branch(inner.boxed())
}

fn write_tree(tree: &LogicTree) -> String {
    let not = |negated: bool| if negated { "not." } else { "" };
    match tree {
        LogicTree::Expression { negated, operator, children } => {
            let operator = if *operator == LogicOperator::And { "and" } else { "or" };
            let children: Vec<String> = children.iter().map(write_tree).collect();
            format!("{}{operator}({})", not(*negated), children.join(","))
        }
        LogicTree::Filter(Filter { field, operation: OperatorExpression { negated, operation } }) => {
            let value = match operation {
                Operation::Quantified(_, _, value) => format!("eq.{}", quote(value)),
                Operation::In(values) => {
                    format!("in.({})", values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(","))
                }
                _ => unreachable!("not generated"),
            };
            format!("{}.{}{value}", write_field(field), not(*negated))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_query_string_panics_and_every_error_is_a_client_error(text in fragments(), wild in any::<String>()) {
        for text in [text.clone(), wild.clone(), format!("select={text}"), format!("or=({text})"), format!("a={text}")] {
            for result in [query(&text), params::parse(&text, true)] {
                if let Err(error) = result {
                    prop_assert_eq!((error.status_code(), error.code()), (400, "PGRST100"));
                    prop_assert!(!error.message().is_empty());
                    prop_assert!(error.details().is_none_or(|details| details.starts_with("unexpected")));
                }
            }
        }
    }

    #[test]
    fn no_request_panics(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "FOO"]),
        path in prop::sample::select(vec!["/", "/t", "/rpc/f", "/a/b", "", "/%FF"]),
        text in fragments(),
        media in prop::sample::select(vec![
            "application/json", "text/csv", "text/plain", "application/x-www-form-urlencoded", "nonsense",
        ]),
        range in "[0-9-]{0,30}",
        body in prop_oneof![fragments(), "[\\[\\]{}\",:0-9a\\\\ \n]{0,40}"],
    ) {
        let headers = [("content-type", media), ("range", range.as_str()), ("accept", media)];
        let url = format!("{path}?{text}");
        let method: http::Method = method.parse().unwrap();
        if let Err(error) = (Request { method, url: &url, headers: &headers, body: body.as_bytes() }).parse() {
            prop_assert!((400..500).contains(&error.status_code()));
        }
    }

    #[test]
    fn selects_survive_being_written_and_read(nodes in prop::collection::vec(select_node(), 1..5)) {
        let text = write_forest(&nodes);
        let read = query(&format!("select={}", encode(&text))).map(|params| params.select);
        prop_assert_eq!(read.as_ref(), Ok(&nodes), "{}", text);
    }

    #[test]
    fn logic_trees_survive_being_written_and_read(tree in logic_tree()) {
        let text = write_tree(&tree);
        let (name, value) = text.split_at(text.find('(').unwrap());
        let has_nul = text.contains('\0');
        match query(&format!("{name}={}", encode(value))) {
            Ok(params) => prop_assert_eq!(&params.logic, &[(vec![], tree)], "{}", text),
            Err(_) => prop_assert!(has_nul, "{}", text),
        }
    }

    #[test]
    fn lists_survive_being_written_and_read(values in prop::collection::vec("\\PC*", 1..20)) {
        let text: Vec<String> = values.iter().map(|value| quote(value)).collect();
        let read = query(&format!("a=in.({})", encode(&text.join(",")))).unwrap().filters.remove(0).1;
        prop_assert_eq!(read.operation.operation, Operation::In(values));
    }

    #[test]
    fn canonical_queries_are_canonical(text in fragments()) {
        if let Ok(params) = params::parse(&text, true) {
            let mut names: Vec<&str> = params.canonical.split('&').filter_map(|pair| pair.split('=').next()).collect();
            let given = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), given);
            prop_assert!(params.canonical.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%=&,".contains(&byte)));
        }
    }
}
