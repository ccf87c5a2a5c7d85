//! Every rule, beside everything that can be public, for every verb by every way in and every kind of caller: status, code
//! and body are those of the precedence table (`precedence.rs`), which knows nothing of the product.
//!
//! One server, a table for each configuration. Transactions are rolled back, so no case sees what another wrote.

mod precedence;

use std::fmt::Write;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::USER;
use crate::harness::{Answer, Caller, Client, Database, Options, TestApp, eventually};
use precedence::{Case, Kind, NEW_ROW, Public, Rule, Verb};

/// Who owns the second row.
const OTHER: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
/// Requests in flight.
const AT_ONCE: usize = 6;

/// A way to do something with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Rest,
    Embed,
    FunctionResult,
    Csv,
    NdJson,
    Count,
    Head,
    Write(Verb, Returned),
}

/// What a write is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returned {
    Nothing,
    Rows,
}

const ENTRIES: [Entry; 13] = [
    Entry::Rest,
    Entry::Embed,
    Entry::FunctionResult,
    Entry::Csv,
    Entry::NdJson,
    Entry::Count,
    Entry::Head,
    Entry::Write(Verb::Insert, Returned::Nothing),
    Entry::Write(Verb::Insert, Returned::Rows),
    Entry::Write(Verb::Update, Returned::Nothing),
    Entry::Write(Verb::Update, Returned::Rows),
    Entry::Write(Verb::Delete, Returned::Nothing),
    Entry::Write(Verb::Delete, Returned::Rows),
];

fn table_of(rule: Rule, public: Public) -> String {
    format!("{rule:?}_{public:?}").to_lowercase()
}

fn configurations() -> impl Iterator<Item = (Rule, Public)> {
    Rule::ALL.into_iter().flat_map(|rule| Public::ALL.map(|public| (rule, public)))
}

/// A table for each configuration, one that all of them refer to, and a function a table that returns its rows.
fn tables_sql() -> String {
    let mut sql = "create table hub (id int primary key); insert into hub values (1);
        alter table hub enable row level security; create policy everybody on hub using (true);"
        .to_owned();
    for (rule, public) in configurations() {
        let table = table_of(rule, public);
        write!(
            sql,
            "create table {table} (id int primary key, owner uuid, name text, secret text, card text,
                                   hub_id int references hub (id));
             insert into {table} select n, case n when 2 then '{OTHER}'::uuid else '{USER}' end, 'name' || n,
                                        'secret' || n, 'card' || n, 1 from generate_series(1, 3) as n;
             create function rows_of_{table}() returns setof {table} language sql stable as
                 'select * from {table}';"
        )
        .unwrap();
        // Where PostgreSQL enforces the rule, the server's own policies are all that opens the table.
        if !rule.is_about_rows() {
            write!(
                sql,
                "alter table {table} enable row level security;
                 create policy everybody on {table} using (true) with check (true);"
            )
            .unwrap();
        }
        let mut settings = rule.settings().to_vec();
        for (name, verb) in [("public_read", Verb::Select), ("public_write", Verb::Insert)] {
            settings.extend(public.covers(verb).then_some((name, "true")));
        }
        let (names, values): (String, String) =
            settings.iter().map(|(name, value)| (format!(", {name}"), format!(", {value}"))).unzip();
        write!(
            sql,
            "insert into goforward.table_security (schema_name, table_name{names}) values ('public', '{table}'{values});"
        )
        .unwrap();
    }
    sql
}

async fn start() -> TestApp {
    let database = Database::create().await;
    database.run(&tables_sql()).await;
    // The functions select whole rows under the caller's role, so columns must not be taken from its grants.
    let options = Options::default()
        .set("rest.tx_end", "rollback")
        .set("security.column_grants", "false")
        .set("security.verified_claim", "app_metadata.verified");
    let app = TestApp::on(database, options).await;
    let user = app.user(USER);
    for (rule, public) in configurations().filter(|(rule, _)| rule.is_about_rows()) {
        let path = format!("/rest/v1/{}?select=id", table_of(rule, public));
        eventually("the policies of a table", async || user.get(&path).await.status == 200).await;
    }
    app
}

fn client(app: &TestApp, kind: Kind) -> Client {
    let user = Caller::user(USER);
    match kind {
        Kind::Anonymous => app.anon(),
        // Whatever users write about themselves counts for nothing.
        Kind::User => {
            app.caller(&user.claim("user_metadata", json!({"verified": true, "app_roles": ["clerk"]})))
        }
        Kind::Verified => app.caller(&user.claim("app_metadata", json!({"verified": true}))),
        Kind::SecondFactor => app.caller(&user.claim("aal", json!("aal2"))),
        Kind::Clerk => app.caller(&user.claim("app_roles", json!(["clerk"]))),
        Kind::Service => app.service(),
    }
}

#[tokio::test]
async fn every_rule_holds_for_every_verb_by_every_way_in_for_every_kind_of_caller() {
    let app = start().await;
    let cases: Vec<(Case, Entry)> = configurations()
        .flat_map(|(rule, public)| Kind::ALL.map(|kind| Case { rule, public, kind }))
        .flat_map(|case| ENTRIES.map(|entry| (case, entry)))
        .collect();
    let clients = Kind::ALL.map(|kind| client(&app, kind));

    let wrong: Vec<String> = stream::iter(&cases)
        .map(async |(case, entry)| {
            let client = &clients[Kind::ALL.iter().position(|kind| *kind == case.kind).unwrap()];
            let answer = ask(client, *case, *entry).await;
            let shown = seen(*case, *entry, &answer);
            let expected = expected(*case, *entry);
            (shown != expected)
                .then(|| format!("{case:?} {entry:?}\n  expected {expected}\n  answered {shown}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(core::future::ready)
        .collect()
        .await;

    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn the_description_of_the_api_shows_each_kind_of_caller_what_it_may_use() {
    let app = start().await;
    for kind in Kind::ALL {
        let document = client(&app, kind).get("/rest/v1/").await.expect_status(200).json();
        for (rule, public) in configurations() {
            let case = Case { rule, public, kind };
            let verbs = [Verb::Select, Verb::Insert, Verb::Update, Verb::Delete];
            let is_usable = verbs.into_iter().any(|verb| case.refusal(verb).is_none());
            let properties = document["definitions"][table_of(rule, public)]["properties"].as_object();
            let shown =
                properties.map(|properties| properties.keys().map(String::as_str).collect::<Vec<_>>());
            let sorted = |mut names: Vec<&'static str>| {
                names.sort_unstable();
                names
            };
            let shown = shown.map(|mut names| {
                names.sort_unstable();
                names
            });
            assert_eq!(shown, is_usable.then(|| sorted(case.columns())), "{case:?}");
        }
    }
}

async fn ask(client: &Client, case: Case, entry: Entry) -> Answer {
    let table = table_of(case.rule, case.public);
    let prefer = |returned| match returned {
        Returned::Nothing => client.clone().prefer("return=minimal"),
        Returned::Rows => client.clone().prefer("return=representation"),
    };
    let all = format!("/rest/v1/{table}?order=id");
    let ids = format!("/rest/v1/{table}?select=id&order=id");
    let written = format!("/rest/v1/{table}?id=gte.1");
    match entry {
        Entry::Rest => client.get(&all).await,
        Entry::Embed => client.get(&format!("/rest/v1/hub?select=id,{table}(*)&{table}.order=id")).await,
        Entry::FunctionResult => client.get(&format!("/rest/v1/rpc/rows_of_{table}?order=id")).await,
        Entry::Csv => client.clone().header("accept", "text/csv").get(&all).await,
        Entry::NdJson => client.clone().header("accept", "application/x-ndjson").get(&all).await,
        Entry::Count => client.clone().prefer("count=exact").get(&ids).await,
        Entry::Head => client.clone().prefer("count=exact").head(&ids).await,
        Entry::Write(Verb::Insert, returned) => {
            let row = json!({"id": NEW_ROW, "hub_id": 1});
            prefer(returned).post(&format!("/rest/v1/{table}"), row).await
        }
        // Of columns all may be written but those of the lists.
        Entry::Write(Verb::Update, returned) => prefer(returned).patch(&written, json!({"hub_id": 1})).await,
        Entry::Write(_, returned) => prefer(returned).send(Method::DELETE, &written, None).await,
    }
}

/// An answer in the form of [`expected`].
fn seen(case: Case, entry: Entry, answer: &Answer) -> Value {
    if answer.status >= 400 {
        // A HEAD has no body to say more.
        let code = if entry == Entry::Head { Value::Null } else { answer.json()["code"].clone() };
        return json!({"status": answer.status, "code": code});
    }
    let body = match entry {
        Entry::Head | Entry::Write(_, Returned::Nothing) => json!(answer.text()),
        Entry::Csv => {
            let text = answer.text();
            let mut lines = text.lines();
            // Without rows there is no header either.
            let header = lines.next().filter(|line| !line.is_empty());
            assert!(header.is_none_or(|names| names == case.columns().join(",")), "{case:?}: {header:?}");
            lines.map(|line| json!(line)).collect()
        }
        Entry::NdJson => {
            answer.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
        }
        _ => answer.json(),
    };
    let count = match entry {
        Entry::Count | Entry::Head => answer.header("content-range"),
        _ => "",
    };
    json!({"status": answer.status, "body": body, "count": count})
}

/// What the precedence table says of a case.
fn expected(case: Case, entry: Entry) -> Value {
    let verb = match entry {
        Entry::Write(verb, _) => verb,
        _ => Verb::Select,
    };
    let shows_rows = matches!(entry, Entry::Write(_, Returned::Rows));
    let mut refusal = case.refusal(verb).or_else(|| shows_rows.then(|| case.refusal(Verb::Select)).flatten());
    if refusal.is_none() && verb == Verb::Insert && !case.takes_new_row(shows_rows) {
        refusal = Some(case.denied());
    }
    if let Some((status, code)) = refusal {
        let code = if entry == Entry::Head { Value::Null } else { json!(code) };
        return json!({"status": status, "code": code});
    }
    let ids = case.rows(verb);
    let rows: Vec<Value> = ids.iter().map(|id| case.row(*id, &json!(format!("name{id}")))).collect();
    let only_ids: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let range = match ids.len() {
        0 => "*/0".to_owned(),
        count => format!("0-{}/{count}", count - 1),
    };
    let (status, body, count) = match entry {
        Entry::Rest
        | Entry::FunctionResult
        | Entry::NdJson
        | Entry::Write(Verb::Update | Verb::Delete, Returned::Rows) => (200, json!(rows), String::new()),
        Entry::Embed => (200, json!([{"id": 1, (table_of(case.rule, case.public)): rows}]), String::new()),
        Entry::Csv => (200, ids.iter().map(|id| json!(csv_line(case, *id))).collect(), String::new()),
        Entry::Count => (200, json!(only_ids), range),
        Entry::Head => (200, json!(""), range),
        Entry::Write(Verb::Insert, Returned::Nothing) => (201, json!(""), String::new()),
        Entry::Write(Verb::Insert | Verb::Select, Returned::Rows) => {
            (201, json!([case.row(NEW_ROW, &Value::Null)]), String::new())
        }
        Entry::Write(_, Returned::Nothing) => (204, json!(""), String::new()),
    };
    json!({"status": status, "body": body, "count": count})
}

fn csv_line(case: Case, id: i64) -> String {
    let row = case.row(id, &json!(format!("name{id}")));
    let values = case.columns().into_iter().map(|column| match &row[column] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    values.collect::<Vec<_>>().join(",")
}
