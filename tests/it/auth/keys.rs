//! API keys: who makes them, who checks them, what they are exchanged for, and what ends them.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, client, code, link, message, options, sign_in, sign_up, signed_in, speaking, user};
use crate::harness::{Answer, Client, TestApp, eventually};

/// A server of the project's, with its secret key.
pub fn server(app: &TestApp) -> Client {
    speaking(app.service())
}

/// Makes a key; returns the answer's body.
pub async fn made(client: &Client, wish: Value) -> Value {
    client.post("/auth/v1/keys", wish).await.expect_status(200).json()
}

/// The key in the answer to its making.
pub fn text(made: &Value) -> String {
    made["key"].as_str().unwrap().to_owned()
}

/// A backend that has nothing but a service key.
pub async fn backend(app: &TestApp) -> Client {
    let made = made(&server(app), json!({"name": "a backend", "kind": "service"})).await;
    speaking(app.client().bearer(&text(&made)))
}

async fn verify(backend: &Client, key: &str) -> Answer {
    backend.post("/auth/v1/keys/verify", json!({"key": key})).await
}

/// A client with the access token that a key is exchanged for.
pub async fn exchanged(app: &TestApp, key: &str) -> Client {
    let answer = client(app).post("/auth/v1/keys/exchange", json!({"key": key})).await.expect_status(200);
    client(app).bearer(answer.json()["access_token"].as_str().unwrap())
}

#[tokio::test]
async fn a_user_makes_a_key_and_a_backend_learns_whose_it_is() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let (me, backend) = (signed_in(&app, &session), backend(&app).await);

    let wish = json!({"name": "laptop", "kind": "personal", "expires_at": "2099-01-01T00:00:00Z"});
    let made = made(&me, wish).await;
    let key = text(&made);
    let verified = verify(&backend, &key).await.expect_status(200);
    let listed = me.get("/auth/v1/keys").await.expect_status(200).json();

    assert!(key.starts_with("gf_personal_") && key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    assert_eq!(verified.header("cache-control"), "no-store");
    let verified = verified.json();
    assert_eq!(verified["user"]["id"], session["user"]["id"]);
    assert_eq!(verified["user"]["email"], "ada@example.com");
    assert_eq!(verified["user"]["app_roles"], json!(["user"]));
    assert_eq!(
        (&verified["scopes"], &verified["expires_at"]),
        (&Value::Null, &json!("2099-01-01T00:00:00Z"))
    );
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[0]["id"], listed[0].get("key")),
        (1, &made["id"], None)
    );
    assert!(listed[0]["last_used_at"].is_string(), "{listed}");
    verify(&server(&app), &key).await.expect_status(200);

    me.delete(&format!("/auth/v1/keys/{}", made["id"].as_str().unwrap())).await.expect_status(204);
    verify(&backend, &key).await.expect_error(401, "api_key_not_accepted");
}

#[tokio::test]
async fn only_holders_of_a_service_key_or_the_secret_key_verify() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let key = text(&made(&me, json!({"name": "a", "kind": "personal"})).await);
    let narrow = json!({"name": "b", "kind": "service", "scopes": ["rest:*:*"]});
    let narrow = text(&made(&server(&app), narrow).await);

    verify(&me, &key).await.expect_error(403, "not_admin");
    verify(&client(&app), &key).await.expect_error(401, "no_authorization");
    verify(&client(&app).bearer(&key), &key).await.expect_error(403, "not_admin");
    verify(&client(&app).bearer(&narrow), &key).await.expect_error(403, "insufficient_scope");
    let gone = narrow.replace("gf_service_", "gf_session_");
    verify(&backend(&app).await, &gone).await.expect_error(401, "api_key_not_accepted");
    verify(&backend(&app).await, "").await.expect_error(401, "api_key_not_accepted");
    verify(&speaking(app.client().apikey(&narrow)), &key).await.expect_error(403, "insufficient_scope");
}

#[tokio::test]
async fn a_user_sees_and_ends_no_keys_but_their_own() {
    let app = TestApp::with(options()).await;
    let (ada, eve) = (user(&app, "ada@example.com").await, user(&app, "eve@example.com").await);
    let (ada, eve) = (signed_in(&app, &ada), signed_in(&app, &eve));
    let made = made(&ada, json!({"name": "a", "kind": "personal"})).await;
    let path = format!("/auth/v1/keys/{}", made["id"].as_str().unwrap());

    assert_eq!(eve.get("/auth/v1/keys").await.json(), json!([]));
    eve.delete(&path).await.expect_error(404, "api_key_not_found");
    eve.post(&format!("{path}/rotate"), json!({})).await.expect_error(404, "api_key_not_found");
    eve.post("/auth/v1/keys", json!({"name": "s", "kind": "service"})).await.expect_error(403, "not_admin");
    let for_ada = json!({"name": "s", "kind": "personal", "user_id": made["user_id"]});
    eve.post("/auth/v1/keys", for_ada).await.expect_error(403, "not_admin");
    let listed =
        server(&app).get(&format!("/auth/v1/keys?user_id={}", made["user_id"].as_str().unwrap())).await;
    assert_eq!(listed.json()[0]["id"], made["id"]);
}

#[tokio::test]
async fn what_a_key_cannot_be_is_refused_as_it_is_made() {
    let app = TestApp::with(options().set("auth.api_keys.per_user", "2")).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let with = async |more: Value| {
        let mut wish = json!({"name": "a", "kind": "personal"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        me.post("/auth/v1/keys", wish).await
    };

    for wrong in [
        json!({"name": " "}),
        json!({"name": "x".repeat(101)}),
        json!({"kind": "admin"}),
        json!({"expires_at": "2001-01-01T00:00:00Z"}),
        json!({"expires_at": "tomorrow"}),
        json!({"ip_allowlist": ["10.0.0.0/64"]}),
        json!({"scopes": ["rest:todos"]}),
        // Nobody would hold the key to it.
        json!({"scopes": ["storage:avatars:select"]}),
        json!({"scopes": ["*:public.todos:select"]}),
    ] {
        with(wrong).await.expect_error(400, "validation_failed");
    }
    for _ in 0..2 {
        with(json!({})).await.expect_status(200);
    }
    with(json!({})).await.expect_error(422, "too_many_api_keys");
}

#[tokio::test]
async fn a_key_is_used_from_its_networks_alone() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let wish = json!({"name": "a", "kind": "personal", "ip_allowlist": ["192.0.2.0/24", "2001:db8::1"]});
    let key = text(&made(&me, wish).await);
    let backend = backend(&app).await;
    let from = async |address: &str, as_said: Option<&str>| {
        let body = json!({"key": key, "ip": as_said});
        backend.clone().header("x-forwarded-for", address).post("/auth/v1/keys/verify", body).await.status
    };

    assert_eq!(from("192.0.2.9", None).await, 200);
    assert_eq!(from("198.51.100.1", None).await, 401);
    assert_eq!(from("198.51.100.1", Some("2001:db8::1")).await, 200);
    assert_eq!(from("192.0.2.9", Some("2001:db8::2")).await, 401);
    let exchange = async |address: &str, body: Value| {
        client(&app).header("x-forwarded-for", address).post("/auth/v1/keys/exchange", body).await
    };
    exchange("192.0.2.9", json!({"key": key})).await.expect_status(200);
    exchange("198.51.100.1", json!({"key": key})).await.expect_error(401, "api_key_not_accepted");
    let lie = json!({"key": key, "ip": "192.0.2.9"});
    exchange("198.51.100.1", lie).await.expect_error(400, "validation_failed");
}

#[tokio::test]
async fn the_token_of_a_key_is_bound_to_the_networks_of_the_key() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let wish = json!({"name": "a", "kind": "personal", "ip_allowlist": ["192.0.2.0/24"]});
    let key = text(&made(&me, wish).await);
    let from = |address: &str| client(&app).header("x-forwarded-for", address);
    let token =
        |answer: Answer| answer.expect_status(200).json()["access_token"].as_str().unwrap().to_owned();
    let own = token(from("192.0.2.9").post("/auth/v1/keys/exchange", json!({"key": key})).await);
    // A backend was shown the key from inside the network, and acts from outside.
    let backend = backend(&app).await.header("x-forwarded-for", "198.51.100.7");
    let shown = json!({"key": key, "ip": "192.0.2.9"});
    let of_backend = token(backend.post("/auth/v1/keys/exchange", shown).await);

    for (token, address, is_in) in [
        (&own, "192.0.2.200", true),
        (&own, "198.51.100.7", false),
        (&of_backend, "192.0.2.9", true),
        (&of_backend, "198.51.100.7", true),
        (&of_backend, "198.51.100.8", false),
    ] {
        for (path, inside) in [("/rest/v1/", (200, "")), ("/auth/v1/user", (403, "session_not_found"))] {
            let answer = from(address).bearer(token).get(path).await;
            let (status, code) = if is_in { inside } else { (401, "api_key_not_accepted") };
            assert_eq!(answer.status, status, "{address} {path}: {}", answer.text());
            if !code.is_empty() {
                answer.expect_error(status, code);
            }
        }
    }
    let graphql = from("198.51.100.7").bearer(&own).post("/graphql/v1", json!({"query": "{}"})).await;
    graphql.expect_error(401, "api_key_not_accepted");
}

#[tokio::test]
async fn a_replaced_key_works_beside_the_new_one_until_its_overlap_ends() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let backend = backend(&app).await;
    let old = made(&me, json!({"name": "a", "kind": "personal", "scopes": ["rest:*:select"]})).await;
    let rotate = format!("/auth/v1/keys/{}/rotate", old["id"].as_str().unwrap());

    let new = me.post(&rotate, json!({})).await.expect_status(200).json();
    me.post(&rotate, json!({})).await.expect_error(409, "api_key_replaced");

    assert_eq!((&new["rotated_from"], &new["scopes"]), (&old["id"], &old["scopes"]));
    let during = verify(&backend, &text(&old)).await.expect_status(200).json();
    assert!(during["expires_at"].is_string(), "{during}");
    verify(&backend, &text(&new)).await.expect_status(200);
    app.database
        .run("update goforward.auth_api_keys set overlap_until = now() where overlap_until is not null")
        .await;
    verify(&backend, &text(&old)).await.expect_error(401, "api_key_not_accepted");
    verify(&backend, &text(&new)).await.expect_status(200);
}

#[tokio::test]
async fn a_key_that_came_with_the_sign_in_ends_with_its_session() {
    let app = TestApp::with(options().set("auth.api_keys.per_user", "0")).await;
    user(&app, "ada@example.com").await;
    let backend = backend(&app).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "issue_api_key": true});
    let session =
        client(&app).post("/auth/v1/token?grant_type=password", body).await.expect_status(200).json();
    let plain = sign_in(&client(&app), "ada@example.com", PASSWORD).await.json();
    let key = session["api_key"].as_str().unwrap().to_owned();
    let token = exchanged(&app, &key).await;

    assert!(key.starts_with("gf_session_"), "{key}");
    assert_eq!(plain.get("api_key"), None);
    verify(&backend, &key).await.expect_status(200);
    signed_in(&app, &session).post("/auth/v1/logout?scope=local", Value::Null).await.expect_status(204);

    verify(&backend, &key).await.expect_error(401, "api_key_not_accepted");
    eventually("the token goes with the key", async || token.get("/rest/v1/").await.status == 401).await;
}

#[tokio::test]
async fn every_way_in_gives_a_key_to_whoever_asks_and_to_nobody_else() {
    let app = TestApp::with(options()).await;
    let has_key =
        |answer: &Answer| answer.json()["api_key"].as_str().is_some_and(|key| key.starts_with("gf_session_"));
    let enter = async |path: &str, mut body: Value| {
        body["issue_api_key"] = true.into();
        client(&app).post(&format!("/auth/v1{path}"), body).await.expect_status(200)
    };

    assert!(has_key(&enter("/signup", json!({})).await));
    assert!(!has_key(&client(&app).post("/auth/v1/signup", json!({})).await));
    sign_up(&app, "ada@example.com").await.expect_status(200);
    let mail = message(&app, "ada@example.com", |_| true).await;
    let by_code = json!({"type": "signup", "email": "ada@example.com", "token": code(&mail)});
    assert!(has_key(&enter("/verify", by_code).await));
    client(&app).post("/auth/v1/otp", json!({"email": "ada@example.com"})).await.expect_status(200);
    let mail = message(&app, "ada@example.com", |new| new["id"] != mail["id"]).await;
    let link = link(&mail);
    let token = link.split(['?', '&']).find_map(|part| part.strip_prefix("token=")).unwrap();
    assert!(has_key(&enter("/verify", json!({"type": "magiclink", "token_hash": token})).await));
    let by_password = json!({"email": "ada@example.com", "password": PASSWORD});
    let session = enter("/token?grant_type=password", by_password).await;
    assert!(has_key(&session));
    // The session goes on, and its key with it.
    let refreshed =
        enter("/token?grant_type=refresh_token", json!({"refresh_token": session.json()["refresh_token"]}));
    assert!(!has_key(&refreshed.await));
    let wrong = json!({"issue_api_key": "yes"});
    client(&app).post("/auth/v1/signup", wrong).await.expect_error(400, "bad_json");
}

#[tokio::test]
async fn a_sign_up_without_confirmation_gives_a_key_too() {
    let app = TestApp::with(options().set("auth.email.autoconfirm", "true")).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "issue_api_key": true});

    let session = client(&app).post("/auth/v1/signup", body).await.expect_status(200).json();

    let verified =
        verify(&backend(&app).await, session["api_key"].as_str().unwrap()).await.expect_status(200);
    assert_eq!(verified.json()["user"]["id"], session["user"]["id"]);
}

#[tokio::test]
async fn a_key_of_a_banned_or_deleted_user_is_not_accepted() {
    let app = TestApp::with(options()).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let backend = backend(&app).await;
    let key = text(&made(&me, json!({"name": "a", "kind": "personal"})).await);
    let token = exchanged(&app, &key).await;
    token.get("/rest/v1/").await.expect_status(200);

    app.database.run("update auth.users set banned_until = now() + interval '1 day'").await;
    verify(&backend, &key).await.expect_error(401, "api_key_not_accepted");
    eventually("the ban is seen", async || token.get("/rest/v1/").await.status == 403).await;
    app.database.run("update auth.users set banned_until = null, deleted_at = now()").await;
    verify(&backend, &key).await.expect_error(401, "api_key_not_accepted");
    eventually("the deletion is seen", async || token.get("/rest/v1/").await.status == 401).await;
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_that_row_level_security_sees() {
    let app = TestApp::with(options()).await;
    app.database.run(NOTES).await;
    let (ada, eve) = (user(&app, "ada@example.com").await, user(&app, "eve@example.com").await);
    let key = text(&made(&signed_in(&app, &ada), json!({"name": "a", "kind": "personal"})).await);
    let token = exchanged(&app, &key).await;
    eventually("the table is served", async || token.get("/rest/v1/notes").await.status == 200).await;
    for session in [&ada, &eve] {
        signed_in(&app, session).post("/rest/v1/notes", json!({"text": "mine"})).await.expect_status(201);
    }

    let rows = token.get("/rest/v1/notes?select=owner,text").await.expect_status(200);

    rows.expect_json(&json!([{"owner": ada["user"]["id"], "text": "mine"}]));
    token.get("/auth/v1/user").await.expect_error(403, "session_not_found");
    token
        .post("/auth/v1/keys", json!({"name": "b", "kind": "personal"}))
        .await
        .expect_error(403, "session_not_found");
}

#[tokio::test]
async fn the_token_of_a_scoped_key_does_what_the_scopes_name_and_nothing_else() {
    let app = TestApp::with(options()).await;
    app.database.run(NOTES).await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let with = async |scopes: Value| {
        let made = made(&me, json!({"name": "a", "kind": "personal", "scopes": scopes})).await;
        exchanged(&app, &text(&made)).await
    };
    let reads = with(json!(["rest:public.notes:select"])).await;
    let writes = with(json!(["rest:public.notes:insert"])).await;
    let nothing = with(json!([])).await;
    eventually("the table is served", async || reads.get("/rest/v1/notes").await.status == 200).await;

    let note = || json!({"text": "mine"});
    reads.post("/rest/v1/notes", note()).await.expect_error(403, "insufficient_scope");
    reads.get("/rest/v1/others").await.expect_error(403, "insufficient_scope");
    reads.get("/rest/v1/notes?select=others(id)").await.expect_error(403, "insufficient_scope");
    reads.get("/rest/v1/rpc/answer").await.expect_error(403, "insufficient_scope");
    writes.post("/rest/v1/notes", note()).await.expect_status(201);
    writes.get("/rest/v1/notes").await.expect_error(403, "insufficient_scope");
    let told = writes.clone().prefer("return=representation").post("/rest/v1/notes", note()).await;
    told.expect_error(403, "insufficient_scope");
    nothing.get("/rest/v1/notes").await.expect_error(403, "insufficient_scope");
    nothing.post("/graphql/v1", json!({"query": "{}"})).await.expect_error(403, "insufficient_scope");
    with(json!(["rest:public.answer:execute"])).await.get("/rest/v1/rpc/answer").await.expect_status(200);
}

#[tokio::test]
async fn the_hook_for_claims_sees_exchanged_tokens_and_cannot_widen_them() {
    let app = TestApp::with(
        options().set("auth.hooks.custom_access_token.uri", "pg-functions://postgres/public/claims"),
    )
    .await;
    app.database
        .run(
            "create function public.claims(event jsonb) returns jsonb language sql as $$
                select jsonb_build_object('claims', event -> 'claims'
                    || '{\"team\": \"red\", \"key_id\": null, \"scopes\": [\"*:*:*\"]}')
             $$;
             create function public.team() returns text language sql stable as $$ select auth.jwt() ->> 'team' $$;
             grant execute on function public.claims, public.team to public",
        )
        .await;
    let me = signed_in(&app, &user(&app, "ada@example.com").await);
    let made =
        made(&me, json!({"name": "a", "kind": "personal", "scopes": ["rest:public.team:execute"]})).await;

    let token = exchanged(&app, &text(&made)).await;

    eventually("the function is served", async || token.get("/rest/v1/rpc/team").await.status == 200).await;
    assert_eq!(token.get("/rest/v1/rpc/team").await.json(), "red");
    token.get("/rest/v1/rpc/claims?event={}").await.expect_error(403, "insufficient_scope");
    token.get("/auth/v1/user").await.expect_error(403, "session_not_found");
}

#[tokio::test]
async fn keys_of_another_system_are_taken_over_and_known_in_either_case() {
    let app = TestApp::with(options()).await;
    let session = user(&app, "ada@example.com").await;
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let wish = json!({"name": "old", "kind": "personal", "user_id": session["user"]["id"], "key": uuid});

    signed_in(&app, &session).post("/auth/v1/keys", wish.clone()).await.expect_error(403, "not_admin");
    made(&server(&app), wish.clone()).await;
    server(&app).post("/auth/v1/keys", wish).await.expect_error(422, "api_key_exists");

    let verified = verify(&backend(&app).await, &uuid.to_uppercase()).await.expect_status(200).json();
    assert_eq!(verified["user"]["id"], session["user"]["id"]);
    verify(&backend(&app).await, &uuid.replace('5', "6")).await.expect_error(401, "api_key_not_accepted");
}

#[tokio::test]
async fn checks_are_limited_in_number() {
    let app = TestApp::with(options().set("auth.rate_limits.keys", "3")).await;
    let backend = speaking(
        app.client().apikey(&app.server.keys().anon_key).bearer(&app.server.keys().service_role_key),
    );
    let check = || backend.send(Method::POST, "/auth/v1/keys/verify", Some(json!({"key": "x"})));

    let (begun, mut checks) = (Instant::now(), 0);
    let refused = loop {
        let answer = check().await;
        if answer.status == 429 {
            break answer;
        }
        answer.expect_error(401, "api_key_not_accepted");
        checks += 1;
        // One comes back every twenty seconds.
        assert!(checks <= 3 + begun.elapsed().as_secs() / 20, "{checks} in {:?}", begun.elapsed());
    };
    assert!(checks >= 3, "{checks}");
    refused.expect_error(429, "over_request_rate_limit");
}

/// Notes that only their owners see, with a table beside them and a function.
pub const NOTES: &str = "
    create table others (id int primary key);
    create table notes (owner uuid not null default auth.uid(), text text, other int references others);
    alter table others enable row level security;
    alter table notes enable row level security;
    create policy own on notes to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
    create function answer() returns int language sql immutable as 'select 42';
    grant all on notes, others to authenticated;
    grant execute on function answer to authenticated";
