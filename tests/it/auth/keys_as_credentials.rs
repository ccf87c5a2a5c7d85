//! An API key in place of a token, at every service: the same as the token that it can be exchanged for.

use reqwest::Method;
use serde_json::{Value, json};

use super::keys::{NOTES, backend, exchanged, made, server, text};
use super::{PASSWORD, client, options, refused_within_a_second, sign_in, signed_in, speaking, user};
use crate::harness::{Answer, Client, Database, Options, Server, TestApp, eventually};

/// What is said of a key that is none, or none any more.
const REFUSAL: (u16, &str) = (401, "api_key_not_accepted");

/// The two ways of showing a key.
fn shown(app: &TestApp, key: &str) -> [Client; 2] {
    [client(app).bearer(key), speaking(app.client().apikey(key))]
}

async fn notes(client: &Client) -> Answer {
    client.get("/rest/v1/notes?select=owner,text").await
}

/// An app with notes, a user, and their key.
async fn with_key(options: Options, more: Value) -> (TestApp, Value, Value) {
    let app = TestApp::with(options).await;
    app.database.run(NOTES).await;
    let session = user(&app, "ada@example.com").await;
    let mut wish = json!({"name": "laptop", "kind": "personal"});
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = made(&signed_in(&app, &session), wish).await;
    eventually("the table is served", async || notes(&signed_in(&app, &session)).await.status == 200).await;
    (app, session, made)
}

#[tokio::test]
async fn a_key_is_its_user_to_row_level_security_and_opens_nothing_that_needs_a_session() {
    let (app, session, made) = with_key(options(), json!({})).await;
    let eve = user(&app, "eve@example.com").await;
    for session in [&session, &eve] {
        signed_in(&app, session).post("/rest/v1/notes", json!({"text": "mine"})).await.expect_status(201);
    }

    for client in shown(&app, &text(&made)) {
        notes(&client).await.expect_json(&json!([{"owner": session["user"]["id"], "text": "mine"}]));
    }
    let me = client(&app).bearer(&text(&made));
    me.get("/auth/v1/user").await.expect_error(403, "session_not_found");
    me.get("/auth/v1/admin/users").await.expect_error(403, "not_admin");
    me.get("/security/v1/tables").await.expect_status(403);
    // A project that asks for keys takes it for one.
    app.client().apikey(&text(&made)).get("/auth/v1/settings").await.expect_status(200);
}

#[tokio::test]
async fn a_key_says_in_sql_what_its_token_says() {
    let (app, _, made) = with_key(options(), json!({"scopes": ["rest:public.claims:execute"]})).await;
    app.database
        .run(
            "create function claims() returns jsonb language sql stable as 'select auth.jwt()';
             grant execute on function claims to public",
        )
        .await;
    let token = exchanged(&app, &text(&made)).await;
    let claims = async |client: &Client| client.get("/rest/v1/rpc/claims").await;
    eventually("the function is served", async || claims(&token).await.status == 200).await;
    // When it was issued differs.
    let lasting = |answer: Answer| {
        let mut claims = answer.expect_status(200).json();
        for time in ["iat", "exp", "amr"] {
            claims.as_object_mut().unwrap().remove(time).unwrap();
        }
        claims
    };

    let by_token = lasting(claims(&token).await);
    let by_key = lasting(claims(&client(&app).bearer(&text(&made))).await);

    assert_eq!(by_key, by_token);
    assert_eq!((&by_key["key_id"], &by_key["role"]), (&made["id"], &json!("authenticated")));
}

#[tokio::test]
async fn a_key_is_held_to_its_scopes_at_every_service() {
    let (app, _, made) = with_key(options(), json!({"scopes": ["rest:public.notes:select"]})).await;

    for client in shown(&app, &text(&made)) {
        notes(&client).await.expect_status(200);
        let write = client.post("/rest/v1/notes", json!({"text": "x"})).await;
        write.expect_error(403, "insufficient_scope");
        client.get("/rest/v1/others").await.expect_error(403, "insufficient_scope");
        client.get("/security/v1/tables").await.expect_error(403, "insufficient_scope");
    }
}

#[tokio::test]
async fn a_key_is_used_as_it_is_from_its_networks_alone() {
    let (app, _, made) = with_key(options(), json!({"ip_allowlist": ["192.0.2.0/24"]})).await;

    for client in shown(&app, &text(&made)) {
        // In turn: what is remembered of one address is nothing to another.
        for (address, status) in [("192.0.2.9", 200), ("198.51.100.1", 401), ("192.0.2.9", 200)] {
            assert_eq!(
                notes(&client.clone().header("x-forwarded-for", address)).await.status,
                status,
                "{address}"
            );
        }
        let elsewhere = client.header("x-forwarded-for", "198.51.100.1");
        notes(&elsewhere).await.expect_error(401, "api_key_not_accepted");
        elsewhere.get("/auth/v1/user").await.expect_error(401, "api_key_not_accepted");
    }
}

#[tokio::test]
async fn the_end_of_a_key_is_seen_by_every_node_within_a_second() {
    let (app, session, made) = with_key(options(), json!({})).await;
    let other = Server::start(options().database(&app.database.url())).await;
    let key = text(&made);
    let clients = [app.server.url(), other.url()].map(|url| Client::new(url).bearer(&key));
    for client in &clients {
        eventually("the table is served", async || notes(client).await.status == 200).await;
    }

    app.database.run("update auth.users set banned_until = now() + interval '1 day'").await;
    refused_within_a_second(&clients, REFUSAL).await;
    app.database.run("update auth.users set banned_until = null").await;
    for client in &clients {
        eventually("the ban is over", async || notes(client).await.status == 200).await;
    }
    let path = format!("/auth/v1/keys/{}", made["id"].as_str().unwrap());
    signed_in(&app, &session).delete(&path).await.expect_status(204);

    refused_within_a_second(&clients, REFUSAL).await;
}

#[tokio::test]
async fn a_key_ends_at_its_time_and_with_its_session() {
    let (app, _, made) = with_key(options(), json!({})).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "issue_api_key": true});
    let session =
        client(&app).post("/auth/v1/token?grant_type=password", body).await.expect_status(200).json();
    let of_session = client(&app).bearer(session["api_key"].as_str().unwrap());
    let of_user = client(&app).bearer(&text(&made));
    notes(&of_session).await.expect_status(200);
    notes(&of_user).await.expect_status(200);

    signed_in(&app, &session).post("/auth/v1/logout?scope=local", Value::Null).await.expect_status(204);
    refused_within_a_second([&of_session], REFUSAL).await;
    notes(&of_user).await.expect_status(200);
    app.database.run("update goforward.auth_api_keys set expires_at = now()").await;
    refused_within_a_second([&of_user], REFUSAL).await;
}

#[tokio::test]
async fn where_tokens_count_until_they_expire_keys_end_at_once_all_the_same() {
    let (app, _, made) = with_key(options().set("auth.sessions.stateless", "true"), json!({})).await;
    let me = client(&app).bearer(&text(&made));
    notes(&me).await.expect_status(200);

    app.database.run("delete from goforward.auth_api_keys").await;

    refused_within_a_second([&me], REFUSAL).await;
}

#[tokio::test]
async fn many_requests_with_one_key_are_few_look_ups_and_one_note_of_its_use() {
    let (app, _, made) = with_key(options(), json!({})).await;
    let me = client(&app).bearer(&text(&made));
    let version = "select xmin::text from goforward.auth_api_keys where kind = 'personal'";
    notes(&me).await.expect_status(200);
    let first: String = app.database.value(version).await;

    for _ in 0..50 {
        notes(&me).await.expect_status(200);
    }

    assert_eq!(app.database.value(version).await, first);
    let noted: String = app
        .database
        .value("select (now() - last_used_at < interval '30 seconds')::text from goforward.auth_api_keys")
        .await;
    assert_eq!(noted, "true");
}

#[tokio::test]
async fn made_up_keys_are_refused_and_a_uuid_is_known_in_either_case() {
    let (app, session, made) = with_key(options(), json!({})).await;
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let wish = json!({"name": "old", "kind": "personal", "user_id": session["user"]["id"], "key": uuid});
    super::keys::made(&server(&app), wish).await;

    for key in [uuid, &uuid.to_uppercase()] {
        for client in shown(&app, key) {
            notes(&client).await.expect_status(200);
        }
    }
    let other_kind = text(&made).replace("gf_personal_", "gf_service_");
    for key in ["gf_personal_x", &other_kind, &uuid.replace('5', "6")] {
        for client in shown(&app, key) {
            let told = notes(&client).await.expect_error(401, "api_key_not_accepted").json();
            assert!(told["hint"].as_str().unwrap().contains("/auth/v1/keys"), "{told}");
        }
        // Beside a good token too: whoever shows a key means it.
        let both = signed_in(&app, &session).apikey(key);
        notes(&both).await.expect_error(401, "api_key_not_accepted");
    }
}

#[tokio::test]
async fn a12_no_log_holds_a_key_that_came_as_one() {
    let (app, _, made) = with_key(options(), json!({})).await;
    let key = text(&made);

    for client in shown(&app, &key) {
        notes(&client).await.expect_status(200);
    }
    app.client().get(&format!("/rest/v1/notes?apikey={key}")).await;
    notes(&client(&app).bearer(&format!("{key}x"))).await.expect_status(401);

    assert!(!app.server.log().contains(&key), "the key is in the log");
}

#[tokio::test]
async fn a_server_without_accounts_says_that_it_knows_no_such_keys() {
    // Who has a public key alone issues no tokens, and so serves no accounts.
    let public = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    });
    let database = Database::create().await;
    let options = Options::default().database(&database.url());
    let server = Server::start(options.set("auth.jwt_secret", &public.to_string())).await;
    let key = "gf_personal_000000000000000000000000000000000000000";

    let told = Client::new(server.url()).bearer(key).get("/rest/v1/").await;

    told.expect_error(401, "api_key_unknowable");
}

#[tokio::test]
async fn a_key_of_a_user_does_not_speak_for_a_backend() {
    let (app, session, made) = with_key(options(), json!({})).await;
    app.database.run("update auth.users set role = 'service_role'").await;
    let me = client(&app).bearer(&text(&made));

    me.get("/auth/v1/admin/users").await.expect_error(403, "not_admin");
    let service = me.send(Method::POST, "/auth/v1/keys", None).await;
    service.expect_error(403, "session_not_found");
    let checked = backend(&app).await.post("/auth/v1/keys/verify", json!({"key": text(&made)})).await;
    assert_eq!(checked.expect_status(200).json()["user"]["id"], session["user"]["id"]);
    sign_in(&client(&app), "ada@example.com", PASSWORD).await.expect_status(200);
}
