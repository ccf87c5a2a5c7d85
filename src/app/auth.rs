//! The auth service put together: its connections, keys and jobs, how mails and messages leave, and who else asks about
//! sessions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::app::database::Database;
use crate::app::edge;
use crate::app::error::AppError;
use crate::auth::hook::Hooks;
use crate::auth::hook::http::{HookCaller, sleep};
use crate::auth::password::{
    Algorithm, Argon2Cost, LeakedFile, LeakedPasswords, PasswordConfig, PasswordHasher, PasswordPolicy,
    RangeEndpoint, RequiredCharacters,
};
use crate::auth::redirect::RedirectPolicy;
use crate::auth::token::api_key::ApiKeyMac;
use crate::auth::token::one_time::OneTimeMac;
use crate::auth::token::refresh::RefreshMac;
use crate::auth::{
    AuthLimits, AuthSettings, AuthState, CLEAN_UP, Captcha, CleanUp, KeyCache, Parts, Providers,
    RelyingParty, Revocations, SendMail, SendSms, SessionCache, TellOfUser, convert_imported, dev_mail,
    metadata_router, router,
};
use crate::gateway::{ErrorShape, Mount, ServiceLimits};
use crate::jobs::{JobSettings, Jobs};
use crate::kernel::audit::AuditLog;
use crate::kernel::bus::Bus;
use crate::kernel::clock::Clock;
use crate::kernel::config::{
    AuthConfig, Config, Environment, MfaConfig, PasswordAlgorithm, SmsProvider, SmtpConfig as MailConfig,
    SmtpTls,
};
use crate::kernel::db::{login::Login, pool};
use crate::kernel::identity::{HeldKeys, Identity, Sessions, Signer};
use crate::kernel::jobs::JobBell;
use crate::kernel::limits::Limiter;
use crate::kernel::mail::{Address, Captured, HeaderText, Mailer, NoMailer, SmtpConfig, SmtpMailer, TlsMode};
use crate::kernel::outbound::{OutboundClient, OutboundOptions, WebhookSigner};
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::sms::{NoSms, SmsSender, TwilioConfig, TwilioSender, WebhookSender};
use crate::kernel::vault::RootSecrets;

/// The longest that an action may take (contract section 1).
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// The longest that a hook may take, all tries together (contract section 9).
const HOOK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Where Twilio is.
const TWILIO: &str = "https://api.twilio.com";

/// The running service.
pub(super) struct Auth {
    state: AuthState,
    captured: Option<Captured>,
    /// Tells other services whether a token's session goes on; none where tokens count until they expire.
    pub(super) sessions: Option<Arc<dyn Sessions>>,
    /// Issues tokens; to be replaced when the keys are.
    pub(super) signer: Arc<ArcSwap<Signer>>,
}

/// What starting the service needs of the server.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    pub(super) public_url: &'a str,
    pub(super) identity: Arc<Identity>,
    pub(super) limiter: Arc<dyn Limiter>,
    pub(super) audit: Arc<dyn AuditLog>,
    /// Tells other nodes whose sessions have ended.
    pub(super) bus: Arc<dyn Bus>,
    pub(super) clock: &'a Clock,
    pub(super) random: &'a Random,
    /// How many connections it and the jobs may have.
    pub(super) connections: u32,
    pub(super) tasks: (&'a TaskTracker, &'a CancellationToken),
}

impl Auth {
    /// Starts the service, if this server has what it takes: a database that we prepared, and a key that signs.
    pub(super) async fn start(around: Surroundings<'_>) -> Result<Option<Self>, AppError> {
        let Some(login) = service_login(around.database).await? else { return Ok(None) };
        let config = &around.config.auth;
        let Some(secret) = &around.database.secrets.jwt_secret else { return Ok(None) };
        let signer = match Signer::new(secret, config.jwt_secret_is_base64) {
            Ok(signer) => Arc::new(ArcSwap::from_pointee(signer)),
            Err(error) => {
                tracing::warn!("no accounts are served: {error}");
                return Ok(None);
            }
        };
        let (tracker, stop) = around.tasks;
        // The question whether sessions go on must not wait behind hooks and triggers: it has a connection of its own.
        let for_sessions = u32::from(around.connections > 1 && !config.sessions.stateless);
        let connect = async |most: u32| {
            let pool = pool::start(login.clone(), most, (tracker, stop.clone())).await;
            pool.map_err(|error| AppError::Auth(error.to_string()))
        };
        let pool = connect(around.connections - for_sessions).await?;
        let session_pool = if for_sessions > 0 { connect(for_sessions).await? } else { pool.clone() };
        let bell = JobBell::default();
        let roots = roots(config, secret);
        let parts = parts(&around, (pool.clone(), bell.clone()), (roots, Arc::clone(&signer)))?;
        convert_imported(&parts).await.map_err(|error| AppError::Auth(error.to_string()))?;
        let captured = (around.config.environment() == Environment::Development)
            .then(|| Captured::new(around.clock.clone()));
        start_jobs(&around, &parts, (pool, bell), captured.as_ref())?;
        let sessions = (!config.sessions.stateless).then(|| {
            let rules = (parts.settings.issuer.clone(), config.mfa.required_for_login);
            let cache = SessionCache::start(
                session_pool,
                around.clock.clone(),
                rules,
                parts.revocations.clone(),
                (tracker, stop.clone()),
            );
            Arc::new(cache) as Arc<dyn Sessions>
        });
        Ok(Some(Self { state: AuthState::new(parts), captured, sessions, signer }))
    }

    /// The connections of accounts.
    pub(super) fn pool(&self) -> PgPool {
        self.state.pool.clone()
    }

    /// Tells other services whom API keys speak for.
    pub(super) fn held_keys(&self) -> Arc<dyn HeldKeys> {
        Arc::new(self.state.clone())
    }

    /// Where it answers.
    pub(super) fn mounts(&self, config: &Config) -> Vec<Mount> {
        let body_bytes = config.server.body_limits.default.as_usize();
        let auth = Mount::router("auth", PREFIX, router(self.state.clone()))
            .limits(ServiceLimits { body_bytes, timeout: Some(TIMEOUT) })
            .cors(edge::rest_cors(config))
            .rate_limits(edge::rate_limits(&config.server))
            .errors(ErrorShape::GoTrue)
            .authentication(crate::gateway::Authentication::Service)
            // Answers hold tokens beside what the client sent.
            .compress(false);
        let mail = self.captured.clone().map(|captured| {
            Mount::router("dev_mail", "/dev/mail", dev_mail::router(captured))
                .authentication(crate::gateway::Authentication::Service)
        });
        let metadata =
            Mount::whole_router("auth", METADATA, metadata_router(METADATA, PREFIX, self.state.clone()))
                .cors(edge::rest_cors(config))
                .errors(ErrorShape::GoTrue)
                .authentication(crate::gateway::Authentication::Service);
        [Some(auth), Some(metadata), mail].into_iter().flatten().collect()
    }
}

/// What stored secrets and MACs derive from: the configured secret, or the one that signs, and those listed beside it.
pub(super) fn roots(config: &AuthConfig, signing: &Secret) -> RootSecrets {
    let configured = config.root_secret.as_ref().filter(|secret| !secret.is_empty());
    RootSecrets::new(configured.unwrap_or(signing), &config.previous_root_secrets)
}

/// Where the service is.
const PREFIX: &str = "/auth/v1";
/// Where clients of OAuth 2 look for what it says of itself (RFC 8414 section 3).
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// The first of our logins that may read and write accounts. Where the database cannot be asked there is no start: without
/// accounts every token would count until it expires.
pub(super) async fn service_login(database: &Database) -> Result<Option<Login>, AppError> {
    let mut unasked = None;
    for login in &database.audit_logins {
        match pool::may_keep_accounts(login).await {
            Ok(true) => return Ok(Some(login.clone())),
            Ok(false) => {}
            Err(error) => unasked = Some(error),
        }
    }
    if let Some(error) = unasked {
        return Err(AppError::Auth(format!("cannot find out who may keep accounts: {error}")));
    }
    if !database.audit_logins.is_empty() {
        tracing::warn!(
            "no accounts are served: none of our logins may write auth.users (see `goforward doctor`)"
        );
    }
    Ok(None)
}

fn parts(
    around: &Surroundings<'_>,
    (pool, bell): (PgPool, JobBell),
    (roots, signer): (RootSecrets, Arc<ArcSwap<Signer>>),
) -> Result<Parts, AppError> {
    let config = &around.config.auth;
    let wrong = |error: &dyn std::fmt::Display| AppError::Auth(error.to_string());
    let external = format!("{}{PREFIX}", around.public_url.trim_end_matches('/'));
    let settings = AuthSettings::new(config, Url::parse(&external).map_err(|error| wrong(&error))?);
    let passwords = password_config(config, settings.password_min_length);
    let leaked = leaked_passwords(around.config)?;
    let redirects = config.redirect_urls.iter().map(String::as_str);
    let vault = roots.vault().map_err(|error| wrong(&error))?;
    let redirects = RedirectPolicy::new(&settings.site_url, redirects).map_err(|error| wrong(&error))?;
    Ok(Parts {
        relying_party: relying_party(&config.mfa, redirects.site_url())?,
        redirects,
        hasher: PasswordHasher::new(&passwords, around.random.clone()).map_err(|error| wrong(&error))?,
        passwords: PasswordPolicy::new(&passwords, leaked),
        providers: providers(around, &settings)?,
        limits: AuthLimits::new(Arc::clone(&around.limiter), config),
        refresh: RefreshMac::new(&roots),
        one_time: OneTimeMac::new(&roots),
        api_keys: ApiKeyMac::new(&roots),
        key_cache: KeyCache::default(),
        revocations: Revocations::start(Arc::clone(&around.bus), (around.tasks.0, around.tasks.1.clone())),
        vault: Arc::new(vault),
        roots,
        settings,
        pool: pool.clone(),
        clock: around.clock.clone(),
        random: around.random.clone(),
        signer,
        identity: Arc::clone(&around.identity),
        bell,
        hooks: hooks(around, pool)?,
        captcha: Captcha::new(&config.captcha, outbound(around.config)?).map_err(|error| wrong(&error))?,
        audit: Arc::clone(&around.audit),
    })
}

fn hooks(around: &Surroundings<'_>, pool: PgPool) -> Result<Hooks, AppError> {
    let wrong = |error: &dyn std::fmt::Display| AppError::Auth(error.to_string());
    let caller = HookCaller {
        client: outbound(around.config)?,
        clock: around.clock.clone(),
        random: around.random.clone(),
        pause: sleep(),
        time_limit: HOOK_TIMEOUT,
    };
    Hooks::new(&around.config.auth.hooks, pool, caller).map_err(|error| wrong(&error))
}

/// Who asks security keys and passkeys, where they are switched on: the site, unless the configuration says otherwise.
fn relying_party(mfa: &MfaConfig, site: &Url) -> Result<Option<RelyingParty>, AppError> {
    if !(mfa.passkeys || mfa.webauthn_enroll || mfa.webauthn_verify) {
        return Ok(None);
    }
    let host = site.host_str().unwrap_or_default();
    let own = [site.origin().ascii_serialization()];
    let origins = if mfa.webauthn_origins.is_empty() { &own } else { mfa.webauthn_origins.as_slice() };
    let id = mfa.webauthn_rp_id.as_deref().unwrap_or(host);
    let party = RelyingParty::new(id, mfa.issuer.as_deref().unwrap_or(host), origins);
    party
        .map(Some)
        .map_err(|error| AppError::Auth(format!("auth.mfa.webauthn_rp_id, webauthn_origins: {error}")))
}

fn password_config(config: &AuthConfig, min_length: u16) -> PasswordConfig {
    let passwords = &config.password;
    let algorithm = match passwords.algorithm {
        PasswordAlgorithm::Bcrypt => Algorithm::Bcrypt { cost: passwords.bcrypt_cost },
        PasswordAlgorithm::Argon2id => Algorithm::Argon2id(Argon2Cost {
            memory_kib: passwords.argon2_memory_kib,
            iterations: passwords.argon2_passes,
            parallelism: passwords.argon2_lanes,
        }),
    };
    let defaults = PasswordConfig::default();
    PasswordConfig {
        algorithm,
        concurrency: passwords.parallel_hashes.and_then(NonZeroUsize::new).unwrap_or(defaults.concurrency),
        min_length: usize::from(min_length),
        required_characters: RequiredCharacters::parse(&passwords.required_characters),
        ..defaults
    }
}

fn leaked_passwords(config: &Config) -> Result<LeakedPasswords, AppError> {
    let passwords = &config.auth.password;
    if let Some(file) = &passwords.leaked_list {
        let list = LeakedFile::open(file);
        return list
            .map(LeakedPasswords::File)
            .map_err(|error| AppError::Auth(format!("auth.password.leaked_list: {error}")));
    }
    let Some(url) = &passwords.leaked_url else { return Ok(LeakedPasswords::Off) };
    let wrong = |why: &dyn std::fmt::Display| AppError::Auth(format!("auth.password.leaked_url: {why}"));
    let url = Url::parse(url).map_err(|error| wrong(&error))?;
    Ok(LeakedPasswords::Endpoint(Arc::new(RangeEndpoint::new(outbound(config)?, url))))
}

/// The client of everything that leaves the server.
pub(super) fn outbound(config: &Config) -> Result<OutboundClient, AppError> {
    let options = OutboundOptions {
        allow_networks: config.outbound.allow_networks.clone(),
        https_only: config.outbound.https_only,
        ..OutboundOptions::default()
    };
    OutboundClient::new(options).map_err(|error| AppError::Auth(error.to_string()))
}

fn providers(around: &Surroundings<'_>, settings: &AuthSettings) -> Result<Providers, AppError> {
    let callback = format!("{}/callback", settings.external_url);
    let client = outbound(around.config)?;
    let providers = Providers::new(&around.config.auth.external, &callback, &client, around.clock);
    providers.map_err(|(name, error)| AppError::Auth(format!("auth.external.{name}: {error}")))
}

fn start_jobs(
    around: &Surroundings<'_>,
    parts: &Parts,
    (pool, bell): (PgPool, JobBell),
    captured: Option<&Captured>,
) -> Result<(), AppError> {
    let config = &around.config.auth;
    let vault = &parts.vault;
    let mail = SendMail {
        clock: around.clock.clone(),
        vault: Arc::clone(vault),
        pool: pool.clone(),
        mailer: mailer(&config.smtp, captured, around)?,
        hooks: parts.hooks.clone(),
        site_name: parts.redirects.site_url().host_str().unwrap_or_default().to_owned(),
        site_url: parts.settings.site_url.clone(),
    };
    let sender = sms_sender(around, captured)?;
    let sms =
        SendSms { clock: around.clock.clone(), vault: Arc::clone(vault), hooks: parts.hooks.clone(), sender };
    let tell = TellOfUser { pool: pool.clone(), hooks: parts.hooks.clone() };
    let (clock, random) = (around.clock.clone(), around.random.clone());
    let clean_up = CleanUp { pool: pool.clone(), settings: parts.settings.clone(), clock: clock.clone() };
    let jobs = Jobs::new(pool, clock, random, bell, JobSettings::default())
        .handler(mail)
        .handler(sms)
        .handler(clean_up)
        .handler(tell)
        .schedule(CLEAN_UP);
    let (tracker, stop) = around.tasks;
    tracker.spawn(jobs.run(stop.clone()));
    Ok(())
}

/// The configured server; without one mails are kept in development, and wait elsewhere.
fn mailer(
    smtp: &MailConfig,
    captured: Option<&Captured>,
    around: &Surroundings<'_>,
) -> Result<Arc<dyn Mailer>, AppError> {
    let wrong = |why: String| AppError::Auth(format!("auth.smtp: {why}"));
    let Some(host) = &smtp.host else {
        return Ok(
            captured.map_or_else(|| Arc::new(NoMailer) as _, |captured| Arc::new(captured.clone()) as _)
        );
    };
    let from = smtp.from.as_deref().ok_or_else(|| wrong("`from` is needed with `host`".to_owned()))?;
    let from: Address = from.parse().map_err(|error| wrong(format!("`from`: {error}")))?;
    let config = SmtpConfig {
        host: host.clone(),
        port: smtp.port,
        tls: match smtp.tls {
            SmtpTls::Required => TlsMode::StartTlsRequired,
            SmtpTls::Opportunistic => TlsMode::StartTls,
            SmtpTls::Implicit => TlsMode::Tls,
            SmtpTls::Off => TlsMode::None,
        },
        root_certificates: None,
        user: smtp.user.clone(),
        password: smtp.password.clone().unwrap_or_default(),
        from,
        sender_name: smtp.sender_name.as_deref().map(HeaderText::fitted),
        timeout: smtp.timeout.get(),
        max_connections: 4,
    };
    let mailer = SmtpMailer::new(config, around.clock.clone(), around.random.clone());
    mailer.map(|mailer| Arc::new(mailer) as _).map_err(|error| wrong(error.to_string()))
}

fn sms_sender(
    around: &Surroundings<'_>,
    captured: Option<&Captured>,
) -> Result<Arc<dyn SmsSender>, AppError> {
    let sms = &around.config.auth.sms;
    let wrong = |why: &str| AppError::Auth(format!("auth.sms: {why}"));
    if sms.provider == SmsProvider::Off {
        return Ok(captured.map_or_else(|| Arc::new(NoSms) as _, |captured| Arc::new(captured.clone()) as _));
    }
    let client = outbound(around.config)?;
    let url = |default: Option<&str>| {
        let text = sms.url.as_deref().or(default).ok_or_else(|| wrong("`url` is needed"))?;
        Url::parse(text).map_err(|_| wrong("`url` is no address"))
    };
    let secret: Secret = sms.secret.clone().ok_or_else(|| wrong("`secret` is needed"))?;
    if sms.provider == SmsProvider::Webhook {
        let signer = WebhookSigner::parse(&secret).map_err(|error| wrong(&error.to_string()))?;
        let (clock, random) = (around.clock.clone(), around.random.clone());
        return Ok(Arc::new(WebhookSender { client, url: url(None)?, signer, clock, random }));
    }
    let config = TwilioConfig {
        base_url: url(Some(TWILIO))?,
        account_sid: sms.account.clone().ok_or_else(|| wrong("`account` is needed"))?,
        auth_token: secret,
        from: sms.from.clone().ok_or_else(|| wrong("`from` is needed"))?,
    };
    let sender = TwilioSender::new(client, config).ok_or_else(|| wrong("`url` cannot have a path"))?;
    Ok(Arc::new(sender))
}
