//! A program that embeds goforward: the parts of `examples/own_service.rs` in a server of this process.

use goforward::{Goforward, Loader, Running};
use serde_json::json;

use crate::harness::{Client, sign};

#[expect(dead_code, reason = "the example's own main is not called here")]
#[path = "../../../examples/own_service.rs"]
mod own_service;

const SECRET: &str = "a secret that only this test signs tokens with";

async fn start(home: &tempfile::TempDir) -> Running {
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let loaded = Loader::new()
        .set("embedded.data_dir", json!(home.path().join("data")))
        .unwrap()
        .set("server.port", json!(0))
        .unwrap()
        .set("auth.jwt_secret", json!(SECRET))
        .unwrap()
        .load()
        .unwrap();
    let builder = Goforward::new(loaded).service(own_service::hello()).middleware(own_service::house_rules);
    builder.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_ones_own_has_identity_limits_and_middleware() {
    let home = tempfile::Builder::new().prefix("goforward-embedding-").tempdir().unwrap();
    let server = start(&home).await;
    let anon = Client::new(server.api_url()).apikey(server.anon_key().unwrap().expose());
    let claims = json!({ "role": "authenticated", "sub": "u1", "exp": 4_000_000_000_u64 });
    let user = anon.clone().bearer(&sign(&claims, SECRET));

    let greeting = anon.get("/hello/v1/greeting").await;
    assert_eq!(greeting.header("x-served-by"), "own_service");
    greeting.expect_json(&json!({ "role": "anon", "subject": null }));

    let greeted = user.get("/hello/v1/greeting").await;
    greeted.expect_json(&json!({ "role": "authenticated", "subject": "u1" }));

    anon.post("/hello/v1/echo", json!("x".repeat(2000))).await.expect_status(413);
    for _ in 0..2 {
        user.get("/hello/v1/greeting").await.expect_status(200);
    }
    user.get("/hello/v1/greeting").await.expect_status(429);

    let refused = anon.get("/rest/v1/secrets").await;
    refused.expect_status(403);
    assert_eq!(anon.get("/rest/v1/").await.header("x-served-by"), "own_service");
    server.stop().await;
}
