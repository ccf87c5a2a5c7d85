//! The rules of one table as an admin writes them: the body of the API, a file of policies, a row of
//! `goforward.table_security`. Pure.
//!
//! [`TableSecurity::parse`] is the only way in: whoever holds one holds rules that make sense. What is absent is off.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::catalog::model::{InputRule, Mask};
use crate::kernel::sanitise::{Field, Policy};

use super::expression::RowExpression;

/// What a caller does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Reads them.
    Select,
    /// Adds some.
    Insert,
    /// Changes some.
    Update,
    /// Removes some.
    Delete,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    /// Whether `public_read` speaks of it, and not `public_write`.
    pub fn is_read(self) -> bool {
        self == Self::Select
    }

    /// The word that PostgreSQL and the API use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The rules of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own, switched on or off")]
pub struct TableSecurity {
    /// Whether the rules are in force. Inactive rules close the table: they never open it.
    pub active: bool,
    /// The name that people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the table is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only callers with another role than the anonymous one.
    pub require_auth: bool,
    /// Only callers whose e-mail address or phone is verified.
    pub require_verified: bool,
    /// Only callers with a second factor (`aal2`).
    pub require_mfa: bool,
    /// Only these PostgreSQL roles or app roles (claim `app_roles`); all if empty.
    pub allowed_roles: BTreeSet<String>,
    /// Only rows whose `ownership_column` is the caller's id.
    pub require_ownership: bool,
    /// The column with the owner's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership_column: Option<String>,
    /// Lifts the rules about who asks, for reading.
    pub public_read: bool,
    /// Lifts the rules about who asks, for writing.
    pub public_write: bool,
    /// Only callers from these networks; from everywhere if empty.
    pub ip_allowlist: Vec<Network>,
    /// At most so many requests of one caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Which verbs leave a record in the audit log.
    pub audit_actions: BTreeSet<Verb>,
    /// Only these columns can be read; all if empty. A name that is no column is a computed field that may be read.
    pub readable_fields: BTreeSet<String>,
    /// Only these columns can be written; all if empty.
    pub writable_fields: BTreeSet<String>,
    /// These columns cannot be read.
    pub hidden_fields: BTreeSet<String>,
    /// Rules of single columns.
    pub field_permissions: BTreeMap<String, FieldPermission>,
    /// Conditions on rows, by name: SQL expressions over the table's columns, all of which must hold.
    pub custom_filters: BTreeMap<String, String>,
}

impl Default for TableSecurity {
    fn default() -> Self {
        Self {
            active: true,
            display_name: None,
            description: None,
            require_auth: false,
            require_verified: false,
            require_mfa: false,
            allowed_roles: BTreeSet::new(),
            require_ownership: false,
            ownership_column: None,
            public_read: false,
            public_write: false,
            ip_allowlist: Vec::new(),
            rate_limit: None,
            audit_actions: BTreeSet::new(),
            readable_fields: BTreeSet::new(),
            writable_fields: BTreeSet::new(),
            hidden_fields: BTreeSet::new(),
            field_permissions: BTreeMap::new(),
            custom_filters: BTreeMap::new(),
        }
    }
}

/// The rules of one column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldPermission {
    /// Whether it may be read; yes if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_read: Option<bool>,
    /// Whether it may be written; if absent, by those who read it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_write: Option<bool>,
    /// The roles and app roles that it is neither hidden from nor masked for. Where it is neither, nobody else may use it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_roles: BTreeSet<String>,
    /// Whether it is hidden.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Whether it is masked.
    #[serde(skip_serializing_if = "is_false")]
    pub masked: bool,
    /// By what; NULL if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// What is done about unwanted input in what is written to it; nothing if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Policy>,
    /// What its values are meant to be; free text if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_kind: Option<Field>,
}

impl FieldPermission {
    /// How written values are looked at, if they are.
    pub fn input_rule(&self) -> Option<InputRule> {
        let policy = self.input.filter(|policy| *policy != Policy::Off)?;
        Some(InputRule { policy, kind: self.input_kind.unwrap_or(Field::Text) })
    }

    /// Whether it says who may read or write the column, and not only what is done about input.
    pub fn is_about_access(&self) -> bool {
        let only_input = Self { input: self.input, input_kind: self.input_kind, ..Self::default() };
        self.input.is_none() || *self != only_input
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// So many requests in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// How many; at least 1.
    pub requests: u32,
    /// The time, at least 1 second.
    pub window_seconds: u32,
}

/// A network or a single address, as an admin writes it. An IPv4 network written as IPv6 is the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network =
            text.parse::<IpNet>().or_else(|_| text.parse().map(|address: core::net::IpAddr| address.into()));
        let network: IpNet = network
            .map_err(|_| format!("`{text}` is no address or network; write 10.0.0.0/8 or 2001:db8::/32"))?;
        Ok(Self(match network {
            IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
                Some(address) => {
                    ipnet::Ipv4Net::new(address, mapped.prefix_len() - 96).map_or(network, IpNet::V4)
                }
                None => network,
            },
            _ => network,
        }))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The field that is wrong, empty where the whole is.
    pub field: String,
    /// What is wrong with it, and what to write.
    pub problem: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.field, self.problem)
        }
    }
}

impl std::error::Error for RuleError {}

/// PostgreSQL's limit on names, in bytes.
const LONGEST_NAME: usize = 63;
/// The most entries that one list of rules may have.
const MOST_ENTRIES: usize = 1_600;
/// The longest text of a description or a filter, in bytes.
const LONGEST_TEXT: usize = 8_192;

impl TableSecurity {
    /// Rules from JSON. Keys that are not known are refused, as a misspelled rule protects nothing.
    pub fn parse(json: serde_json::Value) -> Result<Self, RuleError> {
        // Deserializers take an array for a struct too, in which nothing would be named.
        let permissions =
            json.get("field_permissions").and_then(serde_json::Value::as_object).into_iter().flatten();
        let objects = permissions.map(|(column, value)| (format!("field_permissions.{column}"), value));
        if let Some((field, _)) =
            objects.chain([(String::new(), &json)]).find(|(_, value)| !value.is_object())
        {
            return Err(RuleError { field, problem: "rules are a JSON object".to_owned() });
        }
        let rules: Self = serde_path_to_error::deserialize(json).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { String::new() } else { path };
            RuleError { field, problem: error.into_inner().to_string() }
        })?;
        rules.check()?;
        Ok(rules)
    }

    fn check(&self) -> Result<(), RuleError> {
        let wrong = |field: &str, problem: &str| {
            Err(RuleError { field: field.to_owned(), problem: problem.to_owned() })
        };
        if self.require_ownership && self.ownership_column.is_none() {
            return wrong("ownership_column", "require_ownership needs the column that holds the owner's id");
        }
        if self.rate_limit.is_some_and(|limit| limit.requests == 0 || limit.window_seconds == 0) {
            return wrong("rate_limit", "requests and window_seconds must be at least 1");
        }
        for (field, permission) in &self.field_permissions {
            let field = format!("field_permissions.{field}");
            if permission.mask.is_some() && !permission.masked {
                return wrong(&field, "a mask needs `masked: true`");
            }
            if permission.hidden && permission.masked {
                return wrong(&field, "a column is either hidden or masked");
            }
            if permission.masked && permission.can_read == Some(false) {
                return wrong(
                    &field,
                    "a masked column is read through its mask, so `can_read: false` contradicts it",
                );
            }
            if permission.input_kind.is_some() && permission.input_rule().is_none() {
                return wrong(&field, "an input_kind needs `input: monitor`, `clean` or `reject`");
            }
        }
        for (name, filter) in &self.custom_filters {
            RowExpression::parse(filter).map_err(|error| RuleError {
                field: format!("custom_filters.{name}"),
                problem: error.to_string(),
            })?;
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<(), RuleError> {
        let lists: [(&str, usize, Vec<&String>); 6] = [
            ("allowed_roles", LONGEST_NAME, self.allowed_roles.iter().collect()),
            ("readable_fields", LONGEST_NAME, self.readable_fields.iter().collect()),
            ("writable_fields", LONGEST_NAME, self.writable_fields.iter().collect()),
            ("hidden_fields", LONGEST_NAME, self.hidden_fields.iter().collect()),
            ("field_permissions", LONGEST_NAME, self.field_permissions.keys().collect()),
            ("custom_filters", LONGEST_NAME, self.custom_filters.keys().collect()),
        ];
        let texts = self.custom_filters.values().chain(&self.display_name).chain(&self.description);
        for (field, longest, entries) in lists {
            if entries.len() > MOST_ENTRIES || self.ip_allowlist.len() > MOST_ENTRIES {
                return Err(RuleError {
                    field: field.to_owned(),
                    problem: format!("at most {MOST_ENTRIES} entries"),
                });
            }
            if entries.iter().any(|name| name.is_empty() || name.len() > longest || name.contains('\0')) {
                let problem = format!("names have 1 to {longest} bytes");
                return Err(RuleError { field: field.to_owned(), problem });
            }
        }
        for text in texts {
            if text.len() > LONGEST_TEXT || text.contains('\0') {
                return Err(RuleError {
                    field: String::new(),
                    problem: format!("a text is longer than {LONGEST_TEXT} bytes"),
                });
            }
        }
        Ok(())
    }

    /// Whether callers without a reason to be let in are, for this verb.
    pub fn is_public(&self, verb: Verb) -> bool {
        if verb.is_read() { self.public_read } else { self.public_write }
    }

    /// The owner's column, if rows are tied to their owners for this verb.
    pub fn owner_column(&self, verb: Verb) -> Option<&str> {
        self.ownership_column.as_deref().filter(|_| self.require_ownership && !self.is_public(verb))
    }

    /// Every role that single columns are opened for.
    pub fn roles_of_fields(&self) -> impl Iterator<Item = &str> {
        self.field_permissions.values().flat_map(|permission| &permission.allowed_roles).map(String::as_str)
    }

    /// Whether any rule is about who reads or writes columns.
    pub fn has_column_rules(&self) -> bool {
        !(self.readable_fields.is_empty()
            && self.writable_fields.is_empty()
            && self.hidden_fields.is_empty()
            && !self.field_permissions.values().any(FieldPermission::is_about_access))
    }

    /// Whether any rule is about rows, for any verb.
    pub fn has_row_rules(&self) -> bool {
        !self.custom_filters.is_empty() || Verb::ALL.iter().any(|verb| self.owner_column(*verb).is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(value: serde_json::Value) -> String {
        TableSecurity::parse(value).unwrap_err().to_string()
    }

    #[test]
    fn what_is_absent_is_off() {
        let rules = TableSecurity::parse(json!({})).unwrap();
        assert_eq!(rules, TableSecurity::default());
        assert!(rules.active && !rules.has_row_rules() && !rules.has_column_rules());
    }

    #[test]
    fn rules_survive_being_written_and_read() {
        let text = json!({
            "require_auth": true, "require_ownership": true, "ownership_column": "owner", "public_read": true,
            "ip_allowlist": ["10.0.0.0/8", "::ffff:192.0.2.0/120", "2001:db8::1"],
            "rate_limit": {"requests": 5, "window_seconds": 60}, "audit_actions": ["update", "select"],
            "field_permissions": {"card": {"masked": true, "mask": "last_four", "allowed_roles": ["cashier"]},
                                  "name": {"masked": true, "mask": {"constant": "—"}},
                                  "note": {"input": "clean", "input_kind": "name"}, "data": {"input": "off"}},
            "custom_filters": {"open": "not archived"}
        });
        let rules = TableSecurity::parse(text).unwrap();
        assert_eq!(rules.ip_allowlist[1], Network("192.0.2.0/24".parse().unwrap()));
        assert_eq!(rules.owner_column(Verb::Select), None, "public_read lifts ownership");
        assert_eq!(rules.owner_column(Verb::Delete), Some("owner"));
        let again = TableSecurity::parse(serde_json::to_value(&rules).unwrap()).unwrap();
        assert_eq!(again, rules);
    }

    #[test]
    fn a_rule_about_input_is_none_about_who_may_use_the_column() {
        let permission = |value| {
            let rules = json!({"field_permissions": {"note": value}});
            TableSecurity::parse(rules).unwrap()
        };
        let rules = permission(json!({"input": "reject"}));
        let rule = rules.field_permissions["note"].input_rule();
        assert_eq!(rule, Some(InputRule { policy: Policy::Reject, kind: Field::Text }));
        assert!(!rules.has_column_rules());
        assert!(permission(json!({"input": "reject", "can_write": true})).has_column_rules());
        assert_eq!(permission(json!({})).field_permissions["note"].input_rule(), None);
    }

    #[test]
    fn rules_that_protect_nothing_are_refused_with_the_field_named() {
        for (value, expected) in [
            (json!({"requre_auth": true}), "requre_auth"),
            (json!({"require_auth": "yes"}), "require_auth"),
            (json!({"audit_actions": ["truncate"]}), "audit_actions[0]"),
            (json!({"ip_allowlist": ["10.0.0.0/99"]}), "ip_allowlist[0]"),
            (json!({"require_ownership": true}), "ownership_column"),
            (json!({"rate_limit": {"requests": 0, "window_seconds": 1}}), "rate_limit"),
            (json!({"field_permissions": {"a": {"mask": "email"}}}), "field_permissions.a"),
            (
                json!({"field_permissions": {"a": {"masked": true, "mask": "rot13"}}}),
                "field_permissions.a.mask",
            ),
            (json!({"field_permissions": {"a": {"masked": true, "hidden": true}}}), "field_permissions.a"),
            (json!({"field_permissions": {"a": {"input": "strip"}}}), "field_permissions.a.input"),
            (json!({"field_permissions": {"a": {"input_kind": "email"}}}), "field_permissions.a"),
            (json!({"hidden_fields": [""]}), "hidden_fields"),
            (json!({"custom_filters": {"a": "true) or (true"}}), "custom_filters.a"),
            (json!([]), "object"),
            (json!({"field_permissions": {"a": []}}), "field_permissions.a"),
        ] {
            let message = refused(value.clone());
            assert!(message.contains(expected), "{value}: {message}");
        }
    }
}
