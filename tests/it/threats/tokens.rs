//! Tokens that are forged, stale, or claim too much (threats A01 to A13).

use serde_json::{Value, json};

use crate::harness::{Caller, Client, Options, Postgres, Server, TestApp, eventually, now, sign, unsigned};
use crate::rest::{ALICE, SHOP};

const ROWS: &str = "/rest/v1/orders?select=id";

async fn refused(app: &TestApp, token: &str, what: &str) {
    let answer = app.anon().bearer(token).get(ROWS).await;
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}: {:?}", answer.headers);
    answer.expect_nowhere("order 1");
}

#[tokio::test]
async fn tokens_without_a_real_signature_are_refused() {
    let app = TestApp::with_sql(SHOP).await;
    let keys = app.server.keys();
    let claims = Caller::role_only("service_role").claims().clone();
    let good = Caller::role_only("service_role").token(&keys.jwt_secret);
    let signature = good.rsplit('.').next().unwrap();

    for algorithm in ["none", "None", "NONE", "nOnE", "HS384", "RS256", "ES256", ""] {
        for signature in ["", "x", signature] {
            refused(
                &app,
                &unsigned(&json!({ "alg": algorithm, "typ": "JWT" }), &claims, signature),
                algorithm,
            )
            .await;
        }
    }
    refused(&app, &sign(&claims, "another secret that is long enough"), "another secret").await;
    let (head, _) = good.rsplit_once('.').unwrap();
    refused(&app, head, "two parts").await;
    refused(&app, &format!("{good}.x"), "four parts").await;
    refused(&app, &good[..good.len() - 1], "a character short").await;
    let other_claims = sign(&json!({ "role": "anon" }), &keys.jwt_secret);
    let parts: Vec<&str> = good.split('.').collect();
    let mixed = format!("{}.{}.{}", parts[0], other_claims.split('.').nth(1).unwrap(), parts[2]);
    refused(&app, &mixed, "claims exchanged").await;
    app.anon().bearer(&good).get(ROWS).await.expect_status(200);
}

#[tokio::test]
async fn headers_that_bring_their_own_key_are_ignored() {
    let app = TestApp::with_sql(SHOP).await;
    let claims = Caller::role_only("service_role").claims().clone();
    for header in [
        json!({ "alg": "HS256", "kid": "../../../../dev/null" }),
        json!({ "alg": "HS256", "kid": "x' or '1'='1" }),
        json!({ "alg": "HS256", "jku": "http://127.0.0.1:1/jwks" }),
        json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        json!({ "alg": "RS256", "x5u": "http://127.0.0.1:1/cert" }),
    ] {
        refused(&app, &unsigned(&header, &claims, "AAAA"), &header.to_string()).await;
    }
}

#[tokio::test]
async fn times_of_the_wrong_type_are_a_refusal_not_an_absence() {
    let app = TestApp::with_sql(SHOP).await;
    let secret = app.server.keys().jwt_secret;
    let base = Caller::user(ALICE);
    for (claim, value) in [
        ("exp", json!(now() - 60)),
        ("exp", json!("never")),
        ("exp", json!(null)),
        ("exp", json!(-1)),
        ("exp", json!([9_999_999_999_i64])),
        ("exp", json!({})),
        ("nbf", json!(now() + 600)),
        ("nbf", json!("x")),
        ("iat", json!(now() + 600)),
        ("iat", json!(true)),
        ("aud", json!(5)),
    ] {
        refused(
            &app,
            &base.clone().claim(claim, value.clone()).token(&secret),
            &format!("{claim} = {value}"),
        )
        .await;
    }
    let endless = r#"{"role":"authenticated","sub":"x","exp":1e400}"#;
    refused(&app, &sign_text(endless, &secret), endless).await;
    let mut without = base.claims().clone();
    without.as_object_mut().unwrap().remove("exp");
    refused(&app, &sign(&without, &secret), "a user token without an end").await;
}

/// Signs claims that no JSON library would write.
fn sign_text(claims: &str, secret: &str) -> String {
    use aws_lc_rs::hmac;
    use base64::Engine;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let text = format!("{}.{}", base64.encode(r#"{"alg":"HS256","typ":"JWT"}"#), base64.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{text}.{}", base64.encode(hmac::sign(&key, text.as_bytes())))
}

#[tokio::test]
async fn a_role_claim_leads_to_the_roles_of_callers_only() {
    let app = TestApp::with_sql(SHOP).await;
    app.database
        .run_as_superuser(
            "do $$ begin create role it_stranger nologin; exception when duplicate_object then null; end $$",
        )
        .await;
    let secret = app.server.keys().jwt_secret;

    for role in [
        "",
        "none",
        "NONE",
        "None",
        "default",
        "postgres",
        "goforward",
        "authenticator",
        "pg_read_all_data",
        "pg_monitor",
        "it_stranger",
        "it_owner",
        "Anon",
        "service_role\u{0}",
        "\"postgres\"",
        "anon; set role postgres",
        "nobody_at_all",
    ] {
        let caller = Caller::user(ALICE).claim("role", json!(role));
        let answer = app.anon().bearer(&caller.token(&secret)).get("/rest/v1/rpc/whoami").await;
        assert!(matches!(answer.status, 401 | 403), "{role:?}: {} {}", answer.status, answer.text());
    }
    for role in [json!(null), json!(5), json!(["anon"]), json!({ "a": 1 })] {
        let caller = Caller::user(ALICE).claim("role", role.clone());
        let answer = app.anon().bearer(&caller.token(&secret)).get("/rest/v1/rpc/whoami").await;
        let harmless = answer.status == 200 && answer.json()["role"] == "anon";
        assert!(
            harmless || matches!(answer.status, 401 | 403),
            "{role}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_custom_role_works_once_it_is_granted_to_the_authenticator() {
    // One of its own: a role is granted in all databases of a PostgreSQL, and the rules of tables name all granted roles.
    let postgres = Postgres::start();
    let server = Server::start(Options::default().database(&postgres.url())).await;
    postgres
        .run(
            "create role editor nologin; grant usage on schema public to editor;
             create function plain_role() returns text language sql as 'select current_user'",
        )
        .await;
    let keys = server.keys();
    let client = Client::new(server.url()).apikey(&keys.anon_key);
    let client = client.bearer(&Caller::role_only("editor").token(&keys.jwt_secret));
    let path = "/rest/v1/rpc/plain_role";
    let before = client.get(path).await;
    assert!(matches!(before.status, 401 | 403), "{} {}", before.status, before.text());

    postgres.run("grant editor to authenticator; notify pgrst, 'reload schema'").await;

    eventually("the granted role", async || client.get(path).await.status == 200).await;
    assert_eq!(client.get(path).await.json(), "editor");
}

#[tokio::test]
async fn callers_come_through_a_login_without_rights() {
    let app = TestApp::with_sql(SHOP).await;

    let who = app.service().get("/rest/v1/rpc/whoami").await.expect_status(200).json();

    assert_eq!((&who["login"], &who["role"]), (&json!("authenticator"), &json!("service_role")));
    let rights = "select (rolsuper or rolinherit or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)::text
                  from pg_roles where rolname = 'authenticator'";
    assert_eq!(app.database.value(rights).await, "false");
}

#[tokio::test]
async fn keys_are_accepted_in_every_agreed_place_and_nowhere_else() {
    let app = TestApp::with_sql(SHOP).await;
    let keys = app.server.keys();
    let role = async |client: Client, path: &str| -> Value {
        let answer = client.get(path).await;
        if answer.status == 200 { answer.json()["role"].clone() } else { json!(answer.status) }
    };
    let who = "/rest/v1/rpc/whoami";

    assert_eq!(role(app.client().apikey(&keys.anon_key), who).await, "anon");
    assert_eq!(role(app.client().bearer(&keys.anon_key), who).await, "anon");
    assert_eq!(role(app.client().apikey(&keys.service_role_key), who).await, "service_role");
    assert_eq!(
        role(app.client().apikey(&keys.service_role_key).bearer(&keys.service_role_key), who).await,
        "service_role"
    );
    assert_eq!(role(app.client(), &format!("{who}?apikey={}", keys.anon_key)).await, "anon");
    // A user's token decides over the key that comes with it.
    let alice = Caller::user(ALICE).token(&keys.jwt_secret);
    assert_eq!(role(app.client().apikey(&keys.service_role_key).bearer(&alice), who).await, "authenticated");
}

#[tokio::test]
async fn without_a_key_callers_are_let_in_only_where_that_is_allowed() {
    let strict = TestApp::with(Options::default().set("auth.require_api_key", "true")).await;
    let lenient = TestApp::with(Options::default().set("auth.require_api_key", "false")).await;

    let missing = strict.client().get("/rest/v1/").await.expect_status(401);
    assert_eq!(missing.json()["message"], "No API key found in request");
    strict.client().apikey("foo").get("/rest/v1/").await.expect_status(401);
    strict.anon().get("/rest/v1/").await.expect_status(200);
    lenient.client().get("/rest/v1/").await.expect_status(200);
    lenient.client().apikey("foo").get("/rest/v1/").await.expect_status(200);
}

#[tokio::test]
async fn production_refuses_secrets_that_everybody_knows() {
    let database = crate::harness::Database::create().await;
    for secret in ["tiny-secret", "your-super-secret-jwt-token-with-at-least-32-characters-long"] {
        let options = Options::default()
            .database(&database.url())
            .environment("GOFORWARD_ENVIRONMENT", "production")
            .set("auth.jwt_secret", secret);
        let mut server = Server::spawn(options);

        let status = server.ended().await;

        assert!(!status.success());
        assert!(server.log().contains("auth.jwt_secret"), "{}", server.log());
        assert!(!server.log().contains(secret), "the refusal must not repeat the secret: {}", server.log());
    }
}
