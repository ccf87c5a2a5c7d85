//! Rows and their versions: one change wins, nothing that does not fit is stored, and nothing is forgotten.

use goforward::policy::model::TableSecurity;
use goforward::policy::store::{Expected, StoreError};
use serde_json::json;

use super::{Setup, public};

#[tokio::test]
async fn rules_are_read_back_as_they_were_stored() {
    let setup = Setup::new().await;
    let rules = json!({
        "display_name": "Orders", "description": "of the shop", "require_auth": true, "require_verified": true,
        "require_mfa": true, "allowed_roles": ["staff"], "require_ownership": true, "ownership_column": "owner",
        "public_write": true, "ip_allowlist": ["10.0.0.0/8"], "rate_limit": {"requests": 5, "window_seconds": 60},
        "audit_actions": ["select", "delete"], "writable_fields": ["note", "owner"], "hidden_fields": ["secret"],
        "field_permissions": {"note": {"masked": true, "mask": {"constant": "—"}, "allowed_roles": ["staff"]}},
        "custom_filters": {"open": "not archived"}
    });

    let stored = setup.put("orders", rules.clone()).await.unwrap();
    assert_eq!(stored.rules, Ok(TableSecurity::parse(rules).unwrap()));
    assert_eq!((stored.version, stored.created_by.as_deref()), (1, Some("a test")));
    assert_eq!(setup.store.get(&public("orders")).await.unwrap(), stored);
    assert_eq!(setup.store.list().await.unwrap(), std::slice::from_ref(&stored));

    // What is absent the next time is off again.
    let stored = setup.put("orders", json!({"active": false})).await.unwrap();
    let expected = TableSecurity { active: false, ..TableSecurity::default() };
    assert_eq!((stored.rules, stored.version), (Ok(expected), 2));
}

#[tokio::test]
async fn a_row_that_is_not_understood_is_shown_and_leaves_what_is_enforced() {
    let setup = Setup::new().await;
    setup.put("orders", json!({"custom_filters": {"open": "not archived"}})).await.unwrap();
    let before = setup.own_policies("orders").await;
    setup
        .database
        .run("update goforward.table_security set field_permissions = '{\"note\": {\"hiden\": true}}'")
        .await;

    let stored = setup.store.get(&public("orders")).await.unwrap();
    assert!(stored.rules.unwrap_err().contains("hiden"));
    let applied = setup.store.apply(&setup.catalog().await, None).await.unwrap();
    assert!(applied.changes.is_empty());
    assert!(
        matches!(&applied.failures[..], [(name, StoreError::Unreadable { .. })] if *name == public("orders"))
    );
    assert_eq!(setup.own_policies("orders").await, before);
}

#[tokio::test]
async fn what_the_table_does_not_have_is_refused_and_nothing_is_stored() {
    let setup = Setup::new().await;
    setup
        .database
        .run("create function label(orders) returns text language sql stable as 'select $1.note'; alter table orders add column tags text[]")
        .await;
    for (rules, expected) in [
        (json!({"hidden_fields": ["secrets"]}), "hidden_fields: public.orders has no column secrets"),
        (json!({"writable_fields": ["Note"]}), "writable_fields: public.orders has no column Note"),
        (json!({"readable_fields": ["id", "labels"]}), "readable_fields: public.orders has no column labels"),
        (
            json!({"field_permissions": {"x": {"hidden": true}}}),
            "field_permissions: public.orders has no column x",
        ),
        (json!({"ownership_column": "user"}), "ownership_column: public.orders has no column user"),
        (json!({"ownership_column": "archived"}), "ownership_column: archived is of type boolean"),
        (json!({"ownership_column": "tags"}), "ownership_column: tags is of type text[]"),
    ] {
        let error = setup.put("orders", rules.clone()).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{rules}: {error}");
    }
    let error = setup.put("Orders", json!({})).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchTable(name) if name == public("Orders")));
    assert!(matches!(setup.store.get(&public("orders")).await, Err(StoreError::NotFound(_))));
    assert_eq!(
        setup.database.value("select count(*)::text from goforward.table_security_history").await,
        "0"
    );

    setup.put("orders", json!({"readable_fields": ["id", "label"]})).await.unwrap();
    setup.put("order_list", json!({"hidden_fields": ["owner"]})).await.unwrap();
}

#[tokio::test]
async fn every_version_stays_in_the_history_with_who_made_it() {
    let setup = Setup::new().await;
    let (catalog, name) = (setup.catalog().await, public("orders"));
    setup.put("orders", json!({"require_auth": true})).await.unwrap();
    setup.put("orders", json!({"require_mfa": true})).await.unwrap();
    setup.store.delete(&catalog, &name, Expected::Version(2), "somebody else").await.unwrap();
    let again = setup.put("orders", json!({})).await.unwrap();

    assert_eq!(again.version, 4, "an old version never comes again");
    let history = setup.store.history(&name, 10).await.unwrap();
    let told: Vec<(i64, &str, Option<&str>)> =
        history.iter().map(|past| (past.version, past.action.as_str(), past.changed_by.as_deref())).collect();
    assert_eq!(
        told,
        [
            (4, "created", Some("a test")),
            (3, "deleted", Some("somebody else")),
            (2, "changed", Some("a test")),
            (1, "created", Some("a test")),
        ]
    );
    assert_eq!(history[1].rules, None);
    assert_eq!(history[2].rules.as_ref().unwrap()["require_mfa"], json!(true));
    assert_eq!(setup.store.history(&name, 1).await.unwrap(), history[..1]);
    assert_eq!(setup.store.history(&public("members"), 10).await.unwrap(), []);
}

#[tokio::test]
async fn of_two_changes_of_one_version_one_wins() {
    let setup = Setup::new().await;
    for round in 0..5_i64 {
        setup.put("orders", json!({})).await.unwrap();
        let version = 2 * round + 1;
        let change = |field: &str| setup.put_if("orders", json!({field: true}), Expected::Version(version));
        let (first, second) = tokio::join!(change("require_auth"), change("require_mfa"));
        let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
        assert_eq!(won.unwrap().version, version + 1);
        let lost = lost.unwrap_err();
        assert!(
            matches!(&lost, StoreError::VersionMismatch { actual: Some(actual), .. } if *actual == version + 1),
            "{lost}"
        );
    }
    let absent = setup.put_if("orders", json!({}), Expected::Absent).await;
    assert!(matches!(absent, Err(StoreError::VersionMismatch { actual: Some(10), .. })));
    let present = setup.put_if("members", json!({}), Expected::Present).await;
    assert!(matches!(present, Err(StoreError::VersionMismatch { actual: None, .. })));
    setup.put_if("members", json!({}), Expected::Absent).await.unwrap();
}
