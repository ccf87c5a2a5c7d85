//! Where in the claims the role is: a path such as `$.role`, `$.app.roles[0]` or `$.roles[?(@ == "editor")]`.
//!
//! Pure. Two spellings are read, as PostgREST 17 does: JSONPath (RFC 9535; here names, indexes, `*` and filters that
//! compare the element or a path below it with text, numbers, true, false, null) and the older one without `$`, whose
//! filters also know `^==` (starts with), `==^` (ends with) and `*==` (contains). The first match is the role.

use serde_json::Value;

use super::caller::Claims;

/// A parsed path to the role claim.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePath(Vec<Step>);

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the role claim path {path:?} is not understood at character {position}; write it as $.role or $.app.roles[0]"
)]
pub struct RolePathError {
    path: String,
    position: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(String),
    Index(i64),
    Every,
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    below: Vec<Step>,
    test: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    StartsWith,
    EndsWith,
    Contains,
}

impl Default for RolePath {
    fn default() -> Self {
        Self(vec![Step::Name("role".to_owned())])
    }
}

impl RolePath {
    /// Reads a path.
    pub fn parse(path: &str) -> Result<Self, RolePathError> {
        let mut parser = Parser { rest: path, start: path };
        parser.eat("$");
        let steps = parser.steps().filter(|steps| !steps.is_empty() && parser.rest.is_empty());
        steps.map(Self).ok_or_else(|| RolePathError {
            path: path.to_owned(),
            position: path.len() - parser.rest.len() + 1,
        })
    }

    /// The first value that the path leads to.
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        match first {
            Step::Name(name) => find(claims.get(name)?, rest),
            Step::Index(_) => None,
            Step::Every => claims.values().find_map(|value| find(value, rest)),
            Step::Filter(filter) => {
                claims.values().filter(|value| filter.accepts(value)).find_map(|value| find(value, rest))
            }
        }
    }
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    let Some((first, rest)) = steps.split_first() else { return Some(value) };
    match (first, value) {
        (Step::Name(name), Value::Object(members)) => find(members.get(name)?, rest),
        (Step::Index(index), Value::Array(elements)) => find(element(elements, *index)?, rest),
        (Step::Every, Value::Array(elements)) => elements.iter().find_map(|value| find(value, rest)),
        (Step::Every, Value::Object(members)) => members.values().find_map(|value| find(value, rest)),
        (Step::Filter(filter), Value::Array(elements)) => {
            elements.iter().filter(|value| filter.accepts(value)).find_map(|value| find(value, rest))
        }
        (Step::Filter(filter), Value::Object(members)) => {
            members.values().filter(|value| filter.accepts(value)).find_map(|value| find(value, rest))
        }
        _ => None,
    }
}

/// The element at an index; a negative one counts from the end.
fn element(elements: &[Value], index: i64) -> Option<&Value> {
    let place = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { elements.get(elements.len().checked_sub(place)?) } else { elements.get(place) }
}

impl Filter {
    fn accepts(&self, value: &Value) -> bool {
        let found = find(value, &self.below);
        let Some((comparison, expected)) = &self.test else { return found.is_some() };
        let texts = found.and_then(Value::as_str).zip(expected.as_str());
        match comparison {
            Comparison::Equal => found == Some(expected),
            Comparison::NotEqual => found != Some(expected),
            Comparison::StartsWith => texts.is_some_and(|(text, part)| text.starts_with(part)),
            Comparison::EndsWith => texts.is_some_and(|(text, part)| text.ends_with(part)),
            Comparison::Contains => texts.is_some_and(|(text, part)| text.contains(part)),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    start: &'a str,
}

impl<'a> Parser<'a> {
    /// All steps up to what is no step; `None` where a step is broken.
    fn steps(&mut self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.eat(".") {
                steps.push(self.member()?);
            } else if self.eat("[") {
                steps.push(self.bracket()?);
            } else {
                return Some(steps);
            }
        }
    }

    fn member(&mut self) -> Option<Step> {
        if self.eat("*") {
            return Some(Step::Every);
        }
        if self.rest.starts_with('"') {
            return self.quoted().map(Step::Name);
        }
        let dollar_style = self.start.starts_with('$');
        let name = self.take(|c| {
            c.is_alphanumeric() || c == '_' || !c.is_ascii() || (!dollar_style && "$@".contains(c))
        });
        (!name.is_empty()).then(|| Step::Name(name.to_owned()))
    }

    fn bracket(&mut self) -> Option<Step> {
        self.blanks();
        let step = if self.eat("*") {
            Step::Every
        } else if self.eat("?") {
            self.filter()?
        } else if self.rest.starts_with(['"', '\'']) {
            Step::Name(self.quoted()?)
        } else {
            Step::Index(self.take(|c| c.is_ascii_digit() || c == '-').parse().ok()?)
        };
        self.blanks();
        self.eat("]").then_some(step)
    }

    fn filter(&mut self) -> Option<Step> {
        self.blanks();
        let in_parentheses = self.eat("(");
        self.blanks();
        if !self.eat("@") {
            return None;
        }
        let below = self.steps()?;
        self.blanks();
        let test = match self.comparison() {
            None => None,
            Some(comparison) => {
                self.blanks();
                Some((comparison, self.literal()?))
            }
        };
        self.blanks();
        if in_parentheses && !self.eat(")") {
            return None;
        }
        Some(Step::Filter(Filter { below, test }))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let known = [
            ("==^", Comparison::EndsWith),
            ("^==", Comparison::StartsWith),
            ("*==", Comparison::Contains),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
        ];
        known.into_iter().find(|(sign, _)| self.eat(sign)).map(|(_, comparison)| comparison)
    }

    fn literal(&mut self) -> Option<Value> {
        if self.rest.starts_with(['"', '\'']) {
            return self.quoted().map(Value::String);
        }
        let word = self.take(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        serde_json::from_str(word).ok()
    }

    /// Text in single or double quotes; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Option<String> {
        let mut characters = self.rest.char_indices();
        let (_, quote) = characters.next()?;
        let mut text = String::new();
        while let Some((at, c)) = characters.next() {
            if c == quote {
                self.rest = &self.rest[at + c.len_utf8()..];
                return Some(text);
            }
            text.push(if c == '\\' { characters.next()?.1 } else { c });
        }
        None
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(path: &str) -> Option<Value> {
        let claims = r#"{"role":"a","app":{"roles":["b","c-admin"],"the role":"d","deep":[{"n":1,"r":"e"},{"n":2,"r":"f"}]},"number":5}"#;
        let claims: Claims = serde_json::from_str(claims).unwrap();
        RolePath::parse(path).unwrap().find(&claims).cloned()
    }

    #[test]
    fn a_path_leads_to_its_first_match() {
        let table = [
            ("$.role", Some("a")),
            (".role", Some("a")),
            ("$['role']", Some("a")),
            ("$.app.roles[0]", Some("b")),
            ("$.app.roles[-1]", Some("c-admin")),
            ("$.app.roles[2]", None),
            ("$.app.roles[*]", Some("b")),
            ("$.app.*[1]", Some("c-admin")),
            (".app.\"the role\"", Some("d")),
            ("$.app[\"the role\"]", Some("d")),
            ("$.app.roles[?(@ == \"c-admin\")]", Some("c-admin")),
            ("$.app.roles[?@ != 'b']", Some("c-admin")),
            (".app.roles[?(@ ^== \"c-\")]", Some("c-admin")),
            (".app.roles[?(@ ==^ \"admin\")]", Some("c-admin")),
            (".app.roles[?(@ *== \"-ad\")]", Some("c-admin")),
            (".app.roles[?(@ == \"none\")]", None),
            ("$.app.deep[?@.n == 2].r", Some("f")),
            ("$.app.deep[?@.missing].r", None),
            ("$.nothing.at.all", None),
        ];
        for (path, expected) in table {
            assert_eq!(role_of(path), expected.map(Value::from), "{path}");
        }
        assert_eq!(role_of("$.number"), Some(Value::from(5)));
    }

    #[test]
    fn a_broken_path_is_refused_with_its_place() {
        for path in [
            "",
            "$",
            "role",
            "$.",
            "$.a[",
            "$.a[x]",
            "$.a b",
            "$.a[?(@ == \"x\"]",
            "$.a[?(@ = \"x\")]",
            "$.a['x]",
        ] {
            let refusal = RolePath::parse(path).unwrap_err();
            assert!(refusal.to_string().contains("is not understood"), "{path}");
        }
    }
}
