//! Lists: folders, order, pages and searches, in both shapes; nothing in a prefix is a pattern (H18).

use serde_json::{Value, json};

use super::{start, upload};
use crate::harness::{Client, TestApp};

const NAMES: [&str; 7] = ["a.txt", "b/1.txt", "b/2.txt", "b/c/3.txt", "b-2.txt", "d%_/x.txt", "dab/x.txt"];

async fn filled() -> (TestApp, Client) {
    let app = start().await;
    let service = app.service();
    for name in NAMES {
        let encoded = name.replace('%', "%25");
        if name.contains('%') {
            // No key has it, but rows that others wrote may.
            let sql = format!(
                "insert into storage.objects (bucket_id, name, metadata) values ('private', '{name}', '{{}}')"
            );
            app.database.run(&sql).await;
        } else {
            upload(&service, &format!("private/{encoded}"), name).await.expect_status(200);
        }
    }
    (app, service)
}

async fn list(client: &Client, body: Value) -> Vec<String> {
    let answer = client.post("/storage/v1/object/list/private", body).await.expect_status(200);
    answer.json().as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_folder_is_listed_once_with_what_lies_in_it_folded() {
    let (_app, service) = filled().await;
    let all = service.post("/storage/v1/object/list/private", json!({ "prefix": "" })).await.json();
    let names: Vec<&str> = all.as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["a.txt", "b-2.txt", "b", "d%_", "dab"]);
    assert_eq!(
        all[2],
        json!({ "name": "b", "id": null, "updated_at": null, "created_at": null, "last_accessed_at": null, "metadata": null })
    );
    assert_eq!(
        (&all[0]["metadata"]["size"], &all[0]["metadata"]["mimetype"]),
        (&json!(5), &json!("text/plain"))
    );
    assert_eq!(list(&service, json!({ "prefix": "b" })).await, ["1.txt", "2.txt", "c"]);
    assert_eq!(list(&service, json!({ "prefix": "b/c/" })).await, ["3.txt"]);
    assert_eq!(list(&service, json!({ "prefix": "nothing" })).await, [""; 0]);
}

#[tokio::test]
async fn pages_and_orders_count_folders() {
    let (_app, service) = filled().await;
    let by = |column: &str, order: &str, limit: u64, offset: u64| json!({ "prefix": "", "limit": limit, "offset": offset, "sortBy": { "column": column, "order": order } });
    assert_eq!(list(&service, by("name", "desc", 10, 0)).await, ["dab", "d%_", "b", "b-2.txt", "a.txt"]);
    assert_eq!(list(&service, by("name", "asc", 2, 1)).await, ["b-2.txt", "b"]);
    assert_eq!(list(&service, by("created_at", "asc", 10, 0)).await, ["b", "d%_", "dab", "a.txt", "b-2.txt"]);
    assert_eq!(list(&service, by("updated_at", "desc", 2, 3)).await, ["b-2.txt", "a.txt"]);
}

#[tokio::test]
async fn h18_prefixes_and_searches_are_text_and_no_patterns() {
    let (_app, service) = filled().await;
    assert_eq!(list(&service, json!({ "prefix": "d%_" })).await, ["x.txt"]);
    assert_eq!(list(&service, json!({ "prefix": "%" })).await, [""; 0]);
    assert_eq!(list(&service, json!({ "prefix": "d__" })).await, [""; 0]);
    assert_eq!(list(&service, json!({ "prefix": "", "search": "B" })).await, ["b-2.txt", "b"]);
    assert_eq!(list(&service, json!({ "prefix": "", "search": "%" })).await, [""; 0]);
}

#[tokio::test]
async fn whole_names_come_page_by_page_with_nothing_twice_or_left_out() {
    let (_app, service) = filled().await;
    for (delimiter, order) in [(false, "asc"), (true, "asc"), (false, "desc"), (true, "desc")] {
        for column in ["name", "created_at"] {
            let mut found: Vec<String> = Vec::new();
            let mut cursor = Value::Null;
            for _ in 0..20 {
                let body = json!({
                    "limit": 2, "cursor": cursor, "with_delimiter": delimiter, "sortBy": { "column": column, "order": order },
                });
                let page =
                    service.post("/storage/v1/object/list-v2/private", body).await.expect_status(200).json();
                for kind in ["folders", "objects"] {
                    found.extend(
                        page[kind]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|row| row["name"].as_str().unwrap().to_owned()),
                    );
                }
                cursor = page["nextCursor"].clone();
                if page["hasNext"] == false {
                    break;
                }
            }
            found.sort_unstable();
            let mut expected: Vec<&str> =
                if delimiter { vec!["a.txt", "b-2.txt", "b/", "d%_/", "dab/"] } else { NAMES.to_vec() };
            expected.sort_unstable();
            assert_eq!(found, expected, "{column} {order} {delimiter}");
        }
    }
}

#[tokio::test]
async fn what_a_list_is_asked_for_is_bounded() {
    let (_app, service) = filled().await;
    let long = "p".repeat(1025);
    for (path, body) in [
        ("list", json!({ "prefix": "", "offset": 100_001 })),
        ("list", json!({ "prefix": "", "offset": u64::MAX })),
        ("list", json!({ "prefix": "", "offset": -1 })),
        ("list", json!({ "prefix": long })),
        ("list", json!({ "prefix": "", "search": long })),
        ("list-v2", json!({ "prefix": long })),
        ("list-v2", json!({ "cursor": "A".repeat(4100) })),
    ] {
        let refused = service.post(&format!("/storage/v1/object/{path}/private"), body.clone()).await;
        assert_eq!(super::refusal(&refused).2, "InvalidRequest", "{body}");
    }
    assert_eq!(list(&service, json!({ "prefix": "", "offset": 100_000 })).await, [""; 0]);
    assert_eq!(list(&service, json!({ "prefix": "", "limit": u64::MAX })).await.len(), 5);
}
