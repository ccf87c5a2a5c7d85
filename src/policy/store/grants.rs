//! Which grants of a table are to change so that a role cannot use columns that the rules keep from it, whatever the app
//! roles of a caller. Pure.
//!
//! PostgreSQL has no grant on all columns but one: the grant on the table is taken and the other columns are granted.
//! What was taken is remembered, and given back when no rule asks for it any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::model::{Catalog, ReadAccess};
use crate::policy::caller::CallerClass;
use crate::policy::desired::bound_roles;
use crate::policy::model::TableSecurity;
use crate::policy::restrict::column_access;

use super::change::Action;
use super::facts::Facts;

/// What a role may do with columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Read them.
    Select,
    /// Give them values in new rows.
    Insert,
    /// Give them other values.
    Update,
}

impl Privilege {
    const ALL: [Self; 3] = [Self::Select, Self::Insert, Self::Update];

    /// PostgreSQL's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
        }
    }

    /// From PostgreSQL's word for it, in any case.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|privilege| privilege.word().eq_ignore_ascii_case(word))
    }
}

/// A role and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) role: String,
    pub(super) privilege: Privilege,
}

/// What is to change. Without `rules` everything that was taken is given back.
pub(super) fn changes(catalog: &Catalog, facts: &Facts, rules: Option<&TableSecurity>) -> Vec<Action> {
    let kept_back = rules.map(|rules| kept_back(catalog, facts, rules)).unwrap_or_default();
    let holders: BTreeSet<&Holder> = kept_back.keys().chain(facts.taken.keys()).collect();
    holders.into_iter().filter_map(|holder| change(facts, holder, kept_back.get(holder))).collect()
}

fn change(facts: &Facts, holder: &Holder, kept_back: Option<&BTreeSet<&String>>) -> Option<Action> {
    let Holder { role, privilege } = holder.clone();
    let whole = facts.table_grants.get(holder).copied();
    let taken = facts.taken.get(holder).copied();
    let there = facts.column_grants.get(holder);
    let Some(kept_back) = kept_back else {
        let is_grantable = taken?;
        // Without the columns that we left it, the role lost them by another hand, or this is another table.
        return Some(match (whole, there) {
            (None, Some(_)) => Action::GiveGrantBack { role, privilege, is_grantable },
            _ => Action::ForgetGrant { role, privilege },
        });
    };
    let left: Vec<String> =
        facts.columns.iter().filter(|column| !kept_back.contains(column)).cloned().collect();
    if let Some(is_grantable) = whole {
        return Some(Action::TakeGrant { role, privilege, columns: left, is_grantable });
    }
    taken?;
    let Some(there) = there else { return Some(Action::ForgetGrant { role, privilege }) };
    let missing: Vec<String> = left.iter().filter(|column| !there.contains(*column)).cloned().collect();
    let extra: Vec<String> = there.iter().filter(|column| !left.contains(column)).cloned().collect();
    let is_right = missing.is_empty() && extra.is_empty();
    (!is_right).then_some(Action::AdjustGrant { role, privilege, missing, extra })
}

/// The columns that each role is never to use, by what it may not do with them.
fn kept_back<'a>(
    catalog: &Catalog,
    facts: &'a Facts,
    rules: &TableSecurity,
) -> BTreeMap<Holder, BTreeSet<&'a String>> {
    let mut found: BTreeMap<Holder, BTreeSet<&String>> = BTreeMap::new();
    if !rules.has_column_rules() {
        return found;
    }
    // A computed field that may be read takes the whole row, which PostgreSQL gives only to who may read all of it.
    let has_computed = rules.readable_fields.iter().any(|field| !facts.columns.contains(field));
    for role in bound_roles(catalog) {
        let class = most_trusted(catalog, &role, rules);
        for column in &facts.columns {
            let access = column_access(rules, column, &class);
            let fills_owner = rules.ownership_column.as_ref() == Some(column);
            let kept = [
                (Privilege::Select, access.read == ReadAccess::Hidden && !has_computed),
                // An absent owner is filled in for the caller.
                (Privilege::Insert, !access.write && !fills_owner),
                (Privilege::Update, !access.write),
            ];
            for (privilege, is_kept) in kept {
                if is_kept {
                    let holder = Holder { role: role.to_string(), privilege };
                    found.entry(holder).or_default().insert(column);
                }
            }
        }
    }
    found
}

/// The class of callers of a role that the rules give most: with all app roles that they name.
fn most_trusted(catalog: &Catalog, role: &std::sync::Arc<str>, rules: &TableSecurity) -> CallerClass {
    let is_app_role = |name: &&str| !catalog.roles.contains_key(*name);
    let app_roles = rules.roles_of_fields().filter(is_app_role).map(str::to_owned).collect();
    CallerClass { role: role.clone(), app_roles }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::samples::catalog_with_rules;
    use crate::policy::store::facts::samples::facts;

    fn holder(privilege: Privilege) -> Holder {
        Holder { role: "anon".to_owned(), privilege }
    }

    /// Actions for `anon`'s SELECT.
    fn select_actions(facts: &Facts, rules: Option<serde_json::Value>) -> Vec<Action> {
        let rules = rules.map(|rules| TableSecurity::parse(rules).unwrap());
        let all = changes(&catalog_with_rules(&[]), facts, rules.as_ref());
        all.into_iter()
            .filter(|action| match action {
                Action::TakeGrant { role, privilege, .. }
                | Action::AdjustGrant { role, privilege, .. }
                | Action::GiveGrantBack { role, privilege, .. }
                | Action::ForgetGrant { role, privilege } => {
                    role == "anon" && *privilege == Privilege::Select
                }
                _ => false,
            })
            .collect()
    }

    fn columns(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_whole_grant_becomes_one_on_the_columns_that_are_not_hidden() {
        let mut facts = facts("accounts");
        facts.table_grants.insert(holder(Privilege::Select), true);
        let rules = json!({"hidden_fields": ["secret"]});
        let expected = Action::TakeGrant {
            role: "anon".to_owned(),
            privilege: Privilege::Select,
            columns: ["id", "owner", "email"].map(str::to_owned).into(),
            is_grantable: true,
        };
        assert_eq!(select_actions(&facts, Some(rules)), [expected]);
    }

    #[test]
    fn columns_that_some_app_role_may_read_or_that_are_masked_stay_granted() {
        let mut facts = facts("accounts");
        facts.table_grants.insert(holder(Privilege::Select), false);
        for permission in [
            json!({"hidden": true, "allowed_roles": ["cashier"]}),
            json!({"masked": true}),
            json!({"allowed_roles": ["anon"]}),
        ] {
            let rules = json!({"field_permissions": {"secret": permission}});
            assert_eq!(select_actions(&facts, Some(rules.clone())), [], "{rules}");
        }
        // The name of a PostgreSQL role stands for that role, which anon is not.
        let rules =
            json!({"field_permissions": {"secret": {"hidden": true, "allowed_roles": ["authenticated"]}}});
        assert_eq!(select_actions(&facts, Some(rules)).len(), 1);
        // A computed field takes the whole row.
        let rules = json!({"readable_fields": ["id", "full_name"]});
        assert_eq!(select_actions(&facts, Some(rules)), []);
    }

    #[test]
    fn a_role_without_a_whole_grant_keeps_the_columns_that_somebody_gave_it() {
        let mut facts = facts("accounts");
        facts.column_grants.insert(holder(Privilege::Select), columns(&["secret"]));
        assert_eq!(select_actions(&facts, Some(json!({"hidden_fields": ["secret"]}))), []);
    }

    #[test]
    fn a_narrowed_grant_follows_columns_and_rules_and_goes_back_at_the_end() {
        let mut facts = facts("accounts");
        facts.taken.insert(holder(Privilege::Select), false);
        facts.column_grants.insert(holder(Privilege::Select), columns(&["id", "secret"]));
        let adjusted = select_actions(&facts, Some(json!({"hidden_fields": ["secret"]})));
        let expected = Action::AdjustGrant {
            role: "anon".to_owned(),
            privilege: Privilege::Select,
            missing: ["owner", "email"].map(str::to_owned).into(),
            extra: vec!["secret".to_owned()],
        };
        assert_eq!(adjusted, [expected]);
        let back = select_actions(&facts, Some(json!({"require_auth": true})));
        let expected = Action::GiveGrantBack {
            role: "anon".to_owned(),
            privilege: Privilege::Select,
            is_grantable: false,
        };
        assert_eq!(back, [expected]);
        assert_eq!(select_actions(&facts, None).len(), 1);
    }

    #[test]
    fn nothing_is_given_back_where_what_we_left_is_gone() {
        let mut facts = facts("accounts");
        facts.taken.insert(holder(Privilege::Select), false);
        let forget = Action::ForgetGrant { role: "anon".to_owned(), privilege: Privilege::Select };
        assert_eq!(select_actions(&facts, None), std::slice::from_ref(&forget));
        assert_eq!(select_actions(&facts, Some(json!({"hidden_fields": ["secret"]}))), [forget]);
    }

    #[test]
    fn writing_is_taken_where_nobody_of_the_role_may_write_but_not_the_owner_that_we_fill_in() {
        let facts = facts("accounts");
        let rules =
            json!({"writable_fields": ["email"], "require_ownership": true, "ownership_column": "owner"});
        let rules = TableSecurity::parse(rules).unwrap();
        let catalog = catalog_with_rules(&[]);
        let kept = kept_back(&catalog, &facts, &rules);
        let names = |privilege| -> Vec<&str> {
            kept.get(&holder(privilege)).into_iter().flatten().map(|name| name.as_str()).collect()
        };
        assert_eq!(names(Privilege::Select), Vec::<&str>::new());
        assert_eq!(names(Privilege::Insert), ["id", "secret"]);
        assert_eq!(names(Privilege::Update), ["id", "owner", "secret"]);
    }
}
