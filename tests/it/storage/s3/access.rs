//! Who may do what by the S3 protocol: keys, tokens, policies.

use reqwest::Method;
use serde_json::json;

use super::{ALICE, BOB, Signer, elements, refusal, start, with};
use crate::harness::{Caller, Options, TestApp, eventually, run_command};

#[tokio::test]
async fn a_session_token_is_the_user_with_all_policies() {
    let (app, s3) = start().await;
    let (alice, bob) = (Signer::user(&app, ALICE), Signer::user(&app, BOB));
    alice.put("/private/a", "hers").await.expect_status(200);
    assert_eq!(app.database.value("select owner_id from storage.objects").await, ALICE);
    assert_eq!(alice.get("/private/a").await.text(), "hers");

    let copy = [("x-amz-copy-source", "private/a")];
    assert_eq!(refusal(&bob.get("/private/a").await), (404, "NoSuchKey".into()));
    assert_eq!(refusal(&bob.send(Method::PUT, "/private/b", &copy, b"").await), (404, "NoSuchKey".into()));
    assert_eq!(refusal(&bob.put("/private/a", "his").await), (403, "AccessDenied".into()));
    bob.head("/private/a").await.expect_status(404);
    bob.delete("/private/a").await.expect_status(204);
    let delete = "<Delete><Object><Key>a</Key></Object></Delete>";
    bob.post("/private?delete", delete).await.expect_status(200);
    assert_eq!(elements(&bob.get("/private?list-type=2").await.expect_status(200), "Key"), [""; 0]);
    assert_eq!(elements(&alice.get("/private?list-type=2").await.expect_status(200), "Key"), ["a"]);
    assert_eq!(
        elements(&alice.get("/").await.expect_status(200), "Name"),
        [""; 0],
        "no policy shows buckets"
    );
    assert_eq!(refusal(&alice.put("/new", "").await), (403, "AccessDenied".into()));
    assert_eq!(s3.get("/private/a").await.text(), "hers", "nothing has changed");
    s3.put("/public/p", "everybody's").await.expect_status(200);
    assert_eq!(bob.get("/public/p").await.text(), "everybody's");

    app.database.run("drop policy own_remove on storage.objects").await;
    assert_eq!(refusal(&alice.delete("/private/a").await), (403, "AccessDenied".into()));
    let kept = alice.post("/private?delete", delete).await.expect_status(200);
    assert_eq!(elements(&kept, "Code"), ["AccessDenied"]);
}

#[tokio::test]
async fn policies_are_told_the_operation() {
    let (app, _s3) = start().await;
    let policy = "drop policy own_write on storage.objects;
        create policy named on storage.objects for insert to authenticated
            with check (storage.allow_any_operation(array['s3.upload', 's3.upload.part']));
        create policy changed on storage.objects for update to authenticated using (true)";
    app.database.run(policy).await;
    let alice = Signer::user(&app, ALICE);
    alice.put("/private/a", "x").await.expect_status(200);
    assert_eq!(refusal(&alice.post("/private/a?uploads", "").await), (403, "AccessDenied".into()));
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let (app, _s3) = start().await;
    let keys = app.server.keys();
    let token = |caller: Caller| Some(caller.token(&keys.jwt_secret));
    let expired = token(Caller::user(ALICE).claim("exp", json!(1)));
    let other = Some(Caller::user(ALICE).token("another secret that is long enough for HS256"));
    for token in [expired, other, Some("x".into())] {
        let answer = Signer::new(&app, "default", &keys.anon_key, token).get("/private/a").await;
        assert_eq!(refusal(&answer), (403, "AccessDenied".into()));
    }
    let without = Signer::new(&app, "default", &keys.anon_key, None).get("/").await;
    assert_eq!(refusal(&without), (403, "InvalidAccessKeyId".into()));
}

#[tokio::test]
async fn a_key_can_be_made_for_a_role_and_a_user() {
    let (app, _s3) = start().await;
    let claims = json!({ "sub": ALICE });
    let wish = json!({ "name": "hers", "role": "authenticated", "claims": claims });
    let alice = Signer::with_key(&app, wish).await;
    alice.put("/private/a", "hers").await.expect_status(200);
    assert_eq!(app.database.value("select owner_id from storage.objects").await, ALICE);
    assert_eq!(refusal(&alice.put("/new", "").await), (403, "AccessDenied".into()));

    let service = app.service();
    for wrong in [json!({ "role": "none" }), json!({ "role": "nobody" }), json!({ "role": "postgres" })] {
        service.post("/storage/v1/s3-keys", wrong).await.expect_status(400);
    }
    let listed = service.get("/storage/v1/s3-keys").await.expect_status(200);
    assert_eq!((listed.rows(), &listed.json()[1]["name"]), (2, &json!("hers")));
    listed.expect_nowhere(&alice.secret);
    let kept = app.database.value("select string_agg(secret, ' ') from goforward.storage_s3_keys").await;
    assert!(!kept.contains(&alice.secret), "what is kept is sealed");
    for stranger in [app.user(ALICE), app.anon()] {
        stranger.get("/storage/v1/s3-keys").await.expect_error(403, "AccessDenied");
        stranger.post("/storage/v1/s3-keys", json!({})).await.expect_error(403, "AccessDenied");
    }
    let path = format!("/storage/v1/s3-keys/{}", alice.id);
    app.user(ALICE).delete(&path).await.expect_error(403, "AccessDenied");
    service.delete(&path).await.expect_status(200);
    assert_eq!(refusal(&alice.get("/private/a").await), (403, "InvalidAccessKeyId".into()));
    service.delete(&path).await.expect_error(400, "NoSuchAccessKey");

    let records = "select string_agg(concat_ws(' ', verb, key ->> 'role', key ->> 'path', outcome, error_code, role), ', ' order by id)
        from goforward.audit_log where verb like 'storage.%' and (key ->> 'access_key_id' is not distinct from $id)";
    let of = |id: Option<&str>| {
        records.replace("$id", &id.map_or_else(|| "null".to_owned(), |id| format!("'{id}'")))
    };
    eventually("what was done to it is on record", async || {
        app.database.value(&of(Some(&alice.id))).await
            == "storage.s3_key.create authenticated done service_role, \
                storage.s3_key.delete done service_role, \
                storage.s3_key.delete refused NoSuchAccessKey service_role"
    })
    .await;
    eventually("so is what was not", async || {
        let told = app.database.value(&of(None)).await;
        told.contains("storage.s3_key.create postgres refused InvalidRequest service_role")
            && told.contains("/s3-keys refused AccessDenied anon")
    })
    .await;
    app.database
        .run_as_superuser("alter table goforward.audit_log add check (verb not like 'storage.%') not valid")
        .await;
    service.post("/storage/v1/s3-keys", json!({})).await.expect_status(500);
    let kept = "select count(*)::text from goforward.storage_s3_keys";
    assert_eq!(app.database.value(kept).await, "1", "what cannot be put on record is not done");
}

#[tokio::test]
async fn keys_are_made_by_the_command_line_too() {
    let (app, _s3) = start().await;
    let url = format!("database.url={}", app.database.url());
    let secret = format!("auth.jwt_secret={}", app.server.keys().jwt_secret);
    let run = |arguments: &[&str]| {
        let settings = ["--set", &url, "--set", &secret];
        let done = run_command(&[&["s3-keys"], arguments, &settings].concat(), &[]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let made: serde_json::Value = serde_json::from_str(&run(&["create", "backup", "--json"])).unwrap();
    let text = |name: &str| made[name].as_str().unwrap();
    let s3 = Signer::new(&app, text("access_key_id"), text("secret_access_key"), None);
    s3.put("/private/a", "x").await.expect_status(200);
    assert!(run(&["list"]).contains("service_role"));
    assert!(run(&["list"]).contains("backup"));
    run(&["delete", text("access_key_id")]);
    assert_eq!(refusal(&s3.get("/private/a").await), (403, "InvalidAccessKeyId".into()));
    let records = format!(
        "select string_agg(concat_ws(' ', verb, proved), ', ' order by id) from goforward.audit_log where key ->> 'access_key_id' = '{}'",
        s3.id
    );
    assert_eq!(app.database.value(&records).await, "storage.s3_key.create f, storage.s3_key.delete f");
}

#[tokio::test]
async fn a_key_works_on_when_the_root_secret_is_replaced() {
    const OLD: &str = "the root secret of the first year is long enough";
    const NEW: &str = "the root secret of the second year is long enough";
    let (app, s3) = with(Options::default().set("auth.root_secret", OLD)).await;
    let (url, jwt_secret) = (app.database.url(), app.server.keys().jwt_secret);
    let done = run_command(
        &["keys", "rotate"],
        &[
            ("GOFORWARD_DATABASE__URL", &url),
            ("GOFORWARD_AUTH__JWT_SECRET", &jwt_secret),
            ("GOFORWARD_AUTH__ROOT_SECRET", NEW),
            ("GOFORWARD_AUTH__PREVIOUS_ROOT_SECRETS", OLD),
        ],
    );
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("secrets of S3 access keys: 1 sealed anew, 0 were already"), "{said}");

    let TestApp { server, database } = app;
    drop(server);
    let app = TestApp::on(database, Options::default().set("auth.root_secret", NEW)).await;
    Signer::new(&app, &s3.id, &s3.secret, None).get("/").await.expect_status(200);
}

#[tokio::test]
async fn the_address_is_the_one_that_the_client_knows() {
    let options = Options::default().set("server.public_url", "https://api.example.com/base");
    let (app, s3) = with(options).await;
    s3.put("/private/a", "x").await.expect_status(200);
    // As a proxy passes it on that took `/base` away and put its own host in.
    let mut outside = s3.clone();
    outside.host = "api.example.com".to_owned();
    let path = "/base/storage/v1/s3/private/a";
    let mut client = app.client();
    for (name, value) in outside.sign(&Method::GET, path, &[], &super::sha256(b"")) {
        client = client.header(&name, &value);
    }
    client.get("/storage/v1/s3/private/a").await.expect_status(200);
}

#[tokio::test]
async fn regions_are_lenient_unless_they_are_strict() {
    let (_app, mut s3) = start().await;
    for (region, expected) in [("local", 200), ("us-east-1", 200), ("auto", 200), ("eu-9", 403)] {
        s3.region = region.to_owned();
        assert_eq!(s3.get("/").await.status, expected, "{region}");
    }
}
