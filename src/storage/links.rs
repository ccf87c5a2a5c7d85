//! Addresses of objects, for services that show them (`kernel::object_links`).

use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::kernel::clock::Clock;
use crate::kernel::object_links::ObjectLinks;
use crate::storage::model::token::{Scope, UrlClaims, UrlKey};

/// What cannot stand in the path of a URL, or would end it.
pub(super) const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%');

/// Makes addresses. Needs no running service: another node of the project may serve what they lead to.
pub struct Links {
    base: String,
    key: UrlKey,
    lifetime: i64,
    clock: Clock,
}

impl Links {
    /// Addresses below `base` (the service's URL without a slash at its end), signed for at most `lifetime` with the first
    /// of these keys.
    pub fn new(base: String, keys: &(Vec<u8>, Vec<Vec<u8>>), lifetime: Duration, clock: Clock) -> Self {
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX).max(2);
        Self { base, key: UrlKey::new(&keys.0, &keys.1), lifetime, clock }
    }
}

impl ObjectLinks for Links {
    fn public(&self, path: &str) -> String {
        format!("{}/object/public/{}", self.base, utf8_percent_encode(path, PATH))
    }

    /// All that are signed within half of the lifetime are alike, so that browsers find what they have fetched before.
    fn signed(&self, path: &str) -> Option<String> {
        let now = self.clock.unix_seconds();
        let begins = now - now.rem_euclid(self.lifetime / 2);
        let claims = UrlClaims {
            url: path.to_owned(),
            scope: Scope::Download,
            iat: begins,
            exp: begins.saturating_add(self.lifetime),
            owner: None,
            by: None,
            upsert: false,
            transformations: None,
            format: None,
        };
        let token = self.key.sign(&claims)?;
        Some(format!("{}/object/sign/{}?token={token}", self.base, utf8_percent_encode(path, PATH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::model::token::TokenRefusal;

    #[test]
    fn a_signed_url_opens_its_object_for_half_of_the_lifetime_at_least() {
        let keys = (b"key".to_vec(), Vec::new());
        let at = |now| {
            let clock = Clock::manual(now);
            Links::new("http://x/storage/v1".into(), &keys, Duration::from_mins(1), clock)
        };
        let url = at(89).signed("b/a b%.txt").unwrap();
        let (path, token) = url.split_once("?token=").unwrap();
        assert_eq!(path, "http://x/storage/v1/object/sign/b/a%20b%25.txt");
        assert_eq!(at(60).signed("b/a b%.txt").unwrap(), url);
        assert_ne!(at(90).signed("b/a b%.txt").unwrap(), url);
        let check = |url, now| UrlKey::new(b"key", &[]).check(token, (Scope::Download, url), now);
        assert!(check("b/a b%.txt", 119).is_ok());
        assert_eq!(check("b/a b%.txt", 120), Err(TokenRefusal::Expired));
        assert_eq!(check("b/other.txt", 100), Err(TokenRefusal::OtherUse));
        assert_eq!(at(0).public("b/é#.txt"), "http://x/storage/v1/object/public/b/%C3%A9%23.txt");
    }
}
