//! Roles as the API sees them: which a caller may become, and the settings they bring. Pure data.

use std::sync::Arc;

/// A PostgreSQL role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of the role in PostgreSQL")]
pub struct Role {
    /// Whether the authenticator login may `SET ROLE` to it.
    pub settable: bool,
    /// Whether it may log in. Such a role is refused as a claim.
    pub login: bool,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether row-level security does not bind it (superusers included).
    pub bypass_rls: bool,
    /// `ALTER ROLE … SET`, and `IN DATABASE`, which wins; without `default_transaction_isolation`, and without those
    /// that the authenticator may not set.
    pub settings: Vec<(Arc<str>, Arc<str>)>,
    /// `default_transaction_isolation` of the role.
    pub isolation: Option<IsolationLevel>,
}

/// A transaction isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// PostgreSQL's default; it also stands for READ UNCOMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl IsolationLevel {
    /// From the value of a setting; anything unknown is READ COMMITTED.
    pub fn from_setting(value: &str) -> Self {
        let value = value.trim().trim_matches('\'').trim_matches('"');
        if value.eq_ignore_ascii_case("repeatable read") {
            Self::RepeatableRead
        } else if value.eq_ignore_ascii_case("serializable") {
            Self::Serializable
        } else {
            Self::ReadCommitted
        }
    }
}
