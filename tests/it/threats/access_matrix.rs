//! Every route, asked by everyone: nobody gets further than the table says.

use serde_json::json;

use crate::harness::{Client, TestApp};
use crate::rest::{ALICE, BOB, SHOP};

/// method, path, then the status for: no key, anon, the owner, another user, the service.
type Row = (&'static str, &'static str, [u16; 5]);

const MATRIX: [Row; 61] = [
    ("GET", "/health/live", [200, 200, 200, 200, 200]),
    ("GET", "/health/ready", [200, 200, 200, 200, 200]),
    ("GET", "/nothing/here", [404, 404, 404, 404, 404]),
    ("GET", "/rest/v1/products?limit=1", [200, 200, 200, 200, 200]),
    ("GET", "/rest/v1/customers?limit=1", [200, 200, 200, 200, 200]),
    ("GET", "/rest/v1/unprotected", [401, 401, 403, 403, 200]),
    ("POST", "/rest/v1/unprotected", [401, 401, 403, 403, 201]),
    ("PATCH", "/rest/v1/unprotected?id=eq.50", [401, 401, 403, 403, 204]),
    ("DELETE", "/rest/v1/unprotected?id=eq.50", [401, 401, 403, 403, 204]),
    ("GET", "/rest/v1/open_view", [401, 401, 403, 403, 200]),
    ("GET", "/rest/v1/stale", [401, 401, 403, 403, 200]),
    ("GET", "/rest/v1/nope", [404, 404, 404, 404, 404]),
    ("POST", "/rest/v1/orders", [401, 401, 201, 403, 201]),
    ("PATCH", "/rest/v1/orders?id=eq.9000", [204, 204, 204, 204, 204]),
    ("DELETE", "/rest/v1/orders?id=eq.9000", [204, 204, 204, 204, 204]),
    ("GET", "/rest/v1/rpc/whoami", [200, 200, 200, 200, 200]),
    ("POST", "/rest/v1/rpc/whoami", [200, 200, 200, 200, 200]),
    ("GET", "/rest/v1/rpc/for_service_only", [401, 401, 403, 403, 200]),
    ("GET", "/rest/v1/", [200, 200, 200, 200, 200]),
    ("POST", "/graphql/v1", [200, 200, 200, 200, 200]),
    ("POST", "/functions/v1/x", [404, 404, 404, 404, 404]),
    ("TRACE", "/rest/v1/products", [405, 405, 405, 405, 405]),
    ("GET", "/auth/v1/health", [200, 200, 200, 200, 200]),
    ("GET", "/auth/v1/.well-known/jwks.json", [200, 200, 200, 200, 200]),
    ("GET", "/auth/v1/settings", [200, 200, 200, 200, 200]),
    ("GET", "/auth/v1/nothing", [404, 404, 404, 404, 404]),
    ("GET", "/auth/v1/authorize?provider=nobody", [400, 400, 400, 400, 400]),
    ("GET", "/auth/v1/callback?code=x", [400, 400, 400, 400, 400]),
    ("POST", "/auth/v1/callback", [400, 400, 400, 400, 400]),
    ("GET", "/auth/v1/user/identities/authorize", [401, 403, 403, 403, 403]),
    ("DELETE", "/auth/v1/user/identities/x", [401, 403, 403, 403, 403]),
    ("POST", "/auth/v1/signup", [422, 422, 422, 422, 422]),
    ("POST", "/auth/v1/token?grant_type=password", [400, 400, 400, 400, 400]),
    ("POST", "/auth/v1/token?grant_type=nothing", [400, 400, 400, 400, 400]),
    ("POST", "/auth/v1/verify", [400, 400, 400, 400, 400]),
    // The tokens of these users are signed with the project's secret, and speak of nobody who has an account.
    ("GET", "/auth/v1/user", [401, 403, 403, 403, 403]),
    ("PUT", "/auth/v1/user", [401, 403, 403, 403, 403]),
    ("POST", "/auth/v1/logout", [401, 403, 403, 403, 403]),
    ("GET", "/auth/v1/sessions", [401, 403, 403, 403, 403]),
    ("POST", "/auth/v1/factors", [401, 403, 403, 403, 403]),
    ("GET", "/auth/v1/keys", [401, 403, 403, 403, 200]),
    ("POST", "/auth/v1/keys", [401, 403, 403, 403, 400]),
    ("DELETE", "/auth/v1/keys/x", [401, 403, 403, 403, 404]),
    ("POST", "/auth/v1/keys/verify", [401, 403, 403, 403, 401]),
    ("POST", "/auth/v1/keys/exchange", [401, 401, 401, 401, 401]),
    ("POST", "/auth/v1/introspect", [401, 403, 403, 403, 400]),
    ("GET", "/auth/v1/admin/users", [401, 403, 403, 403, 200]),
    // Not asked for as a WebSocket.
    ("GET", "/realtime/v1/websocket", [400, 400, 400, 400, 400]),
    ("GET", "/realtime/v1/api/ping", [200, 200, 200, 200, 200]),
    ("POST", "/realtime/v1/api/broadcast", [401, 422, 422, 422, 422]),
    ("POST", "/realtime/v1/api/broadcast/room/events/e?private=true", [401, 403, 403, 403, 202]),
    ("GET", "/realtime/v1/api/channels", [401, 403, 403, 403, 200]),
    ("GET", "/realtime/v1/api/definitions", [401, 403, 403, 403, 200]),
    ("POST", "/realtime/v1/api/definitions", [401, 403, 403, 403, 400]),
    ("GET", "/realtime/v1/api/definitions/x", [401, 403, 403, 403, 404]),
    ("PATCH", "/realtime/v1/api/definitions/x", [401, 403, 403, 403, 404]),
    ("PUT", "/realtime/v1/api/definitions/x", [401, 403, 403, 403, 400]),
    ("DELETE", "/realtime/v1/api/definitions/x", [401, 403, 403, 403, 404]),
    ("GET", "/realtime/v1/api/tables", [401, 403, 403, 403, 200]),
    ("POST", "/realtime/v1/api/tables", [401, 403, 403, 403, 400]),
    ("DELETE", "/realtime/v1/api/tables/public.nope", [401, 403, 403, 403, 404]),
];

const FOR_SERVICE: &str = "create function for_service_only() returns int language sql as 'select 1';
    revoke execute on function for_service_only() from public, anon, authenticated;
    grant execute on function for_service_only() to service_role";

fn body(path: &str) -> serde_json::Value {
    match path {
        "/rest/v1/unprotected" => json!({ "id": 50 }),
        "/rest/v1/unprotected?id=eq.50" => json!({ "secret": "x" }),
        "/rest/v1/orders" => json!({ "customer": ALICE, "note": "matrix" }),
        "/rest/v1/orders?id=eq.9000" => json!({ "note": "y" }),
        "/graphql/v1" => json!({ "query": "{ a }" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn nobody_gets_further_than_the_table_says() {
    let app = TestApp::with_sql(&format!("{SHOP}; {FOR_SERVICE}")).await;
    let callers: [Client; 5] = [app.client(), app.anon(), app.user(ALICE), app.user(BOB), app.service()];
    let mut wrong = Vec::new();

    for (method, path, expected) in MATRIX {
        for (client, (who, status)) in
            callers.iter().zip(["no key", "anon", "owner", "other user", "service"].iter().zip(expected))
        {
            let method: reqwest::Method = method.parse().unwrap();
            let sends_body = matches!(method.as_str(), "POST" | "PATCH");
            let answer = client.send(method.clone(), path, sends_body.then(|| body(path))).await;
            if answer.status != status {
                wrong.push(format!(
                    "{method} {path} as {who}: {} instead of {status}: {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn users_see_their_own_rows_and_nobody_elses() {
    let app = TestApp::with_sql(SHOP).await;
    let everyone =
        [(app.user(ALICE), 15), (app.user(BOB), 15), (app.anon(), 0), (app.client(), 0), (app.service(), 30)];

    for (client, expected) in everyone {
        let rows = client
            .clone()
            .prefer("count=exact")
            .get("/rest/v1/orders?select=customer")
            .await
            .expect_status(200);
        assert_eq!(rows.rows(), expected);
        let total = rows.header("content-range").rsplit('/').next().unwrap().to_owned();
        assert_eq!(total, expected.to_string(), "a count must not tell of hidden rows");
        let embedded = client.get("/rest/v1/order_lines?select=orders(customer)").await.expect_status(200);
        for row in embedded.json().as_array().unwrap() {
            assert!(row["orders"].is_object(), "{row}");
        }
    }
    let alice = app.user(ALICE).get("/rest/v1/orders?select=customer").await;
    alice.expect_nowhere(BOB);
}

#[tokio::test]
async fn a_conflict_with_a_hidden_row_neither_shows_nor_changes_it() {
    let app = TestApp::with_sql(SHOP).await;
    let hidden = app
        .database
        .value("select id::text from orders where customer = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb' limit 1")
        .await;
    let before = app.database.value(&format!("select orders::text from orders where id = {hidden}")).await;

    let upsert = app
        .user(ALICE)
        .prefer("resolution=merge-duplicates, return=representation")
        .post(
            "/rest/v1/orders",
            json!({ "id": hidden.parse::<i64>().unwrap(), "customer": ALICE, "note": "taken over" }),
        )
        .await;

    assert!(matches!(upsert.status, 403 | 409), "{}", upsert.text());
    upsert.expect_nowhere(BOB);
    assert_eq!(
        app.database.value(&format!("select orders::text from orders where id = {hidden}")).await,
        before
    );
}
