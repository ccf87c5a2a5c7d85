//! Tokens in signed URLs (contract section 4): what they open, and that they open nothing else (threat H03).
//!
//! Their key is derived from the root secret, so that none is an access token and none of those opens a URL. They have no
//! `role` either, and access tokens no `scope`.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::begun_by::BegunBy;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::storage) enum Scope {
    /// To read an object.
    Download,
    /// To write one.
    Upload,
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct UrlClaims {
    /// `<bucket>/<key>`.
    pub(in crate::storage) url: String,
    /// What it is for.
    pub(in crate::storage) scope: Scope,
    /// When it was made, in seconds since the Unix epoch.
    pub(in crate::storage) iat: i64,
    /// When it ends.
    pub(in crate::storage) exp: i64,
    /// Whose the object is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) owner: Option<String>,
    /// Who signed it, if that is no user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) by: Option<String>,
    /// Whether an object that is there may be replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::storage) upsert: bool,
    /// How an image is to be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) transformations: Option<String>,
    /// The format of that image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) format: Option<String>,
}

impl UrlClaims {
    /// Who signed it, as uploads in several requests know whoever began them.
    pub(in crate::storage) fn signer(&self) -> String {
        let user = || self.owner.as_deref().map(|owner| BegunBy::user(owner).to_string());
        self.by.clone().or_else(user).unwrap_or_default()
    }
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum TokenRefusal {
    /// There is none.
    Missing,
    /// It is none of ours.
    Invalid,
    /// It has ended.
    Expired,
    /// It is for something else.
    OtherUse,
}

/// Signs tokens with one key, and checks them with those before it too.
#[derive(Clone)]
pub(in crate::storage) struct UrlKey {
    signs: EncodingKey,
    checks: Vec<DecodingKey>,
}

impl UrlKey {
    /// With keys of any length: the one that signs, and older ones whose tokens still count.
    pub(in crate::storage) fn new(key: &[u8], older: &[Vec<u8>]) -> Self {
        let all = std::iter::once(key).chain(older.iter().map(Vec::as_slice));
        Self { signs: EncodingKey::from_secret(key), checks: all.map(DecodingKey::from_secret).collect() }
    }

    /// The token with these claims.
    pub(in crate::storage) fn sign(&self, claims: &UrlClaims) -> Option<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signs).ok()
    }

    /// The claims of a token for `scope` on `url`, if it is good at the second `now`.
    pub(in crate::storage) fn check(
        &self,
        token: &str,
        (scope, url): (Scope, &str),
        now: i64,
    ) -> Result<UrlClaims, TokenRefusal> {
        if token.is_empty() {
            return Err(TokenRefusal::Missing);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The time is ours to check: by the server's clock, without leeway.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let read = |key| jsonwebtoken::decode::<UrlClaims>(token, key, &validation).ok();
        let claims = self.checks.iter().find_map(read).ok_or(TokenRefusal::Invalid)?.claims;
        if claims.exp <= now {
            return Err(TokenRefusal::Expired);
        }
        if claims.scope != scope || claims.url != url {
            return Err(TokenRefusal::OtherUse);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(scope: Scope) -> UrlClaims {
        UrlClaims {
            url: "b/a.txt".into(),
            scope,
            iat: 0,
            exp: 100,
            owner: None,
            by: None,
            upsert: false,
            transformations: None,
            format: None,
        }
    }

    #[test]
    fn a_token_opens_what_it_was_made_for_and_nothing_else() {
        let key = UrlKey::new(b"a key of the project", &[]);
        for made in [Scope::Download, Scope::Upload] {
            let token = key.sign(&claims(made)).unwrap();
            for asked in [Scope::Download, Scope::Upload] {
                for url in ["b/a.txt", "b/b.txt", "c/a.txt", "b/a.txt/", "b"] {
                    let opens = key.check(&token, (asked, url), 50).is_ok();
                    assert_eq!(opens, made == asked && url == "b/a.txt", "{made:?} {asked:?} {url}");
                }
            }
        }
    }

    #[test]
    fn a_token_ends_and_those_of_others_never_begin() {
        let key = UrlKey::new(b"a key of the project", &[]);
        let token = key.sign(&claims(Scope::Download)).unwrap();
        let check = |key: &UrlKey, token: &str, now| key.check(token, (Scope::Download, "b/a.txt"), now);
        assert!(check(&key, &token, 99).is_ok());
        assert_eq!(check(&key, &token, 100), Err(TokenRefusal::Expired));
        assert_eq!(check(&UrlKey::new(b"another key", &[]), &token, 50), Err(TokenRefusal::Invalid));
        assert_eq!(check(&key, "", 50), Err(TokenRefusal::Missing));
        for broken in ["a", "a.b.c", "e30.e30.", &token[..token.len() - 1], &format!("{token}x")] {
            assert_eq!(check(&key, broken, 50), Err(TokenRefusal::Invalid), "{broken}");
        }
    }

    #[test]
    fn a_token_of_an_older_key_counts_while_that_is_listed() {
        let token = UrlKey::new(b"old", &[]).sign(&claims(Scope::Download)).unwrap();
        let check = |key: &UrlKey| key.check(&token, (Scope::Download, "b/a.txt"), 50);
        assert!(check(&UrlKey::new(b"new", &[b"older".to_vec(), b"old".to_vec()])).is_ok());
        assert_eq!(check(&UrlKey::new(b"new", &[b"older".to_vec()])), Err(TokenRefusal::Invalid));
    }

    #[test]
    fn an_access_token_is_no_token_for_a_url() {
        let key = UrlKey::new(b"a key of the project", &[]);
        let access = serde_json::json!({ "role": "authenticated", "sub": "x", "exp": 100, "iat": 0 });
        let access = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &access,
            &EncodingKey::from_secret(b"a key of the project"),
        )
        .unwrap();
        assert_eq!(key.check(&access, (Scope::Download, "b/a.txt"), 50), Err(TokenRefusal::Invalid));
    }
}
