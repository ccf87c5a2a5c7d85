//! `serve --only auth`: accounts for backends of other kinds.

use super::{options, sign_in, signed_in, user};
use crate::harness::{Options, TestApp};

fn only(services: &str) -> Options {
    options().argument("--only").argument(services)
}

#[tokio::test]
async fn accounts_are_served_alone() {
    let app = TestApp::with(only("auth")).await;

    let session = user(&app, "ada@example.com").await;

    let me = signed_in(&app, &session);
    assert_eq!(me.get("/auth/v1/user").await.expect_status(200).json()["email"], "ada@example.com");
    app.client().get("/auth/v1/.well-known/jwks.json").await.expect_status(200);
    for elsewhere in ["/rest/v1/", "/graphql/v1", "/security/v1/tables"] {
        assert_eq!(me.get(elsewhere).await.status, 404, "{elsewhere}");
    }
}

#[tokio::test]
async fn accounts_and_rest_are_served_without_the_others() {
    let app = TestApp::with(only("rest,auth")).await;
    user(&app, "ada@example.com").await;

    let session = sign_in(&super::client(&app), "ada@example.com", super::PASSWORD).await.expect_status(200);

    signed_in(&app, &session.json()).get("/rest/v1/").await.expect_status(200);
    app.service().get("/security/v1/tables").await.expect_status(404);
}
