//! JSON documents of users: every string and key, within limits of depth and size.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::characters::{self, Lines};
use super::class::{Class, Finding, Findings};
use super::field::{Action, Decision, Field, Policy};
use super::text;

/// The deepest nesting; a document of one number has depth 1.
const DEEPEST: usize = 32;
/// The largest document: the bytes of its keys and strings, and 8 for every value.
const LARGEST: usize = 64 * 1024;

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct SanitisedJson<'a> {
    /// What to go on with: the document itself unless `modified`.
    pub value: Cow<'a, Value>,
    /// Whether `value` differs from the document.
    pub modified: bool,
    /// What was found anywhere in it, at most one finding per class, the gravest first.
    pub findings: Vec<Finding>,
    /// From 0 (nothing found) to 100.
    pub risk: u8,
    /// What to do.
    pub decision: Decision,
}

/// Checks a document by the rules of [`Field::Metadata`]. Keys are never rewritten, since two could become one: a key that
/// would need cleaning is refused where a string would be cleaned.
pub fn sanitise_json(policy: Policy, document: &Value) -> SanitisedJson<'_> {
    let mut walk =
        Walk { policy, findings: Findings::default(), size: 0, unstorable: false, unfit_key: false };
    walk.visit(document, 1);
    let Walk { findings, unstorable, unfit_key, .. } = walk;
    let acts = |action| findings.iter().any(|class| Field::Metadata.action(class) == action);
    let refused = unstorable
        || match policy {
            Policy::Off | Policy::Monitor => false,
            Policy::Clean => unfit_key || acts(Action::Refuse),
            Policy::Reject => acts(Action::Refuse) || acts(Action::Clean),
        };
    let cleans = !refused && policy == Policy::Clean && acts(Action::Clean);
    let value = if cleans { Cow::Owned(cleaned(document)) } else { Cow::Borrowed(document) };
    let decision = match (refused, cleans) {
        (true, _) => Decision::Reject,
        (false, true) => Decision::Clean,
        (false, false) => Decision::Accept,
    };
    SanitisedJson { value, modified: cleans, findings: findings.list(), risk: findings.risk(), decision }
}

struct Walk {
    policy: Policy,
    findings: Findings,
    size: usize,
    unstorable: bool,
    unfit_key: bool,
}

impl Walk {
    fn visit(&mut self, value: &Value, depth: usize) {
        self.size = self.size.saturating_add(8);
        if depth > DEEPEST || self.size > LARGEST {
            // Even unlooked for, the limits keep the walk short; what lies beyond is not read, so it is not stored.
            self.findings.insert(Class::Length);
            self.unstorable = true;
            return;
        }
        match value {
            Value::String(text) => self.read(text),
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, depth + 1)),
            Value::Object(entries) => {
                for (key, item) in entries {
                    self.read(key);
                    self.unfit_key |= !characters::clean(key, Lines::Many).1.is_empty();
                    self.visit(item, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn read(&mut self, text: &str) {
        self.size = self.size.saturating_add(text.len());
        if self.size > LARGEST {
            self.findings.insert(Class::Length);
            self.unstorable = true;
            return;
        }
        let checked = if self.policy == Policy::Off { text::check_storable(text) } else { text::check(text) };
        self.unstorable |= checked.findings.contains(Class::NullByte);
        self.findings.extend(checked.findings);
    }
}

/// The document with every string cleaned. Its depth has been measured.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(characters::clean(text, Lines::Many).0.into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(cleaned).collect()),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| (key.clone(), cleaned(item)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
