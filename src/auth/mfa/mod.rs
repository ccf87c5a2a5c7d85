//! Second factors and passkeys: enrolling, challenging, verifying and removing them, and the codes for their loss.
//!
//! `totp` and `webauthn` are pure: what authenticator apps and security keys compute, and how it is checked. The others are
//! what actions do. Whatever raises or lowers a user's sessions does it with the user's row locked.

pub(crate) mod challenge;
pub(crate) mod enrolment;
pub(crate) mod passkeys;
pub(crate) mod recovery;
pub(crate) mod refusal;
pub(crate) mod removal;
pub(crate) mod security_key;
pub(crate) mod totp;
pub(crate) mod verification;
pub(crate) mod webauthn;

use aws_lc_rs::hmac;
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::error::AuthError;
use super::model::{Account, Factor, FactorType};
use super::state::{Connection, Parts};
use super::store::factors;
use crate::kernel::config::{MfaConfig, TimeSpan};
use refusal::FactorRefusal;
use totp::TotpSecret;

/// What the secrets of authenticator apps are sealed for.
pub(crate) const TOTP_SECRET: &str = "totp secret";

/// What the digests of codes that were sent are for.
const FACTOR_CODE: &str = "factor code mac";

/// The role of the application whose holders must have a second factor in production.
const SYSTEM_ADMIN: &str = "system_admin";

/// How many of those who may do everything have none (`goforward doctor`).
pub async fn system_admins_without_factor(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    factors::without_any(connection, SYSTEM_ADMIN).await
}

/// Why something of a user without identifiers is refused: nobody could help it after a loss.
pub(crate) fn refuse_anonymous(account: &Account) -> Result<(), AuthError> {
    if account.is_anonymous { Err(FactorRefusal::Anonymous.into()) } else { Ok(()) }
}

/// A factor of a user; one that was not verified in time is none any more.
async fn find(state: &Parts, connection: &mut Connection, user: Uuid, id: Uuid) -> Result<Factor, AuthError> {
    let oldest = state.now() - span(state.settings.config.mfa.enrollment_lifetime);
    let factor = factors::by_id(connection, user, id).await?;
    let factor = factor.filter(|factor| factor.is_verified() || factor.created_at >= oldest);
    factor.ok_or_else(|| FactorRefusal::FactorNotFound.into())
}

/// When a challenge must have been made to be answered still.
fn oldest_challenge(state: &Parts) -> DateTime<Utc> {
    state.now() - span(state.settings.config.mfa.challenge_lifetime)
}

fn span(span: TimeSpan) -> Duration {
    Duration::from_std(span.get()).unwrap_or_default()
}

/// How long a browser waits for an authenticator, in milliseconds.
fn timeout(state: &Parts) -> u64 {
    u64::try_from(state.settings.config.mfa.challenge_lifetime.get().as_millis()).unwrap_or(u64::MAX)
}

fn check_verification(config: &MfaConfig, kind: FactorType) -> Result<(), AuthError> {
    let is_on = match kind {
        FactorType::Totp => config.totp_verify,
        FactorType::Phone => config.phone_verify,
        FactorType::Webauthn => config.webauthn_verify,
    };
    if is_on { Ok(()) } else { Err(FactorRefusal::VerificationDisabled(kind).into()) }
}

/// What is stored of a code that was sent for a challenge.
fn code_digest(state: &Parts, challenge: Uuid, code: &str) -> String {
    hex::encode(state.digest(FACTOR_CODE, &code_of(challenge, code)))
}

/// Whether a code is the one that was sent for a challenge, in constant time.
fn is_code(state: &Parts, challenge: Uuid, code: &str, stored: &str) -> bool {
    let content = code_of(challenge, code);
    let mac = state.roots.mac_keys(FACTOR_CODE);
    mac.any_makes(stored.as_bytes(), |key| hex::encode(hmac::sign(key, &content)))
}

fn code_of(challenge: Uuid, code: &str) -> Vec<u8> {
    [challenge.as_bytes(), code.as_bytes()].concat()
}

/// The secret of an authenticator app as it is stored.
pub(crate) fn seal(state: &Parts, factor: Uuid, secret: &TotpSecret) -> Result<String, AuthError> {
    let text = secret.base32();
    let row = factor.to_string();
    let sealed = state.vault.seal(TOTP_SECRET, &row, text.expose().as_bytes(), state.random.bytes());
    sealed.map_err(|error| AuthError::Internal(error.to_string()))
}
