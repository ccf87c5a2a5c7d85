//! Which policies of a table are to change so that PostgreSQL enforces the rules about rows. Pure.

use crate::catalog::model::Catalog;
use crate::policy::desired::{self, DesiredPolicy};
use crate::policy::expression::ExpressionError;
use crate::policy::model::{TableSecurity, Verb};

use super::change::Action;
use super::facts::Facts;

/// The policy that lets `service_role` through where it cannot have BYPASSRLS; it opens the table to nobody else.
const FOR_SERVICE_ROLE: &str = "goforward_service_role";

/// What is to change; `rules` are those of the table, if it has any.
pub(super) fn changes(
    catalog: &Catalog,
    facts: &Facts,
    rules: Option<&TableSecurity>,
) -> Result<Vec<Action>, ExpressionError> {
    if !facts.has_row_policies() {
        return Ok(Vec::new());
    }
    let wanted = wanted(catalog, facts, rules)?;
    let mut actions = Vec::new();
    if !wanted.is_empty() && !facts.row_security {
        actions.push(Action::EnableRowSecurity);
    }
    // What narrows comes before what opens: nobody ever sees more than at the end.
    for policy in &wanted {
        match facts.policies.iter().find(|found| found.name == policy.name) {
            None => actions.push(Action::MakePolicy(policy.clone())),
            Some(found) if found.mark.as_ref() == Some(&policy.mark()) => {}
            Some(found) => {
                actions.push(Action::ReplacePolicy { policy: policy.clone(), is_ours: found.mark.is_some() });
            }
        }
    }
    let is_left_over = |name: &str| !wanted.iter().any(|policy| policy.name == name);
    let left_over = facts.policies.iter().filter(|found| found.is_marked && is_left_over(&found.name));
    actions.extend(left_over.map(|found| Action::DropPolicy { name: found.name.clone() }));
    Ok(actions)
}

fn wanted(
    catalog: &Catalog,
    facts: &Facts,
    rules: Option<&TableSecurity>,
) -> Result<Vec<DesiredPolicy>, ExpressionError> {
    let Some(rules) = rules.filter(|rules| rules.has_row_rules()) else { return Ok(Vec::new()) };
    let mut wanted = desired::restrictive_policies(catalog, &facts.name, rules)?;
    // A table with any permissive policy says itself what is open: a stand-in for another verb would open what its
    // author left closed.
    let opens = facts
        .policies
        .iter()
        .any(|found| found.permissive && !found.is_marked && found.name != FOR_SERVICE_ROLE);
    if !opens {
        wanted.extend(Verb::ALL.map(|verb| desired::companion(catalog, verb)));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::samples::{catalog_with_rules, name};
    use crate::policy::store::facts::FoundPolicy;
    use crate::policy::store::facts::samples::facts;

    fn actions(rules: serde_json::Value, policies: Vec<FoundPolicy>) -> Vec<String> {
        let mut facts = facts("accounts");
        facts.policies = policies;
        facts.row_security = !facts.policies.is_empty();
        let rules = TableSecurity::parse(rules).unwrap();
        let actions = changes(&catalog_with_rules(&[]), &facts, Some(&rules)).unwrap();
        actions.iter().map(word).collect()
    }

    fn word(action: &Action) -> String {
        match action {
            Action::EnableRowSecurity => "enable".to_owned(),
            Action::MakePolicy(policy) => format!("make {}", policy.name),
            Action::ReplacePolicy { policy, is_ours } => format!("replace {} {is_ours}", policy.name),
            Action::DropPolicy { name } => format!("drop {name}"),
            other => format!("{other:?}"),
        }
    }

    fn found(name: &str, permissive: bool, mark: Option<String>, is_marked: bool) -> FoundPolicy {
        FoundPolicy { name: name.to_owned(), permissive, is_marked, mark }
    }

    fn as_made(policy: &DesiredPolicy) -> FoundPolicy {
        found(policy.name, !policy.restrictive, Some(policy.mark()), true)
    }

    fn all_made(rules: &serde_json::Value) -> Vec<FoundPolicy> {
        let (catalog, rules) = (catalog_with_rules(&[]), TableSecurity::parse(rules.clone()).unwrap());
        let restrictive = desired::restrictive_policies(&catalog, &name("accounts"), &rules).unwrap();
        let companions = Verb::ALL.map(|verb| desired::companion(&catalog, verb));
        restrictive.iter().chain(&companions).map(as_made).collect()
    }

    #[test]
    fn a_table_without_policies_gets_one_to_narrow_and_one_to_open_for_each_verb() {
        let made = actions(json!({"custom_filters": {"a": "id > 0"}}), vec![]);
        assert_eq!(made.len(), 9);
        assert_eq!(made[0], "enable");
        assert!(made[1..5].iter().all(|action| action.starts_with("make goforward_restrict_")), "{made:?}");
        assert!(made[5..].iter().all(|action| action.starts_with("make goforward_permit_")), "{made:?}");
        // Ownership lifted for reading: nothing to narrow there, and reading stays open.
        let rules = json!({"require_ownership": true, "ownership_column": "owner", "public_read": true});
        let made = actions(rules, vec![]);
        assert!(!made.contains(&"make goforward_restrict_select".to_owned()), "{made:?}");
        assert!(made.contains(&"make goforward_permit_select".to_owned()), "{made:?}");
    }

    #[test]
    fn what_is_there_as_made_is_left_alone() {
        let rules = json!({"custom_filters": {"a": "id > 0"}});
        assert_eq!(actions(rules.clone(), all_made(&rules)), Vec::<String>::new());
    }

    #[test]
    fn what_was_altered_or_asked_for_otherwise_is_replaced() {
        let rules = json!({"custom_filters": {"a": "id > 0"}});
        let mut there = all_made(&rules);
        there[0].mark = None;
        there[1].mark = Some("another".to_owned());
        assert_eq!(
            actions(rules, there),
            ["replace goforward_restrict_select false", "replace goforward_restrict_insert true"]
        );
    }

    #[test]
    fn one_permissive_policy_of_the_table_makes_every_stand_in_go() {
        let rules = json!({"custom_filters": {"a": "id > 0"}});
        let mut there = all_made(&rules);
        there.push(found("read all", true, None, false));
        let went: Vec<String> = Verb::ALL.map(|verb| format!("drop goforward_permit_{}", verb.word())).into();
        assert_eq!(actions(rules.clone(), there), went);
        // A restrictive one opens nothing, and neither does the one for servers.
        for (name, permissive) in [("narrow", false), ("goforward_service_role", true)] {
            let mut there = all_made(&rules);
            there.push(found(name, permissive, None, false));
            assert_eq!(actions(rules.clone(), there), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn without_rules_about_rows_ours_go_and_others_stay() {
        let rules = json!({"custom_filters": {"a": "id > 0"}});
        let mut there = all_made(&rules);
        there.push(found("read all", true, None, false));
        there.push(found("goforward_service_role", true, None, false));
        let went = actions(json!({"require_auth": true}), there);
        assert_eq!(went.len(), 8);
        assert!(went.iter().all(|action| action.starts_with("drop goforward_")), "{went:?}");
        assert!(!went.contains(&"drop goforward_service_role".to_owned()));
    }

    #[test]
    fn views_have_no_policies() {
        let mut facts = facts("accounts");
        facts.kind = crate::catalog::model::RelationKind::View;
        let rules = TableSecurity::parse(json!({"custom_filters": {"a": "id > 0"}})).unwrap();
        assert_eq!(changes(&catalog_with_rules(&[]), &facts, Some(&rules)).unwrap(), []);
    }
}
