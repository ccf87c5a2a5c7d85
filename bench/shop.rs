//! What the figures are taken with: a shop of four tables, with and without rules, and a caller. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use goforward::catalog::model::{
    Catalog, Column, ColumnAccess, Generated, Identity, Protection, QualifiedName, Relation, RelationKind,
    RelationSecurity, Restriction, TableSecurityRows,
};
use goforward::catalog::relations::{ForeignKey, derive};
use goforward::catalog::role::Role;
use goforward::policy::desired;
use goforward::policy::model::TableSecurity;
use goforward::rest::core::parse::{ParseConfig, RequestParts, parse};
use goforward::rest::core::plan::PlanOptions;
use goforward::rest::core::protect::ProtectOptions;
use goforward::rest::core::request::ApiRequest;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

const SCHEMA: &str = "public";

/// As `goforward serve` plans by default.
pub const PLANNING: PlanOptions =
    PlanOptions { max_rows: None, aggregates: false, plans: false, target_names: false };

/// As `goforward serve` protects by default.
pub const PROTECTION: ProtectOptions =
    ProtectOptions { relations: true, unfiltered_writes: true, definer_functions: true };

/// Customers with orders, orders with lines, lines with products, and 100 tables beside them.
pub fn shop(rules: &[(&str, Value)]) -> Arc<Catalog> {
    let others = (0..100).map(|number| table(&format!("other_{number}"), "id data note made"));
    let tables = [
        table("customers", "id owner name email phone card note made"),
        table("orders", "id customer_id owner total state note made"),
        table("lines", "id order_id product_id amount price"),
        table("products", "id name price purchase_price description"),
    ];
    let relations: HashMap<_, _> = tables
        .into_iter()
        .chain(others)
        .map(|relation| (relation.name.clone(), Arc::new(relation)))
        .collect();
    let keys = [
        foreign_key("orders", "customer_id", "customers"),
        foreign_key("lines", "order_id", "orders"),
        foreign_key("lines", "product_id", "products"),
    ];
    let primary_keys: HashMap<_, _> =
        relations.values().map(|relation| (relation.name.clone(), relation.primary_key.clone())).collect();
    let relationships = derive(&keys, &[], &primary_keys, Vec::new(), &HashSet::from([Arc::from(SCHEMA)]));
    let role = |bypass_rls| Role { settable: true, bypass_rls, ..Role::default() };
    let roles = [("anon", false), ("authenticated", false), ("service_role", true)];
    let mut catalog = Catalog {
        relations,
        relationships: relationships.into_iter().map(|(key, all)| (key, Arc::new(all))).collect(),
        roles: Arc::new(roles.map(|(name, bypass)| (Arc::from(name), role(bypass))).into()),
        schemas: vec![Arc::from(SCHEMA)],
        version: 1,
        ..Catalog::default()
    };
    let rows = rules.iter().map(|(table, rules)| (name(table), Arc::from(rules.to_string()))).collect();
    catalog.table_security = Arc::new(TableSecurityRows::Read(rows));
    let policies = rules.iter().map(|(table, rules)| (name(table), marks(&catalog, &name(table), rules)));
    catalog.own_policies = Arc::new(policies.collect());
    Arc::new(catalog)
}

/// Rules of every kind on the four tables.
pub fn rules() -> Vec<(&'static str, Value)> {
    let owned = |other: Value| {
        let mut rules = json!({
            "require_auth": true, "require_ownership": true, "ownership_column": "owner",
            "rate_limit": {"requests": 600, "window_seconds": 60}, "ip_allowlist": ["10.0.0.0/8", "192.0.2.0/24"],
        });
        rules.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        rules
    };
    vec![
        (
            "customers",
            owned(json!({
                "field_permissions": {
                    "card": {"masked": true, "mask": "last_four"}, "email": {"masked": true, "mask": "email"},
                    "note": {"allowed_roles": ["staff"]}, "name": {"input": "clean"},
                },
                "hidden_fields": ["made"],
            })),
        ),
        ("orders", owned(json!({"field_permissions": {"note": {"allowed_roles": ["staff"]}}}))),
        ("lines", json!({"require_auth": true, "writable_fields": ["amount"]})),
        ("products", json!({"public_read": true, "require_auth": true, "hidden_fields": ["purchase_price"]})),
    ]
}

/// A request as the parser leaves it.
pub fn request(method: Method, path: &str, query: &str, body: &str) -> ApiRequest {
    let headers = HeaderMap::new();
    let parts = RequestParts { method: &method, resource_path: path, path, query, headers: &headers };
    let config = ParseConfig {
        schemas: vec![SCHEMA.to_owned()],
        root_function: None,
        root_enabled: true,
        allow_transaction_end: false,
    };
    parse(&parts, &config, Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn name(name: &str) -> QualifiedName {
    QualifiedName::new(SCHEMA, name)
}

/// The marks of the policies that the rules ask for, as a server finds them that has put the rules in force.
fn marks(catalog: &Catalog, name: &QualifiedName, rules: &Value) -> Vec<Arc<str>> {
    let security = TableSecurity::parse(rules.clone()).unwrap();
    let policies = desired::restrictive_policies(catalog, name, &security).unwrap();
    policies.iter().map(|policy| Arc::from(policy.mark())).collect()
}

fn table(table: &str, columns: &str) -> Relation {
    let kind = RelationKind::Table;
    Relation {
        name: name(table),
        kind,
        comment: None,
        columns: columns.split(' ').map(|name| (Arc::from(name), column(name))).collect(),
        primary_key: vec![Arc::from("id")],
        insertable: true,
        updatable: true,
        deletable: true,
        security: RelationSecurity {
            kind,
            rls_enabled: true,
            rls_forced: false,
            security_invoker: false,
            owner_rules: false,
            base_relations: Vec::new(),
            owner: Arc::from("owner"),
            has_rules: false,
        },
        protection: Protection::Protected { unforced: Arc::from([]) },
        grants: Vec::new(),
        restriction: Restriction::default(),
    }
}

fn column(name: &str) -> Column {
    let data_type: Arc<str> = Arc::from(match name {
        "owner" => "uuid",
        "made" => "timestamp with time zone",
        "total" | "price" | "purchase_price" => "numeric",
        name if name.ends_with("id") || name == "amount" => "bigint",
        _ => "text",
    });
    Column {
        name: Arc::from(name),
        comment: None,
        nullable: true,
        nominal_type: Arc::clone(&data_type),
        data_type,
        max_length: None,
        default: None,
        enum_values: Vec::new(),
        generated: Generated::No,
        identity: Identity::No,
        is_array: false,
        is_composite: false,
        grants: Vec::new(),
        access: ColumnAccess::FULL,
    }
}

fn foreign_key(from: &str, column: &str, to: &str) -> ForeignKey {
    ForeignKey {
        constraint: Arc::from(format!("{from}_{column}_fkey")),
        table: name(from),
        foreign_table: name(to),
        columns: vec![(Arc::from(column), Arc::from("id"))],
        is_unique: false,
    }
}
