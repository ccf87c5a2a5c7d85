//! What an API key may do: scopes of service, table and verb.
//!
//! One scope is the text `<service>:<table>:<verb>`, each part a name or `*`, as in `rest:public.todos:select` or
//! `storage:*:*`. A table may also be `<schema>.*`. A key may do what one of its scopes allows, and with no scopes nothing.
//!
//! A token that was exchanged for a key carries them as the claim [`SCOPES`], beside the key's id as [`KEY_ID`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::Claims;

/// The claim that names the API key which a token was exchanged for. Only beside it the claim [`SCOPES`] is ours: tokens of
/// others may use the same word for something else.
pub const KEY_ID: &str = "key_id";

/// The claim with the key's scopes; none where the key has none, which may do whatever its user may.
pub const SCOPES: &str = "scopes";

/// The most scopes that one key may have.
pub const MAX_SCOPES: usize = 100;

/// The longest scope in bytes: two names of PostgreSQL (63 bytes each) fit with room to spare.
const MAX_LENGTH: usize = 256;

/// The services that keys work for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `rest`, and GraphQL with it.
    Rest,
    /// `auth`
    Auth,
    /// `storage`; its tables are buckets.
    Storage,
    /// `realtime`; its tables are topics.
    Realtime,
    /// `functions`; its tables are functions.
    Functions,
}

/// What is done to a table, a bucket, a topic or a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read.
    Select,
    /// Add.
    Insert,
    /// Change.
    Update,
    /// Remove.
    Delete,
    /// Call.
    Execute,
}

/// One scope; `None` stands for `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    service: Option<Service>,
    table: Table,
    verb: Option<Verb>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Table {
    Any,
    /// Every table of this schema.
    Of(String),
    Named(String),
}

/// The scopes of one key. On the wire and in the database it is a list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Scopes(Vec<Scope>);

/// Why scopes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not three parts, an unknown service or verb, an empty table, or too long.
    #[error("not a scope; write <service>:<table>:<verb>, as in rest:public.todos:select")]
    Malformed,
    /// More than [`MAX_SCOPES`].
    #[error("a key has at most {MAX_SCOPES} scopes")]
    TooMany,
}

impl Service {
    const ALL: [Self; 5] = [Self::Rest, Self::Auth, Self::Storage, Self::Realtime, Self::Functions];

    /// The service that is called so.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == word)
    }

    /// The word in scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Auth => "auth",
            Self::Storage => "storage",
            Self::Realtime => "realtime",
            Self::Functions => "functions",
        }
    }
}

impl Verb {
    const ALL: [Self; 5] = [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Execute];

    /// The word in scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Execute => "execute",
        }
    }
}

impl Scope {
    /// Whether there is a service that holds its callers to it. Auth and REST read whole scopes; of the others a scope
    /// opens all, so one that names less would be a promise that nobody keeps.
    pub fn can_be_held(&self) -> bool {
        let is_whole = self.table == Table::Any && self.verb.is_none();
        is_whole || matches!(self.service, Some(Service::Auth | Service::Rest))
    }

    /// Whether this scope covers the deed. Tables are named as `schema.table`, exactly as the database has them.
    pub fn allows(&self, service: Service, table: &str, verb: Verb) -> bool {
        self.service.is_none_or(|own| own == service)
            && self.table.covers(table)
            && self.verb.is_none_or(|own| own == verb)
    }
}

impl Scopes {
    /// Everything that the key's owner may do.
    pub fn all() -> Self {
        Self(vec![Scope { service: None, table: Table::Any, verb: None }])
    }

    /// Those of a token. What cannot be read allows nothing.
    pub(super) fn of_claims(claims: &Claims) -> Option<Self> {
        claims.get(KEY_ID)?;
        let listed = claims.get(SCOPES)?;
        Some(Self::deserialize(listed).unwrap_or_default())
    }

    /// The scopes, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether one of the scopes is about anything of a service. `service` may be none of those that scopes can name; then
    /// only scopes of all services are.
    pub fn touch(&self, service: Option<Service>) -> bool {
        self.0.iter().any(|scope| scope.service.is_none() || scope.service == service)
    }

    /// Whether one of the scopes covers everything that there is in a service.
    pub fn allow_all_of(&self, service: Service) -> bool {
        self.0.iter().any(|scope| {
            scope.service.is_none_or(|own| own == service)
                && scope.table == Table::Any
                && scope.verb.is_none()
        })
    }

    /// Whether one of the scopes covers the deed.
    pub fn allows(&self, service: Service, table: &str, verb: Verb) -> bool {
        self.0.iter().any(|scope| scope.allows(service, table, verb))
    }
}

impl Table {
    fn covers(&self, table: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => name == table,
            Self::Of(schema) => table.strip_prefix(schema).is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.len() > MAX_LENGTH {
            return Err(ScopeError::Malformed);
        }
        // A quoted table name may hold colons: service and verb are the outermost parts.
        let (service, rest) = text.split_once(':').ok_or(ScopeError::Malformed)?;
        let (table, verb) = rest.rsplit_once(':').ok_or(ScopeError::Malformed)?;
        Ok(Self {
            service: word(service, Service::ALL, Service::as_str)?,
            table: table.parse()?,
            verb: word(verb, Verb::ALL, Verb::as_str)?,
        })
    }
}

/// The value that a word names; `None` for `*`.
fn word<T: Copy, const N: usize>(
    text: &str,
    values: [T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, ScopeError> {
    if text == "*" {
        return Ok(None);
    }
    values.into_iter().find(|&value| name(value) == text).map(Some).ok_or(ScopeError::Malformed)
}

impl FromStr for Table {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let schema = text.strip_suffix(".*");
        if schema.unwrap_or(text).is_empty() || text.contains('\0') {
            return Err(ScopeError::Malformed);
        }
        Ok(match schema {
            Some(schema) => Self::Of(schema.to_owned()),
            None if text == "*" => Self::Any,
            None => Self::Named(text.to_owned()),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.service.map_or("*", Service::as_str))?;
        match &self.table {
            Table::Any => f.write_str("*")?,
            Table::Of(schema) => write!(f, "{schema}.*")?,
            Table::Named(name) => f.write_str(name)?,
        }
        write!(f, ":{}", self.verb.map_or("*", Verb::as_str))
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = ScopeError;

    fn try_from(texts: Vec<String>) -> Result<Self, ScopeError> {
        if texts.len() > MAX_SCOPES {
            return Err(ScopeError::TooMany);
        }
        texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Scopes> for Vec<String> {
    fn from(scopes: Scopes) -> Self {
        scopes.0.iter().map(Scope::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_scope_allows_what_it_names() {
        for (scope, service, table, verb, allowed) in [
            ("rest:public.todos:select", Service::Rest, "public.todos", Verb::Select, true),
            ("rest:public.todos:select", Service::Rest, "public.todos", Verb::Insert, false),
            ("rest:public.todos:select", Service::Rest, "public.todos_2", Verb::Select, false),
            ("rest:public.todos:select", Service::Realtime, "public.todos", Verb::Select, false),
            ("rest:public.todos:select", Service::Rest, "todos", Verb::Select, false),
            ("rest:public.*:select", Service::Rest, "public.todos", Verb::Select, true),
            ("rest:public.*:select", Service::Rest, "public2.todos", Verb::Select, false),
            ("rest:public.*:select", Service::Rest, "private.todos", Verb::Select, false),
            ("rest:*:*", Service::Rest, "any.thing", Verb::Delete, true),
            ("rest:*:*", Service::Storage, "avatars", Verb::Select, false),
            ("*:*:select", Service::Storage, "avatars", Verb::Select, true),
            ("rest:public.a:b:select", Service::Rest, "public.a:b", Verb::Select, true),
        ] {
            let allows = scopes(&[scope]).allows(service, table, verb);
            assert_eq!(allows, allowed, "{scope} {service:?} {table} {verb:?}");
        }
    }

    #[test]
    fn one_scope_of_several_is_enough_and_none_is_nothing() {
        let two = scopes(&["rest:public.a:select", "rest:public.b:select"]);
        assert!(two.allows(Service::Rest, "public.b", Verb::Select));
        assert!(!Scopes::default().allows(Service::Rest, "public.b", Verb::Select));
        assert!(Scopes::all().allows(Service::Functions, "resize", Verb::Execute));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        let long = format!("rest:{}:select", "a".repeat(MAX_LENGTH));
        for text in [
            "",
            "*",
            "rest",
            "rest:todos",
            "rest::select",
            "sql:a:select",
            "rest:a:drop",
            "REST:a:select",
            "rest:.*:select",
            &long,
        ] {
            assert_eq!(text.parse::<Scope>(), Err(ScopeError::Malformed), "{text}");
        }
        let many = vec!["*:*:*".to_owned(); MAX_SCOPES + 1];
        assert_eq!(Scopes::try_from(many), Err(ScopeError::TooMany));
    }

    #[test]
    fn json_is_a_list_of_texts() {
        let json = r#"["rest:public.todos:select","*:public.*:*"]"#;
        let read: Scopes = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(serde_json::from_str::<Scopes>(r#"["everything"]"#).is_err());
    }

    #[test]
    fn a_service_is_open_to_scopes_that_name_it_or_all() {
        let (rest, all) = (scopes(&["rest:public.todos:select"]), scopes(&["*:*:select"]));
        for (scopes, service, touched) in [
            (&rest, Some(Service::Rest), true),
            (&rest, Some(Service::Storage), false),
            (&rest, None, false),
            (&all, Some(Service::Storage), true),
            (&all, None, true),
        ] {
            assert_eq!(scopes.touch(service), touched, "{service:?}");
        }
        assert!(!rest.allow_all_of(Service::Rest) && !all.allow_all_of(Service::Rest));
        assert!(scopes(&["rest:*:*"]).allow_all_of(Service::Rest));
        assert!(!scopes(&["rest:*:*"]).allow_all_of(Service::Storage));
    }

    #[test]
    fn the_scopes_of_a_token_are_heeded_beside_the_id_of_its_key() {
        let of = |claims: serde_json::Value| Scopes::of_claims(claims.as_object().unwrap());
        let one = of(serde_json::json!({"key_id": "1", "scopes": ["rest:*:select"]})).unwrap();
        assert!(one.allows(Service::Rest, "public.todos", Verb::Select));
        assert_eq!(of(serde_json::json!({"key_id": "1"})), None);
        assert_eq!(of(serde_json::json!({"scopes": ["openid"]})), None);
        assert_eq!(of(serde_json::json!({"key_id": "1", "scopes": ["openid"]})), Some(Scopes::default()));
        assert_eq!(of(serde_json::json!({"key_id": "1", "scopes": "rest:*:*"})), Some(Scopes::default()));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "(rest|storage|\\*):[a-z.:*]{1,12}:(select|delete|\\*)") {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = text.parse::<Scope>();
        }
    }
}
