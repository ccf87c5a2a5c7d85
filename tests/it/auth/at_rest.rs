//! What a copy of the database or the log is worth to whoever takes it: nothing in it signs anybody in (C10).

use serde_json::{Value, json};

use super::keys::{made, text};
use super::{
    PASSWORD, client, code, link, message, options, refresh, refresh_token, sign_up, signed_in, user,
};
use crate::harness::TestApp;

/// Every row of every table that is not PostgreSQL's own, as text.
pub async fn dump(app: &TestApp) -> String {
    let tables =
        "select string_agg(format('select t::text from %I.%I as t', schemaname, tablename), ' union all ')
        from pg_tables where schemaname not in ('pg_catalog', 'information_schema')";
    let tables = app.database.value(tables).await;
    app.database.value(&format!("select string_agg(t, e'\\n') from ({tables}) as rows (t)")).await
}

#[tokio::test]
async fn c10_neither_database_nor_log_holds_a_token_key_code_or_secret_that_can_be_used() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let session = refresh(&client(&app), &refresh_token(&session)).await.expect_status(200).json();
    let me = signed_in(&app, &session);
    let mut secrets: Vec<(&str, String)> = vec![("password", PASSWORD.to_owned())];
    for name in ["access_token", "refresh_token"] {
        secrets.push((name, session[name].as_str().unwrap().to_owned()));
    }
    secrets.push(("API key", text(&made(&me, json!({"name": "a", "kind": "personal"})).await)));
    let factor = me.post("/auth/v1/factors", json!({"factor_type": "totp"})).await.expect_status(200).json();
    secrets.push(("TOTP secret", factor["totp"]["secret"].as_str().unwrap().to_owned()));
    me.get("/auth/v1/reauthenticate").await.expect_status(200);
    client(&app).post("/auth/v1/recover", json!({"email": "ada@example.com"})).await.expect_status(200);
    sign_up(&app, "bob@example.com").await.expect_status(200);
    client(&app).post("/auth/v1/otp", json!({"phone": "+4915100000000"})).await.expect_status(200);
    let is_recovery = |mail: &Value| mail["text"].as_str().unwrap().contains("type=recovery");
    let is_nonce = |mail: &Value| mail["subject"].as_str().unwrap().starts_with("Your code");
    let mails = [
        message(&app, "ada@example.com", is_recovery).await,
        message(&app, "bob@example.com", |_| true).await,
        message(&app, "ada@example.com", is_nonce).await,
        message(&app, "+4915100000000", |_| true).await,
    ];
    for mail in &mails[..2] {
        let link = link(mail);
        let token = link.split("token=").nth(1).unwrap().split('&').next().unwrap();
        secrets.push(("link", token.to_owned()));
    }

    for (place, held) in [("database", dump(&app).await), ("log", app.server.log())] {
        for (name, secret) in &secrets {
            assert!(!held.contains(secret), "the {name} is in the {place}");
        }
        // A code is so short that it may be part of anything; a value of its own it must not be.
        for code in mails.iter().map(code) {
            let is_value =
                |row: &str| row.split(['(', ',', ')', '"', ' ', ':', '=']).any(|value| value == code);
            assert!(!held.lines().any(is_value), "a code is in the {place}");
        }
    }
    // What is there instead of the refresh token is of no use: neither the stored text nor the session's id.
    let stored = "select string_agg(token, ',') from auth.refresh_tokens";
    for token in app.database.value(stored).await.split(',').filter(|token| !token.is_empty()) {
        assert_eq!(refresh(&client(&app), token).await.status, 400, "{token}");
    }
    refresh(&client(&app), &refresh_token(&session)).await.expect_status(200);
}
