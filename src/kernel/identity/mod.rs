//! Who is calling: API keys, access tokens, claims and the PostgreSQL role that follows from them.
//!
//! Everything here is computation on its arguments: no HTTP framework, no database, and the time comes from
//! [`crate::kernel::clock::Clock`]. Start at [`Identity::identify`]. What roles exist is told by a [`RoleTable`],
//! because the kernel must not know the catalog; the keys of users and of other backends by [`HeldKeys`].

pub mod api_keys;
pub mod authority;
pub mod caller;
mod claims;
mod held_keys;
mod networks;
mod older_role_path;
mod resolve;
pub mod role_path;
pub mod scope;
pub mod sessions;
mod signer;
mod signing_keys;
mod token_cache;
mod verified_claim;
mod verifier;

#[cfg(test)]
pub(crate) mod tests;

pub use api_keys::{KeyKind, KeyRing, ProjectKeys};
pub use authority::{Authority, Capability, ServersOnly};
pub use caller::{Caller, Claims, ClaimsError, IdentityError, TokenError, Via};
pub use held_keys::{HeldKeys, NoHeldKeys, Recognising};
pub use networks::{NETWORKS, Networks};
pub use resolve::{Credentials, Identity, IdentityOptions, KeyMode, RolePolicy, RoleTable, bearer_token};
pub use role_path::{RolePath, RolePathError};
pub use scope::{Scope, ScopeError, Scopes};
pub use sessions::{Account, SessionRefusal, SessionState, Sessions, Stateless};
pub use signer::{Signer, SignerError};
pub use signing_keys::SecretError;
pub use verified_claim::VerifiedClaim;
pub use verifier::{Verifier, VerifierOptions};
