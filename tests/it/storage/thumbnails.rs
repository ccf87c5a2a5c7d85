//! Pictures that are made ahead of the first request: kept with their original, and gone with it (GF-ST-10).

use std::fs;

use image::ImageFormat;
use reqwest::Method;

use super::clamd::Clamd;
use super::fsck::{age, fsck};
use super::images::picture;
use super::sweeping::blobs;
use super::with;
use crate::harness::{Options, eventually};

const RENDER: &str = "/storage/v1/render/image/public/public/a.png";

#[tokio::test]
async fn pictures_are_made_once_an_object_is_clean_and_go_with_it() {
    let clamd = Clamd::start(0).await;
    let options = Options::default()
        .set("storage.scan.url", &clamd.url)
        .set("storage.thumbnails", "4x4,6x contain")
        .set("storage.encryption", "new");
    let app = with(options).await;
    let service = app.service();
    let cut = picture(16, 8, ImageFormat::Png)[..40].to_vec();
    for (name, kind, bytes) in [
        ("a.png", "image/png", picture(16, 8, ImageFormat::Png)),
        ("cut.png", "image/png", cut),
        ("no.png", "image/png", b"text".to_vec()),
        ("b.txt", "text/plain", picture(16, 8, ImageFormat::Png)),
    ] {
        let path = format!("/storage/v1/object/public/{name}");
        service.send_text(Method::PUT, &path, kind, bytes).await.expect_status(200);
    }
    eventually("all are being scanned", async || clamd.scanned() == 4).await;
    assert_eq!(blobs(&app).await, (4, "4".into()), "nothing is made of what nobody may read");

    clamd.allow(100);
    let made = "select count(*)::text from goforward.storage_thumbnails";
    let done =
        "select count(*)::text from goforward.jobs where kind = 'storage.thumbnails' and state = 'done'";
    eventually("what is declared a picture was looked at", async || app.database.value(done).await == "3")
        .await;
    assert_eq!(app.database.value(made).await, "4", "two sizes, as PNG and as WebP");
    age(app.server.data(), &app.database).await;
    let (code, report) = fsck(app.server.data(), &app.database, &[]);
    assert_eq!((code, &report["found"]), (0, &0.into()), "{report}");

    // Without its original a picture is shown only if it was made before.
    let version =
        app.database.value("select version from storage.objects where name = 'a.png'").await.replace('-', "");
    fs::remove_file(app.server.data().join("storage").join(&version[..2]).join(&version)).unwrap();
    let size = async |query: &str, accept: &str| {
        let client = app.client().header("accept", accept);
        let answer = client.get(&format!("{RENDER}?{query}")).await.expect_status(200);
        let picture = image::load_from_memory(&answer.body).unwrap();
        (picture.width(), picture.height(), answer.header("content-type").to_owned())
    };
    assert_eq!(size("width=4&height=4", "*/*").await, (4, 4, "image/png".into()));
    assert_eq!(size("width=4&height=4&resize=cover", "image/webp").await, (4, 4, "image/webp".into()));
    assert_eq!(size("width=6&resize=contain", "*/*").await, (6, 3, "image/png".into()));
    assert_eq!(app.client().get(&format!("{RENDER}?width=5")).await.status, 400);

    service.delete("/storage/v1/object/public/a.png").await.expect_status(200);
    eventually("its pictures are gone too", async || blobs(&app).await == (3, "3".into())).await;
    assert_eq!(app.database.value(made).await, "0");
}
