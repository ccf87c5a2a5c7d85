//! Columns that refer to stored objects (GF-REST-17), through REST.

use reqwest::Method;
use serde_json::{Value, json};

use super::{start, upload};
use crate::harness::{Answer, Client, TestApp, eventually};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// Reports with a file each, which everybody sees and changes, by an author with a picture.
const REPORTS: &str = "
    create table authors (id int primary key, picture storage.file_reference);
    create table reports (
        id int primary key,
        title text,
        file storage.file_reference,
        author int references authors (id)
    );
    alter table authors enable row level security;
    alter table reports enable row level security;
    create policy everybody on authors using (true) with check (true);
    create policy everybody on reports using (true) with check (true);
    create function all_reports() returns setof reports language sql stable as 'select * from reports order by id';";

async fn start_with_reports() -> TestApp {
    let app = start().await;
    app.database.run(REPORTS).await;
    eventually("the tables", async || app.service().get("/rest/v1/reports").await.status == 200).await;
    upload(&app.user(ALICE), "private/a b.txt", "alice's").await.expect_status(200);
    let described = app.service().header("x-metadata", "eyJieSI6ICJub2JvZHkifQ==");
    upload(&described, "public/logo.txt", "the logo").await.expect_status(200);
    let authors = json!([{ "id": 1, "picture": "public/logo.txt" }]);
    app.service().post("/rest/v1/authors", authors).await.expect_status(201);
    let reports = json!([
        { "id": 1, "title": "hers", "file": "private/a b.txt", "author": 1 },
        { "id": 2, "title": "open", "file": "public/logo.txt", "author": 1 },
        { "id": 3, "title": "none", "file": null, "author": 1 },
    ]);
    app.service().post("/rest/v1/reports", reports).await.expect_status(201);
    app
}

async fn read(client: &Client, query: &str) -> Value {
    client.get(&format!("/rest/v1/reports?{query}")).await.expect_status(200).json()
}

/// What a URL of a reference opens, for somebody without any token.
async fn fetched(app: &TestApp, url: &Value) -> Answer {
    let url = url.as_str().unwrap();
    let path = url.strip_prefix(&app.server.url()).unwrap_or_else(|| panic!("another server's: {url}"));
    app.client().get(path).await
}

#[tokio::test]
async fn a_reference_reads_as_the_object_for_whoever_may_see_it() {
    let app = start_with_reports().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));

    let rows = read(&alice, "order=id&select=*").await;
    let (hers, open) = (&rows[0]["file"], &rows[1]["file"]);
    let id = app.database.value("select id::text from storage.objects where name = 'a b.txt'").await;
    let expected = json!({ "file_id": id, "url": hers["url"], "filename": "a b.txt", "size": 7,
                           "mime_type": "text/plain", "metadata": null });
    assert_eq!(*hers, expected);
    assert_eq!(fetched(&app, &hers["url"]).await.expect_status(200).text(), "alice's");
    assert_eq!(open["metadata"], json!({ "by": "nobody" }));
    assert_eq!(open["url"], format!("{}/storage/v1/object/public/public/logo.txt", app.server.url()));
    assert_eq!(fetched(&app, &open["url"]).await.expect_status(200).text(), "the logo");
    assert_eq!(rows[2]["file"], Value::Null);

    for client in [&bob, &app.anon()] {
        let rows = read(client, "order=id").await;
        assert_eq!(rows[0], json!({ "id": 1, "title": "hers", "file": null, "author": 1 }));
        assert_eq!(rows[1]["file"], *open);
    }
    let other = hers["url"].as_str().unwrap().replace("a%20b", "c");
    assert_eq!(fetched(&app, &json!(other)).await.json()["code"], "InvalidJWT");
}

#[tokio::test]
async fn a_path_that_a_cast_cuts_short_opens_no_other_object() {
    let app = start_with_reports().await;
    // What of a marked URL goes into 63 bytes ends with this name.
    let hidden = "its name is 22 letters";
    upload(&app.user(BOB), &format!("private/{hidden}"), "bob's").await.expect_status(200);
    upload(&app.user(ALICE), &format!("private/{hidden}!"), "alice's").await.expect_status(200);
    let row = json!([{ "id": 4, "file": format!("private/{hidden}!") }]);
    app.user(ALICE).post("/rest/v1/reports", row).await.expect_status(201);

    let shown = read(&app.user(ALICE), "select=whole:file->>url,cut:file->>url::name&id=eq.4").await;

    assert_eq!(fetched(&app, &shown[0]["whole"]).await.text(), "alice's");
    assert_eq!(shown[0]["cut"], Value::Null);
}

#[tokio::test]
async fn a_reference_shows_wherever_rows_do_and_compares_by_its_path() {
    let app = start_with_reports().await;
    let alice = app.user(ALICE);
    let name = |value: &Value| value["filename"].as_str().unwrap_or("-").to_owned();

    for filter in [
        "file=eq.private/a%20b.txt",
        "file=like.private/*",
        "file=in.(%22private/a%20b.txt%22)",
        "or=(file.eq.private/a%20b.txt,id.eq.9)",
    ] {
        let rows = read(&alice, &format!("select=id,it:file&{filter}")).await;
        assert_eq!(rows.as_array().unwrap().len(), 1, "{filter}: {rows}");
        assert_eq!(name(&rows[0]["it"]), "a b.txt", "{filter}");
    }
    let sorted = read(&alice, "select=id&order=file.desc.nullslast").await;
    assert_eq!(sorted, json!([{ "id": 2 }, { "id": 1 }, { "id": 3 }]));
    let parts = read(&alice, "select=file->>size,kind:file->>mime_type,url:file->>url&id=eq.1").await;
    assert_eq!((&parts[0]["size"], &parts[0]["kind"]), (&json!("7"), &json!("text/plain")));
    assert_eq!(fetched(&app, &parts[0]["url"]).await.text(), "alice's");
    let casts = read(&alice, "select=file::text,size:file->>size::int&id=eq.1").await;
    assert_eq!(casts, json!([{ "file": "private/a b.txt", "size": 7 }]));
    let values = read(&alice, "select=size:file->size,kind:file->mime_type&id=eq.1").await;
    assert_eq!(values, json!([{ "size": 7, "kind": "text/plain" }]));

    let embedded = read(&alice, "select=id,authors(picture)&id=eq.2").await;
    assert_eq!(name(&embedded[0]["authors"]["picture"]), "logo.txt");
    let spread = read(&alice, "select=id,...authors(own:picture)&id=eq.2").await;
    assert_eq!(name(&spread[0]["own"]), "logo.txt");
    let many = alice.get("/rest/v1/authors?select=id,reports(file)&reports.order=id").await;
    let files = &many.expect_status(200).json()[0]["reports"];
    assert_eq!(
        files.as_array().unwrap().iter().map(|row| name(&row["file"])).collect::<Vec<_>>(),
        ["a b.txt", "logo.txt", "-"]
    );
    let called = alice.get("/rest/v1/rpc/all_reports?select=file&limit=1").await.expect_status(200).json();
    assert_eq!(fetched(&app, &called[0]["file"]["url"]).await.text(), "alice's");

    let path = "/rest/v1/reports?select=file,id&order=id&limit=2";
    let csv = alice.clone().header("accept", "text/csv").get(path).await.expect_status(200);
    assert_eq!(csv.text(), "file,id\n\"private/a b.txt\",1\npublic/logo.txt,2");
    let lines = alice.clone().header("accept", "application/x-ndjson").get(path).await.text();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(fetched(&app, &first["file"]["url"]).await.text(), "alice's");
    let single = alice.clone().header("accept", "application/vnd.pgrst.object+json");
    let one = single.get("/rest/v1/reports?select=file&id=eq.1").await.expect_status(200).json();
    assert_eq!(name(&one["file"]), "a b.txt");
    assert_eq!(alice.head(path).await.status, 200);
}

#[tokio::test]
async fn a_reference_is_written_by_path_or_as_it_was_read() {
    let app = start_with_reports().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    let stored = async |id: &str| {
        app.database.value(&format!("select coalesce(file::text, 'none') from reports where id = {id}")).await
    };

    let returning = alice.clone().prefer("return=representation");
    let body = json!({ "id": 4, "title": "new", "file": "private/a b.txt" });
    let made = returning.post("/rest/v1/reports?select=file", body).await.expect_status(201).json();
    assert_eq!(fetched(&app, &made[0]["file"]["url"]).await.text(), "alice's");
    let as_read = read(&alice, "id=eq.4").await[0].clone();
    let put = alice.send(Method::PUT, "/rest/v1/reports?id=eq.4", Some(as_read)).await;
    assert!(matches!(put.status, 200 | 204), "{}", put.text());
    assert_eq!(stored("4").await, "private/a b.txt");
    let change = json!({ "file": { "file_id": read(&alice, "id=eq.2").await[0]["file"]["file_id"] } });
    alice.patch("/rest/v1/reports?id=eq.4", change).await.expect_status(204);
    assert_eq!(stored("4").await, "public/logo.txt");
    alice.patch("/rest/v1/reports?id=eq.4", json!({ "file": null })).await.expect_status(204);
    assert_eq!(stored("4").await, "none");
    let csv = alice.send_text(Method::POST, "/rest/v1/reports", "text/csv", "id,file\n5,private/a b.txt");
    csv.await.expect_status(201);

    // What is not there and what somebody may not see are told alike.
    let hers = read(&alice, "id=eq.1").await[0]["file"]["file_id"].clone();
    let nowhere = "00000000-0000-4000-8000-000000000000";
    for file in [
        json!("private/a b.txt"),
        json!("private/nothing.txt"),
        json!("private"),
        json!({ "file_id": hers }),
        json!({ "file_id": nowhere }),
        json!({ "url": "x" }),
        json!(7),
        json!(["private/a b.txt"]),
    ] {
        let answer = bob.post("/rest/v1/reports", json!([{ "id": 6, "file": file }])).await;
        let answer = answer.expect_error(400, "GFREF").json();
        assert!(answer["message"].as_str().unwrap().starts_with("there is no file "), "{answer}");
        assert!(answer["hint"].as_str().unwrap().starts_with("Upload it first."), "{answer}");
    }
    assert_eq!(app.database.value("select count(*)::text from reports where id = 6").await, "0");
}

#[tokio::test]
async fn a_reference_reads_null_once_its_object_is_gone_and_another_by_its_name_comes_back() {
    let app = start_with_reports().await;
    let alice = app.user(ALICE);
    let size = async || read(&alice, "id=eq.1&select=size:file->size").await[0]["size"].clone();

    let over = alice.clone().header("x-upsert", "true");
    upload(&over, "private/a b.txt", "longer than before").await.expect_status(200);
    assert_eq!(size().await, 18);
    let to = json!({ "bucketId": "private", "sourceKey": "a b.txt", "destinationKey": "c.txt" });
    alice.post("/storage/v1/object/move", to).await.expect_status(200);
    assert_eq!(size().await, Value::Null);
    assert_eq!(read(&alice, "id=eq.1&select=file::text").await[0]["file"], "private/a b.txt");
    upload(&alice, "private/a b.txt", "anew").await.expect_status(200);
    assert_eq!(size().await, 4);
    alice.delete("/storage/v1/object/private/a%20b.txt").await.expect_status(200);
    assert_eq!(size().await, Value::Null);

    // A foreign key keeps its object.
    app.database
        .run(
            "create table kept (file uuid references storage.objects (id));
             insert into kept select id from storage.objects where name = 'logo.txt'",
        )
        .await;
    let kept = app.service().delete("/storage/v1/object/public/logo.txt").await;
    assert_eq!(super::refusal(&kept).2, "ResourceReferenced", "{}", kept.text());
}

#[tokio::test]
async fn references_in_a_large_answer_all_get_urls_and_nothing_else_does() {
    let app = start_with_reports().await;
    app.database
        .run(
            r#"insert into reports select n, repeat('"', n % 90) || repeat('0123456789abcdef', 2) || 'sprivate/a b.txt',
                   'private/a b.txt' from generate_series(10, 1009) as n"#,
        )
        .await;

    let rows = read(&app.user(ALICE), "id=gte.10&order=id&select=title,file").await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 1000);
    for row in rows {
        assert!(row["title"].as_str().unwrap().ends_with("sprivate/a b.txt"), "{row}");
        let url = row["file"]["url"].as_str().unwrap_or_default();
        assert!(url.contains("/storage/v1/object/sign/private/a%20b.txt?token="), "{row}");
    }
}

#[tokio::test]
async fn a_mask_goes_before_a_reference_and_the_root_describes_it() {
    let app = start_with_reports().await;
    let described = app.service().get("/rest/v1/").await.expect_status(200).json();
    let file = &described["definitions"]["reports"]["properties"]["file"];
    assert_eq!(file["format"], "storage.file_reference", "{file}");
    assert!(file["description"].as_str().unwrap().starts_with("A stored file."), "{file}");

    app.database
        .run(
            r#"insert into goforward.table_security (schema_name, table_name, readable_fields, field_permissions)
               values ('public', 'reports', '{id,title,file,author}', '{"file": {"masked": true, "mask": {"constant": "***"}}}')"#,
        )
        .await;
    let alice = app.user(ALICE);
    crate::harness::eventually("the mask counts", async || read(&alice, "id=eq.1").await[0]["file"] == "***")
        .await;
    let refused = alice.get("/rest/v1/reports?select=file->>url").await;
    assert!(refused.status >= 400, "{}", refused.text());
}

#[tokio::test]
async fn an_api_key_that_is_not_for_storage_gets_no_urls() {
    let app = start_with_reports().await;
    for (scopes, expected) in [(json!(["rest:*:*"]), false), (json!(["rest:*:*", "storage:*:*"]), true)] {
        let wish = json!({ "name": "backend", "kind": "service", "scopes": scopes });
        let made = app.service().post("/auth/v1/keys", wish).await.expect_status(200).json();
        let holder = app.client().bearer(made["key"].as_str().unwrap());
        let file = read(&holder, "id=eq.1").await[0]["file"].clone();
        assert_eq!((&file["size"], file["url"].is_string()), (&json!(7), expected), "{scopes}: {file}");
    }
}
