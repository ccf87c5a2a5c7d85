//! Functions that callers can reach by RPC. Pure data and questions about it; no SQL, no choice of overload.

use std::sync::Arc;

use super::model::{Grant, QualifiedName};
use super::role::IsolationLevel;

/// A function of an exposed schema; never a procedure, aggregate, window or trigger function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name; overloads share it.
    pub name: QualifiedName,
    /// `COMMENT ON FUNCTION`.
    pub comment: Option<Arc<str>>,
    /// Input parameters in order. All are named, or there is a single unnamed one of type
    /// `bytea`, `json`, `jsonb`, `text` or `xml`.
    pub params: Vec<Parameter>,
    /// What it returns.
    pub returns: ReturnType,
    /// Declared volatility.
    pub volatility: Volatility,
    /// Whether the last parameter is VARIADIC.
    pub variadic: bool,
    /// `SET default_transaction_isolation` of the function.
    pub isolation_level: Option<IsolationLevel>,
    /// All `SET` options, name in lower case and value as stored.
    pub settings: Vec<(Arc<str>, Arc<str>)>,
    /// Whether it runs with its owner's rights.
    pub security_definer: bool,
    /// The role that owns it.
    pub owner: Arc<str>,
    /// `None` means the default: everyone may execute it.
    pub grants: Option<Vec<Grant>>,
}

impl Function {
    /// Whether at most one row or value comes back.
    pub fn returns_single(&self) -> bool {
        matches!(self.returns, ReturnType::Single(_))
    }

    /// Whether one scalar comes back.
    pub fn returns_scalar(&self) -> bool {
        matches!(self.returns, ReturnType::Single(ReturnValue::Scalar(_)))
    }

    /// Whether a set of scalars comes back.
    pub fn returns_set_of_scalar(&self) -> bool {
        matches!(self.returns, ReturnType::SetOf(ReturnValue::Scalar(_)))
    }

    /// Whether one row comes back.
    pub fn returns_single_composite(&self) -> bool {
        matches!(self.returns, ReturnType::Single(ReturnValue::Composite { .. }))
    }

    /// Whether it is declared `RETURNS void`.
    pub fn returns_void(&self) -> bool {
        matches!(&self.returns, ReturnType::Single(ReturnValue::Scalar(name))
            if &*name.schema == "pg_catalog" && &*name.name == "void")
    }

    /// The relation or composite type whose rows come back (`record` for OUT parameters and RETURNS TABLE).
    pub fn row_type(&self) -> Option<&QualifiedName> {
        match &self.returns {
            ReturnType::Single(ReturnValue::Composite { relation, .. })
            | ReturnType::SetOf(ReturnValue::Composite { relation, .. }) => Some(relation),
            _ => None,
        }
    }

    /// The bare name of [`Function::row_type`].
    pub fn table_name(&self) -> Option<&str> {
        self.row_type().map(|relation| &*relation.name)
    }

    /// The `SET` options that are to hold for the whole transaction: those that `hoisted` names, which is the
    /// parameter `db-hoisted-tx-settings`.
    pub fn hoisted_settings<'a>(&'a self, hoisted: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.settings
            .iter()
            .filter(|(name, _)| hoisted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (&**name, &**value))
    }
}

/// An input parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, empty if it has none.
    pub name: Arc<str>,
    /// The type as PostgreSQL writes it with an empty search path.
    pub data_type: Arc<str>,
    /// The same, but a type that takes any length where `data_type` alone would mean length 1
    /// (`bit`, `character` and their arrays).
    pub type_with_length: Arc<str>,
    /// Whether it has no default.
    pub required: bool,
    /// Whether it is VARIADIC.
    pub variadic: bool,
}

/// How many values come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnType {
    /// One.
    Single(ReturnValue),
    /// Any number (SETOF or RETURNS TABLE).
    SetOf(ReturnValue),
}

/// What each returned value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnValue {
    /// A scalar type, domains resolved to their base type.
    Scalar(QualifiedName),
    /// A row.
    Composite {
        /// The relation or composite type; `pg_catalog.record` for OUT parameters and RETURNS TABLE.
        relation: QualifiedName,
        /// Whether it is declared by a domain over the composite type.
        is_alias: bool,
    },
}

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Volatility {
    /// May change the database.
    Volatile,
    /// Reads only.
    Stable,
    /// Reads nothing.
    Immutable,
}
