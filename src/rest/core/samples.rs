//! What the tests of the pure core share: requests as a test writes them, and the catalog of a small shop. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::parse::{ParseConfig, RequestError, RequestParts, parse};
use super::plan::error::PlanError;
use super::plan::model::Plan;
use super::plan::{PlanOptions, plan};
use super::request::ApiRequest;
use crate::catalog::model::{
    Catalog, Column, Function, Parameter, QualifiedName, Relation, Relationship, Representation, ReturnType,
    ReturnValue, Volatility,
};
use crate::catalog::relations::{ForeignKey, derive};
use crate::catalog::samples::{column, function, parameter, relation, sample_catalog, with_columns};

/// The schema of the shop, the only one exposed.
const SCHEMA: &str = "test";

/// Everything is switched on and nothing limited.
pub(in crate::rest) const OPTIONS: PlanOptions =
    PlanOptions { max_rows: None, aggregates: true, plans: true, target_names: false };

pub(in crate::rest) fn config() -> ParseConfig {
    ParseConfig {
        schemas: vec![SCHEMA.to_owned()],
        root_function: None,
        root_enabled: true,
        allow_transaction_end: true,
    }
}

/// A request as a test writes it.
pub(in crate::rest) struct Request<'a> {
    pub(in crate::rest) method: Method,
    pub(in crate::rest) url: &'a str,
    pub(in crate::rest) headers: &'a [(&'a str, &'a str)],
    pub(in crate::rest) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(in crate::rest) fn get(url: &'a str) -> Self {
        Self { method: Method::GET, url, headers: &[], body: b"" }
    }

    pub(in crate::rest) fn of(
        method: &str,
        url: &'a str,
        headers: &'a [(&'a str, &'a str)],
        body: &'a str,
    ) -> Self {
        Self { method: method.parse().unwrap(), url, headers, body: body.as_bytes() }
    }

    pub(in crate::rest) fn parse(&self) -> Result<ApiRequest, RequestError> {
        self.parse_with(&config())
    }

    pub(in crate::rest) fn parse_with(&self, config: &ParseConfig) -> Result<ApiRequest, RequestError> {
        let (path, query) = self.url.split_once('?').unwrap_or((self.url, ""));
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let parts =
            RequestParts { method: &self.method, resource_path: path, path, query, headers: &headers };
        parse(&parts, config, Bytes::copy_from_slice(self.body))
    }

    /// The plan on [`shop`], for a request that parses.
    pub(in crate::rest) fn plan(&self) -> Result<Plan, PlanError> {
        self.plan_with(&OPTIONS)
    }

    /// The plan on another catalog.
    pub(in crate::rest) fn plan_on(&self, catalog: &Catalog) -> Result<Plan, PlanError> {
        plan(&self.parse().unwrap(), catalog, &OPTIONS)
    }

    pub(in crate::rest) fn plan_with(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        plan(&self.parse().unwrap(), &shop(), options)
    }
}

/// A shop: clients have invoices (to-many), a profile (one-to-one) and a computed `latest_invoice`; invoices have
/// products through `line_items` (many-to-many); staff refer to themselves; orders refer to addresses twice.
/// The color of a product is a domain with representations.
pub(in crate::rest) fn shop() -> Catalog {
    let relations = vec![
        table("clients", &["id"], &[("id", "integer"), ("name", "text")]),
        table(
            "invoices",
            &["id"],
            &[
                ("id", "integer"),
                ("client_id", "integer"),
                ("total", "numeric"),
                ("data", "jsonb"),
                ("note", "text"),
            ],
        ),
        products(),
        table(
            "line_items",
            &["invoice_id", "product_id"],
            &[("invoice_id", "integer"), ("product_id", "integer")],
        ),
        table("profiles", &["client_id"], &[("client_id", "integer"), ("bio", "text")]),
        table("staff", &["id"], &[("id", "integer"), ("boss_id", "integer")]),
        table("addresses", &["id"], &[("id", "integer"), ("city", "text")]),
        table("orders", &["id"], &[("id", "integer"), ("bill_to", "integer"), ("ship_to", "integer")]),
        table("notes", &[], &[("id", "integer")]),
        read_only("report", &[("month", "date"), ("total", "numeric")]),
    ];
    let mut catalog = sample_catalog(relations, functions());
    catalog.schemas = vec![SCHEMA.into()];
    catalog.version = 1;
    let primary_keys: HashMap<QualifiedName, Vec<Arc<str>>> = catalog
        .relations
        .values()
        .map(|relation| (relation.name.clone(), relation.primary_key.clone()))
        .collect();
    let exposed = HashSet::from([Arc::from(SCHEMA)]);
    catalog.relationships = derive(&foreign_keys(), &[], &primary_keys, computed(), &exposed)
        .into_iter()
        .map(|(key, found)| (key, Arc::new(found)))
        .collect();
    let results = ["latest_invoice", "open_invoices"]
        .map(|function| ((name("clients"), Arc::from(function)), vec![name("invoices")]));
    catalog.row_results = Arc::new(results.into());
    for (source, target) in [("test.color", "json"), ("json", "test.color"), ("text", "test.color")] {
        Arc::make_mut(&mut catalog.representations)
            .insert((source.into(), target.into()), representation(source, target));
    }
    catalog
}

pub(in crate::rest) fn name(name: &str) -> QualifiedName {
    QualifiedName::new(SCHEMA, name)
}

fn table(name: &str, primary_key: &[&str], columns: &[(&str, &str)]) -> Relation {
    let columns = columns.iter().map(|(name, data_type)| column(name, data_type)).collect();
    let mut table = with_columns(relation(SCHEMA, name), columns);
    table.primary_key = primary_key.iter().map(|column| Arc::from(*column)).collect();
    table
}

fn read_only(name: &str, columns: &[(&str, &str)]) -> Relation {
    Relation { insertable: false, updatable: false, deletable: false, ..table(name, &[], columns) }
}

fn products() -> Relation {
    let mut products =
        table("products", &["id"], &[("id", "integer"), ("name", "text"), ("words", "tsvector")]);
    products.columns.get_mut("id").unwrap().default = Some("nextval('ids'::regclass)".into());
    let color = Column { data_type: "integer".into(), ..column("color", "test.color") };
    products.columns.insert("color".into(), color);
    products
}

fn representation(source: &str, target: &str) -> Representation {
    let function = format!("test.{}_to_{}", source.replace("test.", ""), target.replace("test.", ""));
    Representation { source_type: source.into(), target_type: target.into(), function: function.into() }
}

fn foreign_keys() -> Vec<ForeignKey> {
    [
        ("invoices", "client_id", "clients", false),
        ("line_items", "invoice_id", "invoices", false),
        ("line_items", "product_id", "products", false),
        ("profiles", "client_id", "clients", true),
        ("staff", "boss_id", "staff", false),
        ("orders", "bill_to", "addresses", false),
        ("orders", "ship_to", "addresses", false),
    ]
    .into_iter()
    .map(|(table, column, foreign_table, is_unique)| ForeignKey {
        constraint: format!("{table}_{column}_fkey").into(),
        table: name(table),
        foreign_table: name(foreign_table),
        columns: vec![(column.into(), "id".into())],
        is_unique,
    })
    .collect()
}

fn computed() -> Vec<Relationship> {
    [("latest_invoice", true), ("open_invoices", false)]
        .into_iter()
        .map(|(function, to_one)| Relationship::Computed {
            function: name(function),
            relation: name("clients"),
            foreign_relation: name("invoices"),
            to_one,
            is_self: false,
        })
        .collect()
}

fn functions() -> Vec<Function> {
    let integer = || ReturnValue::Scalar(QualifiedName::new("pg_catalog", "int4"));
    let clients = || ReturnValue::Composite { relation: name("clients"), is_alias: false };
    let optional = |parameter: Parameter| Parameter { required: false, ..parameter };
    let variadic = |parameter: Parameter| Parameter { variadic: true, ..parameter };
    let stable = |name: &str, params: Vec<Parameter>, returns: ReturnType| Function {
        returns,
        volatility: Volatility::Stable,
        ..function(SCHEMA, name, params)
    };
    vec![
        stable(
            "add",
            vec![parameter("a", "integer"), optional(parameter("b", "integer"))],
            ReturnType::Single(integer()),
        ),
        stable("sum_of", vec![variadic(parameter("numbers", "integer[]"))], ReturnType::Single(integer())),
        stable("numbers", vec![], ReturnType::SetOf(integer())),
        stable("search", vec![parameter("term", "text")], ReturnType::SetOf(clients())),
        stable("newest", vec![], ReturnType::Single(clients())),
        function(SCHEMA, "reset", vec![]),
        function(SCHEMA, "import", vec![parameter("", "jsonb")]),
        function(SCHEMA, "pick", vec![parameter("a", "integer")]),
        function(SCHEMA, "pick", vec![parameter("a", "text")]),
    ]
}
