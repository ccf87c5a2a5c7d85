//! Sending a browser to a provider (RFC 6749 section 4.1.1, RFC 7636). Pure.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;
use uuid::Uuid;

use super::provider::Provider;

/// Parameters that are ours to set: a caller who set them could have codes sent elsewhere or checks left out (threat D06).
/// `request` and its like stand for all others at once (OpenID Connect Core 1.0 section 6).
const RESERVED: [&str; 27] = [
    "apikey",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "invite_token",
    "nonce",
    "provider",
    "redirect_to",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "scopes",
    "skip_http_redirect",
    "state",
    "dpop_jkt",
    "id_token_hint",
    "claims",
];

/// The most parameters of the caller's own.
const MOST_PARAMETERS: usize = 20;
/// The longest of them, name and value each, in bytes.
const LONGEST: usize = 1024;

/// What a client asks for at the start of a sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The provider's name.
    pub(crate) provider: String,
    /// Scopes besides those of the configuration, with spaces between.
    pub(crate) scopes: String,
    /// Where to go in the end.
    pub(crate) redirect_to: Option<String>,
    /// What the client has shown, under PKCE.
    pub(crate) code_challenge: Option<String>,
    /// How.
    pub(crate) code_challenge_method: Option<String>,
    /// Whether the answer is the address instead of a redirect to it.
    pub(crate) skips_redirect: bool,
    /// What the provider is to get as it is.
    pub(crate) forwarded: Vec<(String, String)>,
}

impl Wanted {
    /// Reads a query. Of several parameters of a name the first counts.
    pub(crate) fn parse(query: &str) -> Self {
        let mut wanted = Self::default();
        let parameters: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let first = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        wanted.provider = first("provider").unwrap_or_default();
        wanted.scopes = first("scopes").unwrap_or_default();
        wanted.redirect_to = first("redirect_to");
        wanted.code_challenge = first("code_challenge");
        wanted.code_challenge_method = first("code_challenge_method");
        wanted.skips_redirect = first("skip_http_redirect").as_deref() == Some("true");
        for (name, value) in parameters {
            let is_free = !RESERVED.contains(&name.to_ascii_lowercase().as_str());
            let is_new = !wanted.forwarded.iter().any(|(known, _)| *known == name);
            let fits = !name.is_empty() && name.len() <= LONGEST && value.len() <= LONGEST;
            if is_free && is_new && fits && wanted.forwarded.len() < MOST_PARAMETERS {
                wanted.forwarded.push((name, value));
            }
        }
        wanted
    }
}

/// The address at the provider. `nonce` goes to issuers of ID tokens only.
pub(crate) fn address(
    provider: &Provider,
    endpoint: &Url,
    (flow, verifier, nonce): (Uuid, &str, Option<&str>),
    wanted: &Wanted,
) -> Url {
    let mut url = endpoint.clone();
    let scope = scopes(provider, &wanted.scopes);
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", provider.client_id())
            .append_pair("redirect_uri", &provider.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("scope", &scope)
            .append_pair("state", &flow.to_string())
            .append_pair("code_challenge", &challenge(verifier))
            .append_pair("code_challenge_method", "S256");
        if let Some(nonce) = nonce {
            query.append_pair("nonce", nonce);
        }
        if provider.posts_answer {
            query.append_pair("response_mode", "form_post");
        }
        query.extend_pairs(&wanted.forwarded);
    }
    url
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The configured scopes and those asked for, each once.
fn scopes(provider: &Provider, asked: &str) -> String {
    let is_scope = |scope: &&str| {
        let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        !scope.is_empty() && scope.len() <= 256 && scope.bytes().all(fits)
    };
    let mut scopes: Vec<&str> = provider.scopes.iter().map(String::as_str).collect();
    for scope in asked.split([' ', ',']).filter(is_scope).take(MOST_PARAMETERS) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes.join(" ")
}

/// What a flow must know again when the browser comes back. Both follow from a key outside of the database and the flow's
/// id, so they are stored nowhere.
pub(crate) struct FlowSecrets {
    /// What the challenge towards the provider is made of.
    pub(crate) verifier: String,
    /// What the ID token must hold.
    pub(crate) nonce: String,
}

impl FlowSecrets {
    /// `digest` gives the keyed digest of the flow's id for a purpose.
    pub(crate) fn derive(digest: impl Fn(&str) -> [u8; 32]) -> Self {
        Self {
            verifier: URL_SAFE_NO_PAD.encode(digest("provider code verifier")),
            nonce: hex::encode(digest("provider nonce")),
        }
    }
}
