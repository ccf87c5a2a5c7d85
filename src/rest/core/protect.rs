//! Closed by default: which plans a caller without BYPASSRLS may run. Pure.
//!
//! Every relation that a plan reads or writes must be protected, at every level of the tree; functions follow their
//! EXECUTE grants. Grants and row policies are PostgreSQL's part and apply on top.

use crate::catalog::model::{Cardinality, Catalog, Protection, QualifiedName, Relationship};
use crate::rest::core::plan::model::{Plan, ReadNode};

/// The switches of protection.
#[derive(Clone, Copy, Debug)]
pub struct ProtectOptions {
    /// Whether unprotected relations are refused.
    pub relations: bool,
    /// Whether an update or delete without a filter is refused.
    pub unfiltered_writes: bool,
    /// Whether functions that run with their owner's rights are refused.
    pub definer_functions: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing keeps the caller from every row of a relation.
    Unprotected {
        /// The relation.
        relation: QualifiedName,
        /// Why it counts as unprotected.
        reason: String,
        /// The SQL that protects it.
        fix: String,
    },
    /// An update or delete of all rows.
    Unfiltered {
        /// `UPDATE` or `DELETE`.
        verb: &'static str,
    },
    /// A function that runs with its owner's rights.
    DefinerFunction(QualifiedName),
}

/// Whether a caller whom row-level security binds may run `plan`.
pub fn check(plan: &Plan, catalog: &Catalog, options: ProtectOptions) -> Result<(), Refusal> {
    match plan {
        Plan::Read(action) => {
            check_relation(catalog, &action.target, options)?;
            check_children(catalog, &action.tree, options)
        }
        Plan::Mutate(action) => {
            if options.unfiltered_writes && action.write.is_unfiltered() {
                let verb = if action.write.is_update() { "UPDATE" } else { "DELETE" };
                return Err(Refusal::Unfiltered { verb });
            }
            check_relation(catalog, &action.target, options)?;
            check_children(catalog, &action.tree, options)
        }
        Plan::Call(action) => {
            if options.definer_functions && action.function.security_definer {
                return Err(Refusal::DefinerFunction(action.function.name.clone()));
            }
            check_children(catalog, &action.tree, options)
        }
        Plan::Inspect { .. } | Plan::Info { .. } => Ok(()),
    }
}

fn check_children(catalog: &Catalog, node: &ReadNode, options: ProtectOptions) -> Result<(), Refusal> {
    for child in &node.children {
        match child.relationship.as_deref() {
            Some(Relationship::ForeignKey { foreign_relation, cardinality, .. }) => {
                check_relation(catalog, foreign_relation, options)?;
                if let Cardinality::ManyToMany(junction) = cardinality {
                    check_relation(catalog, &junction.relation, options)?;
                }
            }
            // A computed relationship is a function: EXECUTE decides, and row policies inside it.
            Some(Relationship::Computed { .. }) | None => {}
        }
        check_children(catalog, child, options)?;
    }
    Ok(())
}

fn check_relation(catalog: &Catalog, name: &QualifiedName, options: ProtectOptions) -> Result<(), Refusal> {
    if !options.relations {
        return Ok(());
    }
    let refusal = |reason: &str, fix: String| Refusal::Unprotected {
        relation: name.clone(),
        reason: reason.to_owned(),
        fix,
    };
    match catalog.relations.get(name).map(|relation| &relation.protection) {
        Some(Protection::Protected) => Ok(()),
        Some(Protection::Unprotected { reason, fix }) => Err(refusal(reason, fix.to_string())),
        // A junction outside the exposed schemas: nothing is known of it, so it is not served.
        None => Err(refusal("is not in an exposed schema", String::new())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rest::core::samples::{Request, name, shop};

    const CLOSED: ProtectOptions =
        ProtectOptions { relations: true, unfiltered_writes: true, definer_functions: true };
    const OPEN: ProtectOptions =
        ProtectOptions { relations: false, unfiltered_writes: false, definer_functions: false };

    /// The shop with relations that nothing protects.
    fn shop_with_open(relations: &[&str]) -> Catalog {
        let mut catalog = shop();
        for relation in relations {
            let unprotected = Protection::Unprotected { reason: "has no lock".into(), fix: "lock it".into() };
            catalog.relations.get_mut(&name(relation)).unwrap().protection = unprotected;
        }
        catalog
    }

    fn checked(method: &str, url: &str, catalog: &Catalog, options: ProtectOptions) -> Result<(), Refusal> {
        check(&Request::of(method, url, &[], "{}").plan().unwrap(), catalog, options)
    }

    fn unprotected(relation: &str) -> Result<(), Refusal> {
        let (reason, fix) = ("has no lock".to_owned(), "lock it".to_owned());
        Err(Refusal::Unprotected { relation: name(relation), reason, fix })
    }

    #[test]
    fn every_relation_of_a_plan_must_be_protected() {
        for (open, method, url) in [
            ("clients", "GET", "/clients"),
            ("clients", "HEAD", "/clients"),
            ("clients", "POST", "/clients"),
            ("clients", "PATCH", "/clients?id=eq.1"),
            ("clients", "DELETE", "/clients?id=eq.1"),
            ("invoices", "GET", "/clients?select=invoices(id)"),
            // An embed that only filters reads too.
            ("invoices", "GET", "/clients?select=id,invoices()&invoices=not.is.null"),
            ("invoices", "GET", "/clients?select=...invoices(id)"),
            ("products", "GET", "/clients?select=invoices(products(id))"),
            ("line_items", "GET", "/invoices?select=products(id)"),
            ("invoices", "POST", "/clients?select=invoices(id)"),
            ("invoices", "GET", "/rpc/search?term=a&select=invoices(id)"),
        ] {
            let catalog = shop_with_open(&[open]);
            assert_eq!(checked(method, url, &catalog, CLOSED), unprotected(open), "{method} {url}");
            assert_eq!(checked(method, url, &catalog, OPEN), Ok(()), "{method} {url} when open");
            assert_eq!(checked(method, url, &shop(), CLOSED), Ok(()), "{method} {url} when protected");
        }
    }

    #[test]
    fn functions_follow_their_execute_grants() {
        let catalog = shop_with_open(&["clients", "invoices"]);
        for url in ["/rpc/search?term=a", "/rpc/numbers"] {
            assert_eq!(checked("GET", url, &catalog, CLOSED), Ok(()), "{url}");
        }
        // A computed relationship is a function as well.
        let catalog = shop_with_open(&["invoices"]);
        assert_eq!(checked("GET", "/clients?select=latest_invoice(id)", &catalog, CLOSED), Ok(()));
    }

    #[test]
    fn a_junction_that_is_not_exposed_is_not_read_through() {
        let mut catalog = shop();
        catalog.relations.remove(&name("line_items"));

        let refusal = checked("GET", "/invoices?select=products(id)", &catalog, CLOSED).unwrap_err();

        assert!(
            matches!(&refusal, Refusal::Unprotected { relation, .. } if *relation == name("line_items")),
            "{refusal:?}"
        );
    }

    #[test]
    fn an_update_or_delete_of_every_row_is_refused() {
        for (method, url, verb) in [
            ("PATCH", "/clients", Some("UPDATE")),
            ("DELETE", "/clients", Some("DELETE")),
            ("DELETE", "/clients?id=eq.1", None),
            ("DELETE", "/clients?or=(id.eq.1,id.eq.2)", None),
            ("POST", "/clients", None),
        ] {
            let expected = verb.map_or(Ok(()), |verb| Err(Refusal::Unfiltered { verb }));
            assert_eq!(checked(method, url, &shop(), CLOSED), expected, "{method} {url}");
            assert_eq!(checked(method, url, &shop(), OPEN), Ok(()), "{method} {url} when open");
        }
    }

    #[test]
    fn a_function_with_the_rights_of_its_owner_is_refused() {
        let mut plan = Request::of("POST", "/rpc/reset", &[], "").plan().unwrap();
        let Plan::Call(action) = &mut plan else { panic!("a call") };
        Arc::make_mut(&mut action.function).security_definer = true;

        assert_eq!(check(&plan, &shop(), CLOSED), Err(Refusal::DefinerFunction(name("reset"))));
        assert_eq!(check(&plan, &shop(), OPEN), Ok(()));
    }

    #[test]
    fn what_reads_no_rows_is_not_checked() {
        let catalog = shop_with_open(&["clients"]);
        for (method, url) in [("OPTIONS", "/clients"), ("GET", "/")] {
            assert_eq!(checked(method, url, &catalog, CLOSED), Ok(()), "{method} {url}");
        }
    }
}
