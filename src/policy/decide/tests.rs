//! What each rule decides, for whom, and what lifts it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::catalog::RelationKind;
use crate::catalog::model::ViewLineage;
use crate::policy::book::PolicyBook;
use crate::policy::desired;
use crate::policy::samples::{caller, catalog_with_rules, name};

/// What is decided about reading `orders` under these rules, where it gets its rows from `accounts`: as a view, or as a table
/// that inherits them. `accounts` has this lineage of its own.
fn decided_above(kind: RelationKind, below: ViewLineage, rules: &[(&str, Value)]) -> Result<(), Rule> {
    let mut catalog = catalog_with_rules(rules);
    Arc::make_mut(catalog.relations.get_mut(&name("orders")).unwrap()).kind = kind;
    let above = ViewLineage { reads: [name("accounts")].into(), ..ViewLineage::default() };
    catalog.lineage = Arc::new([(name("orders"), above), (name("accounts"), below)].into());
    let marks = |(table, rules): &(&str, Value)| {
        let security = TableSecurity::parse(rules.clone()).unwrap();
        let policies = desired::restrictive_policies(&catalog, &name(table), &security).unwrap();
        (name(table), policies.iter().map(|policy| Arc::from(policy.mark())).collect())
    };
    catalog.own_policies = Arc::new(rules.iter().map(marks).collect());
    let view = PolicyBook::default().view(&Arc::new(catalog), &caller("anon"), true);
    let relation = view.catalog.relations.get(&name("orders")).unwrap();
    decide(&view, relation, Verb::Select, &caller("anon")).map(drop).map_err(|refusal| refusal.rule)
}

fn low_only() -> (&'static str, Value) {
    ("accounts", json!({"custom_filters": {"low": "id < 3"}}))
}

#[test]
fn a_table_that_inherits_from_one_with_conditions_on_rows_is_closed_until_it_has_rules() {
    let decided = |rules: &[_]| decided_above(RelationKind::Table, ViewLineage::default(), rules);
    assert_eq!(decided(&[("accounts", json!({}))]), Ok(()));
    assert_eq!(decided(&[low_only()]), Err(Rule::RowRulesOfParent));
    assert_eq!(decided(&[low_only(), ("orders", json!({}))]), Ok(()));
}

#[test]
fn conditions_on_rows_hold_through_a_view_whatever_columns_its_table_generates() {
    let secret = || (name("accounts"), "secret".into());
    let generates = ViewLineage { computed: vec![("email".into(), secret())], ..ViewLineage::default() };
    for below in [ViewLineage::default(), generates] {
        assert_eq!(decided_above(RelationKind::View, below, &[low_only()]), Ok(()));
    }
}

fn decided(rules: Value, verb: Verb, caller: &PolicyCaller) -> Result<(), Rule> {
    let catalog = Arc::new(catalog_with_rules(&[("accounts", rules)]));
    let view = PolicyBook::default().view(&catalog, caller, true);
    let relation = view.catalog.relations.get(&name("accounts")).unwrap();
    decide(&view, relation, verb, caller).map(|_| ()).map_err(|refusal| refusal.rule)
}

/// Each rule about callers, a caller that it refuses, and one that it lets in.
fn rules_and_callers() -> Vec<(Value, Rule, PolicyCaller, PolicyCaller)> {
    let user = || caller("authenticated");
    let here = PolicyCaller { address: Some([10, 1, 2, 3].into()), ..user() };
    let there = PolicyCaller { address: Some([192, 0, 2, 1].into()), ..user() };
    let clerk = PolicyCaller { app_roles: BTreeSet::from(["clerk".to_owned()]), ..user() };
    vec![
        (json!({"ip_allowlist": ["10.0.0.0/8"]}), Rule::IpAllowlist, there, here),
        (json!({"require_auth": true}), Rule::RequireAuth, caller("anon"), user()),
        (
            json!({"require_verified": true}),
            Rule::RequireVerified,
            user(),
            PolicyCaller { verified: true, ..user() },
        ),
        (
            json!({"require_mfa": true}),
            Rule::RequireMfa,
            user(),
            PolicyCaller { second_factor: true, ..user() },
        ),
        (json!({"allowed_roles": ["clerk"]}), Rule::AllowedRoles, user(), clerk),
        (json!({"allowed_roles": ["authenticated"]}), Rule::AllowedRoles, caller("anon"), user()),
    ]
}

#[test]
fn each_rule_refuses_whom_it_is_about_and_nobody_else() {
    for (rules, rule, refused, allowed) in rules_and_callers() {
        for verb in Verb::ALL {
            assert_eq!(decided(rules.clone(), verb, &refused), Err(rule.clone()), "{rules} {verb:?}");
            assert_eq!(decided(rules.clone(), verb, &allowed), Ok(()), "{rules} {verb:?}");
            assert_eq!(decided(rules.clone(), verb, &caller("service_role")), Ok(()), "{rules} {verb:?}");
        }
    }
}

#[test]
fn public_verbs_lift_the_rules_about_who_asks_and_no_others() {
    for (mut rules, rule, refused, _) in rules_and_callers() {
        for (lifted, lifts) in
            [("public_read", [true, false, false, false]), ("public_write", [false, true, true, true])]
        {
            rules["public_read"] = Value::Bool(lifted == "public_read");
            rules["public_write"] = Value::Bool(lifted == "public_write");
            for (verb, lifts) in Verb::ALL.into_iter().zip(lifts) {
                let is_lifted = lifts && rule != Rule::IpAllowlist;
                let expected = if is_lifted { Ok(()) } else { Err(rule.clone()) };
                assert_eq!(decided(rules.clone(), verb, &refused), expected, "{rules} {verb:?}");
            }
        }
    }
}

#[test]
fn rules_that_are_off_or_unreadable_close_the_table_to_all_whom_rules_bind() {
    for (rules, rule) in [
        (json!({"active": false, "public_read": true}), Rule::Closed(Closed::Inactive)),
        (json!({"require_ownership": true, "ownership_column": "owner"}), Rule::Closed(Closed::NotEnforced)),
    ] {
        assert_eq!(decided(rules.clone(), Verb::Select, &caller("authenticated")), Err(rule));
        assert_eq!(decided(rules, Verb::Select, &caller("service_role")), Ok(()));
    }
    let wrong = decided(json!({"active": "perhaps"}), Verb::Select, &caller("anon"));
    assert!(matches!(wrong, Err(Rule::Closed(Closed::Unreadable(_)))), "{wrong:?}");

    let mut catalog = catalog_with_rules(&[]);
    catalog.table_security =
        Arc::new(crate::catalog::model::TableSecurityRows::Unreadable("no permission".into()));
    let catalog = Arc::new(catalog);
    let view = PolicyBook::default().view(&catalog, &caller("anon"), true);
    let relation = view.catalog.relations.get(&name("orders")).unwrap();
    let refusal = decide(&view, relation, Verb::Select, &caller("anon")).unwrap_err();
    assert_eq!(refusal.rule, Rule::Unreadable);
}

#[test]
fn limits_bind_callers_and_records_bind_everybody() {
    let rules = json!({"rate_limit": {"requests": 3, "window_seconds": 10}, "audit_actions": ["delete"]});
    let catalog = Arc::new(catalog_with_rules(&[("accounts", rules)]));
    for (role, verb, limits, records) in
        [("anon", Verb::Select, 1, 0), ("anon", Verb::Delete, 1, 1), ("service_role", Verb::Delete, 0, 1)]
    {
        let caller = caller(role);
        let view = PolicyBook::default().view(&catalog, &caller, true);
        let accounts = view.catalog.relations.get(&name("accounts")).unwrap();
        let access = decide(&view, accounts, verb, &caller).unwrap();
        let audited = audited(&view.rules, &accounts.name, verb).count();
        assert_eq!((access.limits.len(), audited), (limits, records), "{role} {verb:?}");
    }
}
