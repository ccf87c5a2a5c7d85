//! The precedence of rules, written down a second time, apart from the product: what each kind of caller gets of a table
//! under one rule. The rows are those that [`super::tables_sql`] makes: 1 and 3 are the users', 2 is somebody else's.

use serde_json::{Map, Value, json};

use super::super::USER;

/// The one rule of a table, beside what is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Nothing,
    RequireAuth,
    RequireVerified,
    RequireMfa,
    AppRole,
    PostgresRole,
    AddressInside,
    AddressOutside,
    Inactive,
    Unreadable,
    Hidden,
    Masked,
    ReadableList,
    Ownership,
    Filter,
}

impl Rule {
    pub const ALL: [Self; 15] = [
        Self::Nothing,
        Self::RequireAuth,
        Self::RequireVerified,
        Self::RequireMfa,
        Self::AppRole,
        Self::PostgresRole,
        Self::AddressInside,
        Self::AddressOutside,
        Self::Inactive,
        Self::Unreadable,
        Self::Hidden,
        Self::Masked,
        Self::ReadableList,
        Self::Ownership,
        Self::Filter,
    ];

    /// The columns of `goforward.table_security` that say it, with their values.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nothing => &[],
            Self::RequireAuth => &[("require_auth", "true")],
            Self::RequireVerified => &[("require_verified", "true")],
            Self::RequireMfa => &[("require_mfa", "true")],
            Self::AppRole => &[("allowed_roles", "'{clerk}'")],
            Self::PostgresRole => &[("allowed_roles", "'{authenticated}'")],
            Self::AddressInside => &[("ip_allowlist", "'{::ffff:127.0.0.0/104}'")],
            Self::AddressOutside => &[("ip_allowlist", "'{192.0.2.0/24}'")],
            Self::Inactive => &[("active", "false")],
            Self::Unreadable => &[("field_permissions", r#"'{"card": {"masked": true, "mask": "rot13"}}'"#)],
            Self::Hidden => &[("hidden_fields", "'{secret}'")],
            Self::Masked => {
                &[("field_permissions", r#"'{"card": {"masked": true, "mask": {"constant": "masked"}}}'"#)]
            }
            Self::ReadableList => &[("readable_fields", "'{id,owner,hub_id}'")],
            Self::Ownership => &[("require_ownership", "true"), ("ownership_column", "'owner'")],
            Self::Filter => &[("custom_filters", r#"'{"low": "id < 3"}'"#)],
        }
    }

    /// Whether PostgreSQL enforces it, so that the server has to make policies first.
    pub fn is_about_rows(self) -> bool {
        matches!(self, Self::Ownership | Self::Filter)
    }
}

/// What is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {
    Nothing,
    Reading,
    Writing,
    Everything,
}

impl Public {
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Reading, Self::Writing, Self::Everything];

    pub fn covers(self, verb: Verb) -> bool {
        match self {
            Self::Nothing => false,
            Self::Reading => verb == Verb::Select,
            Self::Writing => verb != Verb::Select,
            Self::Everything => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Select,
    Insert,
    Update,
    Delete,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Anonymous,
    User,
    Verified,
    SecondFactor,
    Clerk,
    Service,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::User, Self::Verified, Self::SecondFactor, Self::Clerk, Self::Service];
}

/// A table's configuration and somebody who uses it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub rule: Rule,
    pub public: Public,
    pub kind: Kind,
}

/// The row that inserts make.
pub const NEW_ROW: i64 = 9;

impl Case {
    /// The status and code of a refusal before any row is looked at.
    pub fn refusal(self, verb: Verb) -> Option<(u16, &'static str)> {
        let is_anonymous = self.kind == Kind::Anonymous;
        // Who is nobody yet is asked to become somebody, whatever the rule.
        let unless_anonymous =
            |code| if is_anonymous { (401, "authentication_required") } else { (403, code) };
        // First what holds for all but servers, public or not.
        match (self.kind, self.rule) {
            (Kind::Service, _) => return None,
            (_, Rule::Inactive | Rule::Unreadable) => return Some(self.denied()),
            (_, Rule::AddressOutside) => return Some((403, "address_not_allowed")),
            _ if self.public.covers(verb) => return None,
            _ => {}
        }
        match (self.rule, self.kind) {
            (Rule::RequireAuth | Rule::PostgresRole, Kind::Anonymous) => {
                Some((401, "authentication_required"))
            }
            (Rule::RequireVerified, Kind::Verified)
            | (Rule::RequireMfa, Kind::SecondFactor)
            | (Rule::AppRole, Kind::Clerk) => None,
            (Rule::RequireVerified, _) => Some(unless_anonymous("verification_required")),
            (Rule::RequireMfa, _) => Some(unless_anonymous("insufficient_aal")),
            (Rule::AppRole, _) => Some(unless_anonymous("role_not_allowed")),
            _ => None,
        }
    }

    /// How anything is refused that only says that it is not permitted.
    pub fn denied(self) -> (u16, &'static str) {
        (if self.kind == Kind::Anonymous { 401 } else { 403 }, "42501")
    }

    /// The rows that a verb reaches. PostgreSQL changes only what may be seen too.
    pub fn rows(self, verb: Verb) -> Vec<i64> {
        let may = |id: &i64| [Verb::Select, verb].into_iter().all(|verb| self.reaches(*id, *id != 2, verb));
        [1, 2, 3].into_iter().filter(may).collect()
    }

    fn reaches(self, id: i64, is_own: bool, verb: Verb) -> bool {
        match self.rule {
            _ if self.kind == Kind::Service => true,
            Rule::Filter => id < 3,
            Rule::Ownership if !self.public.covers(verb) => is_own && self.kind != Kind::Anonymous,
            _ => true,
        }
    }

    /// Whether the owner of a new row is filled in.
    fn fills_owner(self) -> bool {
        self.rule == Rule::Ownership
            && !self.public.covers(Verb::Insert)
            && !matches!(self.kind, Kind::Anonymous | Kind::Service)
    }

    /// Whether the new row, which names no owner, is taken; `returned` if it is to be shown as well.
    pub fn takes_new_row(self, returned: bool) -> bool {
        let is_own = self.fills_owner();
        self.reaches(NEW_ROW, is_own, Verb::Insert)
            && (!returned || self.reaches(NEW_ROW, is_own, Verb::Select))
    }

    /// The columns that are shown.
    pub fn columns(self) -> Vec<&'static str> {
        let hidden: &[&str] = match self.rule {
            _ if self.kind == Kind::Service => &[],
            Rule::Hidden => &["secret"],
            Rule::ReadableList => &["name", "secret", "card"],
            _ => &[],
        };
        let all = ["id", "owner", "name", "secret", "card", "hub_id"];
        all.into_iter().filter(|column| !hidden.contains(column)).collect()
    }

    /// A row as it is shown.
    pub fn row(self, id: i64, name: &Value) -> Value {
        let is_new = id == NEW_ROW;
        let owner = match id {
            NEW_ROW if !self.fills_owner() => Value::Null,
            2 => json!(super::OTHER),
            _ => json!(USER),
        };
        let is_masked = self.rule == Rule::Masked && self.kind != Kind::Service;
        let card = match (is_new, is_masked) {
            (true, _) => Value::Null,
            (false, true) => json!("masked"),
            (false, false) => json!(format!("card{id}")),
        };
        let value = |column: &str| match column {
            "id" => json!(id),
            "owner" => owner.clone(),
            "name" => name.clone(),
            "secret" if is_new => Value::Null,
            "secret" => json!(format!("secret{id}")),
            "card" => card.clone(),
            _ => json!(1),
        };
        let shown: Map<String, Value> =
            self.columns().into_iter().map(|column| (column.to_owned(), value(column))).collect();
        shown.into()
    }
}
