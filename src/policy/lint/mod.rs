//! What is wrong with how a database is protected: findings from facts, one file a subject, one function a rule. Pure.
//!
//! [`lint`] is the whole of it. `facts` is what the rules look at (`store::lint` reads it from the database), `finding`
//! what they say, `expression` how they read the conditions of policies, `report` the findings as text for people.

pub mod columns;
pub mod expression;
pub mod facts;
pub mod finding;
pub mod functions;
pub mod policies;
pub mod relations;
pub mod report;
pub mod rows;

pub use facts::Facts;
pub use finding::{Finding, Rule, Severity};

/// Everything that the rules have to say, by object, the worst of each first.
pub fn lint(facts: &Facts) -> Vec<Finding> {
    let rules: [fn(&Facts) -> Vec<Finding>; 16] = [
        relations::unprotected,
        relations::views_with_owner_rights,
        relations::row_security_without_policy,
        functions::exposed_definers,
        functions::definer_search_paths,
        functions::reading_protected_columns,
        policies::calls_per_row,
        policies::columns_without_index,
        policies::trusting_user_metadata,
        policies::always_true,
        columns::keys_over_hidden_columns,
        columns::hidden_columns_granted,
        rows::without_table,
        rows::without_column,
        rows::not_in_force,
        rows::public_read_without_policy,
    ];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(facts)).collect();
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.object.clone(), finding.kind, finding.severity, finding.rule);
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    findings
}
