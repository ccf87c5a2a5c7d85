//! What a provider gives for the code that a browser brought back: its tokens, and who the user is.

use std::time::Duration;

use aws_lc_rs::hmac;
use http::header::ACCEPT;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::id_token::NonceRule;
use super::profile::Profile;
use super::provider::{Dialect, Provider};
use super::providers::{Connected, ProviderError};
use crate::kernel::outbound::{Request, Response};
use crate::kernel::secret::Secret;

/// The time for one request; there are up to three in the time of an action.
const TIME_LIMIT: Duration = Duration::from_secs(4);
/// The largest answer, in bytes.
const LARGEST: usize = 256 * 1024;

/// What a browser brings back.
pub(crate) struct Return<'a> {
    /// The code.
    pub(crate) code: &'a str,
    /// What the challenge at the start was made of.
    pub(crate) verifier: &'a str,
    /// What the ID token must hold.
    pub(crate) nonce: &'a str,
    /// What Apple says of a new user beside the token: a JSON text.
    pub(crate) user: Option<&'a str>,
}

/// The provider's tokens, for the application to use.
#[derive(Clone, Debug)]
pub(crate) struct ProviderTokens {
    /// The access token.
    pub(crate) access: Secret,
    /// The refresh token.
    pub(crate) refresh: Option<Secret>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    id_token: Option<Secret>,
    error: Option<String>,
}

impl Connected {
    /// Where users sign in, and whether it takes a nonce.
    pub(crate) async fn authorization_endpoint(&self) -> Result<(Url, bool), ProviderError> {
        match (&self.provider.endpoints, &self.provider.issuer) {
            (Some(endpoints), _) => Ok((endpoints.authorization.clone(), false)),
            (None, Some(issuer)) => {
                let described = self.documents.description(issuer).await?;
                Ok((described.authorization_endpoint.0.clone(), true))
            }
            (None, None) => Err(ProviderError::Malformed("it has no address".to_owned())),
        }
    }

    /// Exchanges a code.
    pub(crate) async fn exchange(
        &self,
        back: &Return<'_>,
        now: i64,
    ) -> Result<(ProviderTokens, Profile), ProviderError> {
        let provider = &self.provider;
        let (endpoint, userinfo, basic) = match (&provider.endpoints, &provider.issuer) {
            (Some(endpoints), _) => (endpoints.token.clone(), Some(endpoints.user.clone()), false),
            (None, Some(issuer)) => {
                let described = self.documents.description(issuer).await?;
                let endpoint = described.token_endpoint.as_ref().map(|address| address.0.clone());
                let endpoint = endpoint
                    .ok_or_else(|| ProviderError::Malformed("it has no token endpoint".to_owned()))?;
                let methods = &described.token_endpoint_auth_methods_supported;
                // Without a list it is `client_secret_basic` (Discovery section 3).
                let posts = methods.iter().any(|method| method == "client_secret_post");
                (endpoint, described.userinfo_endpoint.as_ref().map(|address| address.0.clone()), !posts)
            }
            (None, None) => return Err(ProviderError::Malformed("it has no address".to_owned())),
        };
        let answer = self.client.send(token_request(provider, endpoint, back, basic)).await?;
        let answer = tokens(&answer)?;
        let access = answer.access_token.filter(|token| !token.is_empty());
        let access = access.ok_or_else(|| ProviderError::Malformed("no access token".to_owned()))?;
        let profile = match provider.dialect {
            Dialect::Oidc => {
                let id_token = answer.id_token.ok_or_else(|| missing("no ID token"))?;
                self.signed_profile(id_token.expose(), (&access, userinfo), back, now).await?
            }
            _ => self.api_profile(&access, userinfo).await?,
        };
        Ok((ProviderTokens { access, refresh: answer.refresh_token }, profile))
    }

    /// From the ID token, and from the userinfo endpoint what is not in it.
    async fn signed_profile(
        &self,
        id_token: &str,
        (access, userinfo): (&Secret, Option<Url>),
        back: &Return<'_>,
        now: i64,
    ) -> Result<Profile, ProviderError> {
        let nonce = NonceRule::Exactly(back.nonce);
        let mut profile = self.verify(id_token, nonce, Some(access.expose()), now).await?;
        if let Some(Apple { name: Some(name) }) = back.user.and_then(|text| serde_json::from_str(text).ok()) {
            profile = profile.named(&name.first_name, &name.last_name);
        }
        match userinfo {
            Some(userinfo) if profile.email.is_none() || !profile.has_name() => {
                let claims: Map<String, Value> = self.ask(userinfo, access).await?;
                Ok(profile.completed(Profile::from_claims(&claims, self.provider.email_rule)?)?)
            }
            _ => Ok(profile),
        }
    }

    /// From an API of the provider's own.
    async fn api_profile(&self, access: &Secret, user: Option<Url>) -> Result<Profile, ProviderError> {
        let mut place = user.ok_or_else(|| missing("no address for users"))?;
        if self.provider.dialect == Dialect::Facebook {
            place.query_pairs_mut().append_pair("appsecret_proof", &self.proof(access));
        }
        let user: Map<String, Value> = self.ask(place.clone(), access).await?;
        let profile = match self.provider.dialect {
            Dialect::GitHub => {
                let emails = Url::parse(&format!("{place}/emails"));
                let emails = emails.map_err(|_| missing("no address for mail addresses"))?;
                let emails: Vec<Value> = self.ask(emails, access).await?;
                Profile::from_github(&user, &emails)
            }
            Dialect::GitLab => Profile::from_gitlab(&user),
            Dialect::Discord => Profile::from_discord(&user),
            Dialect::Facebook | Dialect::Oidc => Profile::from_facebook(&user),
        };
        Ok(profile?)
    }

    /// Shows Facebook that the token is used by who has the secret, and not by who has stolen the token.
    fn proof(&self, access: &Secret) -> String {
        let secret = self.provider.client_secret.as_ref().map_or("", Secret::expose);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex::encode(hmac::sign(&key, access.expose().as_bytes()))
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        place: Url,
        access: &Secret,
    ) -> Result<T, ProviderError> {
        let request = bounded(Request::get(place)).bearer_auth(access);
        let answer = self.client.send(request).await?;
        if !answer.status.is_success() {
            return Err(ProviderError::Refused(format!("status {}", answer.status.as_u16())));
        }
        answer.json().map_err(|_| missing("the profile is no JSON of the expected kind"))
    }
}

/// What Apple sends beside the code.
#[derive(Deserialize)]
struct Apple {
    name: Option<AppleName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppleName {
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
}

fn missing(what: &str) -> ProviderError {
    ProviderError::Malformed(what.to_owned())
}

fn bounded(request: Request) -> Request {
    let json = HeaderValue::from_static("application/json");
    request.header(ACCEPT, json).time_limit(TIME_LIMIT).size_limit(LARGEST)
}

/// The request for tokens (RFC 6749 section 4.1.3), our secret in a header or in the form.
fn token_request(provider: &Provider, endpoint: Url, back: &Return<'_>, basic: bool) -> Request {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", back.code),
        ("redirect_uri", &provider.redirect_uri),
        ("code_verifier", back.verifier),
    ];
    match &provider.client_secret {
        Some(secret) if basic => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let password = Secret::new(encoded(secret.expose()));
            bounded(Request::form(endpoint, fields)).basic_auth(&encoded(provider.client_id()), &password)
        }
        secret => {
            fields.push(("client_id", provider.client_id()));
            if let Some(secret) = secret {
                fields.push(("client_secret", secret.expose()));
            }
            bounded(Request::form(endpoint, fields))
        }
    }
}

/// The answer; GitHub refuses with 200.
fn tokens(answer: &Response) -> Result<TokenAnswer, ProviderError> {
    let read = answer.json::<TokenAnswer>();
    let refusal = |error: Option<&str>| {
        let word = error.unwrap_or("no reason given").chars().filter(char::is_ascii_graphic).take(64);
        ProviderError::Refused(format!("status {}, {}", answer.status.as_u16(), word.collect::<String>()))
    };
    match read {
        Ok(TokenAnswer { error: Some(error), .. }) => Err(refusal(Some(&error))),
        Ok(tokens) if answer.status == StatusCode::OK => Ok(tokens),
        Err(_) if answer.status == StatusCode::OK => {
            Err(missing("the tokens are no JSON of the expected kind"))
        }
        _ => Err(refusal(None)),
    }
}
