//! With no database given, the server brings its own: from nothing to an answer, again after a stop, and never two at once.

use std::path::Path;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Client, Options, Server, run_command};

const NOTES: &str = "create table if not exists notes (id int primary key);
    alter table notes enable row level security;
    drop policy if exists p on notes; create policy p on notes using (true) with check (true)";

async fn sql(server: &Server, text: &'static str) {
    let url = server.keys().database_url.expect("the embedded database has a connection string");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute(sqlx::raw_sql(text)).await.unwrap();
}

fn service(server: &Server) -> Client {
    Client::new(server.url()).apikey(&server.keys().service_role_key)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("goforward-embedded-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test]
async fn from_nothing_to_an_answer_and_back_after_a_restart() {
    let home = folder();
    let data = home.path().join("data");
    let mut server = Server::start(Options::default().data(&data)).await;
    sql(&server, NOTES).await;
    let client = service(&server);
    crate::harness::eventually("the table", async || {
        client.post("/rest/v1/notes", json!({ "id": 1 })).await.status == 201
    })
    .await;
    let keys = server.keys();
    assert_eq!(keys.api_url, server.url(), "keys tell where the server really answers");
    assert!(server.log().contains(&server.url()), "the first start says where the API is: {}", server.log());
    assert!(!server.log().contains(&keys.service_role_key), "secret keys go to a terminal only");
    assert!(server.stop().await.success());

    let server = Server::start(Options::default().data(&data)).await;

    assert_eq!(server.keys().anon_key, keys.anon_key, "the keys stay");
    service(&server).get("/rest/v1/notes").await.expect_json(&json!([{ "id": 1 }]));
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused_with_one_line() {
    let home = folder();
    let data = home.path().join("data");
    let first = Server::start(Options::default().data(&data)).await;

    let mut second = Server::spawn(Options::default().data(&data));
    let status = second.ended().await;

    assert!(!status.success());
    let log = second.log();
    assert!(log.to_lowercase().contains("already") || log.to_lowercase().contains("in use"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    Client::new(first.url()).get("/health/ready").await.expect_status(200);
}

#[tokio::test]
async fn a_secret_too_short_to_sign_is_refused_before_a_database_is_made() {
    let home = folder();
    let data = home.path().join("data");

    let mut server =
        Server::spawn(Options::default().data(&data).environment("GOFORWARD_AUTH__JWT_SECRET", "short"));
    let status = server.ended().await;

    assert!(!status.success());
    assert!(server.log().contains("at least 32"), "{}", server.log());
    assert!(find(&data, "PG_VERSION").is_none(), "no cluster was made");
}

#[tokio::test]
async fn a_directory_of_another_major_version_is_left_alone() {
    let home = folder();
    let data = home.path().join("data");
    let mut server = Server::start(Options::default().data(&data)).await;
    server.stop().await;
    let version = find(&data, "PG_VERSION").expect("a cluster");
    std::fs::write(&version, "9\n").unwrap();

    let mut server = Server::spawn(Options::default().data(&data));
    let status = server.ended().await;

    assert!(!status.success());
    assert!(server.log().contains("PostgreSQL 9"), "{}", server.log());
}

fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                // The cluster's own file stands above those of its databases.
                folders.insert(0, path);
            } else if entry.file_name() == name && !path.to_string_lossy().contains("/base/") {
                return Some(path);
            }
        }
    }
    None
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_and_the_nearest_one() {
    let output = run_command(&["config", "print"], &[("GOFORWARD_SERVER__PROT", "80")]);

    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("GOFORWARD_SERVER__PROT") && text.contains("GOFORWARD_SERVER__PORT"), "{text}");
}

#[test]
fn config_print_shows_where_values_come_from_and_no_secret() {
    let output = run_command(
        &["config", "print"],
        &[("GOFORWARD_SERVER__PORT", "8123"), ("DATABASE_URL", "postgres://u:hidden-password@h/d")],
    );

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("8123") && text.contains("GOFORWARD_SERVER__PORT"), "{text}");
    assert!(!text.contains("hidden-password"), "{text}");
}
