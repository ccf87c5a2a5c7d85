//! What an issuer publishes of itself: its description (OpenID Connect Discovery 1.0) and its keys, fetched when needed and
//! kept. An issuer that is down, slow or answers with too much costs at most one request a minute, and nobody who can be
//! served with what is known already (threat J06).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use url::Url;

use super::key_set::KeySet;
use super::provider::{Issuer, IssuerRule};
use super::providers::ProviderError;
use crate::kernel::clock::Clock;
use crate::kernel::outbound::{OutboundClient, Request};

/// The largest document, in bytes.
const LARGEST: usize = 256 * 1024;
/// The time for one document.
const TIME_LIMIT: Duration = Duration::from_secs(4);
/// How long a description counts, in seconds.
const DESCRIPTION_LIFE: i64 = 3600;
/// How long keys count, in seconds.
const KEYS_LIFE: i64 = 600;
/// Seconds between two tries, where something is known.
const SPACING: i64 = 60;
/// Seconds between two tries, where nothing is.
const FIRST_SPACING: i64 = 5;

/// An address in a document.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Address(pub(super) Url);

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.map(Self).ok_or("no http or https address")
    }
}

/// What an issuer says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Description {
    /// What it calls itself.
    pub(super) issuer: String,
    /// Where users sign in.
    pub(super) authorization_endpoint: Address,
    /// Where codes are exchanged; issuers that only hand out ID tokens have none.
    pub(super) token_endpoint: Option<Address>,
    /// Where it tells more of a user.
    pub(super) userinfo_endpoint: Option<Address>,
    /// Where its keys are.
    pub(super) jwks_uri: Address,
    /// How we may show who we are.
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
}

/// Something that is fetched and kept.
struct Kept<T> {
    slot: Mutex<Slot<T>>,
    refreshing: tokio::sync::Mutex<()>,
}

struct Slot<T> {
    value: Option<Arc<T>>,
    fetched_at: i64,
    tried_at: Option<i64>,
}

impl<T> Kept<T> {
    fn new() -> Self {
        let slot = Slot { value: None, fetched_at: 0, tried_at: None };
        Self { slot: Mutex::new(slot), refreshing: tokio::sync::Mutex::new(()) }
    }

    /// What is known, and whether it is time to ask.
    fn look(&self, now: i64, life: i64, must_be_newer: bool) -> (Option<Arc<T>>, bool) {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_wanted, spacing) = match &slot.value {
            None => (true, FIRST_SPACING),
            Some(_) => (must_be_newer || now >= slot.fetched_at + life, SPACING),
        };
        let may_ask = slot.tried_at.is_none_or(|tried_at| now >= tried_at + spacing || now < tried_at);
        (slot.value.clone(), is_wanted && may_ask)
    }

    /// The value: a new one where it is time for that and it can be had, else the old one. One caller asks; the others go
    /// on with the old value, or wait where there is none that will do.
    async fn get(
        &self,
        (now, life): (i64, i64),
        must_be_newer: bool,
        fetch: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<Arc<T>, ProviderError> {
        let nothing = || ProviderError::Unavailable("it did not answer a moment ago".to_owned());
        let (known, asks) = self.look(now, life, must_be_newer);
        let _turn = match known {
            Some(known) if !asks && !must_be_newer => return Ok(known),
            Some(known) if !must_be_newer => match self.refreshing.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(known),
            },
            _ => self.refreshing.lock().await,
        };
        let (known, asks) = self.look(now, life, must_be_newer);
        if !asks {
            return known.ok_or_else(nothing);
        }
        if known.is_some() {
            // Before the answer, so that a caller who goes away meanwhile does not make the next one ask again.
            self.note(|slot| slot.tried_at = Some(now));
        }
        let fetched = fetch.await;
        self.note(|slot| slot.tried_at = Some(now));
        match (fetched, known) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                self.note(|slot| (slot.value, slot.fetched_at) = (Some(Arc::clone(&value)), now));
                Ok(value)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "an identity provider cannot be asked; what is known of it counts on");
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Slot<T>)) {
        change(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The documents of one issuer.
pub(super) struct Documents {
    client: OutboundClient,
    clock: Clock,
    description: Kept<Description>,
    keys: Kept<KeySet>,
}

impl Documents {
    /// Nothing is known yet.
    pub(super) fn new(client: OutboundClient, clock: Clock) -> Self {
        Self { client, clock, description: Kept::new(), keys: Kept::new() }
    }

    /// What the issuer says of itself.
    pub(super) async fn description(&self, issuer: &Issuer) -> Result<Arc<Description>, ProviderError> {
        let fetch = async {
            let document = self.fetch(&issuer.discovery).await?;
            let described: Description = serde_json::from_slice(&document)
                .map_err(|error| ProviderError::Malformed(format!("its description: {error}")))?;
            if is_own_description(issuer, &described) {
                Ok(described)
            } else {
                Err(ProviderError::Malformed("its description is another issuer's".to_owned()))
            }
        };
        self.description.get((self.clock.unix_seconds(), DESCRIPTION_LIFE), false, fetch).await
    }

    /// Its keys; newer ones, if they can be had, where the one that a token names is not among them.
    pub(super) async fn keys(
        &self,
        described: &Description,
        (id, algorithm): (Option<&str>, Algorithm),
    ) -> Result<Arc<KeySet>, ProviderError> {
        let at = (self.clock.unix_seconds(), KEYS_LIFE);
        let keys = self.keys.get(at, false, self.fetch_keys(described)).await?;
        if keys.has(id, algorithm) {
            return Ok(keys);
        }
        self.keys.get(at, true, self.fetch_keys(described)).await
    }

    async fn fetch_keys(&self, described: &Description) -> Result<KeySet, ProviderError> {
        let document = self.fetch(&described.jwks_uri.0).await?;
        KeySet::parse(&document).ok_or_else(|| ProviderError::Malformed("its keys".to_owned()))
    }

    async fn fetch(&self, url: &Url) -> Result<bytes::Bytes, ProviderError> {
        let request = Request::get(url.clone()).time_limit(TIME_LIMIT).size_limit(LARGEST).redirects(2);
        let answer = self.client.send(request).await?;
        if !answer.status.is_success() {
            return Err(ProviderError::Unavailable(format!("it answers {}", answer.status.as_u16())));
        }
        Ok(answer.body)
    }
}

/// A description must be of whom it was asked for (Discovery section 4.3); Microsoft's names tenants by their id, whatever
/// they were asked by.
fn is_own_description(issuer: &Issuer, described: &Description) -> bool {
    match &issuer.rule {
        IssuerRule::Exact(configured) => described.issuer.trim_end_matches('/') == configured,
        IssuerRule::Tenants(_) => {
            Url::parse(&described.issuer).is_ok_and(|url| url.origin() == issuer.discovery.origin())
        }
    }
}
