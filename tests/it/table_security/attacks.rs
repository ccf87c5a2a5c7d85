//! Ways around the rules about columns that a caller could try: names that are spelled otherwise, functions and tables that
//! carry the same rows, media types, headers and errors. The server tells as much as it can be set to, opens relations that
//! nothing protects, and leaves grants alone, so that nothing but the rules stands in the way.

use reqwest::Method;
use serde_json::{Value, json};

use super::USER;
use crate::harness::{Answer, Client, Database, Options, TestApp, eventually};

const VAULT: &str = include_str!("../fixtures/vault.sql");

async fn open_server() -> TestApp {
    let database = Database::create().await;
    database.run(VAULT).await;
    let options = Options::default()
        .set("security.column_grants", "false")
        .set("rest.extra_search_path", "public,annex")
        .set("rest.aggregates_enabled", "true")
        .set("rest.plan_enabled", "true")
        .set("rest.verbose_errors", "true")
        .set("rest.protect_relations", "false")
        .set("rest.allow_unfiltered_writes", "true");
    TestApp::on(database, options).await
}

/// All protected values contain `zq`, and nothing else does.
#[track_caller]
fn expect_no_value(what: &str, answer: &Answer) {
    let text = format!("{} {:?}", answer.text(), answer.headers).to_lowercase();
    assert!(!text.contains("zq"), "{what} gives a protected value away: {} {text}", answer.status);
}

/// Asks for each path and fails if an answer holds a protected value or is not of the status.
async fn expect_each(client: &Client, paths: &[&str], status: impl Fn(u16) -> bool) {
    for path in paths {
        let answer = client.get(&format!("/rest/v1{path}")).await;
        expect_no_value(path, &answer);
        assert!(status(answer.status), "{path}: {} {}", answer.status, answer.text());
    }
}

#[tokio::test]
async fn a_protected_column_has_one_name_and_that_is_refused_however_it_is_written() {
    let app = open_server().await;
    for client in [app.anon(), app.user(USER)] {
        let refused = [
            "/vault?select=hus%00h",
            "/vault?hus%00h=eq.1",
            "/vault?HUSH=eq.x",
            "/vault?%22hush%22=eq.x",
            "/vault?select=%22hush%22",
            "/vault?select=Hush%20%C3%A9",
            "/vault?select=%22Hush%20e%CC%81%22",
            "/vault?Hush%20%C3%A9=is.null",
            "/vault?select=loud",
            "/vault?loud=gt.A",
            "/vault?order=pinned",
            "/vault?select=doc->a",
            "/vault?select=doc->>zq",
            "/vault?select=pin->>a",
            "/vault?select=pin::text",
            "/vault?select=peek",
            "/vault?peek=eq.x",
            "/vault?order=peek",
            "/vault?select=peek_here",
            "/vault?select=vault",
            "/vault?select=vault_1",
            "/vault?select=xmin,ctid,tableoid",
            "/vault?vault.hush=eq.x",
            "/vault?or=(vault.hush.eq.x)",
            "/vault?select=hush.count()",
            "/vault?select=pin,count()",
            "/vault?select=pin,id.max()",
            "/vault_whole",
            "/vault_whole?select=id",
            "/rpc/all_vault?select=hush",
            "/rpc/all_vault?order=hush",
            "/keyed?hush=eq.x",
            "/boxes?select=id,vault!label(*)",
            "/boxes?select=id,vault!boxes_label_fkey(*)",
            "/vault?select=id,boxes!label(id)",
            "/boxes?select=id,vault!inner(pin)&vault.pin=eq.1",
            "/boxes?select=...vault(hush.max())",
            "/boxes?select=id.count(),...vault(pin)",
            "/boxes?select=...vault(pin)&order=vault(pin)",
        ];
        expect_each(&client, &refused, |status| (400..500).contains(&status)).await;
    }
}

#[tokio::test]
async fn rows_of_a_protected_table_are_as_narrow_wherever_they_come_from() {
    let app = open_server().await;
    let user = app.user(USER);
    let served = [
        "/vault",
        "/vault?select=count()",
        "/vault_names",
        "/vault_copy",
        "/ledger",
        "/keyed",
        "/boxes?select=id,vault(*)",
        "/boxes?select=id,...vault(pin)",
        "/boxes?select=id,vault_of(*)",
        "/boxes?select=id,vaults_of(*)",
        "/vault?select=id,boxes(id,vault_of(*))",
        "/rpc/all_vault",
        "/rpc/all_vault?select=boxes(vaults_of(*))",
    ];
    expect_each(&user, &served, |status| status == 200).await;
    for accept in ["text/csv", "application/x-ndjson", "application/vnd.pgrst.array+json;nulls=stripped"] {
        expect_each(&user.clone().header("accept", accept), &served, |status| status == 200).await;
    }
}

#[tokio::test]
async fn a_field_that_is_a_whole_row_of_a_protected_table_is_no_field() {
    let app = open_server().await;
    let user = app.user(USER);
    let refused = [
        "/boxes?select=id,vault_of",
        "/boxes?select=id,vaults_of",
        "/boxes?select=id,vault_list",
        "/boxes?select=id,vault_domain",
        "/boxes?select=id,vault_beside",
        "/boxes?select=x:vault_of::text",
        "/boxes?select=vault_of->>hush",
        "/boxes?select=vault_of.count()",
        "/boxes?vault_of->>hush=eq.x",
        "/boxes?or=(id.eq.1,vault_of->>hush.gt.x)",
        "/boxes?order=vault_of->>hush",
        "/vault?select=id,boxes(vault_of)",
        "/vault?select=id,boxes(id)&boxes.order=vault_of->>hush",
        "/rpc/all_vault?select=boxes(vaults_of)",
    ];
    expect_each(&user, &refused, |status| status == 403).await;
    let returning = user.clone().prefer("return=representation");
    let made = returning.post("/rest/v1/boxes?select=id,vault_of", json!({"id": 71, "vault_id": 1})).await;
    expect_no_value("the representation of a write", &made.expect_error(403, "42501"));
    let changed = returning.patch("/rest/v1/boxes?vault_of->>hush=like.z*", json!({"label": null})).await;
    changed.expect_error(403, "42501");
    // Whom rules do not bind it is there.
    let rows = app.service().get("/rest/v1/boxes?select=vault_of&id=eq.10").await.expect_status(200).json();
    assert_eq!(rows[0]["vault_of"]["hush"], "zq-alpha");
}

#[tokio::test]
async fn tables_that_inherit_are_under_the_rules_of_their_parents() {
    let app = open_server().await;
    let user = app.user(USER);

    user.get("/rest/v1/vault_child")
        .await
        .expect_json(&json!([{"id": 3, "Na\"me": "three", "pin": "pin", "extra": 5}]));
    user.get("/rest/v1/rpc/all_children")
        .await
        .expect_json(&json!([{"id": 3, "Na\"me": "three", "pin": "pin", "extra": 5}]));
    let changed = user.clone().prefer("return=representation");
    let changed = changed.patch("/rest/v1/vault_child?id=eq.3", json!({"extra": 7})).await;
    expect_no_value("the representation of a write", &changed.expect_status(200));
    let refused = [
        "/vault_child?select=hush",
        "/vault_child?hush=gt.a",
        "/vault_child?order=pin",
        "/rpc/all_children?select=hush",
        "/rpc/north",
        "/rpc/north?select=id",
    ];
    expect_each(&user, &refused, |status| status == 403).await;
    user.get("/rest/v1/ledger_north").await.expect_status(404);
    // PostgreSQL holds only who asks the parent to the parent's policies.
    expect_each(&user, &["/owned_child", "/rpc/owned_children"], |status| status == 403).await;
    let seen = async || user.get("/rest/v1/owned").await.text() == "[]";
    eventually("the parent to be served without rows of others", seen).await;
}

#[tokio::test]
async fn no_media_type_shows_more_than_json_does() {
    let app = open_server().await;
    let user = app.user(USER);
    for path in
        ["/rest/v1/vault", "/rest/v1/rpc/all_vault", "/rest/v1/vault_child", "/rest/v1/vault?select=id"]
    {
        let whole_rows = user.clone().header("accept", "application/vnd.vault").get(path).await;
        expect_no_value(path, &whole_rows);
        assert!([403, 406].contains(&whole_rows.status), "{path}: {}", whole_rows.text());
        for kind in ["json", "text"] {
            let accept =
                format!("application/vnd.pgrst.plan+{kind}; options=verbose|analyze|settings|buffers");
            let plan = user.clone().header("accept", &accept).get(path).await;
            plan.expect_error(403, "42501").expect_nowhere("hush").expect_nowhere("Hush");
        }
    }
    let document = user.get("/rest/v1/").await.expect_status(200).json();
    for table in ["vault", "vault_child", "vault_copy", "ledger"] {
        let definition = document["definitions"][table].to_string().to_lowercase();
        assert!(definition.contains("\"id\"") && !definition.contains("\"hush\""), "{table}: {definition}");
    }
    let text = document.to_string();
    assert!(!text.contains("vault.hush") && !text.contains("rowFilter.vault.pin"), "{text}");
}

#[tokio::test]
async fn writes_tell_neither_values_nor_keys_that_are_hidden() {
    let app = open_server().await;
    let user = app.user(USER);
    let row = json!({"hush": "new", "name": "x"});
    let made =
        user.clone().prefer("return=headers-only").post("/rest/v1/keyed", row).await.expect_status(201);
    assert_eq!(made.header("location"), "", "the key is hidden");

    let known = json!({"hush": "zq-key", "name": "x"});
    let absent = json!({"id": 50, "absent": {}});
    for (method, path, prefer, body, status) in [
        (Method::POST, "/keyed?on_conflict=hush", "resolution=merge-duplicates", known.clone(), 403),
        (Method::POST, "/keyed", "resolution=merge-duplicates", known.clone(), 409),
        (Method::POST, "/keyed", "resolution=ignore-duplicates", known.clone(), 409),
        (Method::PUT, "/keyed?hush=eq.zq-key", "return=representation", known, 405),
        (Method::POST, "/vault?columns=id,doc", "", json!({"id": 50, "doc": {}}), 400),
        (Method::POST, "/vault?columns=id,absent", "", absent.clone(), 400),
        (Method::POST, "/vault", "", json!({"id": 50, "doc": {}}), 400),
        (Method::POST, "/vault", "", absent, 400),
        (Method::POST, "/vault?select=hush", "return=representation", json!({"id": 51}), 403),
        (Method::PATCH, "/vault?hush=like.z*", "return=representation", json!({"id": 51}), 403),
        (Method::PATCH, "/vault?id=eq.1&order=hush&limit=1", "", json!({"id": 51}), 403),
        (Method::DELETE, "/vault?id=eq.1", "", Value::Null, 409),
        (Method::POST, "/vault", "", json!({"id": 51, "hush": "zq-alpha"}), 409),
        (Method::POST, "/rpc/store_again", "", json!({}), 409),
        (Method::POST, "/rpc/forget_first", "", json!({}), 409),
    ] {
        let client = user.clone().prefer(prefer);
        let answer = client.send(method.clone(), &format!("/rest/v1{path}"), Some(body)).await;
        let answer = answer.expect_status(status).expect_nowhere("zq").expect_nowhere("vault_hush_key");
        assert_eq!(answer.json()["hint"], Value::Null, "{method} {path}: {}", answer.text());
    }
    assert_eq!(app.database.value("select name from keyed where hush = 'zq-key'").await, "kept");
}
