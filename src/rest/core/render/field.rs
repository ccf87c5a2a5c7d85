//! Columns, conditions and order terms as SQL. Pure.

use std::sync::Arc;

use crate::catalog::model::{FILE_REFERENCE, QualifiedName};
use crate::kernel::sql::{SqlBuf, TypeName};
use crate::policy::store::mask::masked;
use crate::rest::core::plan::model::{
    JoinCondition, Logic, OrderBy, ResolvedField, SelectField, SpreadField,
};
use crate::rest::core::request::{
    Aggregate, FullTextOperator, IsValue, JsonOperand, JsonOperation, LogicOperator, Operation,
    OperatorExpression, OrderDirection, OrderNulls, QuantifiedOperator, Quantifier, SimpleOperator,
};

/// `owner.column`, or `owner.*`.
pub(super) fn column(sql: &mut SqlBuf, owner: &QualifiedName, name: &str) {
    sql.name(&owner.schema, &owner.name).lit(".");
    if name == "*" {
        sql.lit("*");
    } else {
        sql.ident(name);
    }
}

/// A field with its JSON path, and as `tsvector` where full-text search needs it.
pub(super) fn field(sql: &mut SqlBuf, owner: &QualifiedName, field: &ResolvedField) {
    if let Some(search) = &field.to_tsvector {
        sql.lit("to_tsvector(");
        text_search_language(sql, search.language.as_deref());
    }
    if field.full_row {
        sql.ident(&owner.name);
    } else if field.json_path.is_empty() {
        column(sql, owner, &field.name);
    } else {
        if field.to_json {
            sql.lit("to_jsonb(");
        }
        column(sql, owner, &field.name);
        if field.to_json {
            sql.lit(")");
        }
        json_path(sql, &field.json_path);
    }
    if field.to_tsvector.is_some() {
        sql.lit(")");
    }
}

fn json_path(sql: &mut SqlBuf, path: &[JsonOperation]) {
    for operation in path {
        let operand = match operation {
            JsonOperation::Arrow(operand) => {
                sql.lit("->");
                operand
            }
            JsonOperation::DoubleArrow(operand) => {
                sql.lit("->>");
                operand
            }
        };
        match operand {
            JsonOperand::Key(key) => sql.bind_text(key),
            JsonOperand::Index(index) => sql.bind_text(index).lit("::int"),
        };
    }
}

/// A selected column: representation, cast, aggregate, alias.
pub(super) fn select_field(sql: &mut SqlBuf, owner: &QualifiedName, item: &SelectField) {
    aggregated(sql, item.aggregate, item.aggregate_cast.as_ref(), |sql| {
        casted(sql, item.cast.as_ref(), |sql| match (&item.field.mask, &item.field.transform) {
            (Some(kind), _) => masked(sql, kind, |sql| field(sql, owner, &item.field)),
            (None, Some(_)) if &*item.field.declared_type == FILE_REFERENCE => file(sql, owner, item),
            (None, transform) => transformed(sql, transform.as_ref(), |sql| field(sql, owner, &item.field)),
        });
    });
    alias(sql, item.alias.as_ref());
}

/// A reference to a stored object, or part of what it shows.
fn file(sql: &mut SqlBuf, owner: &QualifiedName, item: &SelectField) {
    if item.aggregate.is_some() && item.field.json_path.is_empty() {
        // JSON has no aggregate but its count.
        return field(sql, owner, &item.field);
    }
    transformed(sql, item.field.transform.as_ref(), |sql| column(sql, owner, &item.field.name));
    json_path(sql, &item.field.json_path);
}

/// A column that a spread brings up, with the aggregate hoisted onto it.
pub(super) fn spread_field(sql: &mut SqlBuf, subquery: &Arc<str>, item: &SpreadField) {
    aggregated(sql, item.aggregate, item.aggregate_cast.as_ref(), |sql| {
        column(sql, &QualifiedName::new("", subquery.clone()), &item.name);
    });
    alias(sql, item.alias.as_ref());
}

pub(super) fn alias(sql: &mut SqlBuf, alias: Option<&Arc<str>>) {
    if let Some(alias) = alias {
        sql.lit(" AS ").ident(alias);
    }
}

fn aggregated(
    sql: &mut SqlBuf,
    aggregate: Option<Aggregate>,
    cast: Option<&TypeName>,
    inner: impl FnOnce(&mut SqlBuf),
) {
    let Some(aggregate) = aggregate else { return inner(sql) };
    casted(sql, cast, |sql| {
        sql.lit(match aggregate {
            Aggregate::Sum => "sum(",
            Aggregate::Avg => "avg(",
            Aggregate::Max => "max(",
            Aggregate::Min => "min(",
            Aggregate::Count => "count(",
        });
        inner(sql);
        sql.lit(")");
    });
}

fn casted(sql: &mut SqlBuf, cast: Option<&TypeName>, inner: impl FnOnce(&mut SqlBuf)) {
    let Some(cast) = cast else { return inner(sql) };
    sql.lit("CAST(");
    inner(sql);
    sql.lit(" AS ").type_name(cast).lit(")");
}

/// A value passed through the function of a domain representation.
pub(super) fn transformed(sql: &mut SqlBuf, function: Option<&Arc<str>>, inner: impl FnOnce(&mut SqlBuf)) {
    let Some(function) = function else { return inner(sql) };
    sql.catalog_sql(function).lit("(");
    inner(sql);
    sql.lit(")");
}

/// `ORDER BY …`, or nothing.
pub(super) fn order_by(sql: &mut SqlBuf, owner: &QualifiedName, terms: &[OrderBy]) {
    if terms.is_empty() {
        return;
    }
    sql.lit(" ORDER BY ").join(", ", terms, |sql, term| {
        match &term.relation {
            Some(relation) => field(sql, &QualifiedName::new("", relation.clone()), &term.field),
            None => field(sql, owner, &term.field),
        }
        match term.direction {
            Some(OrderDirection::Asc) => sql.lit(" ASC"),
            Some(OrderDirection::Desc) => sql.lit(" DESC"),
            None => sql,
        };
        match term.nulls {
            Some(OrderNulls::First) => sql.lit(" NULLS FIRST"),
            Some(OrderNulls::Last) => sql.lit(" NULLS LAST"),
            None => sql,
        };
    });
}

pub(super) fn join_condition(sql: &mut SqlBuf, condition: &JoinCondition) {
    column(sql, &condition.left.0, &condition.left.1);
    sql.lit(" = ");
    column(sql, &condition.right.0, &condition.right.1);
}

/// A condition tree; `embed_is_null` writes the conditions on embeds, which differ in a count.
pub(super) fn logic(
    sql: &mut SqlBuf,
    owner: &QualifiedName,
    tree: &Logic,
    embed_is_null: &dyn Fn(&mut SqlBuf, bool, &Arc<str>),
) {
    match tree {
        Logic::Group { negated, operator, members } => {
            sql.lit(if *negated { "NOT (" } else { "(" });
            let separator = match operator {
                LogicOperator::And => " AND ",
                LogicOperator::Or => " OR ",
            };
            sql.join(separator, members, |sql, member| logic(sql, owner, member, embed_is_null)).lit(")");
        }
        Logic::Filter { field, expression } => filter(sql, owner, field, expression),
        Logic::EmbedIsNull { negated, aggregate_alias } => embed_is_null(sql, *negated, aggregate_alias),
    }
}

/// Conditions of a write, which has no embeds.
pub(super) fn plain_logic(sql: &mut SqlBuf, owner: &QualifiedName, tree: &Logic) {
    logic(sql, owner, tree, &embed_row_is_null);
}

/// Whether the lateral subquery of an embed gave a row.
pub(super) fn embed_row_is_null(sql: &mut SqlBuf, negated: bool, aggregate_alias: &Arc<str>) {
    sql.ident(aggregate_alias).lit(if negated {
        " IS DISTINCT FROM NULL"
    } else {
        " IS NOT DISTINCT FROM NULL"
    });
}

fn filter(sql: &mut SqlBuf, owner: &QualifiedName, left: &ResolvedField, expression: &OperatorExpression) {
    if expression.negated {
        sql.lit("NOT ");
    }
    field(sql, owner, left);
    let value = |sql: &mut SqlBuf, text: &str| {
        transformed(sql, left.transform.as_ref(), |sql| {
            sql.bind_text(text);
        });
    };
    match &expression.operation {
        Operation::Simple(operator, text) => {
            sql.lit(simple_operator(*operator));
            value(sql, text);
        }
        Operation::Quantified(operator, quantifier, text) => {
            sql.lit(quantified_operator(*operator));
            quantified(sql, *quantifier, |sql| match operator {
                QuantifiedOperator::Like | QuantifiedOperator::ILike => {
                    sql.bind_text(&text.replace('*', "%"));
                }
                _ => value(sql, text),
            });
        }
        Operation::In(values) => in_list(sql, left, values),
        Operation::Is(value) => {
            sql.lit(is_value(*value));
        }
        Operation::IsDistinctFrom(text) => {
            sql.lit(" IS DISTINCT FROM ").bind_text(text);
        }
        Operation::FullText(operator, language, text) => {
            sql.lit(full_text_operator(*operator));
            text_search_language(sql, language.as_deref());
            sql.bind_text(text).lit(")");
        }
    }
}

fn text_search_language(sql: &mut SqlBuf, language: Option<&str>) {
    if let Some(language) = language {
        sql.bind_text(language).lit(", ");
    }
}

fn quantified(sql: &mut SqlBuf, quantifier: Option<Quantifier>, inner: impl FnOnce(&mut SqlBuf)) {
    match quantifier {
        Some(Quantifier::Any) => sql.lit("ANY("),
        Some(Quantifier::All) => sql.lit("ALL("),
        None => return inner(sql),
    };
    inner(sql);
    sql.lit(")");
}

/// `= ANY (array)`, which takes an empty list and is one prepared statement for every length.
fn in_list(sql: &mut SqlBuf, left: &ResolvedField, values: &[String]) {
    if matches!(values, [only] if only.is_empty()) {
        sql.lit(" = ANY ('{}')");
        return;
    }
    let array = array_literal(values);
    match &left.transform {
        None => sql.lit(" = ANY (").bind_text(&array).lit(")"),
        Some(function) => sql
            .lit(" = ANY (SELECT ")
            .catalog_sql(function)
            .lit("(unnest(")
            .bind_text(&array)
            .lit("::text[])))"),
    };
}

/// The text of a PostgreSQL array of strings; see "Array Input and Output Syntax".
pub(super) fn array_literal(values: &[String]) -> String {
    let mut text = String::with_capacity(values.iter().map(|value| value.len() + 3).sum::<usize>() + 2);
    text.push('{');
    for (index, value) in values.iter().enumerate() {
        text.push_str(if index > 0 { ",\"" } else { "\"" });
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push('}');
    text
}

fn simple_operator(operator: SimpleOperator) -> &'static str {
    match operator {
        SimpleOperator::NotEqual => " <> ",
        SimpleOperator::Contains => " @> ",
        SimpleOperator::Contained => " <@ ",
        SimpleOperator::Overlap => " && ",
        SimpleOperator::StrictlyLeft => " << ",
        SimpleOperator::StrictlyRight => " >> ",
        SimpleOperator::NotExtendsRight => " &< ",
        SimpleOperator::NotExtendsLeft => " &> ",
        SimpleOperator::Adjacent => " -|- ",
    }
}

fn quantified_operator(operator: QuantifiedOperator) -> &'static str {
    match operator {
        QuantifiedOperator::Equal => " = ",
        QuantifiedOperator::GreaterThanEqual => " >= ",
        QuantifiedOperator::GreaterThan => " > ",
        QuantifiedOperator::LessThanEqual => " <= ",
        QuantifiedOperator::LessThan => " < ",
        QuantifiedOperator::Like => " LIKE ",
        QuantifiedOperator::ILike => " ILIKE ",
        QuantifiedOperator::Match => " ~ ",
        QuantifiedOperator::IMatch => " ~* ",
    }
}

/// Keywords, since PostgreSQL takes no parameter after IS.
fn is_value(value: IsValue) -> &'static str {
    match value {
        IsValue::Null => " IS NULL",
        IsValue::NotNull => " IS NOT NULL",
        IsValue::True => " IS TRUE",
        IsValue::False => " IS FALSE",
        IsValue::Unknown => " IS UNKNOWN",
    }
}

fn full_text_operator(operator: FullTextOperator) -> &'static str {
    match operator {
        FullTextOperator::Plain => " @@ to_tsquery(",
        FullTextOperator::PlainTo => " @@ plainto_tsquery(",
        FullTextOperator::PhraseTo => " @@ phraseto_tsquery(",
        FullTextOperator::WebSearchTo => " @@ websearch_to_tsquery(",
    }
}
