//! What the database says about a caller: privileges, row policies, single rows; asked as the caller, in transactions that
//! change nothing.

mod probe;
mod text;

pub(super) use probe::{CallerProbe, Facts, Privileges, RowPolicy, RowVerdict};
pub(super) use text::effective_sql;
