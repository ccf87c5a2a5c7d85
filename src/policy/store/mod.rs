//! The SQL of table security.

pub mod lint;
mod lint_rows;
