//! The catalog: what the database holds, as an immutable snapshot with all relationships, and how it is kept fresh.
//!
//! `model`, `access`, `function`, `role`, `relations`, `protection` and `suggest` are pure; SQL is in `load` only; `reload`
//! owns the background task. Services read a [`Catalog`] through a handle and never query `pg_catalog` themselves.

pub mod access;
pub mod function;
pub mod load;
pub mod model;
pub mod protection;
pub mod relations;
pub mod reload;
mod reload_task;
pub mod role;
pub mod suggest;
mod view_tree;
mod view_uses;

pub use model::{
    Cardinality, Catalog, Column, Function, HandlerTarget, Junction, MediaHandler, Parameter, Protection,
    QualifiedName, Relation, RelationKind, RelationSecurity, Relationship, Representation, ReturnType,
    ReturnValue, Role, UnforcedTable, Volatility,
};
pub use reload::{CatalogHandle, ReloadOptions};
pub use role::IsolationLevel;

#[cfg(test)]
mod reload_tests;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod test_database;
#[cfg(test)]
mod tests;
