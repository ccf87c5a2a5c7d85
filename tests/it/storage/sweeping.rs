//! No bytes are left over: what is replaced, removed or given up is swept (GF-ST-12, H12, H21).

use reqwest::Method;
use serde_json::json;

use super::{refusal, start, upload};
use crate::harness::{TestApp, eventually};

/// How many files there are, and how many blobs the database knows.
pub async fn blobs(app: &TestApp) -> (usize, String) {
    let folder = app.server.data().join("storage");
    let folders = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = folders.map(|entry| std::fs::read_dir(entry.path()).into_iter().flatten().count()).sum();
    (files, app.database.value("select count(*)::text from goforward.storage_blobs").await)
}

#[tokio::test]
async fn bytes_that_no_object_has_are_removed() {
    let app = start().await;
    let service = app.service();
    for name in ["a", "b", "c/d", "c/e"] {
        upload(&service, &format!("private/{name}"), name).await.expect_status(200);
    }
    assert_eq!(blobs(&app).await, (4, "4".into()));

    service
        .send_text(Method::PUT, "/storage/v1/object/private/a", "text/plain", "new")
        .await
        .expect_status(200);
    service.delete("/storage/v1/object/private/b").await.expect_status(200);
    eventually("the replaced and the removed one are swept", async || blobs(&app).await == (3, "3".into()))
        .await;
    service.post("/storage/v1/bucket/private/empty", json!({})).await.expect_status(200);
    eventually("the bucket is empty", async || blobs(&app).await == (0, "0".into())).await;
}

#[tokio::test]
async fn an_upload_that_is_refused_on_the_way_leaves_nothing() {
    let app = start().await;
    let service = app.service();
    service
        .post("/storage/v1/bucket", json!({ "name": "small", "file_size_limit": 100_000 }))
        .await
        .expect_status(200);
    let pieces = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000])));
    let answer = upload(&service, "small/a", reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!(refusal(&answer), (400, "413".into(), "EntityTooLarge".into()));
    eventually("nothing is left", async || blobs(&app).await == (0, "0".into())).await;
}

#[tokio::test]
async fn an_upload_whose_client_hangs_up_leaves_nothing() {
    let app = start().await;
    let request = format!(
        "POST /storage/v1/object/private/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 3000000\r\n\r\n",
        app.server.keys().service_role_key
    );
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", app.server.port())).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, &vec![b'x'; 2_000_000]).await.unwrap();
    eventually("it is being written", async || blobs(&app).await.1 == "1").await;
    drop(socket);
    eventually("nothing is left", async || blobs(&app).await == (0, "0".into())).await;
    assert_eq!(app.database.value("select count(*)::text from storage.objects").await, "0");
}

#[tokio::test]
async fn bytes_that_cannot_be_removed_hold_up_no_others_and_go_later() {
    let app = start().await;
    let service = app.service();
    for name in ["bad", "good"] {
        upload(&service, &format!("private/{name}"), name).await.expect_status(200);
    }
    let version =
        app.database.value("select replace(version, '-', '') from storage.objects where name = 'bad'").await;
    let file = app.server.data().join("storage").join(&version[..2]).join(&version);
    std::fs::remove_file(&file).unwrap();
    // A folder is not removed as a file is.
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    service.delete("/storage/v1/object/private/bad").await.expect_status(200);
    eventually("it was tried", async || app.server.log().contains("cannot be removed yet")).await;
    service.delete("/storage/v1/object/private/good").await.expect_status(200);
    eventually("the other one goes", async || blobs(&app).await == (1, "1".into())).await;
    std::fs::remove_dir(file.join("in the way")).unwrap();
    std::fs::remove_dir(&file).unwrap();
    eventually("it goes too", async || blobs(&app).await == (0, "0".into())).await;
}

#[tokio::test]
async fn what_a_killed_writer_left_goes_when_its_time_is_over() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("storage/ab");
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!("ab{}", "0".repeat(30));
    for (number, age) in [(1, 7_200), (2, 0)] {
        let file = folder.join(format!("{name}#{number}"));
        std::fs::write(&file, "half").unwrap();
        let then = super::fsck::ago(std::time::Duration::from_secs(age));
        std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
    }
    let app = super::with(crate::harness::Options::default().data(home.path())).await;
    eventually("the old one goes", async || blobs(&app).await.0 == 1).await;
    assert!(folder.join(format!("{name}#2")).exists(), "the young one may be somebody's");
}
