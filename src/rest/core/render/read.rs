//! A read tree as SQL: nested lateral joins, and the count of its rows. Pure.

use std::sync::Arc;

use crate::catalog::model::{Cardinality, QualifiedName, Relationship};
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::model::{Embed, ReadNode, Spread, SpreadField};
use crate::rest::core::render::field;
use crate::rest::core::request::JoinType;

/// The SELECT for `node` and everything below it.
pub(super) fn query(sql: &mut SqlBuf, node: &ReadNode) {
    let owner = owner(node);
    sql.lit("SELECT ");
    select_list(sql, node, &owner);
    from(sql, node);
    joins(sql, node);
    where_clause(sql, node, &owner);
    group_by(sql, node, &owner);
    field::order_by(sql, &owner, &node.order);
    limit(sql, node);
}

/// What the node's columns are qualified with.
fn owner(node: &ReadNode) -> QualifiedName {
    match (&node.alias, node.relationship.as_deref()) {
        (Some(alias), _) => QualifiedName::new("", alias.clone()),
        (None, Some(Relationship::Computed { function, .. })) => {
            QualifiedName::new("", function.name.clone())
        }
        (None, _) => node.from.clone(),
    }
}

fn select_list(sql: &mut SqlBuf, node: &ReadNode, owner: &QualifiedName) {
    let mut list = List::new("", ", ");
    if node.select.is_empty() && node.children.is_empty() {
        list.item(sql);
        field::column(sql, owner, "*");
    }
    for item in &node.select {
        list.item(sql);
        field::select_field(sql, owner, item);
    }
    if let Some(Spread::ToMany { extra_select, .. }) = &node.spread {
        for (relation, item) in extra_select {
            list.item(sql);
            match relation {
                Some(relation) => field::select_field(sql, &QualifiedName::new("", relation.clone()), item),
                None => field::select_field(sql, owner, item),
            }
        }
    }
    for embed in &node.embeds {
        select_embed(sql, &mut list, embed);
    }
}

/// Writes what stands before the first item of a list and between the others.
struct List {
    opening: &'static str,
    separator: &'static str,
    started: bool,
}

impl List {
    fn new(opening: &'static str, separator: &'static str) -> Self {
        Self { opening, separator, started: false }
    }

    fn item(&mut self, sql: &mut SqlBuf) {
        sql.lit(if self.started { self.separator } else { self.opening });
        self.started = true;
    }
}

fn select_embed(sql: &mut SqlBuf, list: &mut List, embed: &Embed) {
    match embed {
        Embed::Json { is_empty: true, .. } => {}
        Embed::Json { name, aggregate_alias, is_object: true, .. } => {
            list.item(sql);
            sql.lit("row_to_json(").ident(aggregate_alias).lit(".*)::jsonb AS ").ident(name);
        }
        Embed::Json { name, aggregate_alias, is_object: false, .. } => {
            list.item(sql);
            sql.lit("COALESCE(").ident(aggregate_alias).lit(".").ident(aggregate_alias);
            sql.lit(", '[]') AS ").ident(name);
        }
        Embed::Spread { fields, aggregate_alias } => {
            for item in fields {
                list.item(sql);
                field::spread_field(sql, aggregate_alias, item);
            }
        }
    }
}

fn from(sql: &mut SqlBuf, node: &ReadNode) {
    sql.lit(" FROM ");
    if node.rows.is_some() {
        sql.lit("(SELECT * FROM ");
    }
    match node.relationship.as_deref() {
        // The argument is cast to its row type, since after a write or call it is a row of the source.
        Some(Relationship::Computed { function, relation, .. }) => {
            let argument = node.parent_alias.as_ref().unwrap_or(&relation.name);
            sql.name(&function.schema, &function.name).lit("(").ident(argument).lit("::");
            sql.name(&relation.schema, &relation.name).lit(")");
        }
        _ => {
            sql.name(&node.from.schema, &node.from.name);
        }
    }
    if let Some(condition) = &node.rows {
        // Apart from everything else, so that its names mean columns of the relation only.
        sql.lit(" WHERE ").catalog_sql(condition).lit(")");
    }
    field::alias(sql, node.alias.as_ref());
    if let Some(Relationship::ForeignKey { cardinality: Cardinality::ManyToMany(junction), .. }) =
        node.relationship.as_deref()
    {
        sql.lit(", ").name(&junction.relation.schema, &junction.relation.name);
    }
}

fn joins(sql: &mut SqlBuf, node: &ReadNode) {
    for embed in &node.embeds {
        let alias = embed.aggregate_alias();
        if let Some(child) = node.children.iter().find(|child| child.aggregate_alias == *alias) {
            join(sql, embed, child);
        }
    }
}

fn join(sql: &mut SqlBuf, embed: &Embed, child: &ReadNode) {
    let alias = &child.aggregate_alias;
    let is_inner = child.join_type == Some(JoinType::Inner);
    sql.lit(if is_inner { " INNER JOIN LATERAL (" } else { " LEFT JOIN LATERAL (" });
    let arrays: Option<&[SpreadField]> = match (embed, &child.spread) {
        (Embed::Json { is_object: false, .. }, _) => Some(&[]),
        (Embed::Spread { fields, .. }, Some(Spread::ToMany { .. })) => Some(fields),
        _ => None,
    };
    if let Some(fields) = arrays {
        sql.lit("SELECT json_agg(").ident(alias).lit(")::jsonb AS ").ident(alias);
        for item in fields {
            sql.lit(", ");
            spread_array(sql, child, item);
        }
        sql.lit(" FROM (");
        query(sql, child);
        sql.lit(") AS ").ident(alias);
    } else {
        query(sql, child);
    }
    sql.lit(") AS ").ident(alias).lit(" ON ");
    if arrays.is_some() && is_inner {
        sql.ident(alias).lit(" IS NOT NULL");
    } else {
        sql.lit("TRUE");
    }
}

/// One column of a to-many spread as an array, in the spread's own order.
fn spread_array(sql: &mut SqlBuf, child: &ReadNode, item: &SpreadField) {
    let owner = QualifiedName::new("", child.aggregate_alias.clone());
    sql.lit("COALESCE(json_agg(");
    field::column(sql, &owner, &item.name);
    if let Some(Spread::ToMany { order, .. }) = &child.spread {
        field::order_by(sql, &owner, order);
    }
    sql.lit("), '[]')::jsonb AS ").ident(item.alias.as_ref().unwrap_or(&item.name));
}

fn where_clause(sql: &mut SqlBuf, node: &ReadNode, owner: &QualifiedName) {
    let mut conditions = List::new(" WHERE ", " AND ");
    for logic in &node.filters {
        conditions.item(sql);
        field::logic(sql, owner, logic, &field::embed_row_is_null);
    }
    for condition in &node.join_conditions {
        conditions.item(sql);
        field::join_condition(sql, condition);
    }
}

/// Groups by all that is not aggregated, once anything is.
fn group_by(sql: &mut SqlBuf, node: &ReadNode, owner: &QualifiedName) {
    let selects_aggregate = node.select.iter().any(|item| item.aggregate.is_some());
    let spreads_aggregate = node.embeds.iter().any(|embed| match embed {
        Embed::Spread { fields, .. } => fields.iter().any(|item| item.aggregate.is_some()),
        Embed::Json { .. } => false,
    });
    if !selects_aggregate && !spreads_aggregate {
        return;
    }
    let mut list = List::new(" GROUP BY ", ", ");
    for item in node.select.iter().filter(|item| item.aggregate.is_none()) {
        list.item(sql);
        // JSON is not equal to anything: what it is made of is grouped by.
        let is_transformed = item.field.transform.is_some() && item.field.json_path.is_empty();
        match &item.alias {
            Some(alias) if !is_transformed => {
                sql.ident(alias);
            }
            _ => field::field(sql, owner, &item.field),
        }
    }
    for embed in &node.embeds {
        match embed {
            Embed::Json { name, .. } => {
                list.item(sql);
                sql.ident(name);
            }
            Embed::Spread { fields, aggregate_alias } => {
                for item in fields.iter().filter(|item| item.aggregate.is_none()) {
                    list.item(sql);
                    sql.ident(aggregate_alias).lit(".").ident(item.alias.as_ref().unwrap_or(&item.name));
                }
            }
        }
    }
}

fn limit(sql: &mut SqlBuf, node: &ReadNode) {
    if node.range.is_all() {
        return;
    }
    match node.range.limit() {
        Some(limit) => sql.lit(" LIMIT ").bind_text(&limit.to_string()),
        None => sql.lit(" LIMIT ALL"),
    };
    sql.lit(" OFFSET ").bind_text(&node.range.offset().to_string());
}

/// The rows that `node` would have without its range, as `SELECT 1`: inner joins become EXISTS.
pub(super) fn count_query(sql: &mut SqlBuf, node: &ReadNode) {
    let owner = owner(node);
    sql.lit("SELECT 1");
    from(sql, node);
    let mut conditions = List::new(" WHERE ", " AND ");
    let exists = |sql: &mut SqlBuf, negated: bool, alias: &Arc<str>| {
        if let Some(child) = node.children.iter().find(|child| child.aggregate_alias == *alias) {
            sql.lit(if negated { "EXISTS (" } else { "NOT EXISTS (" });
            count_query(sql, child);
            sql.lit(")");
        }
    };
    for logic in &node.filters {
        conditions.item(sql);
        field::logic(sql, &owner, logic, &exists);
    }
    for condition in &node.join_conditions {
        conditions.item(sql);
        field::join_condition(sql, condition);
    }
    for child in node.children.iter().filter(|child| child.join_type == Some(JoinType::Inner)) {
        conditions.item(sql);
        sql.lit("EXISTS (");
        count_query(sql, child);
        sql.lit(")");
    }
}
