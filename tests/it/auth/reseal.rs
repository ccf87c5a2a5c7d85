//! `goforward keys rotate` on a database with more than one batch: what others do meanwhile stands, nothing is lost.

use std::process::Output;

use goforward::kernel::secret::Secret;
use goforward::kernel::vault::{RootSecrets, Vault};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::harness::{Database, eventually, run_command, spawn_command};

const OLD: &str = "the root secret of before which is long enough";
const NEW: &str = "the root secret from now on which is long enough";
/// More than two batches.
const FACTORS: u128 = 1_200;
const TOTP: &str = "totp secret";

fn vault(current: &str, previous: &[&str]) -> Vault {
    let previous: Vec<_> = previous.iter().map(|text| Secret::new(*text)).collect();
    RootSecrets::new(&Secret::new(current), &previous).vault().unwrap()
}

/// A user with many factors, each with a secret of its own that the old root secret sealed.
async fn sealed_factors() -> Database {
    let database = Database::create().await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let user = Uuid::from_u128(7);
    sqlx::query("insert into auth.users (id, email) values ($1, 'ada@example.com')")
        .bind(user)
        .execute(&mut connection)
        .await
        .unwrap();
    let old = vault(OLD, &[]);
    let ids: Vec<Uuid> = (1..=FACTORS).map(Uuid::from_u128).collect();
    let secrets: Vec<String> = ids.iter().map(|id| sealed(&old, *id, &secret(*id))).collect();
    sqlx::query(
        "insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, secret, created_at, updated_at)
         select id, $1, id::text, 'totp', 'verified', secret, now(), now()
         from unnest($2::uuid[], $3::text[]) as made (id, secret)",
    )
    .bind(user)
    .bind(ids)
    .bind(secrets)
    .execute(&mut connection)
    .await
    .unwrap();
    database
}

fn secret(factor: Uuid) -> String {
    format!("SECRET{}", factor.as_u128())
}

fn sealed(vault: &Vault, factor: Uuid, secret: &str) -> String {
    let nonce = *Uuid::from_u128(factor.as_u128() * 31).as_bytes().last_chunk().unwrap();
    vault.seal(TOTP, &factor.to_string(), secret.as_bytes(), nonce).unwrap()
}

/// Every factor with its secret, as the new root secret alone opens it.
async fn opened(database: &Database) -> Vec<(Uuid, String)> {
    let new = vault(NEW, &[]);
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select id, secret from auth.mfa_factors order by id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let open = |(id, sealed): (Uuid, String)| {
        let opened = new.open(TOTP, &id.to_string(), &sealed).unwrap();
        (id, String::from_utf8(opened.to_vec()).unwrap())
    };
    rows.into_iter().map(open).collect()
}

fn expected() -> Vec<(Uuid, String)> {
    (1..=FACTORS).map(Uuid::from_u128).map(|id| (id, secret(id))).collect()
}

fn environment<'a>(url: &'a str, previous: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("DATABASE_URL", url),
        ("GOFORWARD_AUTH__ROOT_SECRET", NEW),
        ("GOFORWARD_AUTH__PREVIOUS_ROOT_SECRETS", previous),
    ]
}

fn rotate(database: &Database, previous: &str) -> Output {
    run_command(&["keys", "rotate"], &environment(&database.url(), previous))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many factors the old secret still seals.
async fn left(database: &Database) -> String {
    let id = Vault::key_id_of(&sealed(&vault(OLD, &[]), Uuid::from_u128(1), "x")).unwrap().to_owned();
    let sql = format!("select count(*) from auth.mfa_factors where secret like 'gfv1.{id}.%'");
    database.value(&sql).await
}

#[tokio::test]
async fn a_run_that_is_killed_half_way_is_gone_on_with() {
    let database = sealed_factors().await;
    let url = database.url();
    // Somebody holds a row of the second batch, where the command has to wait.
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("select from auth.mfa_factors where id = $1 for update")
        .bind(Uuid::from_u128(700))
        .execute(&mut *held)
        .await
        .unwrap();

    let mut running = spawn_command(&["keys", "rotate"], &environment(&url, OLD));
    eventually("the first batch is done", async || left(&database).await == "700").await;
    running.kill().unwrap();
    running.wait().unwrap();
    held.rollback().await.unwrap();
    let output = rotate(&database, OLD);

    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(opened(&database).await, expected());
    let again = said(&rotate(&database, ""));
    assert!(again.contains("apps: 0 sealed anew, 1200 were already, 0 open with no key"), "{again}");
}

#[tokio::test]
async fn what_a_server_changes_meanwhile_is_not_overwritten() {
    let database = sealed_factors().await;
    let url = database.url();
    let changed = Uuid::from_u128(300);
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("update auth.mfa_factors set secret = $2 where id = $1")
        .bind(changed)
        .bind(sealed(&vault(OLD, &[]), changed, "CHANGED"))
        .execute(&mut *held)
        .await
        .unwrap();

    let running = spawn_command(&["keys", "rotate"], &environment(&url, OLD));
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
        and query like 'update auth.mfa_factors%' and datname = current_database()";
    eventually("the command waits", async || database.value(waiting).await == "1").await;
    held.commit().await.unwrap();
    let output = running.wait_with_output().unwrap();

    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("apps: 1200 sealed anew, 0 were already"), "{}", said(&output));
    let mut wanted = expected();
    wanted[299].1 = "CHANGED".to_owned();
    assert_eq!(opened(&database).await, wanted);
}

#[tokio::test]
async fn what_no_key_opens_is_counted_left_alone_and_told_by_the_exit_status() {
    let database = sealed_factors().await;
    let payload =
        json!({"id": "1", "sealed": sealed(&vault("a third", &[]), Uuid::from_u128(1), "a letter")});
    database
        .run(&format!(
            "insert into goforward.jobs (kind, payload, max_attempts) values ('auth.mail', '{payload}', 1)"
        ))
        .await;

    let without = rotate(&database, "");
    assert_eq!(left(&database).await, "1200");
    let with = rotate(&database, OLD);

    assert_eq!(without.status.code(), Some(1), "{}", said(&without));
    assert!(
        said(&without).contains("apps: 0 sealed anew, 0 were already, 1200 open with no key"),
        "{}",
        said(&without)
    );
    assert_eq!(with.status.code(), Some(1), "{}", said(&with));
    assert!(
        said(&with).contains("error: 1 mails and messages in the queue open with no configured key"),
        "{}",
        said(&with)
    );
    assert_eq!(opened(&database).await, expected());
    assert_eq!(
        database.value("select payload::text from goforward.jobs").await,
        payload.to_string().replace("\":\"", "\": \"").replace("\",\"", "\", \"")
    );
}
