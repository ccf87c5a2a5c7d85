//! What a plan does to which relations: the one list that protection and audit work from. Pure.

use crate::catalog::model::{Cardinality, QualifiedName, Relationship};
use crate::policy::model::Verb;
use crate::rest::core::plan::model::{Plan, ReadNode, Write};
use crate::rest::core::request::Mutation;

/// One thing that a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch<'a> {
    /// What it does.
    pub verb: Verb,
    /// To which relation.
    pub relation: &'a QualifiedName,
    /// Whether a function returns the rows, so that the plan does not read the relation itself.
    pub is_returned: bool,
}

/// Everything that a plan does, in the order of the request.
pub fn touched(plan: &Plan) -> Vec<Touch<'_>> {
    let mut found = Vec::new();
    match plan {
        Plan::Read(action) => {
            found.push(Touch { verb: Verb::Select, relation: &action.target, is_returned: false });
            below(&action.tree, &mut found);
        }
        Plan::Mutate(action) => {
            let touch = |verb| Touch { verb, relation: &action.target, is_returned: false };
            found.extend(verbs(action.mutation, &action.write).iter().copied().map(touch));
            // What it wrote is read back.
            found.extend((!action.write.returning().is_empty()).then(|| touch(Verb::Select)));
            below(&action.tree, &mut found);
        }
        Plan::Call(action) => {
            let rows = action.function.row_type();
            found.extend(rows.map(|relation| Touch { verb: Verb::Select, relation, is_returned: true }));
            below(&action.tree, &mut found);
        }
        Plan::Inspect { .. } | Plan::Info { .. } => {}
    }
    found
}

/// What a write does with rows: an upsert that merges does two things.
fn verbs(mutation: Mutation, write: &Write) -> &'static [Verb] {
    let merges = matches!(write, Write::Insert { on_conflict: Some(conflict), .. } if !conflict.ignore);
    match mutation {
        Mutation::Create | Mutation::SingleUpsert if merges => &[Verb::Insert, Verb::Update],
        Mutation::Create | Mutation::SingleUpsert => &[Verb::Insert],
        Mutation::Update => &[Verb::Update],
        Mutation::Delete => &[Verb::Delete],
    }
}

/// What is embedded reads its relation, and a junction on the way there.
fn below<'a>(node: &'a ReadNode, found: &mut Vec<Touch<'a>>) {
    for child in &node.children {
        if let Some(relationship) = child.relationship.as_deref() {
            let is_returned = matches!(relationship, Relationship::Computed { .. });
            let read = |relation| Touch { verb: Verb::Select, relation, is_returned };
            found.push(read(relationship.foreign_relation()));
            if let Relationship::ForeignKey { cardinality: Cardinality::ManyToMany(junction), .. } =
                relationship
            {
                found.push(read(&junction.relation));
            }
        }
        below(child, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::core::samples::Request;

    fn words(method: &str, url: &str, prefer: &str) -> String {
        let headers = [("Prefer", prefer)];
        let plan = Request::of(method, url, &headers, "{}").plan().unwrap();
        let word = |touch: &Touch<'_>| {
            let returned = if touch.is_returned { " returned" } else { "" };
            format!("{} {}{returned}", touch.verb.word(), touch.relation.name)
        };
        touched(&plan).iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_plan_is_what_it_does_to_relations() {
        let (minimal, full) = ("return=minimal", "return=representation");
        for (method, url, prefer, expected) in [
            ("GET", "/clients", minimal, "select clients"),
            ("GET", "/clients?select=invoices(id)", minimal, "select clients, select invoices"),
            (
                "GET",
                "/invoices?select=products(id)",
                minimal,
                "select invoices, select products, select line_items",
            ),
            (
                "GET",
                "/clients?select=latest_invoice(id)",
                minimal,
                "select clients, select invoices returned",
            ),
            ("GET", "/rpc/search?term=a", minimal, "select clients returned"),
            ("POST", "/clients", minimal, "insert clients"),
            ("POST", "/clients", full, "insert clients, select clients"),
            ("POST", "/clients", "resolution=merge-duplicates", "insert clients, update clients"),
            ("POST", "/clients", "resolution=ignore-duplicates", "insert clients"),
            ("PATCH", "/clients?id=eq.1", full, "update clients, select clients"),
            ("DELETE", "/clients?id=eq.1", minimal, "delete clients"),
            ("OPTIONS", "/clients", minimal, ""),
        ] {
            assert_eq!(words(method, url, prefer), expected, "{method} {url} {prefer}");
        }
    }
}
