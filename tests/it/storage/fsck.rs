//! `goforward storage fsck`: every difference between bytes and rows is told, and mended where nothing is lost (GF-ST-12, H21).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::sweeping::blobs;
use super::{start, upload, with};
use crate::harness::{Database, Options, TestApp, eventually, now, run_command};

/// Runs the command on the folder and the database of a server; the exit code and the report.
pub fn fsck(data: &Path, database: &Database, arguments: &[&str]) -> (i32, Value) {
    fsck_with(data, database, arguments, &[])
}

/// The same with more variables.
pub fn fsck_with(
    data: &Path,
    database: &Database,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (i32, Value) {
    let url = database.url();
    let mut all = vec!["storage", "fsck", "--json", "--data-dir", data.to_str().unwrap()];
    all.extend(arguments);
    let mut environment = vec![("DATABASE_URL", url.as_str())];
    environment.extend(variables);
    let output = run_command(&all, &environment);
    let report = serde_json::from_slice(&output.stdout);
    let report =
        report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// A time that is over.
pub fn ago(age: Duration) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(now()).unwrap()) - age
}

/// Lets all files and rows be of yesterday.
pub async fn age(data: &Path, database: &Database) {
    let yesterday = ago(Duration::from_hours(24));
    for file in files(data) {
        File::options().append(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    database
        .run(
            "update goforward.storage_blobs set touched_at = now() - interval '1 day';
             alter table storage.objects disable trigger update_objects_updated_at;
             update storage.objects set updated_at = now() - interval '1 day';
             alter table storage.objects enable trigger update_objects_updated_at;",
        )
        .await;
}

/// All files of the backend in a server's folder.
pub fn files(data: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(data.join("storage")).into_iter().flatten().flatten();
    folders
        .flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .collect()
}

/// Where the bytes of a version are.
fn file_of(data: &Path, version: &str) -> PathBuf {
    let name = version.replace('-', "");
    data.join("storage").join(&name[..2]).join(name)
}

fn write(file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "bytes").unwrap();
}

async fn version_of(app: &TestApp, name: &str) -> String {
    app.database.value(&format!("select version from storage.objects where name = '{name}'")).await
}

/// The kinds, in order.
fn kinds(report: &Value) -> Vec<&str> {
    let mut kinds: Vec<&str> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn a_backend_that_agrees_with_the_database_is_clean() {
    let app = start().await;
    let service = app.service();
    for name in ["a", "b", "c"] {
        upload(&service, &format!("private/{name}"), name.repeat(3)).await.expect_status(200);
    }
    service.delete("/storage/v1/object/private/b").await.expect_status(200);
    eventually("it is swept", async || blobs(&app).await == (2, "2".into())).await;
    // What a sweeper is at is its own.
    let claimed = "insert into goforward.storage_blobs (version, state, claimed_until)
        values (gen_random_uuid(), 'dead', now() + interval '1 hour')";
    app.database.run(claimed).await;
    age(app.server.data(), &app.database).await;
    let (code, report) = fsck(app.server.data(), &app.database, &[]);
    let expected = json!({
        "blobs": 2, "objects": 2, "foreign": 0, "found": 0, "repaired": 0, "wrong_pair": false, "differences": [],
    });
    assert_eq!((code, report), (0, expected));
}

#[tokio::test]
async fn h21_every_difference_is_told_and_mended_where_nothing_is_lost() {
    let mut app = start().await;
    let service = app.service();
    for name in ["whole", "without_bytes", "cut", "without_row", "unwanted", "left"] {
        upload(&service, &format!("private/{name}"), "bytes").await.expect_status(200);
    }
    // A server would sweep some of what follows.
    app.server.stop().await;
    let data = app.server.data().to_owned();
    let new = |digit: &str| format!("{}-0000-4000-8000-000000000000", digit.repeat(8));
    fs::remove_file(file_of(&data, &version_of(&app, "without_bytes").await)).unwrap();
    fs::write(file_of(&data, &version_of(&app, "cut").await), "byt").unwrap();
    write(&file_of(&data, &new("a")));
    write(&PathBuf::from(format!("{}#1", file_of(&data, &new("b")).display())));
    write(&file_of(&data, &new("c")));
    write(&data.join("storage/notes/today"));
    let (c, d, e) = (new("c"), new("d"), new("e"));
    let sql = format!(
        "insert into goforward.storage_blobs (version, state) values ('{c}', 'dead'), ('{d}', 'stored'), ('{e}', 'writing');
         delete from goforward.storage_blobs where version = (select version from storage.objects where name = 'without_row');
         update goforward.storage_blobs set state = 'dead'
             where version = (select version from storage.objects where name = 'unwanted');
         alter table storage.objects disable trigger user;
         delete from storage.objects where name = 'left';
         alter table storage.objects enable trigger user;"
    );
    app.database.run(&sql).await;

    let (_, young) = fsck(&data, &app.database, &[]);
    assert_eq!(kinds(&young), ["object_without_row"; 0], "what is young is left alone: {young}");
    age(&data, &app.database).await;
    let mended = [
        "blob_without_object",
        "blob_without_row",
        "object_of_other_size",
        "object_of_unwanted_blob",
        "object_without_bytes",
        "object_without_row",
        "row_without_bytes",
        "unfinished_file",
        "unfinished_upload",
        "unswept_blob",
    ];
    // An object is told of also while a sweeper may be at its bytes.
    let claims = "update goforward.storage_blobs set claimed_until = now() + interval '1 hour'
        where version = (select version from storage.objects where name = 'unwanted')";
    app.database.run(claims).await;
    let (code, report) = fsck(&data, &app.database, &[]);
    assert_eq!((code, kinds(&report)), (1, mended.to_vec()), "{report}");
    app.database.run("update goforward.storage_blobs set claimed_until = null").await;
    assert_eq!((&report["foreign"], &report["repaired"]), (&json!(1), &json!(0)));

    let scanner = [("GOFORWARD_STORAGE__SCAN__URL", "tcp://127.0.0.1:1")];
    let (code, report) = fsck_with(&data, &app.database, &["--repair"], &scanner);
    assert_eq!((code, &report["found"], &report["repaired"]), (1, &json!(10), &json!(8)), "{report}");
    let held = "select string_agg(object.name, ' ' order by object.name) from storage.objects as object
        join goforward.storage_blobs as blob on blob.version = object.version and blob.scan = 'pending'";
    assert_eq!(app.database.value(held).await, "unwanted without_row", "no scanner has seen these");
    age(&data, &app.database).await;
    let (code, report) = fsck(&data, &app.database, &[]);
    assert_eq!((code, kinds(&report)), (1, vec!["object_of_other_size", "object_without_bytes"]));
    let (_, report) = fsck(&data, &app.database, &["--repair", "--remove-objects"]);
    assert_eq!(report["repaired"], 1, "{report}");
    let names = "select string_agg(name, ' ' order by name) from storage.objects";
    assert_eq!(app.database.value(names).await, "cut unwanted whole without_row");
    let rows = "select string_agg(distinct state, ' ') || count(*) from goforward.storage_blobs";
    assert_eq!(app.database.value(rows).await, "stored4");
    assert_eq!(files(&data).len(), 5, "four blobs, and what is not ours");
    let records = "select string_agg(concat_ws(' ', verb, key ->> 'name', key ->> 'repaired', proved), ', ' order by id)
        from goforward.audit_log where verb like 'storage.%'";
    assert_eq!(
        app.database.value(records).await,
        "storage.fsck.repair 8 f, storage.fsck.remove_object without_bytes f, storage.fsck.repair 1 f"
    );
}

#[tokio::test]
async fn with_the_wrong_database_nothing_is_removed() {
    let app = start().await;
    for name in ["a", "b"] {
        upload(&app.service(), &format!("private/{name}"), name).await.expect_status(200);
    }
    age(app.server.data(), &app.database).await;
    let other = with(Options::default()).await;
    let (code, report) = fsck(app.server.data(), &other.database, &["--repair", "--remove-objects"]);
    assert_eq!((code, &report["wrong_pair"], &report["repaired"]), (1, &json!(true), &json!(0)), "{report}");
    let (code, report) = fsck(other.server.data(), &app.database, &["--repair", "--remove-objects"]);
    assert_eq!((code, &report["wrong_pair"], &report["repaired"]), (1, &json!(true), &json!(0)), "{report}");
    assert_eq!(fsck(app.server.data(), &app.database, &[]).0, 0);
}
