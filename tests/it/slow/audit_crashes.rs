//! kill -9 of the server and of PostgreSQL under audited writes: a write and its record are both there or both not
//! (GF-AUD-10).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use super::crashes::killed_by_turns;
use crate::audit::{ALICE, NOTES, ensure};
use crate::harness::{Caller, Client, Options, Server, Walk, eventually, free_port};

const ROUNDS: usize = 6;
const WRITERS: usize = 6;

#[derive(Default)]
struct Progress {
    next: AtomicI64,
    acknowledged: AtomicI64,
    is_over: AtomicBool,
}

#[tokio::test]
async fn a_write_and_its_record_survive_together_or_not_at_all() {
    let home = tempfile::Builder::new().prefix("goforward-audit-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    let port = free_port();
    let options = || Options::default().data(&data).port(port);
    let mut server = Server::start(options()).await;
    let url = server.keys().database_url.expect("an embedded database");
    prepare(&url).await;
    let keys = server.keys();
    let client = Client::new(server.url()).apikey(&keys.anon_key);
    let client = client.bearer(&Caller::user(ALICE).token(&keys.jwt_secret));
    eventually("the table", async || client.get("/rest/v1/notes?limit=1").await.status == 200).await;
    let progress = Arc::new(Progress::default());
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(keep_writing(client.clone(), Arc::clone(&progress)));
    }
    let mut walk = Walk::new();

    for round in 0..ROUNDS {
        let before = progress.acknowledged.load(Ordering::SeqCst);
        let goes_on = async || progress.acknowledged.load(Ordering::SeqCst) > before + 20;
        eventually("writes to go on", goes_on).await;
        server = killed_by_turns((&mut walk, round), server, options(), &data).await;
        eventually("service to return by itself", async || {
            client.try_get("/rest/v1/notes?limit=1").await.is_some_and(|answer| answer.status == 200)
        })
        .await;
    }

    progress.is_over.store(true, Ordering::SeqCst);
    while writers.join_next().await.is_some() {}
    let acknowledged = progress.acknowledged.load(Ordering::SeqCst);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (rows, proved, unpaired): (i64, i64, i64) =
        sqlx::query_as(PAIRS).fetch_one(&mut connection).await.unwrap();
    assert_eq!(unpaired, 0, "writes without their record or records without their write");
    assert!(rows >= acknowledged && acknowledged > 0, "{rows} rows of {acknowledged} acknowledged writes");
    assert_eq!(proved, rows, "each with its actor");
}

/// Each row was inserted by one statement, with one record.
const PAIRS: &str = "
    select count(n.id), count(*) filter (where l.proved and l.actor is not null),
           count(*) filter (where n.id is null or l.count is distinct from 1)
    from notes n
    full join (select (key ->> 'id')::int as id, count(*) as count, bool_and(proved) as proved, min(actor) as actor
               from goforward.audit_log where verb = 'insert' and outcome = 'done' group by 1) l using (id)";

/// Table and rules in one transaction, so that no catalog knows the one without the other.
async fn prepare(url: &str) {
    let rules = "insert into goforward.table_security (schema_name, table_name, audit_actions)
        values ('public', 'notes', '{insert}')";
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{NOTES}; {rules}")))).await.unwrap();
    ensure(url, "notes", &["insert"]).await.unwrap();
}

/// Writes until the end; a write counts as acknowledged once its 201 has arrived.
async fn keep_writing(client: Client, progress: Arc<Progress>) {
    while !progress.is_over.load(Ordering::SeqCst) {
        let body = json!({ "id": progress.next.fetch_add(1, Ordering::SeqCst) });
        match client.try_send(reqwest::Method::POST, "/rest/v1/notes", Some(body)).await {
            Ok(answer) if answer.status == 201 => {
                progress.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => {
                assert!(matches!(answer.status, 503 | 504), "{}: {}", answer.status, answer.text());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
