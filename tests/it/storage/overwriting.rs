//! Readers of what is overwritten all the time see one version or another, whole, and always one (GF-ST-12, H21).

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use reqwest::Method;

use super::start;

/// Long enough for several reads of a file, and for several parts.
const LENGTH: usize = 2_500_000;

#[tokio::test]
async fn h21_whoever_reads_while_it_is_overwritten_reads_one_whole_version() {
    let app = start().await;
    let service = app.service();
    let put = async |byte: u8| {
        service
            .send_text(
                Method::PUT,
                "/storage/v1/object/public/a",
                "application/octet-stream",
                vec![byte; LENGTH],
            )
            .await
            .expect_status(200);
    };
    put(b'a').await;
    let is_over = AtomicBool::new(false);
    let write = async {
        for byte in (0..40).map(|round| b'a' + round % 26) {
            put(byte).await;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let read = async |_| {
        let (client, mut seen) = (app.client(), std::collections::BTreeSet::new());
        while !is_over.load(Ordering::SeqCst) {
            let answer = client.get("/storage/v1/object/public/a").await.expect_status(200);
            let first = answer.body[0];
            assert!(
                answer.body.len() == LENGTH && answer.body.iter().all(|byte| *byte == first),
                "a mixture"
            );
            let tag = answer.header("etag").to_owned();
            let part = app
                .client()
                .header("range", "bytes=1000000-1999999")
                .get("/storage/v1/object/public/a")
                .await
                .expect_status(206);
            let first = part.body[0];
            assert!(part.body.len() == 1_000_000 && part.body.iter().all(|byte| *byte == first), "a mixture");
            seen.insert(tag);
        }
        seen.len()
    };
    let (seen, ()) = tokio::join!(join_all((0..4).map(read)), write);
    assert!(seen.iter().any(|versions| *versions > 1), "nobody read meanwhile: {seen:?}");
}
