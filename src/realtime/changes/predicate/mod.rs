//! Conditions of row policies that can be decided without PostgreSQL. Pure.
//!
//! What PostgreSQL prints of a policy (`pg_get_expr` under an empty search path) becomes a [`Predicate`], or none where
//! anything in it is not surely understood: `token.rs`, `list.rs`, `typed.rs`, `parse.rs`. A predicate says of a row image what PostgreSQL
//! would say, or [`Undecided`] where that may fail: `expression.rs` over `claims.rs`. By its [`EqualityKey`] the few
//! subscribers are found that a row can concern: `key.rs`.

mod claims;
mod expression;
mod key;
mod list;
mod parse;
mod token;
mod typed;

#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use key::{EqualityKey, KeyValue, Reach};

use crate::realtime::changes::value::{Column, Image, Undecided};
use expression::Expression;

/// A condition on rows that is understood.
///
/// It means what PostgreSQL means as long as [`Predicate::functions`] are ours and the subscriber's role may execute them,
/// and nobody has redefined casts between the types of `pg_catalog` (which takes a superuser).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Predicate {
    expression: Expression,
    functions: Vec<Function>,
}

/// A function of the schema `auth` whose meaning is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `auth.uid()`
    Uid,
    /// `auth.jwt()`
    Jwt,
    /// `auth.role()`
    Role,
    /// `auth.email()`
    Email,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Uid, Self::Jwt, Self::Role, Self::Email];

    /// Its signature as a `regprocedure` reads it.
    pub fn signature(self) -> &'static str {
        match self {
            Self::Uid => "auth.uid()",
            Self::Jwt => "auth.jwt()",
            Self::Role => "auth.role()",
            Self::Email => "auth.email()",
        }
    }
}

impl Predicate {
    /// Reads `USING` of a policy as PostgreSQL prints it. `None`: something in it is not understood.
    pub fn parse(text: &str, columns: &[Column]) -> Option<Self> {
        let (expression, functions) = parse::condition(text, columns)?;
        Some(Self { expression, functions })
    }

    /// The same answer for every row.
    pub fn constant(value: bool) -> Self {
        Self { expression: Expression::boolean(value), functions: Vec::new() }
    }

    /// What the policies of a table allow together: one of the permissive and all of the restrictive. Without a
    /// permissive one, nothing.
    pub fn all(permissive: Vec<Self>, restrictive: Vec<Self>) -> Self {
        let mut functions: Vec<Function> = permissive
            .iter()
            .chain(&restrictive)
            .flat_map(|policy| policy.functions.iter().copied())
            .collect();
        functions.sort_unstable();
        functions.dedup();
        let expressions = |policies: Vec<Self>| policies.into_iter().map(|policy| policy.expression);
        let mut members = vec![Expression::Or(expressions(permissive).collect())];
        members.extend(expressions(restrictive));
        Self { expression: Expression::And(members), functions }
    }

    /// What the condition says of a row for a caller with these claims. Only `Some(true)` shows the row.
    ///
    /// # Errors
    /// Only PostgreSQL can tell, and it may fail: a claim that is cast to `uuid` and is none.
    pub fn evaluate(&self, image: &Image, claims: &Claims) -> Result<Option<bool>, Undecided> {
        self.expression.truth(image, claims)
    }

    /// An equality that holds wherever the predicate is true of a row and not by the claims alone, if there is one.
    pub fn equality_key(&self) -> Option<EqualityKey> {
        key::best(&self.expression)
    }

    /// The functions on whose meaning it relies, each once; the caller makes sure that they are ours.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }
}
