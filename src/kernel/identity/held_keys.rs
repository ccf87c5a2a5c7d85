//! Whom API keys of users and of other backends speak for (`gf_...`, and UUIDs that an import brought): a port, because
//! these keys are the auth service's.
//!
//! A key counts as the token would that it can be exchanged for: the same role, claims, scopes and networks.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::api_keys::HELD_PREFIX;
use super::caller::{Caller, IdentityError};

/// The answer of [`HeldKeys::caller`].
pub type Recognising<'a> = Pin<Box<dyn Future<Output = Result<Arc<Caller>, IdentityError>> + Send + 'a>>;

/// Who knows these keys.
pub trait HeldKeys: Send + Sync {
    /// Whom a key speaks for that is used from an address. May be remembered for at most a second. Fails with
    /// [`IdentityError::KeysUnavailable`] within a bounded time.
    fn caller<'a>(&'a self, key: &'a str, address: IpAddr) -> Recognising<'a>;
}

/// A server without accounts: it knows none, and says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeldKeys;

impl HeldKeys for NoHeldKeys {
    fn caller<'a>(&'a self, _: &'a str, _: IpAddr) -> Recognising<'a> {
        Box::pin(std::future::ready(Err(IdentityError::KeyUnknowable)))
    }
}

/// Whether a text has the form of such a key: the prefix of ours, or a UUID's form. No token has either.
pub(super) fn is_held_key(text: &str) -> bool {
    text.starts_with(HELD_PREFIX)
        || (text.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(text).is_ok())
}
