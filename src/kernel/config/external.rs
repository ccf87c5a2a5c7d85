//! Configuration of the identity providers that users may sign in with. It holds what is written; `auth::oauth` turns it
//! into providers.

use super::schema::section;
use crate::kernel::secret::Secret;

section! {
    /// An identity provider.
    pub struct ExternalProviderConfig {
        /// Whether users may sign in with it.
        pub enabled: bool = true;
        /// Id of this application with the provider. Several, with commas between, where its apps have ids of their own: the
        /// first is the one of the web, tokens of all are taken.
        pub client_id: String = String::new();
        /// Secret of this application with the provider.
        pub client_secret: Option<Secret> = None;
        /// Where the provider is: its issuer (OpenID Connect), or the address of a GitHub or GitLab of your own. Needed unless
        /// the provider is a known one.
        pub url: Option<String> = None;
        /// Scopes to ask for besides those that a sign-in needs.
        pub scopes: Vec<String> = Vec::new();
        /// Where the provider sends users back to, if that is not `/auth/v1/callback` of this server.
        pub redirect_uri: Option<String> = None;
        /// Whether ID tokens need not hold the nonce that was asked for.
        pub skip_nonce_check: bool = false;
        /// Whether users without an e-mail address may sign in.
        pub email_optional: bool = false;
        /// Microsoft: ids of the tenants whose users may sign in; empty: all that `url` stands for.
        pub tenants: Vec<String> = Vec::new();
    }
}
