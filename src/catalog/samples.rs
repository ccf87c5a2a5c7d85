//! Small hand-built catalogs for tests that need no database. Pure.

use std::sync::Arc;

use super::model::{ColumnAccess, Generated, Identity, Restriction};
use super::{
    Catalog, Column, Function, Parameter, Protection, QualifiedName, Relation, RelationKind,
    RelationSecurity, ReturnType, ReturnValue, UnforcedTable, Volatility,
};

pub(crate) fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.into(),
        comment: None,
        nullable: true,
        data_type: data_type.into(),
        nominal_type: data_type.into(),
        max_length: None,
        default: None,
        enum_values: Vec::new(),
        generated: Generated::No,
        identity: Identity::No,
        is_array: data_type.ends_with("[]"),
        is_composite: false,
        grants: Vec::new(),
        access: ColumnAccess::FULL,
    }
}

pub(crate) fn relation(schema: &str, name: &str) -> Relation {
    Relation {
        oid: 0,
        name: QualifiedName::new(schema, name),
        kind: RelationKind::Table,
        comment: None,
        columns: indexmap::IndexMap::new(),
        primary_key: Vec::new(),
        insertable: true,
        updatable: true,
        deletable: true,
        security: RelationSecurity {
            kind: RelationKind::Table,
            rls_enabled: true,
            rls_forced: false,
            owner_rules: false,
            security_invoker: false,
            base_relations: Vec::new(),
            owner: "owner".into(),
            has_rules: false,
        },
        protection: Protection::Protected {
            unforced: [UnforcedTable { name: QualifiedName::new(schema, name), owner: "owner".into() }]
                .into(),
        },
        grants: Vec::new(),
        restriction: Restriction::default(),
    }
}

pub(crate) fn with_columns(mut relation: Relation, columns: Vec<Column>) -> Relation {
    relation.columns = columns.into_iter().map(|column| (Arc::clone(&column.name), column)).collect();
    relation
}

pub(crate) fn parameter(name: &str, data_type: &str) -> Parameter {
    Parameter {
        name: name.into(),
        data_type: data_type.into(),
        type_with_length: data_type.into(),
        required: true,
        variadic: false,
    }
}

pub(crate) fn function(schema: &str, name: &str, params: Vec<Parameter>) -> Function {
    Function {
        name: QualifiedName::new(schema, name),
        comment: None,
        variadic: params.iter().any(|parameter| parameter.variadic),
        params,
        returns: ReturnType::Single(ReturnValue::Scalar(QualifiedName::new("pg_catalog", "void"))),
        volatility: Volatility::Volatile,
        isolation_level: None,
        settings: Vec::new(),
        security_definer: false,
        owner: "owner".into(),
        grants: None,
    }
}

/// A catalog of these; overloads stay in the order given.
pub(crate) fn sample_catalog(relations: Vec<Relation>, functions: Vec<Function>) -> Catalog {
    let relations =
        relations.into_iter().map(|relation| (relation.name.clone(), Arc::new(relation))).collect();
    let mut catalog = Catalog { relations, ..Catalog::default() };
    for function in functions {
        Arc::make_mut(&mut catalog.functions).entry(function.name.clone()).or_default().push(function);
    }
    catalog
}
