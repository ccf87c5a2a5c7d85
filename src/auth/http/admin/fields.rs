//! The fields of an account as administrators give them, parsed: what POST and PUT `/admin/users` have in common.

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::duration;
use crate::auth::error::AuthError;
use crate::auth::input::{self, Username};
use crate::auth::password::check_imported;
use crate::auth::state::AuthState;
use crate::auth::store::admin_users::{Ban, Standing};
use crate::kernel::secret::Secret;

/// The longest hash that the column holds, in bytes.
const LONGEST_HASH: usize = 255;
/// The longest name of a role of PostgreSQL, in bytes; audiences are held to the same.
const LONGEST_ROLE: usize = 63;

/// The body.
#[derive(Deserialize)]
pub(super) struct Fields {
    id: Option<Uuid>,
    aud: Option<String>,
    role: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    password_hash: Option<Secret>,
    email_confirm: Option<bool>,
    phone_confirm: Option<bool>,
    user_metadata: Option<Map<String, Value>>,
    app_metadata: Option<Map<String, Value>>,
    ban_duration: Option<String>,
}

/// The fields, ready to be stored.
pub(super) struct Wanted {
    /// The id of a new account.
    pub(super) id: Option<Uuid>,
    /// The address.
    pub(super) email: Option<String>,
    /// The number.
    pub(super) phone: Option<String>,
    /// The name to sign in with.
    pub(super) username: Option<Username>,
    /// The hash of the password.
    pub(super) password_hash: Option<String>,
    /// Whether the address counts as confirmed.
    pub(super) confirms_email: bool,
    /// Whether the number does.
    pub(super) confirms_phone: bool,
    /// What the user says of itself.
    pub(super) user_metadata: Map<String, Value>,
    /// What the server says of it.
    pub(super) app_metadata: Map<String, Value>,
    role: Option<String>,
    aud: Option<String>,
    ban: Option<Ban>,
}

impl Wanted {
    /// What the account shall count as; nothing if that is not asked for.
    pub(super) fn standing(&self) -> Option<Standing<'_>> {
        let standing = Standing { role: self.role.as_deref(), aud: self.aud.as_deref(), ban: self.ban };
        let is_asked = standing.role.is_some() || standing.aud.is_some() || standing.ban.is_some();
        is_asked.then_some(standing)
    }
}

impl Fields {
    /// Checks them, and hashes the password. What is empty counts as not given.
    pub(super) async fn parse(self, state: &AuthState) -> Result<Wanted, AuthError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let password_hash = password_hash(state, self.password, self.password_hash).await?;
        Ok(Wanted {
            id: self.id.filter(|id| !id.is_nil()),
            email: given(self.email).map(|email| input::email(&email)).transpose()?,
            phone: given(self.phone).map(|phone| input::phone(&phone)).transpose()?,
            username: input::username(&self.username.unwrap_or_default())?,
            password_hash,
            confirms_email: self.email_confirm.unwrap_or_default(),
            confirms_phone: self.phone_confirm.unwrap_or_default(),
            user_metadata: self.user_metadata.unwrap_or_default(),
            app_metadata: self.app_metadata.unwrap_or_default(),
            role: given(self.role).map(|role| name("role", role)).transpose()?,
            aud: given(self.aud).map(|aud| name("aud", aud)).transpose()?,
            ban: given(self.ban_duration).map(|text| ban(&text, state.now())).transpose()?,
        })
    }
}

/// The hash of a password, or one that another system made.
async fn password_hash(
    state: &AuthState,
    password: Option<Secret>,
    hash: Option<Secret>,
) -> Result<Option<String>, AuthError> {
    let given = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
    match (given(password), given(hash)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(AuthError::Invalid("Only a password or a password hash should be provided".to_owned()))
        }
        (Some(password), None) => {
            state.check_password(&password).await?;
            state.hash_password(&password).await.map(Some)
        }
        (None, Some(hash)) => {
            let hash = hash.expose();
            if hash.len() > LONGEST_HASH {
                return Err(AuthError::Invalid(format!("password_hash has more than {LONGEST_HASH} bytes")));
            }
            check_imported(hash).map_err(|fault| AuthError::Invalid(format!("password_hash: {fault}")))?;
            Ok(Some(hash.to_owned()))
        }
    }
}

/// The name of a role or of an audience.
fn name(field: &str, text: String) -> Result<String, AuthError> {
    if text.len() > LONGEST_ROLE || text.chars().any(char::is_control) {
        return Err(AuthError::Invalid(format!("{field} must be a name of at most {LONGEST_ROLE} bytes")));
    }
    Ok(text)
}

/// What a duration says of a ban that begins now.
fn ban(text: &str, now: DateTime<Utc>) -> Result<Ban, AuthError> {
    if text == "none" {
        return Ok(Ban::Lifted);
    }
    let lasts = duration::parse(text).filter(|lasts| *lasts >= Duration::zero());
    let until = lasts.and_then(|lasts| now.checked_add_signed(lasts));
    until.map(Ban::Until).ok_or_else(|| {
        AuthError::Invalid("ban_duration must be none, or a duration as in 24h or 1h30m".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_lasts_as_long_as_it_says_or_is_lifted() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();

        assert_eq!(ban("none", now).unwrap(), Ban::Lifted);
        assert_eq!(ban("1h30m", now).unwrap(), Ban::Until(now + Duration::minutes(90)));
        for text in ["1d", "-1h", "for ever", "None"] {
            assert!(ban(text, now).is_err(), "{text}");
        }
    }
}
