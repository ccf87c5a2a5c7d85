//! Enrolling a second factor. It counts once its first challenge is answered.

use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::FactorRefusal;
use super::totp::{TotpSecret, qr_code};
use super::{refuse_anonymous, seal, span};
use crate::auth::error::AuthError;
use crate::auth::model::{Account, AssuranceLevel, FactorType, Session};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Parts};
use crate::auth::store::{broken_constraint, factors, users};
use crate::kernel::config::MfaConfig;
use crate::kernel::secret::Secret;

/// What is to be enrolled.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What it is.
    pub(crate) kind: FactorType,
    /// What the user calls it.
    pub(crate) friendly_name: Option<String>,
    /// What an authenticator app calls us.
    pub(crate) issuer: Option<String>,
    /// The number that codes go to.
    pub(crate) phone: Option<String>,
}

/// A factor that waits for its first answer.
#[derive(Debug)]
pub(crate) struct Enrolled {
    id: Uuid,
    wanted: Wanted,
    totp: Option<Setup>,
}

/// What an authenticator app is set up with.
#[derive(Debug)]
struct Setup {
    qr_code: Secret,
    secret: Secret,
    uri: Secret,
}

impl Enrolled {
    /// The body of the answer.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "id": self.id, "type": self.wanted.kind.word(),
            "friendly_name": self.wanted.friendly_name.as_deref().unwrap_or_default(),
        });
        if let Some(setup) = &self.totp {
            shown["totp"] = json!({
                "qr_code": setup.qr_code.expose(), "secret": setup.secret.expose(), "uri": setup.uri.expose(),
            });
        }
        if let Some(phone) = &self.wanted.phone {
            shown["phone"] = json!(phone);
        }
        shown
    }
}

/// Enrols a factor. Who has one already must have given it in this session (threat B11).
pub(crate) async fn enrol(
    state: &Parts,
    account: &Account,
    session: &Session,
    wanted: Wanted,
) -> Result<Enrolled, AuthError> {
    refuse_anonymous(account)?;
    let config = &state.settings.config.mfa;
    check_enabled(config, wanted.kind)?;
    let now = state.now();
    let mut transaction = state.begin().await?;
    // One enrolment of a user after the other, or the limit would not hold.
    users::lock(&mut transaction, account.id).await?.ok_or(Refusal::UserGone)?;
    factors::remove_stale(&mut transaction, account.id, now - span(config.enrollment_lifetime)).await?;
    if session.aal < AssuranceLevel::Aal2 && factors::has_verified(&mut transaction, account.id).await? {
        return Err(FactorRefusal::EnrolmentNeedsFactor.into());
    }
    if let Some(phone) = wanted.phone.as_deref() {
        let unverified = (FactorType::Phone, Some(phone), None);
        factors::remove_unverified(&mut transaction, account.id, unverified).await?;
    }
    if factors::of_user(&mut transaction, account.id).await?.len() >= usize::from(config.max_factors) {
        return Err(FactorRefusal::TooManyFactors.into());
    }
    let enrolled = insert(state, &mut transaction, account, wanted).await?;
    transaction.commit().await?;
    Ok(enrolled)
}

async fn insert(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    wanted: Wanted,
) -> Result<Enrolled, AuthError> {
    let id = state.new_id();
    let secret = (wanted.kind == FactorType::Totp).then(|| TotpSecret::generate(state.random.bytes()));
    let sealed = secret.as_ref().map(|secret| seal(state, id, secret)).transpose()?;
    let new = factors::NewFactor {
        id,
        user_id: account.id,
        kind: wanted.kind,
        friendly_name: wanted.friendly_name.as_deref(),
        secret: sealed.as_deref(),
        phone: wanted.phone.as_deref(),
        now: state.now(),
    };
    factors::insert(connection, &new).await.map_err(taken)?;
    let totp = secret.map(|secret| set_up(state, account, &secret, wanted.issuer.as_deref())).transpose()?;
    Ok(Enrolled { id, wanted, totp })
}

/// What it means that a factor cannot be stored.
pub(crate) fn taken(error: sqlx::Error) -> AuthError {
    match broken_constraint(&error) {
        Some("mfa_factors_user_friendly_name_unique") => FactorRefusal::NameTaken.into(),
        Some("unique_phone_factor_per_user") => FactorRefusal::PhoneTaken.into(),
        _ => error.into(),
    }
}

fn set_up(
    state: &Parts,
    account: &Account,
    secret: &TotpSecret,
    issuer: Option<&str>,
) -> Result<Setup, AuthError> {
    let issuer = issuer.or(state.settings.config.mfa.issuer.as_deref());
    let issuer = issuer.or(state.redirects.site_url().host_str()).unwrap_or_default();
    let id = account.id.to_string();
    let name = account.email.as_deref().or(account.phone.as_deref()).unwrap_or(&id);
    let uri = secret.uri(issuer, name);
    let qr_code = qr_code(&uri).ok_or_else(|| AuthError::Invalid("issuer is too long".to_owned()))?;
    Ok(Setup { qr_code, secret: secret.base32(), uri })
}

fn check_enabled(config: &MfaConfig, kind: FactorType) -> Result<(), AuthError> {
    let is_on = match kind {
        FactorType::Totp => config.totp_enroll,
        FactorType::Phone => config.phone_enroll,
        FactorType::Webauthn => config.webauthn_enroll,
    };
    if is_on { Ok(()) } else { Err(FactorRefusal::EnrolmentDisabled(kind).into()) }
}
