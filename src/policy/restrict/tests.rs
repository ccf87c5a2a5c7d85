//! What a class of callers sees of columns, views and relationships.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::catalog::model::ViewLineage;
use crate::catalog::samples::{column, relation, with_columns};
use crate::kernel::sanitise::{Field, Policy};
use crate::policy::samples::{caller, catalog_with_rules, name};

fn class(app_roles: &[&str]) -> CallerClass {
    let app_roles: BTreeSet<String> = app_roles.iter().map(|role| (*role).to_owned()).collect();
    CallerClass { role: "authenticated".into(), app_roles }
}

fn access(rules: Value, app_roles: &[&str]) -> (ReadAccess, bool) {
    let rules = TableSecurity::parse(rules).unwrap();
    let access = column_access(&rules, "secret", &class(app_roles));
    (access.read, access.write)
}

#[test]
fn rules_about_a_column_combine_to_one_access() {
    use ReadAccess::{Hidden, Masked, Plain};
    let permission = |rules: Value| json!({"field_permissions": {"secret": rules}});
    let masked = |mask| Masked(mask);
    for (rules, app_roles, expected) in [
        (json!({}), &[][..], (Plain, true)),
        (json!({"hidden_fields": ["other"]}), &[], (Plain, true)),
        (json!({"hidden_fields": ["secret"]}), &[], (Hidden, false)),
        (json!({"hidden_fields": ["secret"], "writable_fields": ["secret"]}), &[], (Hidden, true)),
        (json!({"readable_fields": ["other"]}), &[], (Hidden, false)),
        (json!({"readable_fields": ["secret"]}), &[], (Plain, true)),
        (json!({"writable_fields": ["other"]}), &[], (Plain, false)),
        (permission(json!({"can_read": false})), &[], (Hidden, false)),
        (permission(json!({"can_read": false, "can_write": true})), &[], (Hidden, true)),
        (permission(json!({"can_write": false})), &[], (Plain, false)),
        (permission(json!({"hidden": true, "allowed_roles": ["chef"]})), &[], (Hidden, false)),
        (permission(json!({"hidden": true, "allowed_roles": ["chef"]})), &["chef"], (Plain, true)),
        (permission(json!({"masked": true})), &[], (masked(Mask::Null), false)),
        (
            permission(json!({"masked": true, "mask": "email", "can_write": true})),
            &[],
            (masked(Mask::Email), true),
        ),
        (permission(json!({"masked": true, "allowed_roles": ["chef"]})), &["chef"], (Plain, true)),
        (permission(json!({"allowed_roles": ["chef"]})), &[], (Hidden, false)),
        (permission(json!({"allowed_roles": ["chef"], "can_write": true})), &[], (Hidden, false)),
        (permission(json!({"allowed_roles": ["chef"]})), &["chef"], (Plain, true)),
        (permission(json!({"allowed_roles": ["authenticated"]})), &[], (Plain, true)),
    ] {
        assert_eq!(access(rules.clone(), app_roles), expected, "{rules} {app_roles:?}");
    }
}

#[test]
fn of_two_rules_about_input_the_stricter_counts() {
    let rule = |policy| Some(InputRule { policy, kind: Field::Name });
    for (own, below, expected) in [
        (None, None, None),
        (None, rule(Policy::Monitor), rule(Policy::Monitor)),
        (rule(Policy::Reject), rule(Policy::Clean), rule(Policy::Reject)),
        (rule(Policy::Monitor), rule(Policy::Clean), rule(Policy::Clean)),
    ] {
        assert_eq!(stricter_input(own, below), expected, "{own:?} {below:?}");
    }
}

fn restricted(catalog: Catalog, role: &str) -> Arc<Catalog> {
    let catalog = Arc::new(catalog);
    let rules = Rules::of(&catalog);
    let class = rules.class(&caller(role));
    restrict(&catalog, &rules, &class, true)
}

fn columns(catalog: &Catalog, relation: &str) -> Vec<String> {
    catalog.relation("api", relation).unwrap().columns.keys().map(ToString::to_string).collect()
}

#[test]
fn a_hidden_column_does_not_exist_and_no_other_name_may_be_used() {
    let rules = json!({"hidden_fields": ["secret"], "readable_fields": ["id", "email", "full_name"]});
    let catalog = restricted(catalog_with_rules(&[("accounts", rules)]), "anon");

    assert_eq!(columns(&catalog, "accounts"), ["id", "email"]);
    let accounts = catalog.relation("api", "accounts").unwrap();
    assert_eq!(accounts.restriction.closed, Some(vec![Arc::from("full_name")]));
    assert_eq!(accounts.primary_key, [Arc::from("id")]);
}

#[test]
fn a_key_that_is_not_readable_is_no_key() {
    let catalog = restricted(catalog_with_rules(&[("accounts", json!({"hidden_fields": ["id"]}))]), "anon");
    assert!(catalog.relation("api", "accounts").unwrap().primary_key.is_empty());
}

#[test]
fn nothing_is_copied_where_nothing_is_restricted() {
    let catalog = Arc::new(catalog_with_rules(&[("accounts", json!({"require_auth": true}))]));
    let rules = Rules::of(&catalog);
    let class = rules.class(&caller("anon"));
    assert!(Arc::ptr_eq(&restrict(&catalog, &rules, &class, true), &catalog));
}

#[test]
fn relationships_over_protected_columns_are_not_there() {
    let with_rules = |table: &str, hidden: &str| {
        let mut catalog = catalog_with_rules(&[(table, json!({"hidden_fields": [hidden]}))]);
        let link = Relationship::ForeignKey {
            relation: name("orders"),
            foreign_relation: name("accounts"),
            is_self: false,
            cardinality: Cardinality::ToOne {
                constraint: "fk".into(),
                columns: vec![("account_id".into(), "id".into())],
            },
            relation_is_view: false,
            foreign_is_view: false,
        };
        catalog.relationships.insert((name("orders"), "api".into()), vec![link].into());
        restricted(catalog, "anon").relationships_of(&name("orders"), "api").len()
    };
    assert_eq!(with_rules("orders", "account_id"), 0);
    assert_eq!(with_rules("accounts", "id"), 0);
    assert_eq!(with_rules("accounts", "secret"), 1);
}

/// `accounts_view` over `accounts`, with this lineage and these rules.
fn with_view(lineage: ViewLineage, rules: &[(&str, Value)]) -> Arc<Catalog> {
    let mut catalog = catalog_with_rules(rules);
    let mut view =
        with_columns(relation("api", "accounts_view"), vec![column("id", "bigint"), column("code", "text")]);
    view.kind = crate::catalog::RelationKind::View;
    catalog.relations.insert(view.name.clone(), Arc::new(view));
    catalog.lineage = Arc::new([(name("accounts_view"), lineage)].into());
    restricted(catalog, "anon")
}

fn shows_secret_as_code() -> ViewLineage {
    ViewLineage {
        shown: vec![("code".into(), (name("accounts"), "secret".into()))],
        reads: [name("accounts")].into(),
        ..ViewLineage::default()
    }
}

#[test]
fn protection_follows_a_column_through_a_view_under_any_name() {
    let hidden = ("accounts", json!({"hidden_fields": ["secret"]}));
    assert_eq!(
        columns(&with_view(shows_secret_as_code(), std::slice::from_ref(&hidden)), "accounts_view"),
        ["id"]
    );
    // Only rules of the view that name the column show it.
    let silent = with_view(shows_secret_as_code(), &[hidden.clone(), ("accounts_view", json!({}))]);
    assert_eq!(columns(&silent, "accounts_view"), ["id"]);
    let spoken = json!({"readable_fields": ["id", "code"]});
    let spoken = with_view(shows_secret_as_code(), &[hidden, ("accounts_view", spoken)]);
    assert_eq!(columns(&spoken, "accounts_view"), ["id", "code"]);
}

#[test]
fn a_generated_column_is_hidden_with_what_it_is_computed_from_unless_rules_speak_of_it() {
    let with = |rules: Value| {
        let mut catalog = catalog_with_rules(&[("accounts", rules)]);
        let computed = vec![("email".into(), (name("accounts"), "secret".into()))];
        let lineage = ViewLineage { computed, ..ViewLineage::default() };
        catalog.lineage = Arc::new([(name("accounts"), lineage)].into());
        columns(&restricted(catalog, "anon"), "accounts")
    };
    assert_eq!(with(json!({"hidden_fields": ["owner"]})), ["id", "email", "secret"]);
    assert_eq!(with(json!({"hidden_fields": ["secret"]})), ["id", "owner"]);
    let masked = json!({"field_permissions": {"secret": {"masked": true}}});
    assert_eq!(with(masked), ["id", "owner", "secret"]);
    let spoken = json!({"hidden_fields": ["secret"], "field_permissions": {"email": {"can_read": true}}});
    assert_eq!(with(spoken), ["id", "owner", "email"]);
}

#[test]
fn a_view_that_lets_a_protected_column_decide_is_refused_until_it_has_rules() {
    let hidden = || ("accounts", json!({"hidden_fields": ["secret"]}));
    let used = ViewLineage { used: [(name("accounts"), "secret".into())].into(), ..shows_secret_as_code() };
    let whole = ViewLineage { whole: [name("accounts")].into(), ..shows_secret_as_code() };
    let harmless =
        ViewLineage { used: [(name("accounts"), "email".into())].into(), ..shows_secret_as_code() };
    let refused = |lineage: ViewLineage, rules: &[(&str, Value)]| {
        with_view(lineage, rules).relation("api", "accounts_view").unwrap().restriction.uses_protected_column
    };
    assert!(refused(used.clone(), &[hidden()]));
    assert!(refused(whole, &[hidden()]));
    assert!(!refused(harmless, &[hidden()]));
    assert!(!refused(used, &[hidden(), ("accounts_view", json!({}))]));
}
