//! Table security: what a caller may do with a table and its columns, decided in one place for every service.
//!
//! Start at [`decide`], the one pure decision. `model` is the rules as an admin writes them, `rules` all those of a
//! catalog, `caller` the facts about who asks, `access` the settings beside the rules, `restrict` the catalog that a class of callers sees, `desired` and
//! `audit` what PostgreSQL itself enforces and records, `protected` what is closed without any rule, `store` the rules in
//! the database, and [`book::PolicyBook`] where services get a caller's view. `lint` finds what is wrong with how a
//! database is protected.

pub mod access;
pub mod audit;
pub mod book;
pub mod caller;
pub mod decide;
pub mod desired;
pub mod expression;
pub mod files;
pub mod lint;
pub mod model;
pub mod packs;
pub mod protected;
pub mod restrict;
pub mod rules;
#[cfg(test)]
pub(crate) mod samples;
pub mod store;
