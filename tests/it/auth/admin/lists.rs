//! Lists of accounts.

use serde_json::{Value, json};

use super::super::options;
use super::{admin, get, make};
use crate::harness::{Client, TestApp};

/// The addresses on a page.
async fn emails(client: &Client, query: &str) -> Vec<String> {
    let list = get(client, &format!("/admin/users?{query}")).await.expect_status(200).json();
    let users = list["users"].as_array().unwrap().iter();
    users.map(|user| user["email"].as_str().unwrap().to_owned()).collect()
}

/// Accounts `a@` to `e@`, made in this order.
async fn five(app: &TestApp) {
    for name in ["a", "b", "c", "d", "e"] {
        let metadata = json!({"full_name": format!("Person {}", name.to_uppercase())});
        make(app, json!({"email": format!("{name}@example.com"), "user_metadata": metadata})).await;
    }
}

#[tokio::test]
async fn pages_come_newest_first_with_a_total_and_links() {
    let app = TestApp::with(options()).await;
    five(&app).await;
    let admin = admin(&app);

    let page = get(&admin, "/admin/users?page=2&per_page=2").await.expect_status(200);

    assert_eq!(page.header("x-total-count"), "5");
    let (next, last) = page.header("link").split_once(", ").unwrap();
    assert!(
        next.contains("/auth/v1/admin/users?page=3&per_page=2") && next.ends_with("rel=\"next\""),
        "{next}"
    );
    assert!(last.contains("?page=3&") && last.ends_with("rel=\"last\""), "{last}");
    let body = page.json();
    assert_eq!(body["aud"], "authenticated");
    assert_eq!(body["users"][0]["identities"][0]["provider"], "email");
    assert_eq!(emails(&admin, "page=2&per_page=2").await, ["c@example.com", "b@example.com"]);
    assert_eq!(emails(&admin, "page=9").await, Vec::<String>::new());
    get(&admin, "/admin/users?page=zero").await.expect_error(400, "validation_failed");
}

#[tokio::test]
async fn lists_are_ordered_and_filtered_by_bound_values() {
    let app = TestApp::with(options()).await;
    five(&app).await;
    let admin = admin(&app);

    assert_eq!(emails(&admin, "sort=email+desc&per_page=1").await, ["e@example.com"]);
    assert_eq!(emails(&admin, "sort=created_at&per_page=1").await, ["a@example.com"]);
    assert_eq!(emails(&admin, "filter=C%40EXAMPLE").await, ["c@example.com"]);
    assert_eq!(emails(&admin, "filter=person+d").await, ["d@example.com"]);
    // No wildcards, no SQL.
    for text in ["%25", "_@", "'+or+true+--", "%5C"] {
        assert_eq!(emails(&admin, &format!("filter={text}")).await, Vec::<String>::new(), "{text}");
    }
    let answer = get(&admin, "/admin/users?filter=example&per_page=2").await;
    assert_eq!(answer.header("x-total-count"), "5");
    assert!(answer.header("link").contains("filter=example"), "{}", answer.header("link"));
    get(&admin, "/admin/users?sort=encrypted_password").await.expect_error(400, "validation_failed");
}

#[tokio::test]
async fn a_walk_meets_every_account_once() {
    let app = TestApp::with(options()).await;
    five(&app).await;
    app.database
        .run("insert into auth.users (id, email) values (gen_random_uuid(), 'bare@example.com')")
        .await;
    let admin = admin(&app);
    let (mut met, mut query) = (Vec::new(), "limit=2".to_owned());

    loop {
        let step = get(&admin, &format!("/admin/users?{query}")).await.expect_status(200).json();
        met.extend(step["users"].as_array().unwrap().iter().map(|user| user["email"].clone()));
        let pagination = &step["pagination"];
        if pagination["has_more"] == false {
            assert_eq!(pagination["next_cursor"], Value::Null);
            break;
        }
        query = format!("limit=2&cursor={}", pagination["next_cursor"].as_str().unwrap());
    }

    met.sort_by_key(ToString::to_string);
    let all = ["a", "b", "bare", "c", "d", "e"].map(|name| json!(format!("{name}@example.com")));
    assert_eq!(met, all);
    get(&admin, "/admin/users?cursor=nonsense").await.expect_error(400, "validation_failed");
}
