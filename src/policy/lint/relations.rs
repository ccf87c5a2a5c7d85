//! Rules about relations as a whole: protected at all, views that read as their owner, row-level security without
//! policies. Pure.

use std::collections::BTreeSet;

use crate::catalog::model::{Protection, QualifiedName, RelationKind};
use crate::catalog::protection::MAX_VIEW_DEPTH;
use crate::kernel::sql::SqlBuf;
use crate::policy::model::Verb;

use super::facts::{Facts, listed};
use super::finding::{Finding, Rule, Severity};

/// The first version whose views can read with their caller's rights.
const INVOKER_VIEWS: u32 = 150_000;

/// Exposed relations that nothing protects and that callers have a grant on.
pub(super) fn unprotected(facts: &Facts) -> Vec<Finding> {
    let exposed = facts.catalog.relations.values().filter_map(|relation| {
        let Protection::Unprotected { reason, fix } = &relation.protection else { return None };
        let roles = facts.roles_with(&relation.name, &Verb::ALL);
        if roles.is_empty() || is_view_over_protected(facts, &relation.name) {
            return None;
        }
        let message = format!("It {reason}, and {} may use it.", listed(&roles));
        let fix = fix.to_string();
        let object = facts.object(&relation.name);
        Some(Finding::new(Rule::UnprotectedRelation, Severity::Problem, object, message, fix))
    });
    exposed.collect()
}

/// Exposed views that read protected tables with their owner's rights.
pub(super) fn views_with_owner_rights(facts: &Facts) -> Vec<Finding> {
    let exposed = facts.catalog.relations.keys().filter(|name| is_view_over_protected(facts, name));
    let findings = exposed.filter_map(|name| {
        let roles = facts.roles_with(name, &[Verb::Select]);
        if roles.is_empty() {
            return None;
        }
        let message = format!(
            "It reads {} with its owner's rights, and {} may select from it.",
            listed(protected_below(facts, name).iter().map(ToString::to_string)),
            listed(&roles)
        );
        let mut fix = SqlBuf::new();
        if facts.catalog.server_version >= INVOKER_VIEWS {
            fix.lit("ALTER VIEW ").name(&name.schema, &name.name).lit(" SET (security_invoker = true);");
        } else {
            fix.lit("REVOKE ALL ON ").name(&name.schema, &name.name).lit(" FROM PUBLIC, ");
            fix.join(", ", &roles, |sql, role| {
                sql.ident(role);
            });
            fix.lit(";");
        }
        // With rules of its own somebody has decided about it.
        let has_rules = facts.rules.in_force(name).is_some();
        let severity = if has_rules { Severity::Note } else { Severity::Problem };
        let object = facts.object(name);
        Some(Finding::new(Rule::ViewWithOwnerRights, severity, object, message, fix.into_parts().0))
    });
    findings.collect()
}

fn is_view_over_protected(facts: &Facts, name: &QualifiedName) -> bool {
    let is_owners = facts
        .relations
        .get(name)
        .is_some_and(|view| view.kind == RelationKind::View && !view.security_invoker);
    is_owners && !protected_below(facts, name).is_empty()
}

/// The relations that a view leads to, through other views, and that row-level security or rules protect.
fn protected_below(facts: &Facts, view: &QualifiedName) -> BTreeSet<QualifiedName> {
    let mut found = BTreeSet::new();
    collect_protected(facts, view, 0, &mut found);
    found
}

fn collect_protected(facts: &Facts, view: &QualifiedName, depth: usize, found: &mut BTreeSet<QualifiedName>) {
    let Some(lineage) = facts.catalog.lineage.get(view).filter(|_| depth < MAX_VIEW_DEPTH) else { return };
    for base in &lineage.reads {
        let has_row_security = facts.relations.get(base).is_some_and(|relation| relation.row_security);
        if has_row_security || facts.rules.own(base).is_some() {
            found.insert(base.clone());
        } else {
            collect_protected(facts, base, depth + 1, found);
        }
    }
}

/// Exposed tables with row-level security that no policy opens.
pub(super) fn row_security_without_policy(facts: &Facts) -> Vec<Finding> {
    let closed = facts.relations.iter().filter(|(name, relation)| {
        relation.row_security
            && facts.catalog.relations.contains_key(*name)
            && facts.policies_of(name).is_empty()
            && !facts.written.get(*name).is_some_and(|security| security.public_read)
    });
    let findings = closed.map(|(name, _)| {
        let mut fix = SqlBuf::new();
        fix.lit("CREATE POLICY \"who may read\" ON ").name(&name.schema, &name.name);
        fix.lit(" FOR SELECT USING (…);\n-- or nothing, if only servers are to use it");
        Finding::new(
            Rule::RowSecurityWithoutPolicy,
            Severity::Note,
            facts.object(name),
            "Row-level security is on and there is no policy.".to_owned(),
            fix.into_parts().0,
        )
    });
    findings.collect()
}
