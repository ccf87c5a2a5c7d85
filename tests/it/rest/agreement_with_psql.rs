//! A thousand random reads and writes answer what psql answers with `SET ROLE` and the same claims.
//!
//! Two copies of the same database: one behind the server, one for SQL written by hand here. After every step the two
//! answers are compared, in the end the tables. A failure prints the seed that repeats it.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, BOB, CAROL, SHOP};
use crate::harness::{Answer, Caller, Client, Database, TestApp, Walk};

const STEPS: usize = 1_000;

/// How to write a value for a column.
#[derive(Clone, Copy)]
enum Kind {
    Number(usize),
    Text(&'static str),
    Switch,
    List,
    Document,
    Owner,
}

type Columns = &'static [(&'static str, Kind)];

const PRODUCTS: Columns = &[
    ("id", Kind::Number(25)),
    ("name", Kind::Text("product")),
    ("price", Kind::Number(30)),
    ("tags", Kind::List),
    ("data", Kind::Document),
    ("hidden", Kind::Switch),
];
const ORDERS: Columns = &[("id", Kind::Number(40)), ("customer", Kind::Owner), ("note", Kind::Text("order"))];
const LINES: Columns =
    &[("order_id", Kind::Number(40)), ("product_id", Kind::Number(25)), ("quantity", Kind::Number(5))];
const CUSTOMERS: Columns = &[("id", Kind::Owner), ("name", Kind::Text("A")), ("email", Kind::Text("alice"))];

const TABLES: [(&str, Columns, &str); 4] = [
    ("products", PRODUCTS, "id"),
    ("orders", ORDERS, "id"),
    ("order_lines", LINES, "order_id,product_id"),
    ("customers", CUSTOMERS, "id"),
];

/// A step, in the words of the API and in SQL.
struct Step {
    method: Method,
    path: String,
    body: Option<Value>,
    sql: String,
}

#[tokio::test]
async fn a_thousand_random_steps_answer_what_psql_answers() {
    let mirror = Database::create().await;
    mirror.run(SHOP).await;
    let app = TestApp::with_sql(SHOP).await;
    let secret = app.server.keys().jwt_secret;
    let mut walk = Walk::new();

    for number in 0..STEPS {
        let caller = caller(&mut walk);
        let step = if walk.once_in(3) { write(&mut walk, number) } else { read(&mut walk) };
        let client = app.anon().bearer(&caller.token(&secret)).prefer("return=representation");

        let answer = send(&client, &step).await;
        let expected = mirror.as_caller(&caller, &step.sql, step.method != Method::GET).await;

        compare(
            &answer,
            &expected,
            &format!(
                "seed {}, step {number}, {}: {} {} {:?}\n{}",
                walk.seed(),
                caller.claims(),
                step.method,
                step.path,
                step.body,
                step.sql
            ),
        );
    }

    for (table, _, key) in TABLES {
        let sql = format!("select coalesce(json_agg(t order by {key}), '[]')::text from {table} t");
        assert_eq!(
            app.database.value(&sql).await,
            mirror.value(&sql).await,
            "seed {}, {table} in the end",
            walk.seed()
        );
    }
}

async fn send(client: &Client, step: &Step) -> Answer {
    client.send(step.method.clone(), &step.path, step.body.clone()).await
}

fn compare(answer: &Answer, expected: &Result<String, String>, what: &str) {
    match expected {
        Ok(text) => {
            assert!((200..300).contains(&answer.status), "{what}\n{}", answer.text());
            let rows: Value = serde_json::from_str(text).unwrap();
            assert_eq!(answer.json(), rows, "{what}");
        }
        Err(code) => assert_eq!(answer.json()["code"], *code, "{what}\n{}", answer.text()),
    }
}

fn caller(walk: &mut Walk) -> Caller {
    match walk.below(8) {
        0 | 1 => Caller::role_only("anon"),
        2 => Caller::role_only("service_role"),
        3 => Caller::user(CAROL).claim("staff", json!(true)),
        4 => Caller::user(CAROL),
        5 => Caller::user(BOB),
        _ => Caller::user(ALICE),
    }
}

// ---------------------------------------------------------------- reads

fn read(walk: &mut Walk) -> Step {
    match walk.below(10) {
        0 => lines_of_orders(walk),
        1 => product_of_lines(walk),
        _ => rows_of_a_table(walk),
    }
}

fn rows_of_a_table(walk: &mut Walk) -> Step {
    let (table, columns, key) = TABLES[walk.below(TABLES.len())];
    let chosen = choose(walk, columns);
    let (url, condition) = conditions(walk, columns);
    let (limit, offset) = (1 + walk.below(12), walk.below(4));
    let path = format!(
        "/rest/v1/{table}?select={}{url}&order={key}&limit={limit}&offset={offset}",
        chosen.join(",")
    );
    let sql = list(&format!(
        "select {} from {table} where {condition} order by {key} limit {limit} offset {offset}",
        chosen.join(", ")
    ));
    Step { method: Method::GET, path, body: None, sql }
}

fn lines_of_orders(walk: &mut Walk) -> Step {
    let (url, condition) = conditions(walk, ORDERS);
    let path = format!(
        "/rest/v1/orders?select=id,order_lines(product_id,quantity){url}&order=id&limit=5&order_lines.order=product_id.desc"
    );
    let inner = "select coalesce(json_agg(l), '[]') from (select product_id, quantity from order_lines \
                 where order_id = orders.id order by product_id desc) l";
    let sql = list(&format!(
        "select id, ({inner}) as order_lines from orders where {condition} order by id limit 5"
    ));
    Step { method: Method::GET, path, body: None, sql }
}

fn product_of_lines(walk: &mut Walk) -> Step {
    let (url, condition) = conditions(walk, LINES);
    let path = format!(
        "/rest/v1/order_lines?select=quantity,of:products(name,price){url}&order=order_id,product_id&limit=5"
    );
    let inner =
        "select row_to_json(p) from (select name, price from products where products.id = product_id) p";
    let sql = list(&format!(
        "select quantity, ({inner}) as of from order_lines where {condition} order by order_id, product_id limit 5"
    ));
    Step { method: Method::GET, path, body: None, sql }
}

/// The rows of a query as one JSON text.
fn list(query: &str) -> String {
    format!("select coalesce(json_agg(t), '[]')::text from ({query}) t")
}

fn choose(walk: &mut Walk, columns: Columns) -> Vec<&'static str> {
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    while names.len() > 1 && !walk.once_in(3) {
        names.remove(walk.below(names.len()));
    }
    names
}

/// Up to three conditions, as parameters and as SQL.
fn conditions(walk: &mut Walk, columns: Columns) -> (String, String) {
    let (mut url, mut sql) = (String::new(), "true".to_owned());
    for _ in 0..walk.below(4) {
        let one = condition(walk, columns);
        let form = walk.below(4);
        if form == 0 {
            let other = condition(walk, columns);
            write!(url, "&or=({},{})", one.in_a_list(), other.in_a_list()).unwrap();
            write!(sql, " and ({} or {})", one.sql, other.sql).unwrap();
        } else if form == 1 {
            write!(url, "&{}=not.{}.{}", one.name, one.operator, encoded(&one.value)).unwrap();
            write!(sql, " and not ({})", one.sql).unwrap();
        } else {
            write!(url, "&{}={}.{}", one.name, one.operator, encoded(&one.value)).unwrap();
            write!(sql, " and ({})", one.sql).unwrap();
        }
    }
    (url, sql)
}

/// One condition in the words of the API and in SQL.
struct Condition {
    name: &'static str,
    operator: &'static str,
    value: String,
    /// Whether the value must be quoted where commas and brackets are grammar.
    is_text: bool,
    sql: String,
}

impl Condition {
    fn in_a_list(&self) -> String {
        let value = if self.is_text { quoted(&self.value) } else { self.value.clone() };
        format!("{}.{}.{value}", self.name, self.operator)
    }
}

fn condition(walk: &mut Walk, columns: Columns) -> Condition {
    let (name, kind) = columns[walk.below(columns.len())];
    if walk.once_in(8) {
        return Condition {
            name,
            operator: "is",
            value: "null".to_owned(),
            is_text: false,
            sql: format!("{name} is null"),
        };
    }
    let (operator, value, is_text, sql) = match kind {
        Kind::Number(most) => number_condition(walk, name, most),
        Kind::Text(start) => text_condition(walk, name, start),
        Kind::Switch => {
            let value = walk.once_in(2);
            ("is", value.to_string(), false, format!("{name} is {value}"))
        }
        Kind::List => {
            let list = format!("{{tag{},all}}", walk.below(4));
            let (word, sign) = [("cs", "@>"), ("cd", "<@"), ("ov", "&&")][walk.below(3)];
            let sql = format!("{name} {sign} '{list}'");
            (word, list, true, sql)
        }
        Kind::Document => {
            let document = json!({ "color": walk.pick(&["red", "green", "blue", "none"]) }).to_string();
            let sql = format!("{name} @> '{document}'");
            ("cs", document, true, sql)
        }
        Kind::Owner => {
            let owner = walk.pick(&[ALICE, BOB, CAROL]);
            ("eq", owner.to_owned(), false, format!("{name} = '{owner}'"))
        }
    };
    Condition { name, operator, value, is_text, sql }
}

fn number_condition(walk: &mut Walk, name: &str, most: usize) -> (&'static str, String, bool, String) {
    let value = walk.below(most);
    if walk.once_in(4) {
        let list = format!("({value},{})", value + 2);
        let sql = format!("{name} in {list}");
        return ("in", list, false, sql);
    }
    let signs = [("eq", "="), ("neq", "<>"), ("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")];
    let (word, sign) = signs[walk.below(signs.len())];
    (word, value.to_string(), false, format!("{name} {sign} {value}"))
}

fn text_condition(walk: &mut Walk, name: &str, start: &str) -> (&'static str, String, bool, String) {
    let value = text(walk, start);
    match walk.below(4) {
        0 => ("like", format!("{start}*"), true, format!("{name} like '{start}%'")),
        1 => {
            let digit = walk.below(10);
            ("ilike", format!("*{digit}*"), true, format!("{name} ilike '%{digit}%'"))
        }
        2 => {
            let sql = format!("{name} is distinct from {}", constant(&value));
            ("isdistinct", value, true, sql)
        }
        _ => {
            let sql = format!("{name} = {}", constant(&value));
            ("eq", value, true, sql)
        }
    }
}

/// A text that may need quoting in every grammar on its way.
fn text(walk: &mut Walk, start: &str) -> String {
    let ends = [
        " 1",
        " 7",
        " 12",
        "",
        ", (x)",
        "\"quoted\"",
        "\\",
        "'; drop table products; --",
        " ä€😀",
        "%",
        "*",
        " and.eq.",
        "&a=b#c",
    ];
    format!("{start}{}", walk.pick(&ends))
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// In double quotes, percent-encoded.
fn quoted(value: &str) -> String {
    encoded(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// As an SQL constant.
fn constant(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

// ---------------------------------------------------------------- writes

fn write(walk: &mut Walk, number: usize) -> Step {
    match walk.below(6) {
        0 => new_product(walk, number),
        1 => new_order(walk, number),
        2 => priced_anew(walk),
        3 => upserted_product(walk),
        4 => without_orders(walk),
        _ => with_other_note(walk),
    }
}

/// The rows that a writing statement returns.
fn returned(statement: &str, columns: &str) -> String {
    format!("with w as ({statement} returning {columns}) select coalesce(json_agg(w), '[]')::text from w")
}

fn new_product(walk: &mut Walk, number: usize) -> Step {
    // Some have an id that is taken, some a price that the check refuses.
    let id = if walk.once_in(4) { walk.below(20) } else { 1_000 + number };
    let price = if walk.once_in(5) { json!(-1) } else { json!(walk.below(30)) };
    let name = format!("{} {number}", text(walk, "new"));
    let sql = format!("insert into products (id, name, price) values ({id}, {}, {price})", constant(&name));
    Step {
        method: Method::POST,
        path: "/rest/v1/products?select=id,name,price,tags".to_owned(),
        body: Some(json!({ "id": id, "name": name, "price": price })),
        sql: returned(&sql, "id, name, price, tags"),
    }
}

fn new_order(walk: &mut Walk, number: usize) -> Step {
    let owner = walk.pick(&[ALICE, BOB, CAROL]);
    let note = text(walk, "order");
    let sql = format!(
        "insert into orders (id, customer, note) values ({}, '{owner}', {})",
        2_000 + number,
        constant(&note)
    );
    Step {
        method: Method::POST,
        path: "/rest/v1/orders?select=id,customer,note,placed".to_owned(),
        body: Some(json!({ "id": 2_000 + number, "customer": owner, "note": note })),
        sql: returned(&sql, "id, customer, note, placed"),
    }
}

fn priced_anew(walk: &mut Walk) -> Step {
    let (id, price) = (walk.below(25), walk.below(40));
    Step {
        method: Method::PATCH,
        path: format!("/rest/v1/products?id=eq.{id}&select=id,price"),
        body: Some(json!({ "price": price })),
        sql: returned(&format!("update products set price = {price} where id = {id}"), "id, price"),
    }
}

fn upserted_product(walk: &mut Walk) -> Step {
    let (id, price) = (1 + walk.below(25), walk.below(40));
    let name = format!("product {id}");
    let sql = format!(
        "insert into products (id, name, price) values ({id}, '{name}', {price})
         on conflict (id) do update set id = excluded.id, name = excluded.name, price = excluded.price"
    );
    Step {
        method: Method::PUT,
        path: format!("/rest/v1/products?id=eq.{id}&select=id,name,price"),
        body: Some(json!({ "id": id, "name": name, "price": price })),
        sql: returned(&sql, "id, name, price"),
    }
}

fn without_orders(walk: &mut Walk) -> Step {
    let (least, owner) = (walk.below(40), walk.pick(&[ALICE, BOB]));
    Step {
        method: Method::DELETE,
        path: format!("/rest/v1/orders?id=gte.{least}&id=lt.{}&customer=eq.{owner}&select=id", least + 2),
        body: None,
        sql: returned(
            &format!(
                "delete from orders where id >= {least} and id < {} and customer = '{owner}'",
                least + 2
            ),
            "id",
        ),
    }
}

fn with_other_note(walk: &mut Walk) -> Step {
    let (least, note) = (walk.below(40), text(walk, "order"));
    let owner = if walk.once_in(3) { Some(walk.pick(&[ALICE, BOB])) } else { None };
    let mut body = json!({ "note": note });
    let mut set = format!("note = {}", constant(&note));
    if let Some(owner) = owner {
        body["customer"] = json!(owner);
        write!(set, ", customer = '{owner}'").unwrap();
    }
    Step {
        method: Method::PATCH,
        path: format!("/rest/v1/orders?id=eq.{least}&select=id,note,customer"),
        body: Some(body),
        sql: returned(&format!("update orders set {set} where id = {least}"), "id, note, customer"),
    }
}
