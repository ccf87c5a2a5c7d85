//! The guide lists the rules that there are.

use std::collections::BTreeSet;

use goforward::policy::lint::Rule;

#[test]
fn the_guide_lists_exactly_the_rules_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides/policy-lint.md");
    let guide = std::fs::read_to_string(path).unwrap();

    let listed: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(id, _)| id)
        .collect();

    let defined: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), defined);
    assert_eq!(listed.len(), Rule::ALL.len(), "a rule has two rows: {listed:?}");
}
