//! Replacing the root secret: nobody notices, and afterwards the old one is worth nothing.

use serde_json::json;

use super::super::{client, code, message, options};
use super::Person;
use crate::harness::{Options, Server, TestApp, run_command};

const OLD: &str = "the root secret of before which is long enough";
const NEW: &str = "the root secret from now on which is long enough";

/// A server under this root secret, beside which others count.
fn under(root: &str, previous: &str, port: u16) -> Options {
    options()
        .set("auth.email.autoconfirm", "true")
        .set("auth.root_secret", root)
        .set("auth.previous_root_secrets", previous)
        .port(port)
}

async fn restart(app: &mut TestApp, options: Options) {
    app.server.stop().await;
    app.server = Server::start(options.database(&app.database.url())).await;
}

async fn forget_steps(app: &TestApp) {
    app.database.run("delete from goforward.auth_totp_steps").await;
}

#[tokio::test]
async fn sessions_factors_codes_and_keys_outlive_the_root_secret() {
    let port = crate::harness::free_port();
    let mut app = TestApp::with(under(OLD, "", port)).await;
    let (mut ada, phone) = Person::enrolled(&app, "ada").await;
    let recovery = ada.post("/factors/recovery-codes", json!({})).await.expect_status(200).json();
    let key = ada.post("/keys", json!({"name": "a", "kind": "personal"})).await.expect_status(200).json();
    client(&app).post("/auth/v1/recover", json!({"email": "ada@example.com"})).await.expect_status(200);
    let mailed =
        code(&message(&app, "ada@example.com", |mail| mail["subject"] == "Reset your password").await);
    let old_id = app.database.value("select split_part(secret, '.', 2) from auth.mfa_factors").await;
    let digest = "select encode(digest, 'hex') from goforward.auth_api_keys";
    let old_digest = app.database.value(digest).await;

    restart(&mut app, under(NEW, OLD, port)).await;

    ada.refresh().await;
    let exchange = json!({"key": key["key"]});
    client(&app).post("/auth/v1/keys/exchange", exchange.clone()).await.expect_status(200);
    assert_ne!(
        app.database.value(digest).await,
        old_digest,
        "a key that is used gets a digest of the new secret"
    );
    let code = json!({"code": recovery["codes"][0]});
    ada.becomes(ada.post("/factors/recovery-codes/verify", code).await);
    let verify = json!({"type": "recovery", "email": "ada@example.com", "token": mailed});
    client(&app).post("/auth/v1/verify", verify).await.expect_status(200);
    // The factor itself was not used since: the command is to find it.
    let url = app.database.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("GOFORWARD_AUTH__ROOT_SECRET", NEW),
        ("GOFORWARD_AUTH__PREVIOUS_ROOT_SECRETS", OLD),
    ];
    let output = run_command(&["keys", "rotate"], &environment);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("secrets of authenticator apps: 1 sealed anew, 0 were already"), "{said}");

    restart(&mut app, under(NEW, "", port)).await;

    let held = super::super::at_rest::dump(&app).await;
    assert!(
        held.contains("gfv1.") && !held.contains(&format!("gfv1.{old_id}.")),
        "a value of the old secret"
    );
    ada.refresh().await;
    client(&app).post("/auth/v1/keys/exchange", exchange).await.expect_status(200);
    forget_steps(&app).await;
    let mut later = ada.sign_in().await;
    later.becomes(later.answer(&phone.id, &phone.code(0)).await);
    assert_eq!(later.claims()["aal"], "aal2");
    // What was not used while both were listed has ended.
    let code = json!({"code": recovery["codes"][1]});
    ada.post("/factors/recovery-codes/verify", code).await.expect_status(422);
}
