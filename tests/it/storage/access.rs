//! Who may do what is what the policies say, for each operation (GF-ST-03, H08, H20).

use reqwest::Method;
use serde_json::json;

use super::{refusal, start, upload, with};
use crate::harness::Options;

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

#[tokio::test]
async fn an_object_is_its_owners_alone_where_policies_say_so() {
    let app = start().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    upload(&alice, "private/a.txt", "hers").await.expect_status(200);

    let path = "/storage/v1/object/private/a.txt";
    for answer in [bob.get(path).await, app.anon().get(path).await, bob.delete(path).await] {
        assert_eq!(refusal(&answer).1, "404", "{}", answer.text());
    }
    assert_eq!(refusal(&app.client().get(path).await), (400, "404".into(), "NoSuchBucket".into()));
    let over = upload(&bob.clone().header("x-upsert", "true"), "private/a.txt", "his").await;
    assert_eq!(refusal(&over), (400, "403".into(), "AccessDenied".into()));
    assert_eq!(over.json()["error"], "Unauthorized");
    let fresh = upload(&app.anon(), "private/b.txt", "x").await;
    assert_eq!(fresh.json()["message"], "new row violates row-level security policy for table \"objects\"");
    assert_eq!(alice.get(path).await.text(), "hers");
    assert_eq!(app.service().get(path).await.text(), "hers");
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "1");
}

#[tokio::test]
async fn h20_a_copy_needs_reading_and_writing_and_a_move_changing() {
    let app = start().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    upload(&alice, "private/a.txt", "hers").await.expect_status(200);
    app.database
        .run("create policy all_read on storage.objects for select to authenticated using (bucket_id = 'private')")
        .await;

    let to = |key: &str| json!({ "bucketId": "private", "sourceKey": "a.txt", "destinationKey": key });
    bob.post("/storage/v1/object/copy", to("bobs.txt")).await.expect_status(200);
    for answer in [
        bob.post("/storage/v1/object/move", to("b.txt")).await,
        bob.post(
            "/storage/v1/object/move-prefix",
            json!({ "bucketId": "private", "sourcePrefix": "x", "destinationPrefix": "y" }),
        )
        .await,
    ] {
        assert!(answer.status == 400 || answer.json()["count"] == 0, "{}", answer.text());
    }
    assert_eq!(alice.get("/storage/v1/object/private/a.txt").await.text(), "hers");
    let stolen = alice.post(
        "/storage/v1/object/copy",
        json!({ "bucketId": "private", "sourceKey": "a.txt", "destinationKey": "bobs.txt" }),
    );
    assert_eq!(refusal(&stolen.await).1, "409");
}

#[tokio::test]
async fn h08_a_public_bucket_can_be_read_but_not_listed() {
    let app = start().await;
    upload(&app.service(), "public/a.txt", "open").await.expect_status(200);

    assert_eq!(
        app.client().get("/storage/v1/object/public/public/a.txt").await.expect_status(200).text(),
        "open"
    );
    assert_eq!(app.client().get("/storage/v1/object/public/a.txt").await.expect_status(200).text(), "open");
    let listed =
        app.anon().post("/storage/v1/object/list/public", json!({ "prefix": "" })).await.expect_status(200);
    assert_eq!(listed.json(), json!([]));
    assert_eq!(refusal(&app.client().get("/storage/v1/object/public/private/a.txt").await).2, "NoSuchBucket");
}

#[tokio::test]
async fn without_a_good_token_nothing_is_written_or_listed() {
    let app = start().await;
    for client in [app.client(), app.client().bearer("a.b.c"), app.client().bearer("sb_secret_nonsense")] {
        let answer = upload(&client, "private/a.txt", "x").await;
        assert_eq!(refusal(&answer), (400, "403".into(), "AccessDenied".into()), "{}", answer.text());
        let answer = client.post("/storage/v1/object/list/private", json!({ "prefix": "" })).await;
        assert_eq!(refusal(&answer).1, "403");
        assert_eq!(refusal(&client.get("/storage/v1/bucket").await).1, "403");
    }
}

#[tokio::test]
async fn policies_see_what_is_done_and_with_what() {
    let app = start().await;
    app.database
        .run(
            "create policy small on storage.objects as restrictive for insert to authenticated
                 with check ((metadata ->> 'contentLength')::int < 10 and metadata ->> 'mimetype' = 'text/plain'
                     and storage.allow_only_operation('object.upload') and storage.extension(name) = 'txt'
                     and (storage.foldername(name))[1] = 'in')",
        )
        .await;
    let alice = app.user(ALICE);
    upload(&alice, "private/in/a.txt", "small").await.expect_status(200);
    for (path, body) in
        [("private/in/b.txt", "not as small"), ("private/in/b.png", "small"), ("private/b.txt", "small")]
    {
        assert_eq!(refusal(&upload(&alice, path, body).await).1, "403", "{path}");
    }
    let upsert =
        alice.send_text(Method::PUT, "/storage/v1/object/private/in/c.txt", "text/plain", "small").await;
    assert_eq!(refusal(&upsert).1, "403", "another operation");
}

#[tokio::test]
async fn rows_are_not_removed_past_the_service() {
    let app = start().await;
    upload(&app.service(), "private/a.txt", "x").await.expect_status(200);
    let service = crate::harness::Caller::role_only("service_role");
    let refused = app.database.as_caller(&service, "delete from storage.objects", true).await.unwrap_err();
    assert_eq!(refused, "42501");
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "1");
}

#[tokio::test]
async fn nobody_replaces_what_came_while_their_bytes_were_on_their_way() {
    let app = start().await;
    app.database
        .run(
            "create policy all_write on storage.objects for insert to authenticated with check (true);
              create policy all_read on storage.objects for select to authenticated using (true)",
        )
        .await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB).header("x-upsert", "true"));
    let (send, pieces) = body_in_pieces();
    let slow = tokio::spawn(async move { upload(&bob, "private/a.txt", pieces).await });
    send.send("b".repeat(10_000)).await.unwrap();
    let announced = "select count(*)::text from goforward.storage_blobs";
    crate::harness::eventually("bob is writing", async || app.database.value(announced).await == "1").await;

    upload(&alice, "private/a.txt", "hers").await.expect_status(200);
    drop(send);
    assert_eq!(refusal(&slow.await.unwrap()), (400, "409".into(), "KeyAlreadyExists".into()));
    assert_eq!(alice.get("/storage/v1/object/private/a.txt").await.text(), "hers");
}

#[tokio::test]
async fn a_signed_upload_replaces_only_what_its_signer_could_have_replaced() {
    let app = start().await;
    let bob = app.user(BOB).header("x-upsert", "true");
    let signed =
        bob.post("/storage/v1/object/upload/sign/private/a.txt", json!({})).await.expect_status(200).json();
    upload(&app.user(ALICE), "private/a.txt", "hers").await.expect_status(200);

    let path = format!("/storage/v1{}", signed["url"].as_str().unwrap());
    let answer = app.client().send_text(Method::PUT, &path, "text/plain", "his").await;
    assert_eq!(refusal(&answer).1, "409");
    assert_eq!(app.user(ALICE).get("/storage/v1/object/private/a.txt").await.text(), "hers");
}

#[tokio::test]
async fn quotas_are_set_by_servers_alone() {
    let app = start().await;
    app.database
        .run("create policy mine on storage.buckets to authenticated using (true) with check (true)")
        .await;
    let alice = app.user(ALICE);
    let bucket = json!({ "name": "hers", "quota_bytes": 10 });
    assert_eq!(alice.post("/storage/v1/bucket", bucket).await.status, 403);
    alice.post("/storage/v1/bucket", json!({ "name": "hers" })).await.expect_status(200);
    let change = Some(json!({ "quota_bytes": null }));
    assert_eq!(alice.send(Method::PUT, "/storage/v1/bucket/hers", change).await.status, 403);
}

/// A body that is sent piece by piece.
fn body_in_pieces() -> (tokio::sync::mpsc::Sender<String>, reqwest::Body) {
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let pieces = futures_util::stream::unfold(
        receive,
        |mut receive: tokio::sync::mpsc::Receiver<String>| async move {
            receive.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), receive))
        },
    );
    (send, reqwest::Body::wrap_stream(pieces))
}

#[tokio::test]
async fn it_runs_alone() {
    let app = with(Options::default().argument("--only").argument("storage")).await;
    upload(&app.user(ALICE), "private/a.txt", "hers").await.expect_status(200);
    upload(&app.service(), "public/b.txt", "open").await.expect_status(200);
    assert_eq!(
        app.user(ALICE).get("/storage/v1/object/private/a.txt").await.expect_status(200).text(),
        "hers"
    );
    assert_eq!(
        app.client().get("/storage/v1/object/public/public/b.txt").await.expect_status(200).text(),
        "open"
    );
    for other in ["/rest/v1/", "/auth/v1/settings", "/realtime/v1/api/definitions"] {
        assert_eq!(app.anon().get(other).await.status, 404, "{other}");
    }
}
