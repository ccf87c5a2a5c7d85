//! "Perhaps you meant …": the hints of answers about unknown tables, functions and relationships.
//!
//! Pure. Scores follow PostgREST's: candidates share 3-letter (else 2-letter) groups with what was asked, the 50 best by
//! cosine similarity are ranked by normalised Levenshtein distance. Ties go to the better cosine, then to the name.

use std::collections::HashMap;

use super::model::{Catalog, QualifiedName};

/// Tables and functions are named only from this similarity on.
const NAME_MIN_SCORE: f64 = 0.75;
/// Parameters and relationships are named from this similarity on.
const LOOSE_MIN_SCORE: f64 = 0.33;
/// Above this many relations in a schema no table is suggested: scoring them would cost more than the hint is worth.
const MAX_TABLES: usize = 500;
/// Longer names and lists, in characters, are like no candidate: names in PostgreSQL have at most 63 bytes. Bounds the
/// work that a request can cause.
const LONGEST_ASKED: usize = 512;
/// How many candidates by cosine are ranked by distance.
const RANKED: usize = 50;

/// The hint for an unknown table or view.
pub fn table(catalog: &Catalog, schema: &str, name: &str) -> Option<String> {
    let names: Vec<&str> =
        catalog.relations.keys().filter(|key| &*key.schema == schema).map(|key| &*key.name).collect();
    if names.len() >= MAX_TABLES {
        return None;
    }
    let best = best_match(&names, name, NAME_MIN_SCORE)?;
    Some(format!("Perhaps you meant the table '{schema}.{best}'"))
}

/// The hint for an unknown function: another name, or, where the name exists, the closest list of parameters.
///
/// `arguments` are the names of the arguments that were given. Not to be asked for a body that would be passed to a
/// single unnamed parameter of type text, xml or bytea: there is no hint then.
pub fn function(catalog: &Catalog, schema: &str, name: &str, arguments: &[&str]) -> Option<String> {
    let overloads = catalog.functions_named(schema, name);
    let suggestion = if overloads.is_empty() {
        let names: Vec<&str> =
            catalog.functions.keys().filter(|key| &*key.schema == schema).map(|key| &*key.name).collect();
        best_match(&names, name, NAME_MIN_SCORE)?.to_owned()
    } else {
        let lists: Vec<String> = overloads
            .iter()
            .map(|function| parameter_list(function.params.iter().map(|parameter| &*parameter.name)))
            .collect();
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        let asked = parameter_list(arguments.iter().copied());
        format!("{name}{}", best_match(&lists, &asked, LOOSE_MIN_SCORE)?)
    };
    Some(format!("Perhaps you meant to call the function {schema}.{suggestion}"))
}

/// The hint for a missing relationship between `parent` and `child` in `schema`.
///
/// Another child is suggested if the parent has relationships at all, else another parent. None if the child is right:
/// then it is the disambiguating hint of the request that fits nothing.
pub fn relationship(catalog: &Catalog, schema: &str, parent: &str, child: &str) -> Option<String> {
    let known = catalog.relationships.get(&(QualifiedName::new(schema, parent), schema.into()));
    let (suggestion, wrong) = if let Some(relationships) = known {
        let children: Vec<&str> = relationships.iter().map(|found| &*found.foreign_relation().name).collect();
        (scored(&children, child, LOOSE_MIN_SCORE).into_iter().find(|(score, _)| *score < 1.0)?.1, child)
    } else {
        let parents: Vec<&str> = catalog
            .relationships
            .keys()
            .filter(|(_, foreign_schema)| &**foreign_schema == schema)
            .map(|(origin, _)| &*origin.name)
            .collect();
        (best_match(&parents, parent, LOOSE_MIN_SCORE)?, parent)
    };
    Some(format!("Perhaps you meant '{suggestion}' instead of '{wrong}'."))
}

fn parameter_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    format!("({})", names.join(", "))
}

fn best_match<'a>(candidates: &[&'a str], asked: &str, min_score: f64) -> Option<&'a str> {
    scored(candidates, asked, min_score).first().map(|(_, candidate)| *candidate)
}

/// The candidates at or above `min_score`, best first; an equal one (case aside) alone with score 1.
fn scored<'a>(candidates: &[&'a str], asked: &str, min_score: f64) -> Vec<(f64, &'a str)> {
    if asked.chars().nth(LONGEST_ASKED).is_some() {
        return Vec::new();
    }
    let asked = asked.to_lowercase();
    let mut entries: Vec<(String, &'a str)> =
        candidates.iter().map(|candidate| (candidate.to_lowercase(), *candidate)).collect();
    entries.sort_unstable();
    entries.dedup_by(|a, b| a.0 == b.0);
    if let Some((_, same)) = entries.iter().find(|(key, _)| *key == asked) {
        return vec![(1.0, same)];
    }
    [3, 2]
        .into_iter()
        .map(|size| scored_by(&entries, &asked, min_score, size))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn scored_by<'a>(
    entries: &[(String, &'a str)],
    asked: &str,
    min_score: f64,
    size: usize,
) -> Vec<(f64, &'a str)> {
    let wanted = groups(asked, size);
    let wanted_norm = norm(&wanted);
    let mut similar: Vec<(f64, &(String, &'a str))> = entries
        .iter()
        .filter_map(|entry| {
            let similarity = cosine(&wanted, wanted_norm, &groups(&entry.0, size));
            (similarity > 0.0).then_some((similarity, entry))
        })
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    similar.truncate(RANKED);
    let mut ranked: Vec<(f64, &'a str)> =
        similar.into_iter().map(|(_, (key, candidate))| (closeness(asked, key), *candidate)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.retain(|(score, _)| *score >= min_score);
    ranked
}

type Groups = HashMap<Vec<char>, u32>;

/// How often each group of `size` characters occurs in the text without punctuation, a hyphen on either side.
fn groups(text: &str, size: usize) -> Groups {
    let plain = text.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || *c == ',');
    let padded: Vec<char> = std::iter::once('-').chain(plain).chain(std::iter::once('-')).collect();
    let mut counts = HashMap::new();
    for group in padded.windows(size) {
        *counts.entry(group.to_vec()).or_insert(0) += 1;
    }
    counts
}

/// The angle between two counts; looks up the groups of the candidate, which is the shorter where it matters.
fn cosine(asked: &Groups, asked_norm: f64, candidate: &Groups) -> f64 {
    let product: u32 =
        candidate.iter().map(|(group, count)| count * asked.get(group).copied().unwrap_or(0)).sum();
    if product == 0 { 0.0 } else { f64::from(product) / (asked_norm * norm(candidate)).sqrt() }
}

fn norm(groups: &Groups) -> f64 {
    f64::from(groups.values().map(|count| count * count).sum::<u32>())
}

/// 1 minus the edit distance in relation to the longer text.
fn closeness(left: &str, right: &str) -> f64 {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let longest = left.len().max(right.len());
    if longest == 0 {
        return 1.0;
    }
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(a != b);
            current.push(replaced.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    let ratio = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (ratio(longest) - ratio(previous[right.len()])) / ratio(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(candidates: &[&str], asked: &str, min_score: f64) -> Option<String> {
        best_match(candidates, asked, min_score).map(str::to_owned)
    }

    #[test]
    fn what_is_far_too_long_for_a_name_costs_nothing() {
        let functions: Vec<String> =
            (0..5000).map(|number| format!("{:x}_function", number * 7919)).collect();
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        let varied: String =
            (0..60_000_u32).filter_map(|number| char::from_u32(0x4e00 + number % 20_000)).collect();
        let started = std::time::Instant::now();
        for asked in [&"a".repeat(1_000_000), &varied] {
            assert_eq!(best(&functions, asked, NAME_MIN_SCORE), None);
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(best(&["aaaa"], &"a".repeat(LONGEST_ASKED), LOOSE_MIN_SCORE), None);
    }

    #[test]
    fn a_table_is_suggested_from_three_quarters_on() {
        let tables = ["projects", "clients", "tasks"];
        assert_eq!(best(&tables, "projecxx", NAME_MIN_SCORE).as_deref(), Some("projects"));
        assert_eq!(best(&tables, "projxxxx", NAME_MIN_SCORE), None);
        assert_eq!(best(&tables, "PROJECTS", NAME_MIN_SCORE).as_deref(), Some("projects"));
    }

    #[test]
    fn parameter_lists_are_matched_as_text() {
        let lists = ["(name, param, val)", "(attr, id)"];
        assert_eq!(
            best(&lists, "(nam, pqaram, vall)", LOOSE_MIN_SCORE).as_deref(),
            Some("(name, param, val)")
        );
        assert_eq!(best(&lists, "(param, val)", LOOSE_MIN_SCORE).as_deref(), Some("(name, param, val)"));
        assert_eq!(best(&lists, "(id)", LOOSE_MIN_SCORE).as_deref(), Some("(attr, id)"));
        assert_eq!(best(&lists, "(noclosealternative)", LOOSE_MIN_SCORE), None);
    }

    #[test]
    fn an_empty_or_odd_question_has_no_answer_and_does_not_fail() {
        assert_eq!(best(&["a"], "", LOOSE_MIN_SCORE), None);
        assert_eq!(best(&[], "x", LOOSE_MIN_SCORE), None);
        assert_eq!(best(&["()"], "()", LOOSE_MIN_SCORE).as_deref(), Some("()"));
    }
}
