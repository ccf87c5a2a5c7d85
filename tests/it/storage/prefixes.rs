//! All objects below a prefix are moved or removed at once: rows by rows under the policies, no bytes touched.

use reqwest::Method;
use serde_json::json;

use super::{start, upload};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

#[tokio::test]
async fn a_prefix_is_moved_as_far_as_the_caller_may() {
    let app = start().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    for name in ["in/a", "in/b/c", "inside"] {
        upload(&alice, &format!("private/{name}"), name).await.expect_status(200);
    }
    upload(&bob, "private/in/bobs", "x").await.expect_status(200);

    let body = json!({ "bucketId": "private", "sourcePrefix": "in", "destinationPrefix": "out/x", "destinationBucket": "public" });
    let moved = alice.post("/storage/v1/object/move-prefix", body).await.expect_status(200).json();
    assert_eq!(moved["count"], 2);
    assert_eq!(
        app.client().get("/storage/v1/object/public/public/out/x/b/c").await.expect_status(200).text(),
        "in/b/c"
    );
    assert_eq!(alice.get("/storage/v1/object/private/inside").await.text(), "inside");
    assert_eq!(bob.get("/storage/v1/object/private/in/bobs").await.text(), "x");

    let body = Some(json!({ "bucketId": "public", "prefix": "out/" }));
    assert_eq!(bob.send(Method::DELETE, "/storage/v1/object/prefix", body.clone()).await.json()["count"], 0);
    assert_eq!(alice.send(Method::DELETE, "/storage/v1/object/prefix", body).await.json()["count"], 2);
}

#[tokio::test]
async fn a_move_that_meets_another_object_moves_nothing() {
    let app = start().await;
    let alice = app.user(ALICE);
    for name in ["in/a", "in/b", "out/b"] {
        upload(&alice, &format!("private/{name}"), name).await.expect_status(200);
    }
    let body = json!({ "bucketId": "private", "sourcePrefix": "in", "destinationPrefix": "out" });
    assert_eq!(super::refusal(&alice.post("/storage/v1/object/move-prefix", body).await).1, "409");
    let names = "select string_agg(name, ' ' order by name) from storage.objects";
    assert_eq!(app.database.value(names).await, "in/a in/b out/b");
}
