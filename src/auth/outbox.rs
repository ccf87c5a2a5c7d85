//! What is to be sent, put into the queue of jobs in the transaction that it is about: a mail goes out if and only if that
//! is committed, and a mail server that is down slows nobody.
//!
//! A letter holds codes and links, so it is sealed: the database holds none that can be used.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::AuthError;
use super::flow::one_time::Made;
use super::mail::{Template, confirmation_url};
use super::model::{Account, Contact, FactorType};
use super::state::{Connection, Parts};
use super::token::one_time::{Otp, Purpose};
use crate::kernel::config::TimeSpan;
use crate::kernel::db::jobs::enqueue;
use crate::kernel::jobs::NewJob;
use crate::kernel::secret::Secret;

/// The kind of the jobs that send mails.
pub(crate) const MAIL_JOB: &str = "auth.mail";
/// The kind of the jobs that tell the hook of new users.
pub(crate) const USER_JOB: &str = "auth.after_user_created";
/// The kind of the jobs that send messages.
pub(crate) const SMS_JOB: &str = "auth.sms";
/// What letters are sealed for.
pub(crate) const SEALED_FOR: &str = "auth outbox";

/// What the user is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice<'a> {
    /// A code and a link.
    Token {
        /// What they may do.
        purpose: Purpose,
        /// The token.
        made: &'a Made,
        /// Where the link leads in the end.
        redirect_to: &'a str,
    },
    /// That the account is ready.
    Welcome,
    /// That the password has changed.
    PasswordChanged,
    /// That the account has another address.
    EmailChanged {
        /// The new one.
        to: &'a str,
    },
    /// That the account has another number.
    PhoneChanged {
        /// The new one.
        to: &'a str,
    },
    /// That one can sign in by this provider now.
    IdentityLinked(&'a str),
    /// That one can no longer sign in by this provider.
    IdentityUnlinked(&'a str),
    /// That a factor of this type protects the account.
    FactorEnrolled(FactorType),
    /// That a factor of this type no longer does.
    FactorUnenrolled(FactorType),
}

/// A letter as it waits: all that its template can say.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// The template's name.
    pub(crate) template: String,
    /// The recipient.
    pub(crate) to: String,
    /// The link.
    pub(crate) link: String,
    /// The code.
    pub(crate) token: String,
    /// The token in the link.
    pub(crate) token_hash: String,
    /// Where the link leads in the end.
    pub(crate) redirect_to: String,
    /// The account's address.
    pub(crate) email: String,
    /// The address that it is to get.
    pub(crate) new_email: String,
    /// The address that it had.
    pub(crate) old_email: String,
    /// The account's number.
    pub(crate) phone: String,
    /// The number that it had.
    pub(crate) old_phone: String,
    /// The provider of an identity.
    pub(crate) provider: String,
    /// The type of a second factor.
    pub(crate) factor_type: String,
    /// What the user says of itself.
    pub(crate) data: Value,
    /// The user as clients see it, for the hook that sends.
    pub(crate) user: Value,
    /// Why it is sent, in the words of that hook.
    pub(crate) action: String,
    /// Where the application is.
    pub(crate) site_url: String,
    /// When it is too late to send it, in Unix milliseconds.
    pub(crate) expires_at: i64,
}

/// What the hook is to be told of. The user itself is looked up then: nothing of it waits in the queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewsOfUser {
    /// The user.
    pub(crate) user: Uuid,
    /// Where it was made from.
    pub(crate) ip: Option<IpAddr>,
}

/// A text message as it waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// The number, digits only.
    pub(crate) to: String,
    /// The text.
    pub(crate) text: String,
    /// The code.
    pub(crate) code: String,
    /// The user as clients see it, for the hook that sends.
    pub(crate) user: Value,
    /// Why it is sent, in the words of that hook.
    pub(crate) action: String,
    /// When it is too late to send it, in Unix milliseconds.
    pub(crate) expires_at: i64,
}

/// Puts a letter or message into the queue.
pub(crate) async fn send(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    to: &Contact,
    notice: &Notice<'_>,
) -> Result<(), AuthError> {
    let (kind, content) = match to {
        Contact::Email(email) => (MAIL_JOB, serde_json::to_vec(&letter(state, account, email, notice))),
        Contact::Phone(phone) => {
            let Notice::Token { made, purpose, .. } = notice else { return Ok(()) };
            return send_text(state, connection, account, (phone, purpose.verify_type()), &made.code).await;
        }
    };
    enqueue_sealed(state, connection, kind, content).await
}

/// Tells the account's address what happened to the account; nobody where it has none, or one that is not shown to be the
/// user's.
pub(crate) async fn inform(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    notice: &Notice<'_>,
) -> Result<(), AuthError> {
    match &account.email {
        Some(email) if account.email_confirmed_at.is_some() => {
            send(state, connection, account, &Contact::Email(email.clone()), notice).await
        }
        _ => Ok(()),
    }
}

/// Puts a message with a code into the queue. `action` is why it is sent, in the words of the hook that sends.
pub(crate) async fn send_text(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    (phone, action): (&str, &str),
    code: &Otp,
) -> Result<(), AuthError> {
    let template = &state.settings.config.phone.template;
    let message = Message {
        to: phone.to_owned(),
        text: template.replace("{{ .Code }}", code.expose()).replace("{{.Code}}", code.expose()),
        code: code.expose().to_owned(),
        user: account.shown(&[], &[]),
        action: action.to_owned(),
        expires_at: expiry(state, state.settings.config.phone.otp_lifetime),
    };
    enqueue_sealed(state, connection, SMS_JOB, serde_json::to_vec(&message)).await
}

/// Puts into the queue what is none: for recipients without an account, whose requests must take as long as others'.
pub(crate) async fn send_nothing(state: &Parts, connection: &mut Connection) -> Result<(), AuthError> {
    let id = state.new_id().to_string();
    let sealed = state.vault.seal(SEALED_FOR, &id, b"null", state.random.bytes());
    let sealed = sealed.map_err(|error| AuthError::Internal(error.to_string()))?;
    let job = NewJob::new(MAIL_JOB, json!({"id": id, "sealed": sealed}));
    enqueue(connection, &job, state.clock.unix_millis()).await?;
    Ok(())
}

async fn enqueue_sealed(
    state: &Parts,
    connection: &mut Connection,
    kind: &'static str,
    content: Result<Vec<u8>, serde_json::Error>,
) -> Result<(), AuthError> {
    let content = content.map_err(|error| AuthError::Internal(error.to_string()))?;
    let id = state.new_id().to_string();
    let sealed = state.vault.seal(SEALED_FOR, &id, &content, state.random.bytes());
    let sealed = sealed.map_err(|error| AuthError::Internal(error.to_string()))?;
    let job = NewJob::new(kind, json!({"id": id, "sealed": sealed}));
    enqueue(connection, &job, state.clock.unix_millis()).await?;
    Ok(())
}

/// Tells the hook of a user that is made, where somebody wants to know: once it is committed, and until the hook answers.
pub(crate) async fn tell_of_user(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    ip: Option<IpAddr>,
) -> Result<(), AuthError> {
    if state.hooks.has_after_user_created() {
        let job = NewJob::new(USER_JOB, json!(NewsOfUser { user, ip }));
        enqueue(connection, &job, state.clock.unix_millis()).await?;
    }
    Ok(())
}

/// What says a code is of no use after the code is.
fn expiry(state: &Parts, lifetime: TimeSpan) -> i64 {
    let lifetime = i64::try_from(lifetime.get().as_millis()).unwrap_or(i64::MAX);
    state.clock.unix_millis().saturating_add(lifetime)
}

fn letter(state: &Parts, account: &Account, to: &str, notice: &Notice<'_>) -> Letter {
    let mut letter = Letter {
        template: template(notice).name().to_owned(),
        to: to.to_owned(),
        link: String::new(),
        token: String::new(),
        token_hash: String::new(),
        redirect_to: String::new(),
        email: account.email.clone().unwrap_or_default(),
        new_email: account.email_change.clone(),
        old_email: String::new(),
        phone: account.phone.clone().unwrap_or_default(),
        old_phone: String::new(),
        provider: String::new(),
        factor_type: String::new(),
        data: account.raw_user_meta_data.clone(),
        user: account.shown(&[], &[]),
        action: template(notice).name().to_owned(),
        site_url: state.settings.site_url.clone(),
        expires_at: expiry(state, state.settings.config.email.otp_lifetime),
    };
    match notice {
        Notice::Token { purpose, made, redirect_to } => {
            let wire = Secret::new(made.wire.expose());
            let kind = purpose.verify_type();
            let link = confirmation_url(&state.settings.external_url, &wire, kind, redirect_to);
            link.expose().clone_into(&mut letter.link);
            kind.clone_into(&mut letter.action);
            made.code.expose().clone_into(&mut letter.token);
            made.wire.expose().clone_into(&mut letter.token_hash);
            (*redirect_to).clone_into(&mut letter.redirect_to);
        }
        Notice::EmailChanged { to } => {
            letter.old_email = std::mem::replace(&mut letter.email, (*to).to_owned());
        }
        Notice::PhoneChanged { to } => {
            letter.old_phone = std::mem::replace(&mut letter.phone, (*to).to_owned());
        }
        Notice::IdentityLinked(provider) | Notice::IdentityUnlinked(provider) => {
            (*provider).clone_into(&mut letter.provider);
        }
        Notice::FactorEnrolled(kind) | Notice::FactorUnenrolled(kind) => {
            kind.word().clone_into(&mut letter.factor_type);
        }
        Notice::Welcome | Notice::PasswordChanged => {}
    }
    letter
}

fn template(notice: &Notice<'_>) -> Template {
    match notice {
        Notice::Welcome => Template::Welcome,
        Notice::PasswordChanged => Template::PasswordChanged,
        Notice::EmailChanged { .. } => Template::EmailChanged,
        Notice::PhoneChanged { .. } => Template::PhoneChanged,
        Notice::IdentityLinked(_) => Template::IdentityLinked,
        Notice::IdentityUnlinked(_) => Template::IdentityUnlinked,
        Notice::FactorEnrolled(_) => Template::FactorEnrolled,
        Notice::FactorUnenrolled(_) => Template::FactorUnenrolled,
        Notice::Token { purpose, .. } => match purpose {
            Purpose::Signup | Purpose::PhoneConfirmation | Purpose::Claim => Template::Confirmation,
            Purpose::Invite => Template::Invite,
            Purpose::MagicLink => Template::MagicLink,
            Purpose::Recovery => Template::Recovery,
            Purpose::EmailChangeNew | Purpose::EmailChangeCurrent | Purpose::PhoneChange => {
                Template::EmailChange
            }
            Purpose::Reauthentication => Template::Reauthentication,
        },
    }
}
