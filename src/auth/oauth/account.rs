//! Which account a profile belongs to, and what a sign-in changes there.
//!
//! An identity that is known is its account's, whatever its address is today. A new one joins the account of the same
//! address only if the provider has made sure of the address; whoever else has a stake in an account whose address was
//! never confirmed loses it at that moment (threats D03, D05).

use serde_json::{Value, json};
use uuid::Uuid;

use super::profile::Profile;
use super::provider::Provider;
use crate::auth::error::AuthError;
use crate::auth::flow::one_time::{self, Request};
use crate::auth::flow::sign_up::{self, NewUser};
use crate::auth::limits::Sending;
use crate::auth::model::{Account, Contact, merge};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::{identities, users};
use crate::auth::token::one_time::Purpose;

/// Somebody whom a provider has sent.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The provider.
    pub(crate) provider: &'a Provider,
    /// What it says of them.
    pub(crate) profile: &'a Profile,
    /// Where a link that confirms their address leads to.
    pub(crate) redirect_to: &'a str,
    /// Where they come from.
    pub(crate) origin: &'a Origin,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They may go on as this user.
    SignedIn(Uuid),
    /// They must confirm their address first; a mail is on its way, so the transaction is to be committed.
    Unconfirmed,
}

/// The account that has the profile's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    id: Uuid,
    email_confirmed: bool,
    phone_confirmed: bool,
}

/// What is known before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    /// Whose the identity is.
    owner: Option<Uuid>,
    /// Whether the provider has made sure of the address; none where it tells none.
    email_is_verified: Option<bool>,
    /// Who has the address.
    holder: Option<Holder>,
}

/// To whom the profile belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// The account of the identity, or of its address.
    Existing(Uuid),
    /// A new account. Another one that has the address, without having shown that it is its own, gives it up.
    New {
        /// That account.
        given_up_by: Option<Uuid>,
    },
    /// Nobody before the address is confirmed: an account has it already.
    EmailUnverified,
    /// Nobody: an address is needed.
    EmailMissing,
}

fn decide(facts: Facts, email_optional: bool) -> Decision {
    match (facts.owner, facts.email_is_verified, facts.holder) {
        (Some(owner), ..) => Decision::Existing(owner),
        (None, None, _) if !email_optional => Decision::EmailMissing,
        (None, Some(false), Some(_)) => Decision::EmailUnverified,
        // Whoever holds the number would keep a way into the account, so it is not shared with them.
        (None, Some(true), Some(Holder { id, email_confirmed: false, phone_confirmed: true })) => {
            Decision::New { given_up_by: Some(id) }
        }
        (None, Some(true), Some(Holder { id, .. })) => Decision::Existing(id),
        (None, ..) => Decision::New { given_up_by: None },
    }
}

async fn facts(connection: &mut Connection, arrival: Arrival<'_>) -> Result<Facts, AuthError> {
    let identity = (arrival.provider.name.as_str(), arrival.profile.subject.as_str());
    let email = arrival.profile.email.as_ref();
    let holder = match email {
        Some(email) => users::by_contact(connection, &Contact::Email(email.address.clone())).await?,
        None => None,
    };
    Ok(Facts {
        owner: identities::owner(connection, identity).await?,
        email_is_verified: email.map(|email| email.is_verified),
        holder: holder.map(|account| Holder {
            id: account.id,
            email_confirmed: account.email_confirmed_at.is_some(),
            phone_confirmed: account.phone_confirmed_at.is_some(),
        }),
    })
}

/// Whether a new account may be made for them, asked before the transaction: the hook takes its time. For those who have one
/// nothing is asked.
pub(crate) async fn admit(state: &Parts, arrival: Arrival<'_>) -> Result<bool, AuthError> {
    let facts = facts(&mut *state.connection().await?, arrival).await?;
    if !matches!(decide(facts, arrival.provider.email_optional), Decision::New { .. }) {
        return Ok(false);
    }
    if !state.settings.config.signup {
        return Err(Refusal::SignupDisabled.into());
    }
    let (contact, metadata, app) = description(arrival);
    let new = new_user(contact.as_ref(), &metadata, &app, arrival);
    sign_up::check_blocklists(state, &new).await?;
    sign_up::ask_hook(state, &new, arrival.origin).await?;
    Ok(true)
}

/// Finds or makes the account. `is_admitted`: what [`admit`] said.
pub(crate) async fn enter(
    state: &Parts,
    connection: &mut Connection,
    arrival: Arrival<'_>,
    is_admitted: bool,
) -> Result<Outcome, AuthError> {
    reserve(connection, arrival).await?;
    let facts = facts(connection, arrival).await?;
    let decision = decide(facts, arrival.provider.email_optional);
    // By its address; whoever has the account is told of a way in that it did not have.
    let is_joined = facts.owner.is_none() && matches!(decision, Decision::Existing(_));
    let account = match decision {
        Decision::Existing(id) => users::lock(connection, id).await?,
        Decision::New { .. } if !is_admitted => return Err(Refusal::Conflict.into()),
        Decision::New { given_up_by } => {
            if let Some(other) = given_up_by {
                identities::give_up_email(connection, other).await?;
                sign_up::describe(connection, other).await?;
            }
            let (contact, metadata, app) = description(arrival);
            let new = new_user(contact.as_ref(), &metadata, &app, arrival);
            Some(sign_up::create(state, connection, &new).await?)
        }
        Decision::EmailUnverified => return Err(unverified(arrival.provider)),
        Decision::EmailMissing => return Err(Refusal::ProviderEmailMissing.into()),
    };
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::UserNotFound)?;
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBanned.into());
    }
    let outcome = settle(state, connection, &account, arrival).await?;
    if is_joined {
        outbox::inform(state, connection, &account, &Notice::IdentityLinked(&arrival.provider.name)).await?;
    }
    Ok(outcome)
}

/// Lets nobody else decide about the same identity or address until the transaction ends.
pub(super) async fn reserve(connection: &mut Connection, arrival: Arrival<'_>) -> Result<(), AuthError> {
    let profile = arrival.profile;
    identities::reserve(connection, &format!("{} {}", arrival.provider.name, profile.subject)).await?;
    if let Some(email) = &profile.email {
        identities::reserve(connection, &email.address).await?;
    }
    Ok(())
}

/// What is said to those who must confirm their address first, whether or not an account has it.
pub(crate) fn unverified(provider: &Provider) -> AuthError {
    let name = &provider.name;
    let text =
        format!("Unverified email with {name}. A confirmation email has been sent to your {name} email");
    AuthError::Told(Refusal::ProviderEmailUnverified, text)
}

/// Address, metadata of the user and of the server, of a new account.
fn description(arrival: Arrival<'_>) -> (Option<Contact>, Value, Value) {
    let name = &arrival.provider.name;
    let contact = arrival.profile.email.as_ref().map(|email| Contact::Email(email.address.clone()));
    let app = json!({"provider": name, "providers": [name]});
    (contact, Value::Object(arrival.profile.metadata()), app)
}

fn new_user<'a>(
    contact: Option<&'a Contact>,
    metadata: &'a Value,
    app_metadata: &'a Value,
    arrival: Arrival<'a>,
) -> NewUser<'a> {
    NewUser {
        contact,
        metadata,
        app_metadata: Some(app_metadata),
        identity: Some((arrival.provider.name.as_str(), arrival.profile)),
        origin: Some(arrival.origin),
        ..NewUser::default()
    }
}

/// Takes over what the provider says, and sees that the address is confirmed.
async fn settle(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    arrival: Arrival<'_>,
) -> Result<Outcome, AuthError> {
    let profile = arrival.profile;
    let identity = (arrival.provider.name.as_str(), profile.subject.as_str());
    if !identities::sign_in(connection, account.id, identity, &profile.identity_data(), state.now()).await? {
        return Err(Refusal::IdentityExists.into());
    }
    let metadata = merge(&account.raw_user_meta_data, &profile.metadata());
    users::set_metadata(connection, account.id, (&account.raw_app_meta_data, &metadata)).await?;
    let email = profile.email.as_ref().filter(|email| Some(&email.address) == account.email.as_ref());
    let is_verified = email.is_some_and(|email| email.is_verified);
    let autoconfirms = email.is_some() && state.settings.config.email.autoconfirm;
    let waits = account.email.is_some() && account.email_confirmed_at.is_none();
    if let Some(kept) =
        account.contact().filter(|_| waits && is_verified && account.phone_confirmed_at.is_none())
    {
        identities::disown(connection, account.id, &kept, identity).await?;
    }
    sign_up::describe(connection, account.id).await?;
    if waits && (is_verified || autoconfirms) {
        let address = Contact::Email(account.email.clone().unwrap_or_default());
        users::confirm(connection, account.id, &address).await?;
        welcome(state, connection, account).await?;
    } else if !account.is_confirmed() && account.email.is_some() {
        ask_for_confirmation(state, connection, account, arrival.redirect_to).await?;
        return Ok(Outcome::Unconfirmed);
    }
    Ok(Outcome::SignedIn(account.id))
}

async fn welcome(state: &Parts, connection: &mut Connection, account: &Account) -> Result<(), AuthError> {
    let Some(contact) = account.email.clone().map(Contact::Email) else { return Ok(()) };
    if state.settings.config.email.welcome && users::welcome_once(connection, account.id).await? {
        outbox::send(state, connection, account, &contact, &Notice::Welcome).await?;
    }
    Ok(())
}

/// Sends a link to the account's address, unless one was sent just now.
async fn ask_for_confirmation(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    redirect_to: &str,
) -> Result<(), AuthError> {
    let Some(contact) = account.email.clone().map(Contact::Email) else { return Ok(()) };
    let request = Request { purpose: Purpose::Signup, to: &contact, redirect_to, challenge: None };
    let sent = match state.limits.take_sending(Sending::Confirmation, &contact).await {
        Ok(()) => one_time::send(state, connection, account, &request).await,
        Err(error) => Err(error),
    };
    match sent {
        Err(AuthError::TooMany { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Uuid = Uuid::from_u128(1);
    const HOLDER: Uuid = Uuid::from_u128(2);

    /// Whether the address and the number of the account that has the address are confirmed.
    type Held = Option<(bool, bool)>;

    fn decided(owner: Option<Uuid>, email_is_verified: Option<bool>, held: Held) -> Decision {
        let holder = held.map(|(email_confirmed, phone_confirmed)| Holder {
            id: HOLDER,
            email_confirmed,
            phone_confirmed,
        });
        decide(Facts { owner, email_is_verified, holder }, false)
    }

    #[test]
    fn a_known_identity_is_its_accounts_whatever_its_address_is_today() {
        for email in [None, Some(false), Some(true)] {
            for holder in [None, Some((true, false)), Some((false, true))] {
                assert_eq!(decided(Some(OWNER), email, holder), Decision::Existing(OWNER));
            }
        }
    }

    #[test]
    fn a_verified_address_joins_its_account_unless_somebody_else_has_confirmed_a_number_there() {
        assert_eq!(decided(None, Some(true), Some((true, false))), Decision::Existing(HOLDER));
        assert_eq!(decided(None, Some(true), Some((true, true))), Decision::Existing(HOLDER));
        assert_eq!(decided(None, Some(true), Some((false, false))), Decision::Existing(HOLDER));
        let given_up = Decision::New { given_up_by: Some(HOLDER) };
        assert_eq!(decided(None, Some(true), Some((false, true))), given_up);
    }

    #[test]
    fn d05_an_unverified_address_never_joins_an_account() {
        for (email, phone) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(decided(None, Some(false), Some((email, phone))), Decision::EmailUnverified);
        }
        assert_eq!(decided(None, Some(false), None), Decision::New { given_up_by: None });
    }

    #[test]
    fn an_address_is_needed_unless_the_configuration_does_without() {
        assert_eq!(decided(None, None, None), Decision::EmailMissing);
        let facts = Facts { owner: None, email_is_verified: None, holder: None };
        assert_eq!(decide(facts, true), Decision::New { given_up_by: None });
    }
}
