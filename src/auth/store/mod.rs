//! The SQL of the service: one file a family of tables, no HTTP. Functions take a connection, so that a use case makes one
//! transaction of several.

pub(crate) mod admin_users;
pub(crate) mod blocklists;
pub(crate) mod challenges;
pub(crate) mod clean_up;
pub(crate) mod events;
pub(crate) mod factors;
pub(crate) mod flows;
pub(crate) mod hooks;
pub(crate) mod identities;
pub(crate) mod imported;
pub(crate) mod keys;
pub(crate) mod lockouts;
pub(crate) mod one_time_tokens;
pub(crate) mod passkeys;
pub(crate) mod recovery_codes;
pub(crate) mod roles;
pub(crate) mod sealed;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod templates;
pub(crate) mod users;

use sqlx::Error;

/// The constraint that a statement broke, if it did.
pub(crate) fn broken_constraint(error: &Error) -> Option<&str> {
    error.as_database_error().filter(|error| error.is_unique_violation())?.constraint()
}
