//! Configuration of identity: how tokens are verified and which API keys exist. It holds the material as
//! written; `kernel::identity` turns it into keys.

use super::schema::section;
use crate::kernel::secret::Secret;

section! {
    /// Tokens and API keys.
    pub struct AuthConfig {
        /// Secret that signs and verifies tokens (HS256), at least 32 bytes; or a JWK or JWKS as JSON text; or
        /// `@file`. The embedded database generates one and keeps it in the data directory.
        pub jwt_secret: Option<Secret> = None, as "jwt-secret";
        /// Whether `jwt_secret` is base64 of the real secret.
        pub jwt_secret_is_base64: bool = false, as "jwt-secret-is-base64";
        /// Audience that a token's `aud` must hold, where it has one.
        pub jwt_audience: Option<String> = None, as "jwt-aud";
        /// JSON path of the claim that holds the role.
        pub jwt_role_claim_path: String = "$.role".to_owned(), as "jwt-role-claim-key";
        /// Verified tokens that are remembered; 0 turns that off.
        pub jwt_cache_entries: usize = 10_000, in 0, 10_000_000, as "jwt-cache-max-entries", profile 1_000;
        /// Whether a user's token without `exp` is refused.
        pub require_expiry: bool = true, profile false;
        /// API key of anonymous callers; made from `jwt_secret` unless set.
        pub anon_key: Option<Secret> = None;
        /// API key of servers that may do everything; made from `jwt_secret` unless set.
        pub service_role_key: Option<Secret> = None;
        /// API key of the form `sb_publishable_...` that stands for the anonymous role.
        pub publishable_key: Option<Secret> = None;
        /// API key of the form `sb_secret_...` that stands for the service role.
        pub secret_key: Option<Secret> = None;
        /// Whether a request needs a valid API key. Unless set: yes, except in development, where a request
        /// without one, or with an unknown one, is anonymous.
        pub require_api_key: Option<bool> = None, profile Some(false);
    }
}
