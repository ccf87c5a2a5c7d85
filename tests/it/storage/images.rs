//! Pictures in other sizes and formats, within limits (GF-ST-05, H13, H14, H15).

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use reqwest::Method;
use serde_json::json;

use super::{refusal, start, with};
use crate::harness::{Answer, Client, Options, resident_mib};

/// A picture of one colour.
pub fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30]));
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels).write_to(&mut file, format).unwrap();
    file.into_inner()
}

async fn put(client: &Client, name: &str, kind: &str, file: Vec<u8>) {
    let path = format!("/storage/v1/object/public/{name}");
    client.send_text(Method::PUT, &path, kind, file).await.expect_status(200);
}

/// Width and height of an answer's picture.
fn size(answer: &Answer) -> (u32, u32) {
    let picture = image::load_from_memory(&answer.body).unwrap();
    (picture.width(), picture.height())
}

#[tokio::test]
async fn a_picture_is_made_in_the_size_and_format_that_is_asked_for() {
    let app = start().await;
    put(&app.service(), "a.jpg", "image/jpeg", picture(400, 200, ImageFormat::Jpeg)).await;
    let get = async |query: &str| {
        app.client().get(&format!("/storage/v1/render/image/public/public/a.jpg?{query}")).await
    };

    let made = get("width=100&height=100").await.expect_status(200);
    assert_eq!((size(&made), made.header("content-type")), ((100, 100), "image/jpeg"));
    assert_eq!(made.header("x-transformations"), "height:100,width:100,resizing_type:fill");
    assert_eq!(size(&get("width=100&height=100&resize=contain").await.expect_status(200)), (100, 50));
    assert_eq!(size(&get("width=100").await.expect_status(200)), (100, 50));
    let webp = app.client().header("accept", "image/webp,*/*");
    let webp =
        webp.get("/storage/v1/render/image/public/public/a.jpg?width=50&quality=50").await.expect_status(200);
    assert_eq!((webp.header("content-type"), webp.header("vary").contains("Accept")), ("image/webp", true));
    let again = app.client().header("if-none-match", made.header("etag"));
    again.get("/storage/v1/render/image/public/public/a.jpg?width=100&height=100").await.expect_status(304);
    for wrong in ["width=x", "quality=10", "resize=zoom", "format=tiff"] {
        assert_eq!(refusal(&get(wrong).await).2, "InvalidRequest", "{wrong}");
    }
}

#[tokio::test]
async fn a_picture_is_seen_by_whoever_sees_the_original() {
    let app = start().await;
    let owner = app.user("11111111-1111-4111-8111-111111111111");
    let file = picture(40, 20, ImageFormat::Png);
    owner
        .send_text(Method::POST, "/storage/v1/object/private/a.png", "image/png", file)
        .await
        .expect_status(200);
    let path = "/storage/v1/render/image/authenticated/private/a.png?width=10";

    assert_eq!(size(&owner.get(path).await.expect_status(200)), (10, 5));
    assert_eq!(refusal(&app.user("22222222-2222-4222-8222-222222222222").get(path).await).1, "404");
    assert_eq!(
        refusal(&app.client().get("/storage/v1/render/image/public/private/a.png?width=10").await).2,
        "NoSuchBucket"
    );
    let body = json!({ "expiresIn": 60, "transform": { "width": 8, "resize": "contain" } });
    let signed = owner.post("/storage/v1/object/sign/private/a.png", body).await.expect_status(200).json();
    let url = signed["signedURL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("/render/image/sign/private/a.png?token="), "{url}");
    let wider = app.client().get(&format!("/storage/v1{url}&width=20")).await.expect_status(200);
    assert_eq!(size(&wider), (8, 4), "as the token says");
    let original = url.replacen("/render/image/sign/", "/object/sign/", 1);
    assert_eq!(refusal(&app.client().get(&format!("/storage/v1{original}")).await).2, "InvalidJWT", "H03");
}

#[tokio::test]
async fn a_replaced_picture_is_not_shown_as_it_was() {
    let app = start().await;
    let path = "/storage/v1/render/image/public/public/a.png?width=10";
    for (width, height) in [(40, 20), (40, 40)] {
        put(&app.service(), "a.png", "image/png", picture(width, height, ImageFormat::Png)).await;
        assert_eq!(size(&app.client().get(path).await.expect_status(200)), (10, 10 * height / width));
    }
}

#[tokio::test]
async fn h13_h15_what_is_no_picture_or_too_much_of_one_is_served_as_it_is_or_refused() {
    let app = start().await;
    let service = app.service();
    // The header of a PNG of 50,000 by 50,000 pixels.
    let mut bomb = picture(1, 1, ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    put(&service, "bomb.png", "image/png", bomb).await;
    put(&service, "cut.png", "image/png", picture(40, 20, ImageFormat::Png)[..40].to_vec()).await;
    let before = resident_mib(app.server.pid());

    for name in ["bomb.png", "cut.png"] {
        let answer =
            app.client().get(&format!("/storage/v1/render/image/public/public/{name}?width=10")).await;
        assert_eq!((answer.status, refusal(&answer).1.as_str()), (422, "422"), "{name}: {}", answer.text());
    }
    assert!(resident_mib(app.server.pid()) < before + 64);
    let svg = "<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1:1/x'/></svg>";
    put(&service, "a.svg", "image/svg+xml", svg.into()).await;
    let answer =
        app.client().get("/storage/v1/render/image/public/public/a.svg?width=10").await.expect_status(200);
    assert_eq!(answer.text(), svg, "H15: never rendered");
    assert!(answer.header("content-security-policy").contains("sandbox"));
}

#[tokio::test]
async fn h14_however_many_sizes_are_asked_for_the_memory_is_bounded() {
    let app = with(Options::default().set("storage.images.cache", "64KB")).await;
    put(&app.service(), "a.png", "image/png", picture(300, 300, ImageFormat::Png)).await;
    let before = resident_mib(app.server.pid());
    for width in (1..300).step_by(5) {
        let path = format!("/storage/v1/render/image/public/public/a.png?width={width}");
        app.client().get(&path).await.expect_status(200);
    }
    assert!(resident_mib(app.server.pid()) < before + 48);
}

/// The checksum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
