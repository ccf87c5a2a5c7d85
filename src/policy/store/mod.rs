//! The SQL of table security.

pub mod audit_triggers;
