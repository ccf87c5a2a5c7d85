//! The configured hooks, and calling them: functions in the database and signed addresses alike.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::PgPool;
use url::Url;

use super::http::{HookCaller, HttpHook};
use super::{
    CustomAccessTokenInput, CustomAccessTokenOutput, Decision, EmptyOutput, HookError, HookMetadata,
    HookName, MfaVerificationAttemptInput, PasswordVerificationAttemptInput, UserCreatedInput,
    VerificationOutput, check_claims, read_reply,
};
use crate::auth::store::hooks;
use crate::kernel::config::{HookConfig, HooksConfig};
use crate::kernel::outbound::WebhookSigner;

/// The scheme of addresses that name a function: `pg-functions://postgres/schema/function`.
const FUNCTIONS: &str = "pg-functions";

/// Where a hook is.
#[derive(Clone)]
enum Place {
    Http(HttpHook),
    Function { schema: String, name: String },
}

/// Why a configured hook cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookConfigError {
    /// Neither of the two kinds of address.
    #[error(
        "auth.hooks.{0}.uri must be like https://example.com/hook or pg-functions://postgres/schema/function"
    )]
    Address(&'static str),
    /// An address without a secret, or with one of the wrong form.
    #[error("auth.hooks.{0}.secrets must be like v1,whsec_<base64 of 24 to 64 random bytes>")]
    Secret(&'static str),
}

/// The configured hooks.
#[derive(Clone)]
pub struct Hooks {
    pool: PgPool,
    caller: HookCaller,
    access_token: Option<Place>,
    before_user_created: Option<Place>,
    after_user_created: Option<Place>,
    password_attempt: Option<Place>,
    mfa_attempt: Option<Place>,
    send_email: Option<Place>,
    send_sms: Option<Place>,
    provider: Option<Place>,
    allowed_roles: Vec<String>,
}

/// What somebody gave who has no account, for the hook that may know them.
#[derive(Debug, Serialize)]
pub(crate) struct ProviderInput<'a> {
    /// About the call.
    pub(crate) metadata: HookMetadata,
    /// The address, if that was given.
    pub(crate) email: Option<&'a str>,
    /// The number, if that was given.
    pub(crate) phone: Option<&'a str>,
    /// The name, if that was given.
    pub(crate) username: Option<&'a str>,
    /// The password.
    pub(crate) password: &'a str,
}

/// Whom that hook knows them as; without an address nobody.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct ProviderOutput {
    /// The address of the account, which the hook vouches for.
    pub(crate) email: Option<String>,
    /// What a new account says of its user.
    pub(crate) user_metadata: Map<String, Value>,
}

impl Hooks {
    /// Reads the configuration.
    pub fn new(config: &HooksConfig, pool: PgPool, caller: HookCaller) -> Result<Self, HookConfigError> {
        Ok(Self {
            access_token: place("custom_access_token", &config.custom_access_token)?,
            before_user_created: place("before_user_created", &config.before_user_created)?,
            after_user_created: place("after_user_created", &config.after_user_created)?,
            password_attempt: place("password_verification_attempt", &config.password_verification_attempt)?,
            mfa_attempt: place("mfa_verification_attempt", &config.mfa_verification_attempt)?,
            send_email: place("send_email", &config.send_email)?,
            send_sms: place("send_sms", &config.send_sms)?,
            provider: place("authentication_provider", &config.authentication_provider)?,
            allowed_roles: config.allowed_roles.clone(),
            pool,
            caller,
        })
    }

    /// The claims to be signed, as the hook wants them and may have them.
    pub(crate) async fn access_token(
        &self,
        user: String,
        claims: Map<String, Value>,
        method: String,
    ) -> Result<Map<String, Value>, HookError> {
        let Some(place) = &self.access_token else { return Ok(claims) };
        let metadata = Some(self.metadata(HookName::CustomAccessToken, None));
        let input = CustomAccessTokenInput { metadata, user_id: user, claims, authentication_method: method };
        let output: CustomAccessTokenOutput = self.call(place, &input).await?;
        Ok(check_claims(&input.claims, output.claims, &self.allowed_roles)?)
    }

    /// Whether a user may be made.
    pub(crate) async fn before_user_created(&self, user: Value, ip: String) -> Result<(), HookError> {
        let Some(place) = &self.before_user_created else { return Ok(()) };
        let input = UserCreatedInput { metadata: self.metadata(HookName::BeforeUserCreated, Some(ip)), user };
        self.call::<EmptyOutput>(place, &input).await.map(drop)
    }

    /// Whether somebody wants to know of new users.
    pub(crate) fn has_after_user_created(&self) -> bool {
        self.after_user_created.is_some()
    }

    /// Tells of a user that was made.
    pub(crate) async fn after_user_created(&self, user: Value, ip: Option<String>) -> Result<(), HookError> {
        let Some(place) = &self.after_user_created else { return Ok(()) };
        let input = UserCreatedInput { metadata: self.metadata(HookName::AfterUserCreated, ip), user };
        self.call::<EmptyOutput>(place, &input).await.map(drop)
    }

    /// What the hook says of a password that was tried; none where it lets things go on as they stand.
    pub(crate) async fn password_attempt(
        &self,
        user: String,
        valid: bool,
    ) -> Result<Option<VerificationOutput>, HookError> {
        let Some(place) = &self.password_attempt else { return Ok(None) };
        let input = PasswordVerificationAttemptInput { user_id: user, valid };
        let output: VerificationOutput = self.call(place, &input).await?;
        Ok((output.decision == Decision::Reject).then_some(output))
    }

    /// The same for a second factor.
    pub(crate) async fn mfa_attempt(
        &self,
        input: &MfaVerificationAttemptInput,
    ) -> Result<Option<VerificationOutput>, HookError> {
        let Some(place) = &self.mfa_attempt else { return Ok(None) };
        let output: VerificationOutput = self.call(place, input).await?;
        Ok((output.decision == Decision::Reject).then_some(output))
    }

    /// Sends a mail through the hook; `false` where there is none.
    pub(crate) async fn send_email(&self, input: &impl Serialize) -> Result<bool, HookError> {
        let Some(place) = &self.send_email else { return Ok(false) };
        self.call::<EmptyOutput>(place, input).await.map(|_| true)
    }

    /// Sends a message through the hook; `false` where there is none.
    pub(crate) async fn send_sms(&self, input: &impl Serialize) -> Result<bool, HookError> {
        let Some(place) = &self.send_sms else { return Ok(false) };
        self.call::<EmptyOutput>(place, input).await.map(|_| true)
    }

    /// Whether somebody without an account may be known elsewhere.
    pub(crate) fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Whom the hook knows somebody as.
    pub(crate) async fn provider(&self, input: &ProviderInput<'_>) -> Result<ProviderOutput, HookError> {
        match &self.provider {
            Some(place) => self.call(place, input).await,
            None => Ok(ProviderOutput::default()),
        }
    }

    /// The metadata of a call made now.
    pub(crate) fn metadata(&self, name: HookName, ip: Option<String>) -> HookMetadata {
        let id = self.caller.random.uuid();
        HookMetadata::new(id.to_string(), self.caller.clock.unix_seconds(), name, ip)
    }

    async fn call<T: DeserializeOwned>(&self, place: &Place, input: &impl Serialize) -> Result<T, HookError> {
        match place {
            Place::Http(hook) => self.caller.call(hook, input).await,
            Place::Function { schema, name } => {
                let input = serde_json::to_value(input).map_err(HookError::Input)?;
                let called = hooks::call(&self.pool, (schema, name), &input, self.caller.time_limit).await;
                let reply = called.map_err(HookError::Function)?;
                read_reply(reply.unwrap_or_default().as_bytes())
            }
        }
    }
}

fn place(name: &'static str, config: &HookConfig) -> Result<Option<Place>, HookConfigError> {
    let Some(uri) = config.uri.as_deref().filter(|uri| !uri.is_empty()) else { return Ok(None) };
    let url = Url::parse(uri).map_err(|_| HookConfigError::Address(name))?;
    if url.scheme() == FUNCTIONS {
        let mut parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        return match (parts.next(), parts.next(), parts.next()) {
            (Some(schema), Some(function), None) => {
                Ok(Some(Place::Function { schema: schema.to_owned(), name: function.to_owned() }))
            }
            _ => Err(HookConfigError::Address(name)),
        };
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HookConfigError::Address(name));
    }
    let secrets = config.secrets.as_ref().ok_or(HookConfigError::Secret(name))?;
    let signer = WebhookSigner::parse(secrets).map_err(|_| HookConfigError::Secret(name))?;
    Ok(Some(Place::Http(HttpHook { url, signer })))
}
