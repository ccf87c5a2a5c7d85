//! The sanitiser: what a hostile input looks like, what each kind of field may hold, and what becomes of an input. Pure.
//!
//! The safety of the system does not rest here: SQL is parameterised, output is escaped, mail headers are encoded. The
//! sanitiser adds three things: a *canonical form* of what people type (so that two spellings of one address are one
//! account), a *refusal* where the grammar of a field leaves no room for an attack, and a *signal* everywhere else.
//! Free text is never refused for looking like SQL: `O'Brien; DROP` is text like any other.
//!
//! # Findings
//! A finding is a [`Class`] with its risk from 0 to 100. The risk of an input is that of its worst finding, plus 5 for
//! every other class found, at most 100. Per field a finding is *noted* (·), *cleaned* (c) or *refused* (r):
//!
//! | class | risk | email | name | username | phone | text, metadata | path | redirect | password |
//! |---|---|---|---|---|---|---|---|---|---|
//! | `sql_injection` | 80 | r | r | r | r | · | r | · | |
//! | `script` | 80 | r | r | r | r | · | r | r | |
//! | `template` | 70 | r | r | r | r | · | r | · | |
//! | `path_traversal` | 75 | r | r | r | r | · | r | r | |
//! | `header_injection` | 75 | r | c | r | r | · | r | r | |
//! | `encoding` | 60 | r | r | r | r | · | r | r | |
//! | `null_byte` | 90 | r | r | r | r | r | r | r | r |
//! | `invalid_utf8` | 60 | r | r | r | r | r | r | r | r |
//! | `control_character` | 40 | r | c | r | c | c | r | r | |
//! | `bidi` | 50 | r | c | r | c | c | r | r | |
//! | `zero_width` | 35 | r | c | r | c | c | r | r | |
//! | `homoglyph` | 45 | · | · | · | · | | · | · | |
//! | `mixed_script` | 30 | · | · | r | · | | · | · | |
//! | `length` | 20 | r | r | r | r | r | r | r | |
//! | `malformed` | 10 | r | r | r | r | r | r | r | |
//!
//! `encoding` is the finding that an attack was hidden: percent signs once or more often, entities, escapes, overlong
//! UTF-8, UTF-7, look-alike punctuation. The class of the attack itself is found beside it.
//!
//! # Policies
//! The [`Policy`] decides what follows. `off` looks for nothing, `monitor` reports and changes nothing, `clean` gives the
//! canonical form with what is cleanable cleaned and refuses the rest, `reject` refuses both. Two things hold under every
//! policy, since PostgreSQL stores neither: NUL and invalid UTF-8 are refused. A canonical form (an address in lower case,
//! a name in NFC) is no finding; `clean` and `reject` both give it.
//!
//! # Cost
//! Every step is one pass with a bounded look-ahead over static tables; nothing backtracks, so that no input is slow. Clean
//! input is borrowed. Patterns are looked for in the first [`SCANNED`] bytes; a field with a length limit is measured
//! before anything else is done with it.

mod characters;
mod class;
mod confusable;
mod email;
mod field;
mod metadata;
mod name;
mod path;
mod pattern;
mod phone;
mod redirect;
mod text;
mod username;

use std::borrow::Cow;

use class::Findings;
pub use class::{Class, Finding};
pub use confusable::skeleton;
pub use email::{address_skeleton, imitated_address};
pub use field::{Decision, Field, Policy};
pub use metadata::{SanitisedJson, sanitise_json};
pub use username::username_key;

/// The bytes of a text in which patterns are looked for. Characters are checked beyond it too.
pub const SCANNED: usize = 64 * 1024;

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitised<'a> {
    /// What to go on with: the input itself unless `modified`. After [`Decision::Reject`] it is the input, for nothing but
    /// a careful report.
    pub value: Cow<'a, str>,
    /// Whether `value` differs from the input.
    pub modified: bool,
    /// What was found, at most one finding per class, the gravest first.
    pub findings: Vec<Finding>,
    /// From 0 (nothing found) to 100.
    pub risk: u8,
    /// What to do.
    pub decision: Decision,
}

impl Sanitised<'_> {
    /// Whether something of the class was found.
    pub fn has(&self, class: Class) -> bool {
        self.findings.iter().any(|finding| finding.class == class)
    }
}

/// A field's reading of an input: its canonical and cleaned form, and all that was found.
struct Checked<'a> {
    value: Cow<'a, str>,
    findings: Findings,
}

impl<'a> Checked<'a> {
    /// An input of which no canonical form exists.
    fn refused(input: &'a str, findings: Findings) -> Self {
        Self { value: Cow::Borrowed(input), findings }
    }

    fn decide(self, field: Field, policy: Policy, input: &'a str) -> Sanitised<'a> {
        let unstorable = input.contains('\0');
        let refused = unstorable || self.findings.iter().any(|class| field.refuses(policy, class));
        let keeps = refused || matches!(policy, Policy::Off | Policy::Monitor);
        let value = if keeps { Cow::Borrowed(input) } else { self.value };
        let modified = *value != *input;
        let decision = match (refused, modified) {
            (true, _) => Decision::Reject,
            (false, true) => Decision::Clean,
            (false, false) => Decision::Accept,
        };
        let risk = self.findings.risk();
        Sanitised { value, modified, findings: self.findings.list(), risk, decision }
    }
}

/// Checks one input against the rules of its field. Never fails: what is wrong with the input is in the result.
pub fn sanitise(field: Field, policy: Policy, input: &str) -> Sanitised<'_> {
    let checked = if policy == Policy::Off { text::check_storable(input) } else { check(field, input) };
    checked.decide(field, policy, input)
}

/// The same for bytes that nobody has looked at yet. Invalid UTF-8 is refused under every policy; `value` then carries
/// U+FFFD where the text is broken.
pub fn sanitise_bytes(field: Field, policy: Policy, input: &[u8]) -> Sanitised<'_> {
    match String::from_utf8_lossy(input) {
        Cow::Borrowed(text) => sanitise(field, policy, text),
        Cow::Owned(lossy) => {
            let mut findings = Findings::default();
            findings.insert(Class::InvalidUtf8);
            if lossy.contains('\0') {
                findings.insert(Class::NullByte);
            }
            Sanitised {
                value: Cow::Owned(lossy),
                modified: true,
                risk: findings.risk(),
                findings: findings.list(),
                decision: Decision::Reject,
            }
        }
    }
}

fn check(field: Field, input: &str) -> Checked<'_> {
    match field {
        Field::Email => email::check(input),
        Field::Name => name::check(input),
        Field::Username => username::check(input),
        Field::Phone => phone::check(input),
        Field::Text | Field::Metadata => text::check(input),
        Field::Path => path::check(input),
        Field::Redirect => redirect::check(input),
        Field::Password => text::check_storable(input),
    }
}

#[cfg(test)]
mod tests;
