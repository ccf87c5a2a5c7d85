//! SQL on the tables of storage, past the service: rows can be made and changed as policies allow, bytes of others not named.

use serde_json::json;

use super::{start, upload};
use crate::harness::{Caller, TestApp};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

async fn version(app: &TestApp, name: &str) -> String {
    app.database.value(&format!("select version from storage.objects where name = '{name}'")).await
}

#[tokio::test]
async fn nobody_reads_bytes_of_others_by_naming_them() {
    let app = start().await;
    let (alice, bob) = (app.user(ALICE), app.user(BOB));
    upload(&bob, "private/secret", "his").await.expect_status(200);
    upload(&alice, "private/mine", "hers").await.expect_status(200);
    let theirs = version(&app, "secret").await;
    // Bytes that are being written, are part of an upload, or dead.
    let kept: Vec<String> = ["writing", "part", "dead"]
        .iter()
        .enumerate()
        .map(|(at, state)| format!("('{at}0000000-0000-4000-8000-000000000000', '{state}')"))
        .collect();
    app.database
        .run(&format!("insert into goforward.storage_blobs (version, state) values {}", kept.join(", ")))
        .await;
    let others = (0..3).map(|at| format!("{at}0000000-0000-4000-8000-000000000000"));

    // And those of an object, as they are not written.
    let spelled = [
        theirs.to_uppercase(),
        theirs.replace('-', ""),
        format!("{{{theirs}}}"),
        format!("urn:uuid:{theirs}"),
    ];
    for named in others.chain(spelled).chain([theirs.clone()]) {
        let insert = format!(
            "insert into storage.objects (bucket_id, name, owner_id, version, metadata)
             values ('private', 'stolen', '{ALICE}', '{named}', '{{\"size\": 3}}') returning name"
        );
        let update =
            format!("update storage.objects set version = '{named}' where name = 'mine' returning name");
        for sql in [&insert, &update] {
            for caller in [Caller::user(ALICE), Caller::role_only("service_role")] {
                let refused = app.database.as_caller(&caller, sql, true).await.unwrap_err();
                assert_eq!(refused, if named == theirs { "23505" } else { "42501" }, "{sql}");
            }
            // Not even the owner of the tables: what is wrong is not who asks.
            let sql = sql.replace(" returning name", "");
            app.database
                .run(&format!(
                    "do $$ begin {sql}; raise exception 'it was taken';
                     exception when insufficient_privilege or unique_violation then null; end $$"
                ))
                .await;
        }
    }
    assert_eq!(alice.get("/storage/v1/object/private/mine").await.expect_status(200).text(), "hers");
    assert_eq!(alice.get("/storage/v1/object/private/stolen").await.status, 400);
    assert_eq!(bob.get("/storage/v1/object/private/secret").await.expect_status(200).text(), "his");

    // Rows without bytes, as some apps make them, and whatever else of a row.
    let plain = format!(
        "insert into storage.objects (bucket_id, name, owner_id, metadata)
         values ('private', 'planned', '{ALICE}', '{{\"size\": 0}}') returning name"
    );
    let caller = Caller::user(ALICE);
    app.database.as_caller(&caller, &plain, true).await.unwrap();
    let rename =
        "update storage.objects set name = 'renamed', version = version where name = 'mine' returning name";
    app.database.as_caller(&caller, rename, true).await.unwrap();
    assert_eq!(alice.get("/storage/v1/object/private/renamed").await.expect_status(200).text(), "hers");
    let body = json!({ "bucketId": "private", "sourceKey": "renamed", "destinationKey": "moved" });
    alice.post("/storage/v1/object/move", body).await.expect_status(200);
    upload(&alice.clone().header("x-upsert", "true"), "private/planned", "there").await.expect_status(200);
}
