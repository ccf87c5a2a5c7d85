//! The tokens of auth: how each is made, recognised, kept at rest and judged.
//!
//! Everything here is pure. Random bytes and the time come in as arguments, keys come from
//! [`RootSecrets`](crate::kernel::vault::RootSecrets), and nothing that leaves for the database can be used
//! as a token.

pub mod api_key;
pub mod one_time;
pub mod pkce;
pub mod recovery_code;
pub mod refresh;
pub mod rotation;
