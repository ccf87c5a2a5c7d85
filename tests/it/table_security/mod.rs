//! Rules of tables through the real executable: what callers see of columns, and what they can find out.

mod api;
mod attacks;
mod closing;
mod columns;
mod differential;
mod explained;
mod input;
mod matrix;
mod not_read;
mod oracle;
mod views;

/// Accounts with hidden and masked columns.
pub const ACCOUNTS: &str = include_str!("../fixtures/accounts.sql");
/// Somebody who is signed in.
pub const USER: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
