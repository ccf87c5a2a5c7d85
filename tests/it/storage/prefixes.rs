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

#[tokio::test]
async fn a_prefix_is_moved_below_itself_and_back() {
    let app = start().await;
    let service = app.service();
    let all = ["a/x", "a/a/x", "a/a/a/x", "a/a/yy", "b/x", "a/long name/z"];
    for name in all {
        upload(&service, &format!("private/{name}"), name).await.expect_status(200);
    }
    let moved = async |from: &str, to: &str| {
        let body = json!({ "bucketId": "private", "sourcePrefix": from, "destinationPrefix": to });
        service.post("/storage/v1/object/move-prefix", body).await.expect_status(200).json()["count"].clone()
    };
    let names = async || {
        let sql = "select string_agg(name, ',' order by name collate \"C\") from storage.objects";
        app.database.value(sql).await
    };
    assert_eq!(moved("a/", "a/a/").await, 5);
    assert_eq!(names().await, "a/a/a/a/x,a/a/a/x,a/a/a/yy,a/a/long name/z,a/a/x,b/x");
    for name in all.iter().filter(|name| name.starts_with("a/")) {
        let read = service.get(&format!("/storage/v1/object/private/a/{name}")).await.expect_status(200);
        assert_eq!(read.text(), *name, "its own bytes");
    }
    assert_eq!(moved("a/a", "a").await, 5);
    assert_eq!(names().await, "a/a/a/x,a/a/x,a/a/yy,a/long name/z,a/x,b/x");
    assert_eq!(moved("a", "a").await, 5, "to where it is");
    assert_eq!(moved("nothing", "nothing/at/all").await, 0);
    // What stays is in the way still.
    let body = json!({ "bucketId": "private", "sourcePrefix": "a/a/a", "destinationPrefix": "a/a" });
    assert_eq!(super::refusal(&service.post("/storage/v1/object/move-prefix", body).await).1, "409");
    assert_eq!(names().await, "a/a/a/x,a/a/x,a/a/yy,a/long name/z,a/x,b/x");
}

#[tokio::test]
async fn a_move_that_makes_a_name_too_long_moves_nothing() {
    let app = start().await;
    let service = app.service();
    let long = format!("in/{}", "n".repeat(1000));
    for name in ["in/short", &long] {
        upload(&service, &format!("private/{name}"), "x").await.expect_status(200);
    }
    let move_to = async |to: String| {
        let body = json!({ "bucketId": "private", "sourcePrefix": "in", "destinationPrefix": to });
        service.post("/storage/v1/object/move-prefix", body).await
    };
    for to in ["d".repeat(24), format!("in/{}", "d".repeat(21))] {
        let refused = move_to(to).await;
        assert_eq!(super::refusal(&refused), (400, "400".into(), "InvalidKey".into()), "{}", refused.text());
    }
    let names = "select string_agg(left(name, 8), ' ' order by name) from storage.objects";
    assert_eq!(app.database.value(names).await, "in/nnnnn in/short");
    assert_eq!(
        move_to("d".repeat(23)).await.expect_status(200).json()["count"],
        2,
        "1,024 bytes are not too many"
    );
}
