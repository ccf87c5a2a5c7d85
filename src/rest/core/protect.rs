//! Closed by default: which plans a caller without BYPASSRLS may run. Pure.
//!
//! Every relation that a plan reads or writes must be protected, at every level of the tree; functions follow their
//! EXECUTE grants. Grants and row policies are PostgreSQL's part and apply on top.

use std::sync::Arc;

use crate::catalog::model::{Cardinality, Catalog, Function, Protection, QualifiedName, Relationship};
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::model::{Logic, Plan, ReadNode, Spread};

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

/// Whether `role`, which row-level security binds, may run `plan`.
pub fn check(plan: &Plan, catalog: &Catalog, role: &str, options: ProtectOptions) -> Result<(), Refusal> {
    let guard = Guard { catalog, role, options };
    match plan {
        Plan::Read(action) => {
            guard.relation(&action.target)?;
            guard.tree(&action.tree, Some(&action.target))
        }
        Plan::Mutate(action) => {
            if options.unfiltered_writes && action.write.is_unfiltered() {
                let verb = if action.write.is_update() { "UPDATE" } else { "DELETE" };
                return Err(Refusal::Unfiltered { verb });
            }
            guard.relation(&action.target)?;
            let mut names = Vec::new();
            action.write.conditions().iter().for_each(|logic| collect_names(logic, &mut names));
            guard.computed_columns(names, &action.target)?;
            guard.tree(&action.tree, Some(&action.target))
        }
        Plan::Call(action) => {
            guard.function(&action.function)?;
            guard.tree(&action.tree, action.function.row_type())
        }
        Plan::Inspect { .. } | Plan::Info { .. } => Ok(()),
    }
}

/// One check on its way through a tree.
#[derive(Clone, Copy)]
struct Guard<'a> {
    catalog: &'a Catalog,
    role: &'a str,
    options: ProtectOptions,
}

impl Guard<'_> {
    /// What a node does with rows of the type `rows_of` (none: no rows of a relation), and everything below it.
    fn tree(&self, node: &ReadNode, rows_of: Option<&QualifiedName>) -> Result<(), Refusal> {
        if let Some(relation) = rows_of {
            self.computed_columns(own_names(node), relation)?;
        }
        for child in &node.children {
            let Some(relationship) = child.relationship.as_deref() else { continue };
            match relationship {
                Relationship::ForeignKey { foreign_relation, cardinality, .. } => {
                    self.relation(foreign_relation)?;
                    if let Cardinality::ManyToMany(junction) = cardinality {
                        self.relation(&junction.relation)?;
                    }
                }
                // It is a function: EXECUTE decides, and row policies inside it.
                Relationship::Computed { function, .. } => self.functions(function)?,
            }
            self.computed_columns(names_of_child(node, child), relationship.foreign_relation())?;
            self.tree(child, Some(relationship.foreign_relation()))?;
        }
        Ok(())
    }

    fn relation(&self, name: &QualifiedName) -> Result<(), Refusal> {
        if !self.options.relations {
            return Ok(());
        }
        let refusal = |reason: &str, fix: String| Refusal::Unprotected {
            relation: name.clone(),
            reason: reason.to_owned(),
            fix,
        };
        let Some(relation) = self.catalog.relations.get(name) else {
            // A junction outside the exposed schemas: nothing is known of it, so it is not served.
            return Err(refusal("is not in an exposed schema", String::new()));
        };
        let unforced = match &relation.protection {
            Protection::Unprotected { reason, fix } => return Err(refusal(reason, fix.to_string())),
            Protection::Protected { unforced } => unforced,
        };
        // Policies bind a table's owner only if they are forced, by whatever view the table is read.
        let Some(own) = unforced.iter().find(|table| *table.owner == *self.role) else { return Ok(()) };
        let mut fix = SqlBuf::new();
        fix.lit("ALTER TABLE ").name(&own.name.schema, &own.name.name).lit(" FORCE ROW LEVEL SECURITY;");
        let reason = if own.name == *name {
            "belongs to the caller's role, which its policies do not bind".to_owned()
        } else {
            format!(
                "reads {}, which belongs to the caller's role and whose policies do not bind it",
                own.name
            )
        };
        Err(refusal(&reason, fix.into_parts().0))
    }

    fn function(&self, function: &Function) -> Result<(), Refusal> {
        if self.options.definer_functions && function.security_definer {
            return Err(Refusal::DefinerFunction(function.name.clone()));
        }
        Ok(())
    }

    fn functions(&self, name: &QualifiedName) -> Result<(), Refusal> {
        let overloads = self.catalog.functions.get(name).map_or(&[][..], Vec::as_slice);
        overloads.iter().try_for_each(|function| self.function(function))
    }

    /// A name that is no column of the relation may be a function of its row.
    fn computed_columns(&self, names: Vec<&Arc<str>>, relation: &QualifiedName) -> Result<(), Refusal> {
        if !self.options.definer_functions {
            return Ok(());
        }
        let columns = self.catalog.relations.get(relation).map(|relation| &relation.columns);
        let is_column = |name: &Arc<str>| columns.is_some_and(|columns| columns.contains_key(name));
        for name in names.into_iter().filter(|name| !is_column(name)) {
            for schema in &self.catalog.schemas {
                self.functions(&QualifiedName::new(schema.clone(), name.clone()))?;
            }
        }
        Ok(())
    }
}

/// The names that a node uses of its own relation, wherever they stand.
fn own_names(node: &ReadNode) -> Vec<&Arc<str>> {
    let mut names: Vec<&Arc<str>> = node.select.iter().map(|item| &item.field.name).collect();
    names.extend(node.order.iter().filter(|term| term.relation.is_none()).map(|term| &term.field.name));
    if let Some(Spread::ToMany { extra_select, .. }) = &node.spread {
        let own = extra_select.iter().filter(|(relation, _)| relation.is_none());
        names.extend(own.map(|(_, item)| &item.field.name));
    }
    node.filters.iter().for_each(|logic| collect_names(logic, &mut names));
    names
}

/// The names of `child`'s relation that its parent orders by.
fn names_of_child<'a>(node: &'a ReadNode, child: &ReadNode) -> Vec<&'a Arc<str>> {
    let is_child = |relation: Option<&Arc<str>>| relation == Some(&child.aggregate_alias);
    let mut names: Vec<&Arc<str>> = node
        .order
        .iter()
        .filter(|term| is_child(term.relation.as_ref()))
        .map(|term| &term.field.name)
        .collect();
    if let Some(Spread::ToMany { extra_select, .. }) = &node.spread {
        let of_child = extra_select.iter().filter(|(relation, _)| is_child(relation.as_ref()));
        names.extend(of_child.map(|(_, item)| &item.field.name));
    }
    names
}

fn collect_names<'a>(logic: &'a Logic, names: &mut Vec<&'a Arc<str>>) {
    match logic {
        Logic::Group { members, .. } => {
            for member in members {
                collect_names(member, names);
            }
        }
        Logic::Filter { field, .. } => names.push(&field.name),
        Logic::EmbedIsNull { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::model::UnforcedTable;
    use crate::catalog::samples::function;
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
        check(&Request::of(method, url, &[], "{}").plan().unwrap(), catalog, "anon", options)
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

        assert_eq!(check(&plan, &shop(), "anon", CLOSED), Err(Refusal::DefinerFunction(name("reset"))));
        assert_eq!(check(&plan, &shop(), "anon", OPEN), Ok(()));
    }

    #[test]
    fn a_function_of_a_row_must_not_have_the_rights_of_its_owner_wherever_it_stands() {
        let mut catalog = shop();
        let definer = Function { security_definer: true, ..function("test", "latest_invoice", vec![]) };
        catalog.functions.insert(definer.name.clone(), vec![definer]);
        let refusal = Err(Refusal::DefinerFunction(name("latest_invoice")));
        for (method, url) in [
            ("GET", "/clients?select=latest_invoice(id)"),
            ("GET", "/clients?select=id,latest_invoice"),
            ("GET", "/clients?order=latest_invoice"),
            ("GET", "/clients?or=(id.eq.1,latest_invoice.is.true)"),
            ("GET", "/invoices?select=clients(id)&clients.latest_invoice=is.true"),
            ("GET", "/invoices?select=clients(id)&order=clients(latest_invoice)"),
            // The order of a to-many spread moves into its arrays.
            ("GET", "/clients?select=...invoices(id)&invoices.order=latest_invoice"),
            // So do the rows that a function returns have functions.
            ("GET", "/rpc/search?term=a&select=latest_invoice"),
            ("GET", "/rpc/search?term=a&latest_invoice=is.true"),
            ("PATCH", "/clients?latest_invoice=is.true"),
            ("DELETE", "/clients?latest_invoice=is.true"),
        ] {
            assert_eq!(checked(method, url, &catalog, CLOSED), refusal, "{method} {url}");
            assert_eq!(checked(method, url, &catalog, OPEN), Ok(()), "{method} {url} when open");
            assert_eq!(checked(method, url, &shop(), CLOSED), Ok(()), "{method} {url} when it is no definer");
        }
    }

    #[test]
    fn the_role_that_owns_a_table_reads_it_only_if_policies_are_forced() {
        let mut catalog = shop();
        let plan = Request::get("/clients").plan().unwrap();
        let refusal = check(&plan, &catalog, "owner", CLOSED).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Unprotected { fix, .. }
                if fix == r#"ALTER TABLE "test"."clients" FORCE ROW LEVEL SECURITY;"#),
            "{refusal:?}"
        );

        let clients = catalog.relations.get_mut(&name("clients")).unwrap();
        clients.protection = Protection::Protected { unforced: [].into() };
        assert_eq!(check(&plan, &catalog, "owner", CLOSED), Ok(()));

        // As a view over a table of that role.
        let table = UnforcedTable { name: name("hidden"), owner: "owner".into() };
        let clients = catalog.relations.get_mut(&name("clients")).unwrap();
        clients.protection = Protection::Protected { unforced: [table].into() };
        assert_eq!(check(&plan, &catalog, "anon", CLOSED), Ok(()));
        let refusal = check(&plan, &catalog, "owner", CLOSED).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Unprotected { reason, fix, .. }
                if reason.starts_with("reads test.hidden") && fix.contains(r#""test"."hidden" FORCE"#)),
            "{refusal:?}"
        );
    }

    #[test]
    fn what_reads_no_rows_is_not_checked() {
        let catalog = shop_with_open(&["clients"]);
        for (method, url) in [("OPTIONS", "/clients"), ("GET", "/")] {
            assert_eq!(checked(method, url, &catalog, CLOSED), Ok(()), "{method} {url}");
        }
    }
}
