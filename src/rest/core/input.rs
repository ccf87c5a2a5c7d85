//! What is done about unwanted input in a write: found, cleaned or refused, as the rules of the columns say. Pure.
//!
//! Rows that are written are looked at, arguments of functions are not: what becomes of them only the function knows.

use std::sync::Arc;

use crate::catalog::model::InputRule;
use crate::kernel::sanitise::{Class, Decision, Policy, sanitise};
use crate::rest::core::parse::RequestError;
use crate::rest::core::payload::strings;
use crate::rest::core::plan::model::{MutateAction, Plan};

/// What a look at a write came to.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What was found, each class of a column once.
    pub findings: Vec<InputFinding>,
    /// The plan of the cleaned values; none where the values stay as they are.
    pub cleaned: Option<Plan>,
}

/// Something unwanted in values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFinding {
    /// The column.
    pub column: Arc<str>,
    /// The class of what was found.
    pub class: Class,
    /// What the rules say about it.
    pub policy: Policy,
    /// Whether the request must not go on because of it.
    pub is_refused: bool,
    /// In how many texts it was found.
    pub count: u64,
}

/// Looks at what `plan` writes; costs nothing where no written column has a rule about it.
pub fn inspect(plan: &Plan) -> Result<Inspection, RequestError> {
    let mut inspection = Inspection::default();
    let Plan::Mutate(action) = plan else { return Ok(inspection) };
    let columns = action.write.columns().iter();
    let looked_at: Vec<(&Arc<str>, InputRule)> =
        columns.filter_map(|column| Some((&column.name, column.input?))).collect();
    if looked_at.is_empty() {
        return Ok(inspection);
    }
    let index = |name: &str| looked_at.iter().position(|(column, _)| &***column == name);
    let body = strings::replace(action.write.body(), index, |index, text| {
        let (column, rule) = looked_at[index];
        let sanitised = sanitise(rule.kind, rule.policy, text);
        let is_refused = sanitised.decision == Decision::Reject;
        for class in sanitised.findings.iter().map(|finding| finding.class) {
            // NUL is refused under every policy, as PostgreSQL stores none.
            let causes = rule.kind.refuses(rule.policy, class) || class == Class::NullByte;
            inspection.add(column, class, rule.policy, is_refused && causes);
        }
        sanitised.modified.then(|| sanitised.value.into_owned())
    })?;
    inspection.cleaned = body.map(|body| {
        let write = action.write.with_body(body);
        Plan::Mutate(MutateAction { write, ..action.clone() })
    });
    Ok(inspection)
}

impl Inspection {
    /// The finding for which the request is refused, if it is.
    pub fn refusal(&self) -> Option<&InputFinding> {
        self.findings.iter().find(|finding| finding.is_refused)
    }

    fn add(&mut self, column: &Arc<str>, class: Class, policy: Policy, is_refused: bool) {
        let known = self.findings.iter_mut().find(|known| known.column == *column && known.class == class);
        if let Some(known) = known {
            known.count += 1;
            known.is_refused |= is_refused;
        } else {
            let column = Arc::clone(column);
            self.findings.push(InputFinding { column, class, policy, is_refused, count: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::sanitise::Field;
    use crate::rest::core::samples::{Request, shop};

    /// What an insert of this note into `invoices` comes to: the body if it is another, and the first refusal.
    fn written(policy: Policy, note: &str) -> (Option<String>, Option<Class>) {
        let mut catalog = shop();
        for relation in catalog.relations.values_mut() {
            if let Some(note) = Arc::make_mut(relation).columns.get_mut("note") {
                note.access.input = Some(InputRule { policy, kind: Field::Text });
            }
        }
        let body = serde_json::json!({"id": 1, "note": note}).to_string();
        let plan = Request::of("POST", "/invoices", &[], &body).plan_on(&catalog).unwrap();
        let inspection = inspect(&plan).unwrap();
        let refused = inspection.refusal().map(|finding| finding.class);
        let body = inspection.cleaned.map(|plan| {
            let Plan::Mutate(action) = plan else { panic!("a write") };
            String::from_utf8(action.write.body().to_vec()).unwrap()
        });
        (body, refused)
    }

    #[test]
    fn a_refusal_names_what_it_is_for_and_not_what_was_only_noted() {
        let both = "1' or '1'='1 \u{202e}";
        let clean = r#"{"id":1,"note":"1' or '1'='1 "}"#.to_owned();
        for (policy, note, expected) in [
            (Policy::Monitor, both, (None, None)),
            (Policy::Clean, both, (Some(clean), None)),
            (Policy::Reject, both, (None, Some(Class::Bidi))),
            (Policy::Reject, "1' or '1'='1", (None, None)),
            // An encoded NUL is a finding; only the character itself cannot be stored.
            (Policy::Monitor, "%00", (None, None)),
            (Policy::Monitor, "a\0b", (None, Some(Class::NullByte))),
        ] {
            assert_eq!(written(policy, note), expected, "{policy:?} {note:?}");
        }
    }
}
