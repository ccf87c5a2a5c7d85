//! Which relations and functions of a schema the caller may use: the query that asks PostgreSQL and the reading of
//! its answer.
//!
//! The query runs in the caller's transaction, under the caller's role and search path. Its answer names types in a
//! way that does not depend on that search path, so that it can be compared with the catalog. Pure: executing the
//! statement is the service's task.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::catalog::{Catalog, Function, Relation};
use crate::kernel::sql::SqlBuf;

/// The body of [`visible_objects_query`] up to the schema's placeholder.
const EXPOSED: &str = "WITH exposed AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = ";

/// The rest of it. Any privilege makes a relation visible, one on a single column included.
///
/// A type of `pg_catalog` has the name that `format_type` gives it, all others are written `schema.name` with
/// PostgreSQL's quoting: together what `format_type` answers with an empty search path. `element` is the element type
/// of a true array, the type itself otherwise.
const VISIBLE: &str = "), \
relations AS (\
SELECT c.relname AS name FROM pg_catalog.pg_class c JOIN exposed ON exposed.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') \
OR pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') \
OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))\
), \
functions AS (\
SELECT p.proname AS name, \
(SELECT pg_catalog.json_agg(CASE WHEN n.nspname = 'pg_catalog' \
THEN pg_catalog.regexp_replace(pg_catalog.format_type(t.oid, NULL), '^pg_catalog[.]', '') \
ELSE pg_catalog.format('%I.%I', n.nspname, element.typname) \
|| CASE WHEN element.oid = t.oid THEN '' ELSE '[]' END END ORDER BY argument.position) \
FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS argument (type, position) \
JOIN pg_catalog.pg_type t ON t.oid = argument.type \
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
JOIN pg_catalog.pg_type element ON element.oid = coalesce(\
(SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid), t.oid)\
) AS types \
FROM pg_catalog.pg_proc p JOIN exposed ON exposed.oid = p.pronamespace \
WHERE p.prokind = 'f' AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')\
) \
SELECT pg_catalog.json_build_object(\
'relations', (SELECT coalesce(pg_catalog.json_agg(r.name), '[]') FROM relations r), \
'functions', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.name, coalesce(f.types, '[]'))), '[]') \
FROM functions f), \
'comment', (SELECT pg_catalog.obj_description(exposed.oid, 'pg_namespace') FROM exposed)\
)::pg_catalog.text AS visible";

/// One statement with one row and one column, the text that [`Visible::parse`] reads.
///
/// It answers for the current role, so it belongs after `SET LOCAL ROLE`. An unknown schema has nothing visible.
pub fn visible_objects_query(schema: &str) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit(EXPOSED).bind_text(schema).lit(VISIBLE);
    sql
}

/// What PostgreSQL answered could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the list of visible relations and functions is not readable: {0}")]
pub struct VisibleError(#[from] serde_json::Error);

/// The relations and functions of one schema that one role may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    relations: HashSet<String>,
    /// The parameter types of each overload, by the function's name.
    functions: HashMap<String, Vec<Vec<String>>>,
    comment: Option<String>,
}

/// The answer as PostgreSQL writes it.
#[derive(Deserialize)]
struct Answer {
    relations: HashSet<String>,
    functions: Vec<(String, Vec<String>)>,
    comment: Option<String>,
}

impl Visible {
    /// Reads the one column of [`visible_objects_query`].
    pub fn parse(text: &[u8]) -> Result<Self, VisibleError> {
        let answer: Answer = serde_json::from_slice(text)?;
        let mut functions: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for (name, types) in answer.functions {
            functions.entry(name).or_default().push(types);
        }
        Ok(Self { relations: answer.relations, functions, comment: answer.comment })
    }

    /// The comment of the schema as it is now, which may be newer than the catalog's.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The visible relations and functions that the catalog knows, sorted by name, overloads with fewest parameters
    /// first.
    pub fn select<'a>(&self, catalog: &'a Catalog, schema: &str) -> (Vec<&'a Relation>, Vec<&'a Function>) {
        let (mut relations, mut functions) = all_objects(catalog, schema);
        relations.retain(|relation| self.relations.contains(&*relation.name.name));
        functions.retain(|function| self.allows(function));
        (relations, functions)
    }

    /// Whether this very overload is among the functions.
    fn allows(&self, function: &Function) -> bool {
        let types = || function.params.iter().map(|parameter| &*parameter.data_type);
        self.functions.get(&*function.name.name).is_some_and(|overloads| {
            overloads.iter().any(|overload| types().eq(overload.iter().map(String::as_str)))
        })
    }
}

/// Everything that the catalog has in a schema, in the order of [`Visible::select`]: what a document shows that
/// ignores privileges.
pub fn all_objects<'a>(catalog: &'a Catalog, schema: &str) -> (Vec<&'a Relation>, Vec<&'a Function>) {
    let in_schema = |candidate: &Arc<str>| &**candidate == schema;
    let mut relations: Vec<_> = catalog
        .relations
        .values()
        .map(|relation| &**relation)
        .filter(|relation| in_schema(&relation.name.schema))
        .collect();
    relations.sort_unstable_by_key(|relation| &relation.name.name);
    let mut functions: Vec<_> = catalog
        .functions
        .iter()
        .filter(|(name, _)| in_schema(&name.schema))
        .flat_map(|(_, all)| all)
        .collect();
    // Stable, so that overloads keep the catalog's order among those with as many parameters.
    functions.sort_by_key(|function| (&function.name.name, function.params.len()));
    (relations, functions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::{function, parameter, relation, sample_catalog};

    fn names(relations: &[&Relation]) -> Vec<String> {
        relations.iter().map(|relation| relation.name.to_string()).collect()
    }

    #[test]
    fn the_schema_is_bound_and_never_part_of_the_text() {
        let sql = visible_objects_query("a'b\"");
        assert!(sql.text().contains("n.nspname = $1), relations AS (SELECT"), "{}", sql.text());
        assert_eq!(sql.params().len(), 1);
        assert_eq!(sql.params()[0].value.as_deref(), Some(&b"a'b\""[..]));
    }

    #[test]
    fn only_visible_relations_of_the_schema_are_selected_in_order() {
        let catalog = sample_catalog(
            vec![
                relation("api", "b"),
                relation("api", "a"),
                relation("api", "hidden"),
                relation("other", "a"),
            ],
            vec![],
        );
        let visible =
            Visible::parse(br#"{"relations":["a","b","unknown"],"functions":[],"comment":null}"#).unwrap();
        let (relations, functions) = visible.select(&catalog, "api");
        assert_eq!(names(&relations), ["api.a", "api.b"]);
        assert!(functions.is_empty());
        assert_eq!(visible.comment(), None);
    }

    #[test]
    fn overloads_are_told_apart_by_their_parameter_types() {
        let one = function("api", "f", vec![parameter("a", "integer")]);
        let two = function("api", "f", vec![parameter("a", "integer"), parameter("b", "other.kind[]")]);
        let none = function("api", "f", vec![]);
        let catalog = sample_catalog(vec![], vec![none, one, two]);
        let visible = Visible::parse(
            br#"{"relations":[],"functions":[["f",["integer","other.kind[]"]],["f",[]]],"comment":"Text"}"#,
        )
        .unwrap();
        let (_, functions) = visible.select(&catalog, "api");
        let counts: Vec<_> = functions.iter().map(|function| function.params.len()).collect();
        assert_eq!(counts, [0, 2]);
        assert_eq!(visible.comment(), Some("Text"));
    }

    #[test]
    fn an_unreadable_answer_is_an_error() {
        assert!(Visible::parse(b"").is_err());
        assert!(Visible::parse(br#"{"relations":null}"#).is_err());
    }
}
