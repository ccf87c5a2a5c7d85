//! What the scopes of an API key allow of a plan. They hold for every caller that has any, whatever its role.
//!
//! A scope names what a request names: a key for a view or a function gets what that reads, as its user would.

use crate::catalog::model::QualifiedName;
use crate::kernel::identity::Scopes;
use crate::kernel::identity::scope::{Service, Verb};
use crate::policy::model;
use crate::rest::core::plan::model::Plan;
use crate::rest::core::plan::touched::touched;

use super::Refusal;

/// What is out of scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfScope {
    /// The relation or function.
    pub name: QualifiedName,
    /// What was to be done with it.
    pub verb: Verb,
}

/// Refuses a plan of which the scopes do not allow all.
pub fn in_scope(plan: &Plan, scopes: &Scopes) -> Result<(), Refusal> {
    let allowed = |name: &QualifiedName, verb| {
        if scopes.allows(Service::Rest, &name.to_string(), verb) {
            return Ok(());
        }
        Err(Refusal::OutOfScope(OutOfScope { name: name.clone(), verb }))
    };
    if let Plan::Call(action) = plan {
        let name = &action.function.name;
        // A GraphQL query may be about any table.
        if *name == QualifiedName::new("graphql_public", "graphql") && !scopes.allow_all_of(Service::Rest) {
            return Err(Refusal::OutOfScope(OutOfScope { name: name.clone(), verb: Verb::Execute }));
        }
        allowed(name, Verb::Execute)?;
    }
    // The rows that a function returns are what it is called for; those that an embed leads on to are not.
    let root = match plan {
        Plan::Call(action) => action.function.row_type(),
        _ => None,
    };
    for (place, touch) in touched(plan).iter().enumerate() {
        if place == 0 && root.is_some() {
            continue;
        }
        allowed(touch.relation, verb(touch.verb))?;
    }
    Ok(())
}

fn verb(verb: model::Verb) -> Verb {
    match verb {
        model::Verb::Select => Verb::Select,
        model::Verb::Insert => Verb::Insert,
        model::Verb::Update => Verb::Update,
        model::Verb::Delete => Verb::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::core::samples::Request;

    fn verdict(scopes: &[&str], (method, url): (&str, &str)) -> Option<String> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let scopes = Scopes::try_from(scopes).unwrap();
        let plan = Request::of(method, url, &[("Prefer", "return=minimal")], "{}").plan().unwrap();
        match in_scope(&plan, &scopes) {
            Ok(()) => None,
            Err(Refusal::OutOfScope(OutOfScope { name, verb })) => {
                Some(format!("{} {}", verb.as_str(), name.name))
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_does_what_its_scopes_name_and_nothing_else() {
        let read: &[&str] = &["rest:test.clients:select"];
        let embed = "/clients?select=invoices(id)";
        for (scopes, request, refused) in [
            (read, ("GET", "/clients"), None),
            (read, ("GET", embed), Some("select invoices")),
            (&["rest:test.clients:select", "rest:test.invoices:select"], ("GET", embed), None),
            (&["rest:test.*:select"], ("GET", embed), None),
            (read, ("POST", "/clients"), Some("insert clients")),
            (&["rest:test.clients:*"], ("POST", "/clients"), None),
            (&["rest:test.clients:*"], ("DELETE", "/clients?id=eq.1"), None),
            (read, ("GET", "/rpc/search?term=a"), Some("execute search")),
            (&["rest:test.search:execute"], ("GET", "/rpc/search?term=a"), None),
            (&["storage:*:*"], ("GET", "/clients"), Some("select clients")),
            (&[], ("GET", "/clients"), Some("select clients")),
        ] {
            assert_eq!(verdict(scopes, request).as_deref(), refused, "{scopes:?} {request:?}");
        }
    }
}
