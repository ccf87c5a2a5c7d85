//! Several nodes on one database: what is changed anywhere holds everywhere.

use crate::harness::{Client, Database, Options, Server, TestApp, eventually};

#[tokio::test]
async fn a_rule_that_is_written_to_the_database_holds_on_all_nodes() {
    let database = Database::create().await;
    database
        .run(
            "create table notes (id int primary key, archived boolean not null);
             insert into notes values (1, false), (2, true);
             alter table notes enable row level security;
             create policy everybody on notes for select using (true)",
        )
        .await;
    let app = TestApp::on(database, Options::default()).await;
    let other = Server::start(Options::default().database(&app.database.url())).await;
    let key = other.keys().anon_key;
    let there = Client::new(other.url()).apikey(&key).bearer(&key);
    let here = app.anon();
    for client in [&here, &there] {
        assert_eq!(client.get("/rest/v1/notes").await.expect_status(200).rows(), 2);
    }

    let write = r#"insert into goforward.table_security (schema_name, table_name, custom_filters)
                   values ('public', 'notes', '{"current": "not archived"}')"#;
    app.database.run(write).await;
    eventually("the rule on both nodes", async || {
        let (mine, theirs) = (here.get("/rest/v1/notes").await, there.get("/rest/v1/notes").await);
        mine.status == 200 && mine.rows() == 1 && theirs.status == 200 && theirs.rows() == 1
    })
    .await;

    // Both saw the change and one made the policies: neither stumbled over the other.
    for log in [app.server.log(), other.log()] {
        assert!(!log.contains("rules are not in force"), "{log}");
    }
}
