//! What the configuration comes to for accounts: defaults of the profile filled in, addresses made whole. Pure.

use chrono::Duration;
use url::Url;

use crate::kernel::config::{AuthConfig, AuthProfile, Enumeration};

/// The rules of accounts.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// The configuration, for what needs no more thought.
    pub config: AuthConfig,
    /// The service's own address.
    pub external_url: Url,
    /// Where links lead to when nothing else is asked for.
    pub site_url: String,
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`.
    pub audience: String,
    /// Life of an access token.
    pub access_token_lifetime: Duration,
    /// Whether answers tell nothing of accounts that exist.
    pub hides_accounts: bool,
    /// Fewest characters of a password.
    pub password_min_length: u16,
    /// The role of signed-in users.
    pub authenticated_role: &'static str,
    /// The role of servers.
    pub service_role: &'static str,
}

impl AuthSettings {
    /// Fills in what the profile and the server's address say.
    /// `external_url` is the service as clients see it, as in `https://api.example.com/auth/v1`.
    pub fn new(config: &AuthConfig, external_url: Url) -> Self {
        let is_strict = config.profile == AuthProfile::Strict;
        let lifetime = config.access_token_lifetime.map(|span| span.get().as_secs());
        let lifetime = lifetime.unwrap_or(if is_strict { 900 } else { 3600 });
        let hides = config.enumeration.map(|told| told == Enumeration::Strict);
        Self {
            site_url: config.site_url.clone().unwrap_or_else(|| external_url.origin().ascii_serialization()),
            issuer: config.issuer.clone().unwrap_or_else(|| external_url.to_string()),
            audience: config.jwt_audience.clone().unwrap_or_else(|| "authenticated".to_owned()),
            external_url,
            access_token_lifetime: Duration::seconds(i64::try_from(lifetime).unwrap_or(3600)),
            hides_accounts: hides.unwrap_or(is_strict),
            password_min_length: config.password.min_length.unwrap_or(if is_strict { 8 } else { 6 }),
            authenticated_role: "authenticated",
            service_role: "service_role",
            config: config.clone(),
        }
    }

    /// The audience of the tokens of an account: the one that they are checked against, where one is configured.
    pub(crate) fn audience_of<'a>(&'a self, account: &'a str) -> &'a str {
        if self.config.jwt_audience.is_some() { &self.audience } else { account }
    }

    /// How long a session may last and lie idle; none for no end.
    pub fn session_limits(&self) -> (Option<Duration>, Option<Duration>) {
        let sessions = &self.config.sessions;
        let limit = |span: crate::kernel::config::TimeSpan| {
            let seconds = i64::try_from(span.get().as_secs()).unwrap_or(i64::MAX / 1000);
            (seconds > 0).then(|| Duration::seconds(seconds))
        };
        (limit(sessions.lifetime), limit(sessions.inactivity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Url {
        Url::parse("https://api.example.com/auth/v1").unwrap()
    }

    #[test]
    fn the_strict_profile_shortens_tokens_lengthens_passwords_and_hides_accounts() {
        let standard = AuthSettings::new(&AuthConfig::default(), place());
        let strict = AuthConfig { profile: AuthProfile::Strict, ..AuthConfig::default() };
        let strict = AuthSettings::new(&strict, place());
        let facts = |settings: &AuthSettings| {
            let lifetime = settings.access_token_lifetime.num_seconds();
            (lifetime, settings.password_min_length, settings.hides_accounts)
        };

        assert_eq!(facts(&standard), (3600, 6, false));
        assert_eq!(facts(&strict), (900, 8, true));
        assert_eq!(standard.issuer, "https://api.example.com/auth/v1");
    }
}
