//! Refresh tokens: many tabs, crashes and thieves.

use futures_util::future::join_all;

use super::{client, options, refresh, refresh_token, signed_in, user};
use crate::harness::{TestApp, decided};

#[tokio::test]
async fn c02_twenty_tabs_with_one_token_all_go_on_with_one_successor() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let token = refresh_token(&session);

    let answers = join_all((0..20).map(|_| {
        let (client, token) = (client(&app), token.clone());
        async move { decided(async || refresh(&client, &token).await).await }
    }))
    .await;

    let successors: std::collections::BTreeSet<String> =
        answers.into_iter().map(|answer| refresh_token(&answer.expect_status(200).json())).collect();
    assert_eq!(successors.len(), 1);
    assert!(!successors.contains(&token));
}

#[tokio::test]
async fn c03_a_client_that_lost_its_answer_gets_it_again() {
    let app = TestApp::with(options().set("auth.sessions.reuse_interval", "0s")).await;
    let session = user(&app, "ada@example.com").await;
    let lost = refresh(&client(&app), &refresh_token(&session)).await.expect_status(200);

    let again = refresh(&client(&app), &refresh_token(&session)).await.expect_status(200);

    assert_eq!(refresh_token(&again.json()), refresh_token(&lost.json()));
    assert_eq!(again.header("sb-auth-refresh-token-reuse-cause"), "parent");
}

#[tokio::test]
async fn c01_an_old_token_ends_the_session_for_thief_and_victim() {
    let app = TestApp::with(options().set("auth.sessions.reuse_interval", "0s")).await;
    let stolen = user(&app, "ada@example.com").await;
    let mut session = stolen.clone();
    for _ in 0..3 {
        session = refresh(&client(&app), &refresh_token(&session)).await.expect_status(200).json();
    }

    let theft = refresh(&client(&app), &refresh_token(&stolen)).await;

    theft.expect_error(400, "refresh_token_already_used");
    refresh(&client(&app), &refresh_token(&session)).await.expect_error(400, "refresh_token_not_found");
    signed_in(&app, &session).get("/auth/v1/user").await.expect_error(403, "session_not_found");
    let event: String =
        app.database.value("select kind || ' ' || severity from goforward.security_events").await;
    assert_eq!(event, "refresh_token_reused critical");
}

#[tokio::test]
async fn c07_each_token_is_good_for_one_thing() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let access = session["access_token"].as_str().unwrap();

    client(&app).bearer(&refresh_token(&session)).get("/auth/v1/user").await.expect_error(403, "bad_jwt");
    refresh(&client(&app), access).await.expect_error(400, "validation_failed");
    let rest = app.anon().bearer(&refresh_token(&session)).get("/rest/v1/").await;
    assert_eq!(rest.status, 401);
}

#[tokio::test]
async fn sessions_end_when_they_are_not_used_and_when_they_last_too_long() {
    let app = TestApp::with(options().set("auth.sessions.lifetime", "1h")).await;
    let (idle, old) = (user(&app, "idle@example.com").await, user(&app, "old@example.com").await);
    let shift = |email: &str, column: &str| {
        format!(
            "update auth.sessions set {column} = {column} - interval '8 days' where user_id =
                (select id from auth.users where email = '{email}')"
        )
    };
    app.database.run(&shift("idle@example.com", "created_at")).await;
    app.database.run(&shift("old@example.com", "not_after")).await;

    refresh(&client(&app), &refresh_token(&idle)).await.expect_error(400, "session_expired");
    refresh(&client(&app), &refresh_token(&old)).await.expect_error(400, "session_expired");
}
