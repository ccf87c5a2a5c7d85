//! An upload that takes several requests goes on with whoever began it, and ends with nobody else (H16).

use reqwest::Method;
use serde_json::json;

use super::s3::{self, Signer, elements};
use super::start;
use super::tus::{append, begin, begin_as, metadata, place, tus};
use crate::harness::{Answer, Caller, Client, TestApp};

/// Everybody may write and change everything, so that no policy is in the way of a mistake.
const OPEN: &str = "create policy open on storage.objects for all using (true) with check (true)";

/// Callers of whom no two are the same.
fn everybody(app: &TestApp) -> Vec<(&'static str, Client)> {
    let role = |role: &str| Caller::role_only(role);
    vec![
        ("alice", app.user("11111111-1111-4111-8111-111111111111")),
        ("bob", app.user("22222222-2222-4222-8222-222222222222")),
        ("guest", app.anon()),
        ("no user", app.caller(&role("authenticated"))),
        (
            "no user of another issuer",
            app.caller(&role("authenticated").claim("iss", json!("https://other.example"))),
        ),
        ("server", app.service()),
    ]
}

#[tokio::test]
async fn h16_a_resumable_upload_is_for_whoever_began_it() {
    let app = start().await;
    app.database.run(OPEN).await;
    let everybody = everybody(&app);
    for (number, (name, one)) in everybody.iter().enumerate() {
        let path = begin(one, &format!("private/{number}"), 6).await;
        append(one, &path, 0, "abc").await.expect_status(204);
        for (other_name, other) in everybody.iter().filter(|(other, _)| other != name && *other != "server") {
            let answers = [
                tus(other).head(&path).await.status,
                append(other, &path, 3, "xyz").await.status,
                tus(other).delete(&path).await.status,
            ];
            assert_eq!(answers, [404; 3], "{other_name} with an upload of {name}");
        }
        // Servers pass everything.
        assert_eq!(tus(&app.service()).head(&path).await.status, 200, "{name}");
        append(one, &path, 3, "def").await.expect_status(204);
        let read = app.service().get(&format!("/storage/v1/object/private/{number}")).await;
        assert_eq!(read.expect_status(200).text(), "abcdef");
    }
    // A guest is whoever knows the id, which nobody guesses.
    let path = begin(&app.anon(), "private/guests", 3).await;
    let guest = app.caller(&Caller::role_only("anon"));
    append(&guest, &path, 0, "abc").await.expect_status(204);
}

#[tokio::test]
async fn h16_a_signed_url_goes_on_with_uploads_by_urls_of_its_signer() {
    let app = start().await;
    app.database.run(OPEN).await;
    let everybody = everybody(&app);
    let mut holders = Vec::new();
    for (name, one) in &everybody {
        let signed = one.post("/storage/v1/object/upload/sign/private/a", json!({})).await.expect_status(200);
        let token = signed.json()["token"].as_str().unwrap().to_owned();
        holders.push((*name, app.client().header("x-signature", &token)));
    }
    let said = metadata(&[("bucketName", "private"), ("objectName", "a")]);
    for (name, one) in &holders {
        let request = tus(one).request(Method::POST, "/storage/v1/upload/resumable/sign");
        let request = request.header("upload-metadata", &said).header("upload-length", "3");
        let path = place(Answer::of(request).await);
        for (other_name, other) in &holders {
            let found = tus(other).head(&path).await.status == 200;
            assert_eq!(found, name == other_name, "{other_name} with an upload of {name}");
        }
        tus(one).delete(&path).await.expect_status(204);
    }
}

#[tokio::test]
async fn h16_an_upload_in_parts_is_for_the_key_that_began_it() {
    let (app, server) = s3::start().await;
    app.database.run(OPEN).await;
    let keys = app.server.keys();
    let guest = Signer::new(&app, "default", &keys.anon_key, Some(keys.anon_key.clone()));
    let nobody = json!({ "name": "nobody's", "role": "authenticated" });
    let everybody = [
        ("guest", guest),
        ("one key", Signer::with_key(&app, nobody.clone()).await),
        ("another key", Signer::with_key(&app, nobody).await),
        ("alice", Signer::user(&app, s3::ALICE)),
        ("server", server),
    ];
    for (name, one) in &everybody {
        let begun = one.post("/private/a?uploads", "").await.expect_status(200);
        let path = format!("/private/a?uploadId={}", elements(&begun, "UploadId").concat());
        for (other_name, other) in &everybody {
            let answers =
                [other.get(&path).await.status, other.put(&format!("{path}&partNumber=1"), "x").await.status];
            let expected = if name == other_name || *other_name == "server" { [200; 2] } else { [404; 2] };
            assert_eq!(answers, expected, "{other_name} with an upload of {name}");
            if expected == [404; 2] {
                assert_eq!(other.delete(&path).await.status, 404);
            }
        }
        one.delete(&path).await.expect_status(204);
    }
}

#[tokio::test]
async fn h16_an_upload_of_a_version_that_did_not_say_who_began_it_is_its_owners() {
    let app = start().await;
    app.database.run(OPEN).await;
    let everybody = everybody(&app);
    for (name, one) in &everybody {
        let path = place(begin_as(one, "private/a", "", &[("upload-length", "3")]).await);
        app.database.run("update goforward.tus_uploads set begun_by = null").await;
        assert_eq!(
            tus(one).head(&path).await.status == 200,
            ["alice", "bob", "server"].contains(name),
            "{name}"
        );
        app.database.run("delete from goforward.tus_uploads").await;
    }
}
