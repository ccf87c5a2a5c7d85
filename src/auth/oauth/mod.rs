//! Signing in by other providers: OAuth 2.0 with PKCE (RFC 6749, RFC 7636), OpenID Connect, and the few large providers that
//! have an API of their own in its place.
//!
//! `provider` says who they are, from the configuration; `authorization` sends users there, `exchange` gets tokens and the
//! profile for the code that they bring back. `id_token`, `key_set` and `documents` judge ID tokens. `account` decides which
//! account a profile belongs to, `link` joins and parts the two at a user's wish.

pub(crate) mod account;
pub(crate) mod authorization;
mod documents;
mod exchange;
pub(crate) mod id_token;
mod key_set;
pub(crate) mod link;
pub(crate) mod profile;
mod provider;
mod providers;
#[cfg(test)]
mod tests;

pub(crate) use exchange::{ProviderTokens, Return};
pub(crate) use profile::Profile;
pub use provider::ProviderConfigError;
pub use providers::Providers;
pub(crate) use providers::{Connected, ProviderError};
