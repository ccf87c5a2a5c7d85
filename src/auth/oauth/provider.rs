//! The identity providers as configured: who they are, where they are, whose tokens count. Pure.

use url::Url;

use crate::kernel::config::ExternalProviderConfig;
use crate::kernel::secret::Secret;

/// How a provider speaks when a browser signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenID Connect: it describes itself, and signs what it says of users.
    Oidc,
    /// GitHub's API.
    GitHub,
    /// GitLab's API: applications that are registered for it need not allow `openid`.
    GitLab,
    /// Discord's API.
    Discord,
    /// Facebook's Graph API.
    Facebook,
}

/// What a provider asserts of the addresses that it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmailRule {
    /// The claim `email_verified`; absent is unverified.
    Claimed,
    /// Only addresses that the user has confirmed are told at all.
    AlwaysConfirmed,
    /// Microsoft: whoever administers a tenant may write any address; the claim `xms_edov` says that the tenant owns the
    /// domain.
    DomainOwned,
}

/// Which `iss` is the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerRule {
    /// Exactly the configured address.
    Exact(String),
    /// Microsoft: an address a tenant, on the configured host; of these tenants, or of all where none is named.
    Tenants(Vec<String>),
}

/// Who signs a provider's ID tokens.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// Where it describes itself (OpenID Connect Discovery 1.0 section 4).
    pub(crate) discovery: Url,
    /// What it calls itself.
    pub(crate) rule: IssuerRule,
}

/// Where a provider with an API of its own is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Where users sign in.
    pub(crate) authorization: Url,
    /// Where codes are exchanged.
    pub(crate) token: Url,
    /// Where it tells who the user is.
    pub(crate) user: Url,
}

/// A provider that users may sign in with.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// Its name in requests, identities and settings.
    pub(crate) name: String,
    /// How it speaks.
    pub(crate) dialect: Dialect,
    /// What it asserts of addresses.
    pub(crate) email_rule: EmailRule,
    /// Who signs its ID tokens; none where it has none.
    pub(crate) issuer: Option<Issuer>,
    /// Where it is spoken to; none where it says so itself.
    pub(crate) endpoints: Option<Endpoints>,
    /// Our ids: the web's first, then those of apps.
    pub(crate) client_ids: Vec<String>,
    /// Our secret.
    pub(crate) client_secret: Option<Secret>,
    /// Where it sends users back to.
    pub(crate) redirect_uri: String,
    /// What is asked for.
    pub(crate) scopes: Vec<String>,
    /// Whether it answers with a form (Apple does where a name is asked for).
    pub(crate) posts_answer: bool,
    /// Whether ID tokens need no nonce.
    pub(crate) skip_nonce_check: bool,
    /// Whether users need no address.
    pub(crate) email_optional: bool,
}

/// Why a provider cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderConfigError {
    /// The name is used for something else, or has characters that it must not have.
    #[error(
        "is no name for a provider: 1 to 50 of a-z, 0-9, _, - and :, and none of email, phone, anonymous, sso"
    )]
    Name,
    /// No id of ours.
    #[error("needs `client_id`")]
    ClientId,
    /// No secret of ours.
    #[error("needs `client_secret`")]
    ClientSecret,
    /// No address, or none that can be.
    #[error("needs `url`, the http or https address of its issuer, without query or fragment")]
    Url,
}

const GITHUB: (&str, &str) = ("https://github.com", "https://api.github.com");
const GITLAB: &str = "https://gitlab.com";
const DISCORD: &str = "https://discord.com";
const FACEBOOK: (&str, &str) = ("https://www.facebook.com", "https://graph.facebook.com");
const MICROSOFT: &str = "https://login.microsoftonline.com/common";
/// Issuers that are known by the provider's name.
const ISSUERS: [(&str, &str); 2] =
    [("google", "https://accounts.google.com"), ("apple", "https://appleid.apple.com")];

impl Provider {
    /// Reads the configuration of one. `callback` is where our own answer to providers is.
    pub(crate) fn new(
        name: &str,
        config: &ExternalProviderConfig,
        callback: &str,
    ) -> Result<Self, ProviderConfigError> {
        if !is_name(name) {
            return Err(ProviderConfigError::Name);
        }
        let client_ids: Vec<String> =
            config.client_id.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
        if client_ids.is_empty() {
            return Err(ProviderConfigError::ClientId);
        }
        let dialect = dialect(name);
        let client_secret = config.client_secret.clone().filter(|secret| !secret.is_empty());
        // A public client of an issuer has none.
        if client_secret.is_none() && dialect != Dialect::Oidc {
            return Err(ProviderConfigError::ClientSecret);
        }
        let scopes = default_scopes(name).iter().map(|scope| (*scope).to_owned());
        Ok(Self {
            name: name.to_owned(),
            dialect,
            email_rule: match name {
                "facebook" => EmailRule::AlwaysConfirmed,
                "azure" => EmailRule::DomainOwned,
                _ => EmailRule::Claimed,
            },
            issuer: issuer(name, config)?,
            endpoints: endpoints(dialect, config.url.as_deref())?,
            client_ids,
            client_secret,
            redirect_uri: config.redirect_uri.clone().unwrap_or_else(|| callback.to_owned()),
            scopes: scopes.chain(config.scopes.iter().cloned()).collect(),
            posts_answer: name == "apple",
            skip_nonce_check: config.skip_nonce_check,
            email_optional: config.email_optional,
        })
    }

    /// Our id on the web.
    pub(crate) fn client_id(&self) -> &str {
        self.client_ids.first().map_or("", String::as_str)
    }
}

/// Names that stand in `identities.provider` for something else are none.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-:".contains(&byte);
    let taken = matches!(name, "email" | "phone" | "anonymous" | "anonymous_users" | "sso" | "saml" | "web3");
    (1..=50).contains(&name.len()) && name.bytes().all(allowed) && !taken && !name.starts_with("sso:")
}

fn dialect(name: &str) -> Dialect {
    match name {
        "github" => Dialect::GitHub,
        "gitlab" => Dialect::GitLab,
        "discord" => Dialect::Discord,
        "facebook" => Dialect::Facebook,
        _ => Dialect::Oidc,
    }
}

fn default_scopes(name: &str) -> &'static [&'static str] {
    match name {
        "github" => &["user:email"],
        "gitlab" => &["read_user"],
        "discord" => &["identify", "email"],
        "facebook" => &["email"],
        "apple" => &["openid", "email", "name"],
        _ => &["openid", "email", "profile"],
    }
}

fn issuer(name: &str, config: &ExternalProviderConfig) -> Result<Option<Issuer>, ProviderConfigError> {
    let described = |base: &str| parse(&format!("{base}/.well-known/openid-configuration"));
    let known = ISSUERS.iter().find(|(known, _)| *known == name).map(|(_, address)| *address);
    let configured = config.url.as_deref().or(known);
    let issuer = match (name, dialect(name)) {
        (_, Dialect::GitHub | Dialect::GitLab | Dialect::Discord) => return Ok(None),
        (_, Dialect::Facebook) => {
            let base = config.url.as_deref().unwrap_or(FACEBOOK.0).trim_end_matches('/');
            Issuer { discovery: described(base)?, rule: IssuerRule::Exact(base.to_owned()) }
        }
        ("azure", Dialect::Oidc) => {
            let base = config.url.as_deref().unwrap_or(MICROSOFT).trim_end_matches('/');
            let base = base.strip_suffix("/v2.0").unwrap_or(base);
            let tenants = config.tenants.iter().map(|tenant| tenant.to_ascii_lowercase()).collect();
            Issuer { discovery: described(&format!("{base}/v2.0"))?, rule: IssuerRule::Tenants(tenants) }
        }
        (_, Dialect::Oidc) => {
            let address = configured.ok_or(ProviderConfigError::Url)?;
            let base = address.trim_end_matches('/');
            Issuer { discovery: described(base)?, rule: IssuerRule::Exact(base.to_owned()) }
        }
    };
    Ok(Some(issuer))
}

fn endpoints(dialect: Dialect, url: Option<&str>) -> Result<Option<Endpoints>, ProviderConfigError> {
    let own = url.map(|url| url.trim_end_matches('/'));
    let places = match dialect {
        Dialect::Oidc => return Ok(None),
        Dialect::GitHub => {
            let site = own.unwrap_or(GITHUB.0);
            let api = own.map_or_else(|| GITHUB.1.to_owned(), |own| format!("{own}/api/v3"));
            [
                format!("{site}/login/oauth/authorize"),
                format!("{site}/login/oauth/access_token"),
                format!("{api}/user"),
            ]
        }
        Dialect::GitLab => {
            let site = own.unwrap_or(GITLAB);
            [format!("{site}/oauth/authorize"), format!("{site}/oauth/token"), format!("{site}/api/v4/user")]
        }
        Dialect::Discord => {
            let site = own.unwrap_or(DISCORD);
            [
                format!("{site}/oauth2/authorize"),
                format!("{site}/api/oauth2/token"),
                format!("{site}/api/users/@me"),
            ]
        }
        Dialect::Facebook => {
            let (site, graph) = (own.unwrap_or(FACEBOOK.0), own.unwrap_or(FACEBOOK.1));
            [
                format!("{site}/dialog/oauth"),
                format!("{graph}/oauth/access_token"),
                format!("{graph}/me?fields=id,name,first_name,last_name,email,picture"),
            ]
        }
    };
    let [authorization, token, user] = places;
    Ok(Some(Endpoints { authorization: parse(&authorization)?, token: parse(&token)?, user: parse(&user)? }))
}

fn parse(address: &str) -> Result<Url, ProviderConfigError> {
    let url = Url::parse(address).map_err(|_| ProviderConfigError::Url)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.fragment().is_none();
    if plain { Ok(url) } else { Err(ProviderConfigError::Url) }
}
