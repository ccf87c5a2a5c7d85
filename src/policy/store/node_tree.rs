//! What a stored expression uses: the ids in its node tree. Pure.
//!
//! PostgreSQL records no dependency on what it was born with, so for `random()` or `pg_sleep()` there is nothing in
//! `pg_depend`; the tree itself names every function and operator.

use std::collections::BTreeSet;

/// The ids that a tree names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Functions, aggregates and window functions.
    pub(super) functions: BTreeSet<u32>,
    /// Operators, whose functions count too.
    pub(super) operators: BTreeSet<u32>,
    /// Relations that a sub-select reads.
    pub(super) relations: BTreeSet<u32>,
    /// Types that values are converted to or from by way of text, or checked against.
    pub(super) types: BTreeSet<u32>,
    /// Whether rows are locked (`for update`).
    pub(super) locks: bool,
}

const FUNCTIONS: [&str; 8] = [
    ":funcid",
    ":opfuncid",
    ":aggfnoid",
    ":winfnoid",
    ":hashfuncid",
    ":negfuncid",
    ":tsmhandler",
    ":startInRangeFunc",
];
const OPERATORS: [&str; 5] = [":opno", ":opnos", ":eqop", ":sortop", ":minmaxop"];
const RELATIONS: [&str; 1] = [":relid"];
const TYPES: [&str; 1] = [":resulttype"];

/// Reads the text of a `pg_node_tree`. Names in it are escaped, so a field's name never stands in a value.
pub(super) fn uses(tree: &str) -> Uses {
    let mut found = Uses { locks: tree.contains("{ROWMARKCLAUSE "), ..Uses::default() };
    let mut words = tree.split([' ', '(', ')', '{', '}', '\n']).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let ids = match word {
            field if FUNCTIONS.contains(&field) => &mut found.functions,
            field if OPERATORS.contains(&field) => &mut found.operators,
            field if RELATIONS.contains(&field) => &mut found.relations,
            field if TYPES.contains(&field) => &mut found.types,
            _ => continue,
        };
        // One id, or a list of them that begins with `o`.
        while let Some(word) = words.next_if(|word| *word == "o" || word.parse::<u32>().is_ok()) {
            ids.extend(word.parse::<u32>().ok().filter(|id| *id != 0));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_operators_and_relations_are_found_wherever_they_stand() {
        let tree = "({OPEXPR :opno 521 :opfuncid 147 :args ({FUNCEXPR :funcid 1598 :args <>} {CONST :consttype 23})} \
                    {ROWCOMPAREEXPR :rctype 1 :opnos (o 97 98) :opfamilies (o 1976 1976)} \
                    {RANGETBLENTRY :rtekind 0 :relid 16385 :relkind r} {AGGREF :aggfnoid 2803 :aggtype 20} \
                    {SORTGROUPCLAUSE :eqop 96 :sortop 97} {COERCEVIAIO :resulttype 25} {RANGETBLENTRY :relid 0})";
        let found = uses(tree);
        assert_eq!(found.functions, [147, 1598, 2803].into());
        assert_eq!(found.operators, [96, 97, 98, 521].into());
        assert_eq!(found.relations, [16385].into());
        assert_eq!(found.types, [25].into());
        assert!(!found.locks);
        assert!(uses("({QUERY :rowMarks ({ROWMARKCLAUSE :rti 1})})").locks);
    }
}
