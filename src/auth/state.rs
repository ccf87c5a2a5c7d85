//! What the actions share.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::USER_AGENT;
use sqlx::PgPool;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::Uuid;

use super::captcha::Captcha;
use super::error::AuthError;
use super::hook::Hooks;
use super::key_cache::KeyCache;
use super::limits::AuthLimits;
use super::mfa::webauthn::RelyingParty;
use super::oauth::Providers;
use super::password::{PasswordError, PasswordHasher, PasswordPolicy, PasswordRefusal, Reason, Verdict};
use super::redirect::RedirectPolicy;
use super::refusal::Refusal;
use super::revocation::Revocations;
use super::settings::AuthSettings;
use super::token::api_key::ApiKeyMac;
use super::token::one_time::OneTimeMac;
use super::token::refresh::RefreshMac;
use crate::kernel::audit::AuditLog;
use crate::kernel::clock::Clock;
use crate::kernel::db::pool;
use crate::kernel::http::RequestContext;
use crate::kernel::identity::{Identity, Signer};
use crate::kernel::jobs::JobBell;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::vault::{RootSecrets, Vault};

/// What the service needs; cheap to clone.
#[derive(Clone)]
pub struct AuthState(Arc<Parts>);

impl std::ops::Deref for AuthState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// See [`AuthState`].
pub struct Parts {
    /// The rules of accounts.
    pub settings: AuthSettings,
    /// Connections of the login that owns the tables.
    pub pool: PgPool,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Issues access tokens; swapped when the keys are.
    pub signer: Arc<ArcSwap<Signer>>,
    /// Recognises callers.
    pub identity: Arc<Identity>,
    /// Makes and checks refresh tokens.
    pub refresh: RefreshMac,
    /// Makes and checks what is mailed.
    pub one_time: OneTimeMac,
    /// Makes what is stored of API keys.
    pub api_keys: ApiKeyMac,
    /// Whom API keys spoke for a moment ago.
    pub key_cache: KeyCache,
    /// What has ended a moment ago, here and on other nodes.
    pub revocations: Revocations,
    /// What the keys of everything else derive from.
    pub roots: RootSecrets,
    /// Encrypts what must be read again.
    pub vault: Arc<Vault>,
    /// Hashes passwords.
    pub hasher: PasswordHasher,
    /// Which passwords will do.
    pub passwords: PasswordPolicy,
    /// Where links may lead.
    pub redirects: RedirectPolicy,
    /// Who asks security keys; none where they are not used.
    pub relying_party: Option<RelyingParty>,
    /// Who else may say who somebody is.
    pub providers: Providers,
    /// How much of what is allowed in which time.
    pub limits: AuthLimits,
    /// Tells the worker that something is to be sent.
    pub bell: JobBell,
    /// Code of the operator's that takes part.
    pub hooks: Hooks,
    /// Asks whether somebody passed a captcha; none where nobody needs to.
    pub captcha: Option<Captcha>,
    /// Keeps what was done.
    pub audit: Arc<dyn AuditLog>,
}

/// A transaction of the service.
pub(crate) type Transaction = sqlx::Transaction<'static, Postgres>;

impl AuthState {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Parts {
    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.unix_millis()).unwrap_or_default()
    }

    /// A random id (RFC 9562 version 4).
    pub(crate) fn new_id(&self) -> Uuid {
        self.random.uuid()
    }

    /// A transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction, AuthError> {
        Ok(pool::begin(&self.pool).await?)
    }

    /// Ends a transaction in which something may have been put into the queue.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<(), AuthError> {
        transaction.commit().await?;
        self.bell.ring();
        Ok(())
    }

    /// A connection for single statements.
    pub(crate) async fn connection(&self) -> Result<sqlx::pool::PoolConnection<Postgres>, AuthError> {
        Ok(self.pool.acquire().await?)
    }

    /// A digest that only this project can compute, for looking something up by what must not be stored.
    pub(crate) fn digest(&self, purpose: &str, content: &[u8]) -> [u8; 32] {
        digest_under(self.roots.mac_keys(purpose).current(), content)
    }

    /// The same under every root secret that is recognised, the current one first: for looking up what may be older.
    pub(crate) fn digests(&self, purpose: &str, content: &[u8]) -> Vec<[u8; 32]> {
        self.roots.mac_keys(purpose).all().map(|key| digest_under(key, content)).collect()
    }

    /// What is stored of the code that ends a flow.
    pub(crate) fn auth_code_digest(&self, code: Uuid) -> String {
        hex::encode(self.digest(AUTH_CODE, code.as_bytes()))
    }

    /// What may be stored of a code that somebody brings.
    pub(crate) fn auth_code_digests(&self, code: Uuid) -> Vec<String> {
        self.digests(AUTH_CODE, code.as_bytes()).iter().map(hex::encode).collect()
    }

    /// A secret that was sealed for a flow.
    pub(crate) fn open(&self, flow: Uuid, sealed: Option<&str>) -> Result<Option<Secret>, AuthError> {
        let Some(sealed) = sealed else { return Ok(None) };
        let opened = self.vault.open(PROVIDER_TOKEN, &flow.to_string(), sealed);
        let opened = opened.map_err(|error| AuthError::Internal(error.to_string()))?;
        let text =
            String::from_utf8(opened.to_vec()).map_err(|error| AuthError::Internal(error.to_string()))?;
        Ok(Some(Secret::new(text)))
    }

    /// Whether a password may be chosen.
    pub(crate) async fn check_password(&self, password: &Secret) -> Result<(), AuthError> {
        match self.passwords.check(password).await {
            Ok(()) => Ok(()),
            Err(PasswordRefusal::Weak(weak)) => {
                let reasons = weak.reasons.iter().map(|reason| match reason {
                    Reason::Length => "length",
                    Reason::Characters => "characters",
                    Reason::Pwned => "pwned",
                });
                Err(AuthError::WeakPassword { reasons: reasons.collect(), message: weak.message })
            }
            Err(PasswordRefusal::Unusable(unusable)) => {
                Err(AuthError::WeakPassword { message: unusable.to_string(), reasons: vec!["length"] })
            }
            Err(refusal @ PasswordRefusal::Unchecked) => Err(AuthError::Unavailable(refusal.to_string())),
        }
    }

    /// The hash of a password that may be chosen.
    pub(crate) async fn hash_password(&self, password: &Secret) -> Result<String, AuthError> {
        self.hasher.hash(password).await.map_err(hashing)
    }

    /// Whether a password is the one of a stored hash.
    pub(crate) async fn verify_password(
        &self,
        password: &Secret,
        stored: &str,
    ) -> Result<Verdict, AuthError> {
        let verdict = self.hasher.verify(password, stored).await.map_err(hashing)?;
        if let Some(fault) = verdict.fault {
            tracing::error!(%fault, "a stored password hash cannot be used");
        }
        Ok(verdict)
    }

    /// Takes as long as that, for users that there are not.
    pub(crate) async fn verify_nobody(&self, password: &Secret) -> Result<(), AuthError> {
        self.hasher.verify_nobody(password).await.map(drop).map_err(hashing)
    }
}

/// What the tokens of identity providers are sealed for.
pub(crate) const PROVIDER_TOKEN: &str = "provider token";
/// What the digests of codes that end flows are for.
const AUTH_CODE: &str = "auth code mac";

fn digest_under(key: &hmac::Key, content: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(hmac::sign(key, content).as_ref());
    digest
}

fn hashing(error: PasswordError) -> AuthError {
    match error {
        PasswordError::Busy | PasswordError::Failed => AuthError::Unavailable(error.to_string()),
        // Nobody has such a password, and it says nothing of the account.
        PasswordError::Unusable(_) => Refusal::InvalidCredentials.into(),
    }
}

/// Where a request comes from, and what its client wants with a session.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The client's address.
    pub(crate) ip: IpAddr,
    /// The client's program, as it calls itself; cut to a sane length.
    pub(crate) user_agent: Option<String>,
    /// The value of `X-Request-Id`.
    pub(crate) request_id: String,
    /// Whether the client wants an API key with the session that it begins or raises, which ends with it.
    pub(crate) wants_api_key: bool,
}

/// The longest part of a `User-Agent` that is kept, in characters.
const LONGEST_AGENT: usize = 256;

impl Origin {
    /// Of a request that the gateway has seen.
    pub(crate) fn of(context: &RequestContext, headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let fitting = |agent: &str| agent.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect();
        Self {
            ip: context.client_ip,
            user_agent: agent.map(|agent| fitting(&agent)),
            request_id: context.request_id.as_str().to_owned(),
            wants_api_key: false,
        }
    }
}

/// A connection of a transaction, for stores.
pub(crate) type Connection = PgConnection;
