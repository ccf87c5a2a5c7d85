//! Threat L07: PostgreSQL or the storage backend has no room left. Writes are refused with the statuses that the error codes ask for, reads go on,
//! nothing is half there, and with room again everything works.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::json;

use super::{NOTES, Postgres, on, service};
use crate::harness::{Client, Server, TestApp, eventually};

/// A file system of this size, as long as the value lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where this machine lets nobody mount.
    fn mount(at: &'a Path, megabytes: usize) -> Option<Self> {
        let (user, group) = crate::harness::account()?;
        let options = format!("size={megabytes}m,uid={user},gid={group},mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        done.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    /// Makes room.
    fn grow(&self, megabytes: usize) {
        let options = format!("remount,size={megabytes}m");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(std::thread::panicking() || done.is_ok_and(|status| status.success()), "it stays mounted");
    }
}

/// Writes rows of 1 MB that do not compress until one is refused; gives how many were taken, and the refusal.
async fn fill(client: &Client) -> (usize, crate::harness::Answer) {
    for number in 0..100 {
        let answer = client.post("/rest/v1/rpc/write", json!({ "number": number })).await;
        if answer.status != 204 {
            return (number, answer);
        }
    }
    panic!("the disk takes everything");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    let postgres = Postgres::start();
    let folder = postgres.folder("small");
    let Some(disk) = SmallDisk::mount(&folder, 12) else {
        eprintln!("not run: this machine lets nobody mount a file system");
        return;
    };
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    postgres.run(&format!("create tablespace small location '{}'", folder.display())).await;
    postgres
        .run(
            "create table large (number int, bytes bytea) tablespace small;
             alter table large enable row level security;
             alter table large alter bytes set storage external;
             create function write(number int) returns void language sql as
             $$ insert into large select number, decode(repeat(md5(random()::text), 31250), 'hex') from generate_series(1, 2) $$",
        )
        .await;
    let client = service(&server);
    eventually("the table", async || client.get("/rest/v1/large").await.status == 200).await;

    let (taken, refused) = fill(&client).await;

    assert!((1..=12).contains(&taken), "{taken}");
    assert_eq!(refused.header("retry-after"), "1");
    refused.expect_error(503, "53100");
    // Each row came with its twin or not at all, and the rest of the database goes on.
    let whole = format!("{}", taken * 2);
    assert_eq!(postgres.value("select count(*)::text from large").await, whole);
    client.get("/rest/v1/notes").await.expect_status(200);
    client.post("/rest/v1/notes", json!({ "id": 9, "text": "elsewhere" })).await.expect_status(201);
    client.get("/health/ready").await.expect_status(200);
    disk.grow(64);
    client.post("/rest/v1/rpc/write", json!({ "number": 1 })).await.expect_status(204);
}

#[tokio::test]
async fn a_query_that_may_use_no_more_temporary_space_is_refused_and_others_go_on() {
    let postgres =
        Postgres::with(&["temp_file_limit=1MB", "work_mem=64kB"], "host all all all scram-sha-256\n", &[]);
    let server = Server::start(on(&postgres.url())).await;
    postgres.run(NOTES).await;
    postgres
        .run(
            "create function spill() returns bigint language sql stable as $$ select count(*) from
             (select n, repeat('x', 200) from generate_series(1, 200000) n order by 2, 1 desc offset 1) t $$",
        )
        .await;
    let client = service(&server);
    eventually("the function", async || client.get("/rest/v1/rpc/spill").await.status != 404).await;

    for _ in 0..5 {
        client.get("/rest/v1/rpc/spill").await.expect_error(500, "53400");
        client.get("/rest/v1/notes").await.expect_status(200);
    }
}

#[tokio::test]
async fn a_full_disk_of_stored_bytes_refuses_uploads_and_leaves_nothing_half() {
    let app = TestApp::start().await;
    let folder = app.server.data().join("storage");
    let Some(disk) = SmallDisk::mount(&folder, 6) else {
        eprintln!("not run: this machine lets nobody mount a file system");
        return;
    };
    let client = app.service();
    client.post("/storage/v1/bucket", json!({ "name": "bytes" })).await.expect_status(200);
    let upload = async |name: &str, length: usize| {
        let path = format!("/storage/v1/object/bytes/{name}");
        client.send_text(Method::POST, &path, "text/plain", vec![b'x'; length]).await
    };
    upload("small", 1_000_000).await.expect_status(200);

    upload("large", 8_000_000).await.expect_error(503, "ServiceUnavailable");

    let rows =
        "select count(*) || ' ' || (select count(*) from storage.objects) from goforward.storage_blobs";
    eventually("nothing is left of it", async || app.database.value(rows).await == "1 1").await;
    let files = std::fs::read_dir(&folder).unwrap().flatten();
    let files = files.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap()).count();
    assert_eq!(files, 1);
    client.get("/storage/v1/object/bytes/large").await.expect_error(400, "NoSuchKey");
    client.get("/storage/v1/object/bytes/small").await.expect_status(200);
    upload("other", 3_000_000).await.expect_status(200);
    disk.grow(64);
    upload("large", 8_000_000).await.expect_status(200);
}
