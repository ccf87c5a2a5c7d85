//! A database that a Supabase project leaves behind: who was signed in stays so, and what was stored in the clear is not any
//! more.

use serde_json::json;

use super::mfa::App;
use super::{client, options, refresh, refresh_token, sign_in, signed_in};
use crate::harness::{Database, Server, TestApp};

const PROJECT: &str = include_str!("../fixtures/supabase_project.sql");
/// The password of Ada and Cleo.
const PASSWORD: &str = "correct horse 9";

/// A database with the project in it, which no server has seen.
async fn project() -> Database {
    let database = Database::empty().await;
    database.run(PROJECT).await;
    database
}

async fn values_in_the_clear(database: &Database) -> String {
    let tokens = "select count(*) from auth.refresh_tokens
        where token not like 'sha256:%' or coalesce(parent, '') not in ('') and parent not like 'sha256:%'";
    let secrets = "select count(*) from auth.mfa_factors where secret not like 'gfv1.%'";
    database.value(&format!("select (({tokens}) + ({secrets}))::text")).await
}

#[tokio::test]
async fn an_old_password_signs_in_and_is_hashed_anew() {
    let app = TestApp::on(project().await, options()).await;

    let session = sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200).json();
    assert_eq!(session["user"]["id"], "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
    sign_in(&client(&app), "ada@example.com", "wrong").await.expect_error(400, "invalid_credentials");

    let hash =
        app.database.value("select encrypted_password from auth.users where email = 'ada@example.com'").await;
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn an_old_refresh_token_is_replaced_by_one_of_ours() {
    let app = TestApp::on(project().await, options().set("auth.sessions.reuse_interval", "0s")).await;
    assert_eq!(values_in_the_clear(&app.database).await, "0");

    let first = refresh(&client(&app), "adathird0003").await.expect_status(200).json();
    let ours = refresh_token(&first);
    assert!(ours.len() > 40, "{ours}");
    signed_in(&app, &first).get("/auth/v1/user").await.expect_status(200);
    let again = refresh(&client(&app), "adathird0003").await.expect_status(200).json();
    assert_eq!(refresh_token(&again), ours, "a second tab still has the old one");

    let next = refresh(&client(&app), &ours).await.expect_status(200).json();
    assert_ne!(refresh_token(&next), ours);
    refresh(&client(&app), "adathird0003").await.expect_error(400, "refresh_token_already_used");
    refresh(&client(&app), &refresh_token(&next)).await.expect_error(400, "refresh_token_not_found");
}

#[tokio::test]
async fn what_the_database_holds_of_an_old_token_refreshes_nothing() {
    let app = TestApp::on(project().await, options()).await;
    let stored =
        app.database.value("select token from auth.refresh_tokens where token like 'sha256:%'").await;

    refresh(&client(&app), &stored).await.expect_error(400, "validation_failed");
    refresh(&client(&app), "adafirst0001").await.expect_error(400, "refresh_token_already_used");
}

#[tokio::test]
async fn an_old_authenticator_app_goes_on_and_its_secret_is_encrypted() {
    let app = TestApp::on(project().await, options()).await;
    let stored = app.database.value("select secret from auth.mfa_factors").await;
    assert!(stored.starts_with("gfv1."), "{stored}");

    let session = sign_in(&client(&app), "cleo@example.com", PASSWORD).await.expect_status(200).json();
    let factor = App::new("cccccccc-0000-4000-8000-000000000003", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
    let at = |action: &str| format!("/auth/v1/factors/cccccccc-0000-4000-8000-000000000003/{action}");
    let cleo = signed_in(&app, &session);
    let challenge = cleo.post(&at("challenge"), json!({})).await.expect_status(200).json();
    let answer = json!({"challenge_id": challenge["id"], "code": factor.code(0)});
    cleo.post(&at("verify"), answer).await.expect_status(200);
}

#[tokio::test]
async fn two_nodes_that_start_at_once_convert_every_token_once() {
    let database = project().await;
    let many = "insert into auth.refresh_tokens (token, parent, revoked, user_id, session_id)
        select 'many' || lpad(n::text, 8, '0'), 'many' || lpad((n - 1)::text, 8, '0'), true,
            'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', 'bbbbbbbb-0000-4000-8000-000000000002'
        from generate_series(1, 2500) as n";
    database.run(many).await;

    let start = || Server::start(options().database(&database.url()));
    let (one, other) = tokio::join!(start(), start());

    assert_eq!(values_in_the_clear(&database).await, "0");
    let whole = database
        .value(
            "select bool_and(token = 'sha256:' || encode(sha256(convert_to('many' || lpad(n::text, 8, '0'), 'UTF8')), 'hex'))::text
             from (select token, row_number() over (order by id) as n from auth.refresh_tokens where id > 4) as held",
        )
        .await;
    assert_eq!(whole, "true", "a digest of a digest is nobody's token");
    drop((one, other));

    let app = TestApp::on(database, options()).await;
    refresh(&client(&app), "bobonlyone01").await.expect_status(200);
}
