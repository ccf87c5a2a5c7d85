//! When what accounts depend on is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{PASSWORD, client, options, sign_in, sign_up, user};
use crate::harness::TestApp;

#[tokio::test]
async fn a_mail_server_that_is_down_stops_no_sign_up() {
    let app = TestApp::with(
        options()
            .set("auth.smtp.host", "127.0.0.1")
            .set("auth.smtp.port", "1")
            .set("auth.smtp.from", "a@example.com"),
    )
    .await;

    sign_up(&app, "ada@example.com").await.expect_status(200);

    crate::harness::eventually("the mail waits for another try", async || {
        let state = "select state || ' ' || (attempts > 0) from goforward.jobs where kind = 'auth.mail'";
        app.database.value(state).await == "queued true"
    })
    .await;
}

#[tokio::test]
async fn many_logins_at_once_are_all_answered_and_others_are_not_kept_waiting() {
    let app = TestApp::with(options()).await;
    user(&app, "ada@example.com").await;
    // So many at once are only let in from where the user has been before.
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
    let first = Arc::new(AtomicBool::new(false));
    let logins = (0..60).map(|_| {
        let (client, first) = (client(&app), Arc::clone(&first));
        async move {
            let answer = sign_in(&client, "ada@example.com", PASSWORD).await;
            first.store(true, Ordering::Relaxed);
            answer.status
        }
    });

    let storm = tokio::spawn(futures_util::future::join_all(logins));
    let (other, mut answered_meanwhile) = (app.client(), 0);
    while !storm.is_finished() {
        other.get("/auth/v1/health").await.expect_status(200);
        // Before the first login is answered they may not have begun.
        answered_meanwhile += u32::from(first.load(Ordering::Relaxed) && !storm.is_finished());
    }

    let answers = storm.await.unwrap();
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert!(answers.contains(&200));
    assert!(answered_meanwhile > 0);
}
