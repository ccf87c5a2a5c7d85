//! What a one-time token that was taken brings about (contract section 5, "Verify types").

use crate::auth::error::AuthError;
use crate::auth::flow::one_time::Taken;
use crate::auth::flow::session::{Grant, begin};
use crate::auth::flow::{contact_change, sign_up};
use crate::auth::model::{Account, Contact, Method};
use crate::auth::outbox;
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::{identities, one_time_tokens, sessions, users};
use crate::auth::token::one_time::Purpose;

/// What it brought about.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The user is signed in.
    SignedIn(Box<Grant>),
    /// Done, and no session was asked for.
    Confirmed,
    /// One of the two addresses of a change has confirmed it.
    OneOfTwo,
}

/// Applies it. `signs_in`: whether a session begins; under PKCE that waits for the code.
pub(crate) async fn apply(
    state: &Parts,
    connection: &mut Connection,
    taken: &Taken,
    origin: &Origin,
    signs_in: bool,
) -> Result<Outcome, AuthError> {
    let account = users::lock(connection, taken.user_id).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::LinkExpired)?;
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBanned.into());
    }
    match taken.purpose {
        Purpose::Signup | Purpose::Invite | Purpose::MagicLink | Purpose::Recovery => {
            let contact = Contact::Email(taken.recipient.clone());
            if account.email.as_deref() != Some(contact.as_str()) {
                // The address has changed since.
                return Err(Refusal::LinkExpired.into());
            }
            if account.email_confirmed_at.is_none() {
                confirm_first(state, connection, &account, &contact, taken.purpose).await?;
            }
        }
        Purpose::PhoneConfirmation => {
            let contact = Contact::Phone(taken.recipient.clone());
            if account.phone.as_deref() != Some(contact.as_str()) {
                return Err(Refusal::OtpExpired.into());
            }
            if account.phone_confirmed_at.is_none() {
                sign_up::confirm(connection, &account, &contact).await?;
            }
        }
        Purpose::Claim => {
            let contact =
                [&account.email, &account.phone].map(|held| held.as_deref() == Some(&taken.recipient));
            let contact = match contact {
                [true, _] => Contact::Email(taken.recipient.clone()),
                [false, true] => Contact::Phone(taken.recipient.clone()),
                [false, false] => return Err(Refusal::OtpExpired.into()),
            };
            if !contact.is_confirmed(&account) {
                confirm_first(state, connection, &account, &contact, taken.purpose).await?;
            }
        }
        Purpose::EmailChangeNew | Purpose::EmailChangeCurrent => {
            if !change_email(state, connection, &account, taken).await? {
                return Ok(Outcome::OneOfTwo);
            }
        }
        Purpose::PhoneChange => {
            let contact = Contact::Phone(account.phone_change.clone());
            if account.phone_change != taken.recipient {
                return Err(Refusal::OtpExpired.into());
            }
            contact_change::apply(state, connection, &account, &contact).await?;
        }
        Purpose::Reauthentication => return Err(Refusal::OtpExpired.into()),
    }
    // Whoever reads the mailbox could use the others too (threat B14).
    one_time_tokens::remove_all(connection, account.id).await?;
    if !signs_in {
        return Ok(Outcome::Confirmed);
    }
    let grant = begin(state, connection, account.id, Method::Otp, origin).await?;
    if taken.purpose == Purpose::Recovery {
        sessions::mark_recovery(connection, grant.session()).await?;
    }
    Ok(Outcome::SignedIn(Box::new(grant)))
}

/// The first proof that a contact is the user's. Where an invitation or a link to sign in or to recover brought it, whoever signed up before
/// may have been somebody else: their password and other ways in do not count (threat D03), unless the other contact of the
/// account was shown to be theirs.
async fn confirm_first(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    contact: &Contact,
    purpose: Purpose,
) -> Result<(), AuthError> {
    let may_be_anothers =
        matches!(purpose, Purpose::Invite | Purpose::MagicLink | Purpose::Recovery | Purpose::Claim);
    if may_be_anothers && !account.is_confirmed() {
        let own = (contact.provider(), account.id.to_string());
        identities::disown(connection, account.id, contact, (own.0, &own.1)).await?;
    }
    sign_up::confirm(connection, account, contact).await?;
    if state.settings.config.email.welcome && users::welcome_once(connection, account.id).await? {
        outbox::send(state, connection, account, contact, &outbox::Notice::Welcome).await?;
    }
    Ok(())
}

/// Whether the change is made: with two addresses to confirm it, at the second.
async fn change_email(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    taken: &Taken,
) -> Result<bool, AuthError> {
    let expected = match taken.purpose {
        Purpose::EmailChangeNew => Some(account.email_change.as_str()),
        _ => account.email.as_deref(),
    };
    if account.email_change.is_empty() || expected != Some(taken.recipient.as_str()) {
        return Err(Refusal::LinkExpired.into());
    }
    let needs_both = state.settings.config.email.secure_change && account.email.is_some();
    if needs_both && !users::confirm_half(connection, account.id, taken.purpose).await? {
        return Ok(false);
    }
    let contact = Contact::Email(account.email_change.clone());
    contact_change::apply(state, connection, account, &contact).await?;
    Ok(true)
}
