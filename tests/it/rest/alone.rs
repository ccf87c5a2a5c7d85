//! `serve --only rest` on a database that holds nothing of ours, with PostgREST's own configuration file.

use serde_json::json;

use crate::harness::{Caller, Client, Database, Options, Server, eventually, free_port};

const SECRET: &str = "a secret of thirty-two characters";
const SCHEMA: &str = "create schema api;
    create table api.films (id int primary key, title text not null);
    insert into api.films values (1, 'Solaris'), (2, 'Stalker');
    create or replace function api.whoami() returns text language sql stable as 'select current_user';
    do $$ begin create role it_web_anon nologin; exception when duplicate_object or unique_violation then null; end $$;
    do $$ begin create role it_web_login noinherit login; exception when duplicate_object or unique_violation then null; end $$;
    grant it_web_anon to it_web_login;
    grant usage on schema api to it_web_anon;
    grant select on api.films to it_web_anon";

/// A configuration file, as an installation of PostgREST has it.
fn options(database: &Database, folder: &tempfile::TempDir) -> Options {
    let file = folder.path().join("postgrest.conf");
    let text = format!(
        "db-schemas = \"api\"\ndb-anon-role = \"it_web_anon\"\njwt-secret = \"{SECRET}\"\ndb-max-rows = 10\n\
         # a comment\nserver-cors-allowed-origins = \"\"\n"
    );
    std::fs::write(&file, text).unwrap();
    // Without a secret in the environment, which would win over the file's.
    Options::default()
        .environment("DATABASE_URL", &database.url_as("it_web_login"))
        .argument("--only")
        .argument("rest")
        .argument("--postgrest-config")
        .argument(file.to_str().unwrap())
}

#[tokio::test]
async fn rest_alone_serves_what_postgrest_would() {
    let database = Database::empty().await;
    database.run_as_superuser(SCHEMA).await;
    let folder = tempfile::tempdir().unwrap();
    let admin = free_port();
    let options = options(&database, &folder).admin(admin);
    let server = Server::start(options).await;
    let client = Client::new(server.url());

    client.get("/films?order=id").await.expect_status(200).expect_json(&json!([
        { "id": 1, "title": "Solaris" }, { "id": 2, "title": "Stalker" }
    ]));
    assert_eq!(client.get("/rpc/whoami").await.json(), "it_web_anon");
    client.post("/films", json!({ "id": 3, "title": "x" })).await.expect_error(401, "42501");
    let token = Caller::role_only("it_web_anon").token(SECRET);
    client.clone().bearer(&token).get("/films?id=eq.1&select=id").await.expect_json(&json!([{ "id": 1 }]));
    client.clone().bearer("a.b").get("/films").await.expect_error(401, "PGRST301");
    // With no prefix every path is a relation; health has moved to the admin listener.
    client.get("/health/ready").await.expect_status(404);
    Client::new(format!("http://127.0.0.1:{admin}")).get("/metrics").await.expect_status(200);
    let ours = "select count(*)::text from pg_namespace where nspname in ('auth', 'goforward', 'storage', 'extensions')";
    assert_eq!(database.value(ours).await, "0", "nothing of ours was made");
}

#[tokio::test]
async fn rest_alone_follows_the_schema_without_an_event_trigger() {
    let database = Database::empty().await;
    database.run_as_superuser(SCHEMA).await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&database, &folder).admin(free_port())).await;
    let client = Client::new(server.url());
    client.get("/films?limit=1").await.expect_status(200);

    database
        .run_as_superuser("create table api.actors (id int); grant select on api.actors to it_web_anon")
        .await;

    eventually("the new table", async || client.get("/actors").await.status == 200).await;
}
