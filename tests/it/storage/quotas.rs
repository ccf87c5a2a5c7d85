//! Quotas hold exactly, however many uploads there are at once (H12).

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::s3::{self, elements};
use super::tus::{append, begin, tus};
use super::{refusal, start, upload};
use crate::harness::decided;

const ALICE: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn h12_a_hundred_uploads_at_once_stay_within_the_quota() {
    let app = start().await;
    let service = app.service();
    let bucket = json!({ "name": "small", "quota_bytes": 10_000 });
    service.post("/storage/v1/bucket", bucket).await.expect_status(200);

    let uploads = (0..100).map(|n| {
        let (service, path) = (service.clone(), format!("small/{n}"));
        decided(async move || upload(&service, &path, vec![b'x'; 1000]).await)
    });
    let answers = join_all(uploads).await;
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

#[tokio::test]
async fn h12_what_is_never_finished_counts_like_what_is() {
    let app = start().await;
    let service = app.service();
    let bucket = json!({ "name": "small", "quota_bytes": 10_000 });
    service.post("/storage/v1/bucket", bucket).await.expect_status(200);
    let used = async || app.database.value("select used_bytes::text from goforward.storage_quotas").await;

    let mut paths = Vec::new();
    for n in 0..100 {
        paths.push(begin(&service, &format!("small/{n}"), 2_000).await);
    }
    let uploads = join_all(paths.into_iter().map(async |path| {
        let answer = decided(async || append(&service, &path, 0, vec![b'x'; 1_000]).await).await;
        (answer.status, path)
    }));
    let (taken, refused): (Vec<_>, Vec<_>) =
        uploads.await.into_iter().partition(|(status, _)| *status == 204);
    assert_eq!((taken.len(), used().await.as_str()), (10, "10000"));
    assert!(refused.iter().all(|(status, _)| *status == 413), "{refused:?}");
    let kept = "select sum(size)::text from goforward.tus_parts";
    assert_eq!(app.database.value(kept).await, "10000");
    assert_eq!(refusal(&upload(&service, "small/more", "x").await).1, "413", "there is no room for others");
    assert_eq!(append(&service, &taken[0].1, 1_000, vec![b'x'; 1_000]).await.status, 413, "nor for its rest");

    tus(&service).delete(&taken[1].1).await.expect_status(204);
    append(&service, &taken[0].1, 1_000, vec![b'x'; 1_000]).await.expect_status(204);
    assert_eq!(used().await, "10000", "an object in the place of its parts");
    for (_, path) in &taken[2..] {
        tus(&service).delete(path).await.expect_status(204);
    }
    assert_eq!(used().await, "2000");
}

#[tokio::test]
async fn h12_parts_of_s3_count_from_the_first_to_the_last() {
    let (app, signer) = s3::start().await;
    let bucket = json!({ "name": "small", "quota_bytes": 5_000 });
    app.service().post("/storage/v1/bucket", bucket).await.expect_status(200);
    let used = async || app.database.value("select used_bytes::text from goforward.storage_quotas").await;
    let mut paths = Vec::new();
    for n in 0..30 {
        let begun = signer.post(&format!("/small/{n}?uploads"), "").await.expect_status(200);
        paths.push(format!("/small/{n}?uploadId={}", elements(&begun, "UploadId").concat()));
    }
    let uploads = join_all(paths.into_iter().map(async |path| {
        let first = format!("{path}&partNumber=1");
        let part = decided(async || signer.put(&first, vec![b'x'; 1_000]).await).await;
        (part.status, part.header("etag").to_owned(), path)
    }));
    let (taken, refused): (Vec<_>, Vec<_>) =
        uploads.await.into_iter().partition(|(status, ..)| *status == 200);
    assert_eq!((taken.len(), used().await.as_str()), (5, "5000"));
    assert!(refused.iter().all(|(status, ..)| *status == 413), "{refused:?}");

    let (_, etag, path) = &taken[0];
    signer.put(&format!("{path}&partNumber=1"), vec![b'x'; 1_000]).await.expect_status(200);
    assert_eq!(used().await, "5000", "in the place of another part");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    signer.post(path, document).await.expect_status(200);
    assert_eq!(used().await, "5000", "an object in the place of its parts");
    signer.delete(&taken[1].2).await.expect_status(204);
    assert_eq!(used().await, "4000");
    // One that is set later begins with all there is.
    let quota = Some(json!({ "quota_bytes": 4_001 }));
    app.service().send(Method::PUT, "/storage/v1/bucket/small", quota).await.expect_status(200);
    assert_eq!(used().await, "4000");
    upload(&app.service(), "small/a", "x").await.expect_status(200);
    assert_eq!(refusal(&upload(&app.service(), "small/b", "x").await).1, "413");
}
