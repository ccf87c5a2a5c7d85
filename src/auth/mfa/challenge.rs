//! Asking for a second factor: a challenge, the code that goes to a phone, what a security key is to sign.

use serde_json::{Value, json};
use uuid::Uuid;

use super::security_key;
use super::{check_verification, code_digest, find, oldest_challenge, span};
use crate::auth::error::AuthError;
use crate::auth::limits::Sending;
use crate::auth::model::{Account, Contact, Factor, FactorType};
use crate::auth::outbox;
use crate::auth::state::{Origin, Parts};
use crate::auth::store::challenges::{self, Challenge};
use crate::auth::store::factors;
use crate::auth::token::one_time::{Otp, OtpLength};

/// A challenge that waits for its answer.
#[derive(Debug)]
pub(crate) struct Challenged {
    id: Uuid,
    kind: FactorType,
    expires_at: i64,
    webauthn: Option<Value>,
}

impl Challenged {
    /// The body of the answer.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({"id": self.id, "type": self.kind.word(), "expires_at": self.expires_at});
        if let Some(asked) = &self.webauthn {
            shown["webauthn"] = asked.clone();
        }
        shown
    }
}

/// Asks for a factor of a user.
pub(crate) async fn challenge(
    state: &Parts,
    account: &Account,
    factor: Uuid,
    origin: &Origin,
) -> Result<Challenged, AuthError> {
    let factor = find(state, &mut *state.connection().await?, account.id, factor).await?;
    let config = &state.settings.config.mfa;
    check_verification(config, factor.factor_type)?;
    let now = state.now();
    let mut challenge = Challenge {
        id: state.new_id(),
        factor_id: factor.id,
        created_at: now,
        ip_address: origin.ip,
        otp_code: None,
        web_authn_session_data: None,
    };
    let webauthn = match factor.factor_type {
        FactorType::Webauthn => {
            let (asked, kept) = security_key::ask(state, account, &factor)?;
            challenge.web_authn_session_data = Some(kept);
            Some(asked)
        }
        _ => None,
    };
    let code = match phone(&factor) {
        Some(to) => {
            state.limits.take_sending_of(account.id, Sending::Factor, &to).await?;
            let code = new_code(state)?;
            challenge.otp_code = Some(code_digest(state, challenge.id, code.expose()));
            Some((to, code))
        }
        None => None,
    };
    let mut transaction = state.begin().await?;
    factors::mark_challenged(&mut transaction, factor.id, now).await?;
    challenges::insert(&mut transaction, &challenge, oldest_challenge(state)).await?;
    if let Some((to, code)) = &code {
        outbox::send_text(state, &mut transaction, account, (to.as_str(), "mfa"), code).await?;
    }
    state.commit(transaction).await?;
    let expires_at = (now + span(config.challenge_lifetime)).timestamp();
    Ok(Challenged { id: challenge.id, kind: factor.factor_type, expires_at, webauthn })
}

fn phone(factor: &Factor) -> Option<Contact> {
    let phone = factor.phone.clone().filter(|_| factor.factor_type == FactorType::Phone);
    phone.map(Contact::Phone)
}

fn new_code(state: &Parts) -> Result<Otp, AuthError> {
    let length = OtpLength::new(state.settings.config.phone.otp_length.into());
    let length =
        length.ok_or_else(|| AuthError::Internal("the length of codes is out of range".to_owned()))?;
    Ok(Otp::generate(length, state.random.bytes()))
}
