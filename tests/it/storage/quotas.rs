//! Quotas hold exactly, however many uploads there are at once (H12).

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{refusal, start, upload};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn h12_a_hundred_uploads_at_once_stay_within_the_quota() {
    let app = start().await;
    let service = app.service();
    let bucket = json!({ "name": "small", "quota_bytes": 10_000 });
    service.post("/storage/v1/bucket", bucket).await.expect_status(200);

    let uploads = join_all((0..100).map(|n| {
        let service = service.clone();
        async move { upload(&service, &format!("small/{n}"), vec![b'x'; 1000]).await }
    }));
    let answers = uploads.await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 10);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refusal(refused), (400, "413".into(), "EntityTooLarge".into()), "{}", refused.text());
    }
    let sum =
        "select sum((metadata ->> 'size')::bigint)::text from storage.objects where bucket_id = 'small'";
    assert_eq!(app.database.value(sum).await, "10000");
    service.delete("/storage/v1/object/small/0").await;
    let used = "select used_bytes::text from goforward.storage_quotas";
    let left: i64 = app.database.value(used).await.parse().unwrap();
    assert!(left <= 10_000);
}

#[tokio::test]
async fn an_owner_has_a_quota_over_all_buckets() {
    let app = start().await;
    let alice = app.user(ALICE);
    upload(&alice, "private/before", "12345").await.expect_status(200);
    let set = async |bytes: serde_json::Value| {
        let path = format!("/storage/v1/quota/owner/{ALICE}");
        app.service().send(Method::PUT, &path, Some(json!({ "quota_bytes": bytes }))).await.expect_status(200)
    };

    set(json!(10)).await;
    upload(&alice, "public/a", "12345").await.expect_status(200);
    assert_eq!(refusal(&upload(&alice, "private/b", "1").await).1, "413");
    alice.delete("/storage/v1/object/private/before").await.expect_status(200);
    upload(&alice, "private/b", "1").await.expect_status(200);
    set(json!(null)).await;
    upload(&alice, "private/c", "many more bytes").await.expect_status(200);
    let answer = alice
        .send(Method::PUT, &format!("/storage/v1/quota/owner/{ALICE}"), Some(json!({ "quota_bytes": 1 })))
        .await;
    assert_eq!(answer.status, 403);
}
