//! All configured providers, each with the documents of its issuer and the client that everything outbound goes by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::documents::Documents;
use super::id_token::{IdTokenError, NonceRule, Unverified};
use super::profile::{Profile, ProfileError};
use super::provider::{Issuer, IssuerRule, Provider, ProviderConfigError};
use crate::kernel::clock::Clock;
use crate::kernel::config::ExternalProviderConfig;
use crate::kernel::outbound::{OutboundClient, OutboundError};

/// Why a provider is of no help. For the log: users are told less.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Outbound(#[from] OutboundError),
    /// It answers, but not now.
    #[error("is not available: {0}")]
    Unavailable(String),
    /// It refuses the code, or our own credentials.
    #[error("refuses: {0}")]
    Refused(String),
    /// It answers something that its protocol does not know.
    #[error("answers something else than expected: {0}")]
    Malformed(String),
    /// Its ID token does not pass.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// What it says of the user names no user.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl ProviderError {
    /// Whether it may be another time.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Outbound(_) | Self::Unavailable(_))
    }
}

/// A provider with what it takes to speak to it.
pub(crate) struct Connected {
    /// The provider.
    pub(crate) provider: Provider,
    pub(super) client: OutboundClient,
    pub(super) documents: Documents,
}

/// The providers that users may sign in with; cheap to clone.
#[derive(Clone)]
pub struct Providers(Arc<BTreeMap<String, Connected>>);

impl Providers {
    /// Reads the configuration; the error names the provider. `callback` is where our own answer to providers is.
    pub fn new(
        config: &BTreeMap<String, ExternalProviderConfig>,
        callback: &str,
        client: &OutboundClient,
        clock: &Clock,
    ) -> Result<Self, (String, ProviderConfigError)> {
        let enabled = config.iter().filter(|(_, config)| config.enabled);
        let connected = enabled.map(|(name, config)| {
            let provider = Provider::new(name, config, callback).map_err(|error| (name.clone(), error))?;
            let documents = Documents::new(client.clone(), clock.clone());
            Ok((name.clone(), Connected { provider, client: client.clone(), documents }))
        });
        Ok(Self(Arc::new(connected.collect::<Result<_, _>>()?)))
    }

    /// The provider of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Connected> {
        self.0.get(name)
    }

    /// The provider of an issuer where one of our ids is this: for clients that do not know our names.
    pub(crate) fn by_issuer(&self, issuer: &str, client_id: &str) -> Option<&Connected> {
        self.0.values().find(|connected| {
            let provider = &connected.provider;
            let is_issuer = provider.issuer.as_ref().is_some_and(|known| may_be(known, issuer));
            is_issuer && provider.client_ids.iter().any(|id| id == client_id)
        })
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Whether an issuer may be this one; its tokens are judged by the whole rule.
fn may_be(known: &Issuer, issuer: &str) -> bool {
    match &known.rule {
        IssuerRule::Exact(configured) => issuer.trim_end_matches('/') == configured,
        IssuerRule::Tenants(_) => {
            url::Url::parse(issuer).is_ok_and(|url| url.origin() == known.discovery.origin())
        }
    }
}

impl Connected {
    /// Who an ID token of this provider says that somebody is.
    pub(crate) async fn verify(
        &self,
        token: &str,
        nonce: NonceRule<'_>,
        access_token: Option<&str>,
        now: i64,
    ) -> Result<Profile, ProviderError> {
        let issuer = self.provider.issuer.as_ref().ok_or(IdTokenError::Issuer)?;
        let unverified = Unverified::parse(token)?;
        let described = self.documents.description(issuer).await?;
        let nonce = if self.provider.skip_nonce_check { NonceRule::Unchecked } else { nonce };
        unverified.check((&issuer.rule, &described.issuer), &self.provider.client_ids, nonce, now)?;
        if let Some(access_token) = access_token {
            unverified.check_access_token(access_token)?;
        }
        let key = (unverified.key_id.as_deref(), unverified.algorithm);
        let keys = self.documents.keys(&described, key).await?;
        if !keys.verifies(key, unverified.message, unverified.signature) {
            return Err(IdTokenError::Signature.into());
        }
        Ok(Profile::from_claims(&unverified.into_claims(), self.provider.email_rule)?)
    }
}
