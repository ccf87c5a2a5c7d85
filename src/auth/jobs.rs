//! What is done later: mails and messages that wait in the queue, and the removal of what has ended.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;

use super::hook::{EmailData, HookError, HookName, Hooks, SendEmailInput, SendSmsInput, SmsData};
use super::mail::{MailContext, Template, Templates};
use super::outbox::{Letter, MAIL_JOB, Message, NewsOfUser, SEALED_FOR, SMS_JOB, USER_JOB};
use super::settings::AuthSettings;
use super::store::clean_up::{Ended, remove_batch};
use super::store::{identities, templates, users};
use crate::kernel::clock::Clock;
use crate::kernel::config::TimeSpan;
use crate::kernel::jobs::{Job, JobHandler, JobOutcome, RunningJob, Schedule};
use crate::kernel::mail::{Address, Mailer};
use crate::kernel::secret::Secret;
use crate::kernel::sms::{Sms, SmsChannel, SmsSender};
use crate::kernel::vault::{Vault, VaultError};

/// The payload of both.
#[derive(Deserialize)]
struct Sealed {
    id: String,
    sealed: String,
}

fn open<T: DeserializeOwned>(vault: &Vault, job: &Job) -> Result<T, JobOutcome> {
    let dead = |why: String| JobOutcome::Dead(why);
    let sealed = Sealed::deserialize(&job.payload).map_err(|error| dead(error.to_string()))?;
    let opened = vault.open(SEALED_FOR, &sealed.id, &sealed.sealed).map_err(|error| match error {
        // Another node may have the key.
        VaultError::UnknownKey(_) => JobOutcome::Retry(error.to_string()),
        _ => dead(error.to_string()),
    })?;
    serde_json::from_slice(&opened).map_err(|error| dead(format!("a letter of another version: {error}")))
}

/// A code that nobody can use any more is not sent.
fn too_late(clock: &Clock, expires_at: i64) -> Result<(), JobOutcome> {
    if clock.unix_millis() > expires_at {
        Err(JobOutcome::Dead("it is too late to send it".to_owned()))
    } else {
        Ok(())
    }
}

/// Sends mails.
pub struct SendMail {
    /// Time.
    pub clock: Clock,
    /// Opens letters.
    pub vault: Arc<Vault>,
    /// Where edited templates are.
    pub pool: PgPool,
    /// Sends them.
    pub mailer: Arc<dyn Mailer>,
    /// Code of the operator's that may send in its place.
    pub hooks: Hooks,
    /// What the application is called in mails.
    pub site_name: String,
    /// Where it is.
    pub site_url: String,
}

impl SendMail {
    async fn send(&self, job: &Job) -> Result<(), JobOutcome> {
        let Some(letter): Option<Letter> = open(&self.vault, job)? else { return Ok(()) };
        too_late(&self.clock, letter.expires_at)?;
        if self.hooks.send_email(&hook_input(&self.hooks, &letter)).await.map_err(hook_failed)? {
            return Ok(());
        }
        let template: Template = letter
            .template
            .parse()
            .map_err(|_| JobOutcome::Dead(format!("there is no template {}", letter.template)))?;
        let stored = templates::stored(&self.pool).await;
        let stored = stored.map_err(|error| JobOutcome::Retry(error.to_string()))?;
        let to: Address =
            letter.to.parse().map_err(|_| JobOutcome::Dead("the address cannot be mailed to".to_owned()))?;
        let context = MailContext {
            confirmation_url: Secret::new(letter.link),
            token: Secret::new(letter.token),
            token_hash: Secret::new(letter.token_hash),
            redirect_to: letter.redirect_to,
            email: letter.email,
            new_email: letter.new_email,
            old_email: letter.old_email,
            phone: letter.phone,
            old_phone: letter.old_phone,
            provider: letter.provider,
            factor_type: letter.factor_type,
            data: letter.data,
            ..MailContext::new(to, &self.site_name, &self.site_url)
        };
        let mail = Templates::new(&stored).render(template, &context);
        let mail = mail.map_err(|error| JobOutcome::Dead(error.to_string()))?;
        self.mailer.send(mail).await.map_err(|error| {
            let why = error.to_string();
            if error.is_transient() { JobOutcome::Retry(why) } else { JobOutcome::Dead(why) }
        })
    }
}

impl JobHandler for SendMail {
    fn kind(&self) -> &'static str {
        MAIL_JOB
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(async { self.send(job).await.map_or_else(|outcome| outcome, |()| JobOutcome::Done) })
    }
}

/// What the hook that sends mails is told. Each letter of a change of address is a call of its own, with the names that the
/// wire has for its half.
fn hook_input(hooks: &Hooks, letter: &Letter) -> SendEmailInput {
    let mut data = EmailData {
        redirect_to: letter.redirect_to.clone(),
        email_action_type: letter.action.clone(),
        site_url: letter.site_url.clone(),
        old_email: if letter.old_email.is_empty() { &letter.email } else { &letter.old_email }.clone(),
        old_phone: letter.old_phone.clone(),
        provider: letter.provider.clone(),
        factor_type: letter.factor_type.clone(),
        ..EmailData::default()
    };
    let is_for_new_address = !letter.new_email.is_empty() && letter.to == letter.new_email;
    let (token, hash) = (letter.token.clone(), letter.token_hash.clone());
    if letter.action != "email_change" {
        (data.token, data.token_hash) = (token, hash);
    } else if is_for_new_address {
        (data.token_new, data.token_hash) = (token, hash);
    } else {
        (data.token, data.token_hash_new) = (token, hash);
    }
    let metadata = Some(hooks.metadata(HookName::SendEmail, None));
    SendEmailInput { metadata, user: letter.user.clone(), email_data: data }
}

/// A hook that says no means it; one that fails is asked again.
fn hook_failed(error: HookError) -> JobOutcome {
    match error {
        HookError::Rejected { http_code: 400..=499, .. } => JobOutcome::Dead("the hook refuses".to_owned()),
        error => JobOutcome::Retry(error.to_string()),
    }
}

/// Sends text messages.
pub struct SendSms {
    /// Time.
    pub clock: Clock,
    /// Opens messages.
    pub vault: Arc<Vault>,
    /// Code of the operator's that may send in its place.
    pub hooks: Hooks,
    /// Sends them.
    pub sender: Arc<dyn SmsSender>,
}

impl JobHandler for SendSms {
    fn kind(&self) -> &'static str {
        SMS_JOB
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(async {
            let opened = open::<Message>(&self.vault, job)
                .and_then(|message| too_late(&self.clock, message.expires_at).map(|()| message));
            let message = match opened {
                Ok(message) => message,
                Err(outcome) => return outcome,
            };
            let input = SendSmsInput {
                metadata: Some(self.hooks.metadata(HookName::SendSms, None)),
                user: message.user,
                sms: SmsData { otp: message.code, sms_type: message.action, phone: Some(message.to.clone()) },
            };
            match self.hooks.send_sms(&input).await.map_err(hook_failed) {
                Ok(true) => return JobOutcome::Done,
                Ok(false) => {}
                Err(outcome) => return outcome,
            }
            let sms = Sms { to: message.to, text: message.text, channel: SmsChannel::Sms };
            match self.sender.send(&sms).await {
                Ok(_) => JobOutcome::Done,
                Err(error) if error.is_transient() => JobOutcome::Retry(error.to_string()),
                Err(error) => JobOutcome::Dead(error.to_string()),
            }
        })
    }
}

/// Tells the hook of users that were made.
pub struct TellOfUser {
    /// Where users are.
    pub pool: PgPool,
    /// The hook.
    pub hooks: Hooks,
}

impl TellOfUser {
    async fn tell(&self, job: &Job) -> Result<(), JobOutcome> {
        let down = |error: sqlx::Error| JobOutcome::Retry(error.to_string());
        let news =
            NewsOfUser::deserialize(&job.payload).map_err(|error| JobOutcome::Dead(error.to_string()))?;
        let mut connection = self.pool.acquire().await.map_err(down)?;
        // Somebody who is gone already is no news.
        let account = users::by_id(&mut connection, news.user).await.map_err(down)?;
        let Some(account) = account.filter(|account| !account.is_deleted()) else { return Ok(()) };
        let identities = identities::of_user(&mut connection, account.id).await.map_err(down)?;
        drop(connection);
        let user = account.shown(&identities, &[]);
        self.hooks.after_user_created(user, news.ip.map(|ip| ip.to_string())).await.map_err(hook_failed)
    }
}

impl JobHandler for TellOfUser {
    fn kind(&self) -> &'static str {
        USER_JOB
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(async { self.tell(job).await.map_or_else(|outcome| outcome, |()| JobOutcome::Done) })
    }
}

/// The kind of the jobs that remove what has ended.
const CLEAN_UP_JOB: &str = "auth.clean_up";

/// When they run.
pub const CLEAN_UP: Schedule =
    Schedule { name: "auth.clean_up", kind: CLEAN_UP_JOB, every: Duration::from_mins(10) };

/// Removes sessions, tokens, flows and counts that have ended, and anonymous users who have left.
pub struct CleanUp {
    /// Where they are.
    pub pool: PgPool,
    /// What "ended" means.
    pub settings: AuthSettings,
    /// Time.
    pub clock: Clock,
}

impl CleanUp {
    /// How long ago what is of this kind must have ended; none where it never does.
    fn age(&self, ended: Ended) -> Option<chrono::Duration> {
        let config = &self.settings.config;
        let span = |span: TimeSpan| chrono::Duration::from_std(span.get()).ok();
        let (_, inactivity) = self.settings.session_limits();
        match ended {
            Ended::Sessions => Some(chrono::Duration::zero()),
            // For a day who comes late is still told why.
            Ended::IdleSessions => inactivity.map(|limit| limit + chrono::Duration::days(1)),
            Ended::OneTimeTokens => {
                span(config.email.otp_lifetime.max(config.phone.otp_lifetime)).map(|limit| limit * 2)
            }
            Ended::Flows | Ended::Challenges => Some(chrono::Duration::hours(24)),
            Ended::AnonymousUsers => span(config.anonymous_users_kept).filter(|kept| !kept.is_zero()),
            Ended::UnverifiedFactors => span(config.mfa.enrollment_lifetime),
            Ended::Lockouts => span(config.lockout.window),
            Ended::Devices => Some(chrono::Duration::days(400)),
            // Their owners see for a while what has become of them.
            Ended::ApiKeys => Some(chrono::Duration::days(30)),
            Ended::SecurityEvents => span(config.security_events_kept).filter(|kept| !kept.is_zero()),
        }
    }

    async fn remove_kind(
        &self,
        ended: Ended,
        before: chrono::DateTime<chrono::Utc>,
    ) -> Result<u64, sqlx::Error> {
        let mut total = 0;
        loop {
            let (removed, may_be_more) = remove_batch(&self.pool, ended, before).await?;
            total += removed;
            if !may_be_more {
                return Ok(total);
            }
        }
    }

    async fn remove(&self) -> Result<(), sqlx::Error> {
        let mut failed = Ok(());
        let now = chrono::DateTime::from_timestamp_millis(self.clock.unix_millis()).unwrap_or_default();
        for ended in Ended::ALL {
            let Some(age) = self.age(ended) else { continue };
            match self.remove_kind(ended, now - age).await {
                Ok(0) => {}
                Ok(total) => tracing::info!(?ended, total, "removed what has ended"),
                // The other kinds are removed all the same.
                Err(error) => failed = Err(error),
            }
        }
        failed
    }
}

impl JobHandler for CleanUp {
    fn kind(&self) -> &'static str {
        CLEAN_UP_JOB
    }

    fn time_limit(&self) -> Duration {
        Duration::from_mins(5)
    }

    fn run<'a>(&'a self, _: &'a Job) -> RunningJob<'a> {
        Box::pin(async {
            match self.remove().await {
                Ok(()) => JobOutcome::Done,
                Err(error) => JobOutcome::Retry(error.to_string()),
            }
        })
    }
}
