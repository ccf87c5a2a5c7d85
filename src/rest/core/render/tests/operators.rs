//! Every operator of the URL grammar beside the one of SQL that it stands for.

use super::*;

/// The condition that a filter on a column becomes, with its values.
fn condition(column: &str, filter: &str) -> String {
    let url = format!("/products?select=id&{column}={filter}");
    let Plan::Read(action) = Request::get(&url).plan().unwrap() else { panic!("{url} is no read") };
    let mut sql = SqlBuf::new();
    read::query(&mut sql, &action.tree);
    let shown = shown(&sql);
    let (_, condition) = shown.split_once(" WHERE ").unwrap_or_else(|| panic!("no condition in {shown}"));
    condition.replace(&format!(r#""test"."products"."{column}""#), "it")
}

#[test]
fn every_operator_has_its_counterpart() {
    for (filter, expected) in [
        ("eq.1", "it = $1 -- 1"),
        ("neq.1", "it <> $1 -- 1"),
        ("gt.1", "it > $1 -- 1"),
        ("gte.1", "it >= $1 -- 1"),
        ("lt.1", "it < $1 -- 1"),
        ("lte.1", "it <= $1 -- 1"),
        ("like.a*", "it LIKE $1 -- a%"),
        ("ilike.a*", "it ILIKE $1 -- a%"),
        ("match.^a", "it ~ $1 -- ^a"),
        ("imatch.^a", "it ~* $1 -- ^a"),
        ("cs.{1}", "it @> $1 -- {1}"),
        ("cd.{1}", "it <@ $1 -- {1}"),
        ("ov.[1,2]", "it && $1 -- [1,2]"),
        ("sl.(1,2)", "it << $1 -- (1,2)"),
        ("sr.(1,2)", "it >> $1 -- (1,2)"),
        ("nxr.(1,2)", "it &< $1 -- (1,2)"),
        ("nxl.(1,2)", "it &> $1 -- (1,2)"),
        ("adj.(1,2)", "it -|- $1 -- (1,2)"),
        ("is.null", "it IS NULL"),
        ("is.not_null", "it IS NOT NULL"),
        ("is.true", "it IS TRUE"),
        ("is.false", "it IS FALSE"),
        ("is.unknown", "it IS UNKNOWN"),
        ("eq(all).{1,2}", "it = ALL($1) -- {1,2}"),
        ("gt(any).{1,2}", "it > ANY($1) -- {1,2}"),
    ] {
        assert_eq!(condition("name", filter), expected, "{filter}");
        let negated = condition("name", &format!("not.{filter}"));
        assert_eq!(negated, format!("NOT {expected}"), "not.{filter}");
    }
}

#[test]
fn full_text_search_has_four_ways_to_write_the_query() {
    for (filter, function) in [
        ("fts.cat", "to_tsquery"),
        ("plfts.cat", "plainto_tsquery"),
        ("phfts.cat", "phraseto_tsquery"),
        ("wfts.cat", "websearch_to_tsquery"),
    ] {
        let found = condition("words", filter);
        assert!(found.contains(&format!(" @@ {function}($1)")) && found.ends_with(" -- cat"), "{found}");
        let english = condition("words", &filter.replace('.', "(english)."));
        assert!(
            english.contains(&format!(" @@ {function}($1, $2)")) && english.ends_with(" -- english, cat"),
            "{english}"
        );
    }
}
