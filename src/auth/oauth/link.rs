//! Joining an identity to the account of who is signed in, and parting the two.

use serde_json::Value;
use uuid::Uuid;

use super::account::{Arrival, reserve};
use crate::auth::error::AuthError;
use crate::auth::flow::sign_up;
use crate::auth::model::{Account, Contact, Identity};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Parts};
use crate::auth::store::{broken_constraint, identities, users};

/// Joins the identity to the user's account.
pub(crate) async fn join(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    arrival: Arrival<'_>,
) -> Result<(), AuthError> {
    reserve(connection, arrival).await?;
    let account = locked(connection, user).await?;
    if account.is_banned(state.now()) {
        return Err(Refusal::UserBanned.into());
    }
    let profile = arrival.profile;
    let identity = (arrival.provider.name.as_str(), profile.subject.as_str());
    if identities::owner(connection, identity).await?.is_some()
        || !identities::sign_in(connection, user, identity, &profile.identity_data(), state.now()).await?
    {
        return Err(Refusal::IdentityExists.into());
    }
    // An account without an address gets this one, if it is free and sure.
    let verified = profile.email.as_ref().filter(|email| email.is_verified && account.email.is_none());
    let mut address = None;
    if let Some(email) = verified {
        let holder = users::by_contact(connection, &Contact::Email(email.address.clone())).await?;
        address = Some(email.address.as_str()).filter(|_| holder.is_none());
    }
    identities::joined(connection, user, address).await?;
    sign_up::describe(connection, user).await?;
    outbox::inform(state, connection, &account, &Notice::IdentityLinked(identity.0)).await
}

/// Takes an identity from the account. What only this identity stood for goes with it (threat D13).
pub(crate) async fn part(
    state: &Parts,
    connection: &mut Connection,
    user: Uuid,
    identity: Uuid,
) -> Result<(), AuthError> {
    let account = locked(connection, user).await?;
    let mut rest = identities::of_user(connection, user).await?;
    let place = rest.iter().position(|known| known.id == identity).ok_or(Refusal::IdentityNotFound)?;
    let removed = rest.remove(place);
    if rest.is_empty() {
        return Err(Refusal::SingleIdentity.into());
    }
    identities::remove(connection, user, removed.id).await?;
    match remaining(&account, &removed, &rest) {
        Remaining::Unchanged => {}
        Remaining::NoPhone => identities::forget_phone(connection, user).await?,
        Remaining::Email { address, is_confirmed } => {
            let set = identities::set_email(connection, user, address.as_deref(), is_confirmed).await;
            set.map_err(|error| match broken_constraint(&error) {
                Some(_) => AuthError::from(Refusal::EmailConflict),
                None => error.into(),
            })?;
        }
    }
    sign_up::describe(connection, user).await?;
    outbox::inform(state, connection, &account, &Notice::IdentityUnlinked(&removed.provider)).await
}

/// The account, which must be one that its user decides about.
async fn locked(connection: &mut Connection, user: Uuid) -> Result<Account, AuthError> {
    let account = users::lock(connection, user).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(Refusal::UserGone)?;
    if account.is_sso_user { Err(Refusal::SsoManaged.into()) } else { Ok(account) }
}

/// What an account has without an identity that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remaining {
    /// All that it had.
    Unchanged,
    /// No number.
    NoPhone,
    /// This address or none.
    Email {
        /// The address.
        address: Option<String>,
        /// Whether one of the identities that are left has confirmed it.
        is_confirmed: bool,
    },
}

fn remaining(account: &Account, removed: &Identity, rest: &[Identity]) -> Remaining {
    if removed.provider == "phone" {
        return Remaining::NoPhone;
    }
    let Some(current) = account.email.as_deref().filter(|email| removed.email.as_deref() == Some(email))
    else {
        return Remaining::Unchanged;
    };
    let has_current = |identity: &&Identity| identity.email.as_deref() == Some(current);
    let still: Vec<&Identity> = rest.iter().filter(has_current).collect();
    if !still.is_empty() {
        // Identities that other systems made say nothing of it where they are the account's own.
        let was_confirmed = account.email_confirmed_at.is_some();
        let confirms = |identity: &&Identity| {
            is_verified(identity).unwrap_or(identity.provider == "email" && was_confirmed)
        };
        let is_confirmed = was_confirmed && still.iter().any(confirms);
        return Remaining::Email { address: Some(current.to_owned()), is_confirmed };
    }
    let others = || rest.iter().filter(|identity| identity.email.is_some());
    let next = others().find(|identity| is_verified(identity) == Some(true)).or_else(|| others().next());
    Remaining::Email {
        address: next.and_then(|identity| identity.email.clone()),
        is_confirmed: next.and_then(is_verified) == Some(true),
    }
}

fn is_verified(identity: &Identity) -> Option<bool> {
    identity.identity_data.get("email_verified").and_then(Value::as_bool)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn identity(provider: &str, email: Option<&str>, is_verified: Option<bool>) -> Identity {
        let mut data = json!({});
        if let Some(is_verified) = is_verified {
            data["email_verified"] = json!(is_verified);
        }
        Identity {
            id: Uuid::nil(),
            provider_id: provider.to_owned(),
            user_id: Uuid::nil(),
            identity_data: data,
            provider: provider.to_owned(),
            last_sign_in_at: None,
            created_at: None,
            updated_at: None,
            email: email.map(str::to_owned),
        }
    }

    fn account(email: Option<&str>, is_confirmed: bool) -> Account {
        let at = DateTime::UNIX_EPOCH;
        Account {
            id: Uuid::nil(),
            aud: String::new(),
            role: String::new(),
            email: email.map(str::to_owned),
            phone: None,
            encrypted_password: None,
            email_confirmed_at: is_confirmed.then_some(at),
            phone_confirmed_at: None,
            invited_at: None,
            confirmation_sent_at: None,
            recovery_sent_at: None,
            email_change: String::new(),
            email_change_sent_at: None,
            phone_change: String::new(),
            phone_change_sent_at: None,
            reauthentication_sent_at: None,
            last_sign_in_at: None,
            raw_app_meta_data: json!({}),
            raw_user_meta_data: json!({}),
            created_at: at,
            updated_at: at,
            banned_until: None,
            deleted_at: None,
            is_sso_user: false,
            is_anonymous: false,
            username: None,
        }
    }

    #[test]
    fn d13_the_address_and_its_confirmation_follow_from_the_identities_that_are_left() {
        let (a, b) = (Some("a@example.com"), Some("b@example.com"));
        let email = |address: Option<&str>, is_confirmed| Remaining::Email {
            address: address.map(str::to_owned),
            is_confirmed,
        };
        let google = identity("google", a, Some(true));
        let table = [
            (identity("phone", None, None), vec![google.clone()], Remaining::NoPhone),
            (identity("github", b, Some(true)), vec![google.clone()], Remaining::Unchanged),
            (identity("email", a, Some(true)), vec![google.clone()], email(a, true)),
            (google.clone(), vec![identity("email", a, Some(true))], email(a, true)),
            (google.clone(), vec![identity("email", a, None)], email(a, true)),
            (google.clone(), vec![identity("email", a, Some(false))], email(a, false)),
            (google.clone(), vec![identity("github", a, Some(false))], email(a, false)),
            (google.clone(), vec![identity("github", b, Some(true))], email(b, true)),
            (google.clone(), vec![identity("github", b, Some(false))], email(b, false)),
            (
                google.clone(),
                vec![identity("github", b, Some(false)), identity("x", Some("c@example.com"), Some(true))],
                email(Some("c@example.com"), true),
            ),
            (google, vec![identity("discord", None, None)], email(None, false)),
        ];
        for (removed, rest, expected) in table {
            assert_eq!(remaining(&account(a, true), &removed, &rest), expected, "{removed:?} {rest:?}");
        }
    }
}
