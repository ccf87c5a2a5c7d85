//! The API follows the schema: a table made by SQL is served by itself, and a change never breaks a request.

use serde_json::json;

use crate::harness::{TestApp, eventually};

const OPEN: &str = "enable row level security; create policy p on fresh using (true) with check (true)";

#[tokio::test]
async fn a_table_made_by_sql_is_served() {
    let app = TestApp::start().await;
    let anon = app.anon();
    anon.get("/rest/v1/fresh").await.expect_error(404, "PGRST205");

    app.database.run(&format!("create table fresh (id int primary key); alter table fresh {OPEN}")).await;
    eventually("the new table", async || anon.get("/rest/v1/fresh").await.status == 200).await;
}

#[tokio::test]
async fn a_dropped_table_is_gone_and_a_changed_one_has_its_new_columns() {
    let app =
        TestApp::with_sql(&format!("create table fresh (id int primary key); alter table fresh {OPEN}"))
            .await;
    let anon = app.anon();
    anon.post("/rest/v1/fresh", json!({ "id": 1 })).await.expect_status(201);
    for _ in 0..10 {
        anon.get("/rest/v1/fresh?select=*").await.expect_json(&json!([{ "id": 1 }])); // prepared on every connection
    }

    app.database.run("alter table fresh add column name text not null default 'new'").await;
    let changed = json!([{ "id": 1, "name": "new" }]);
    eventually("the new column", async || {
        let answer = anon.get("/rest/v1/fresh?select=*").await.expect_status(200);
        answer.json() == changed
    })
    .await;

    app.database.run("alter table fresh alter column id type text using id::text").await;
    eventually("the new type", async || {
        anon.get("/rest/v1/fresh?select=id").await.expect_status(200).json() == json!([{ "id": "1" }])
    })
    .await;

    app.database.run("drop table fresh").await;
    eventually("the table's end", async || anon.get("/rest/v1/fresh").await.status == 404).await;
}

#[tokio::test]
async fn a_function_made_by_sql_is_served_and_replaced() {
    let app = TestApp::start().await;
    let anon = app.anon();

    app.database.run("create function answer() returns int language sql as 'select 41'").await;
    eventually("the function", async || anon.get("/rest/v1/rpc/answer").await.status == 200).await;
    app.database.run("drop function answer(); create function answer(n int default 1) returns int language sql as 'select 41 + n'").await;

    eventually("its successor", async || anon.get("/rest/v1/rpc/answer?n=2").await.text() == "43").await;
}

#[tokio::test]
async fn a_storm_of_changes_causes_no_error_of_ours() {
    let app =
        TestApp::with_sql(&format!("create table fresh (id int primary key); alter table fresh {OPEN}"))
            .await;
    let anon = app.anon();
    let changes = async {
        for number in 0..100 {
            app.database
                .run(&format!("alter table fresh add column c{number} int; create table t{number} (id int)"))
                .await;
        }
    };
    let reads = async {
        let mut worst = 0;
        for _ in 0..400 {
            worst = worst.max(anon.get("/rest/v1/fresh?select=*").await.status);
        }
        worst
    };

    let ((), worst) = tokio::join!(changes, reads);

    assert!(worst < 500, "a read answered {worst}");
    eventually("the last change", async || anon.get("/rest/v1/fresh?select=c99").await.status == 200).await;
}
