//! The cases of every rule, by subject.

mod functions;
mod policies;
mod relations;
mod rows;

use std::collections::BTreeSet;

use goforward::policy::lint::Rule;

#[test]
fn every_rule_has_a_case() {
    let cases = [functions::CASES, policies::CASES, relations::CASES, rows::CASES];
    let shown: BTreeSet<Rule> = cases.into_iter().flatten().map(|case| case.rule).collect();

    assert_eq!(shown, Rule::ALL.into_iter().collect());
}
