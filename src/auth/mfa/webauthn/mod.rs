//! Web Authentication (W3C, level 2): what security keys and passkeys are asked, and how their answers are checked. Pure.
//!
//! No attestation is asked for and none is looked at: which model of authenticator a user has is the user's affair. Keys are
//! those of ES256, EdDSA and RS256 (RFC 9053, RFC 8812), which every authenticator has one of.

mod authenticator_data;
mod client_data;
mod cose;
mod credential;
mod options;
mod party;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use credential::Credential;
pub(crate) use options::{AskedUser, creation_options, new_challenge, request_options};
pub use party::{RelyingParty, RelyingPartyError};
pub(crate) use wire::{Assertion, Registration};

use aws_lc_rs::digest::{SHA256, digest};
use ciborium::Value;
use subtle::ConstantTimeEq;

use authenticator_data::AuthenticatorData;
use client_data::{Ceremony, check_client_data};
use cose::PublicKey;

/// Random bytes of a challenge (section 13.4.3 asks for 16).
pub(crate) const CHALLENGE_LENGTH: usize = 32;

/// What an answer must be an answer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// Who asked.
    pub(crate) party: &'a RelyingParty,
    /// The challenge as it was sent: base64url.
    pub(crate) challenge: &'a str,
    /// Whether the authenticator must have recognised its user, by PIN or body: where it is the only proof.
    pub(crate) user_verification: bool,
}

/// Why an answer does not count; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebauthnError {
    /// The answer has not the form that the standard says.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    /// It is an answer to something else.
    #[error("the answer is of another kind of ceremony")]
    Ceremony,
    /// It is an answer to another challenge.
    #[error("the answer is to another challenge")]
    Challenge,
    /// It was made on a page that is not one of ours, or inside of a page of others.
    #[error("the answer was made on a page of another origin")]
    Origin,
    /// It is for another relying party.
    #[error("the credential is of another domain")]
    RelyingParty,
    /// Nobody touched the authenticator.
    #[error("the user was not present")]
    UserAbsent,
    /// The authenticator did not recognise its user.
    #[error("the user was not verified")]
    UserUnverified,
    /// The credential is another's, or not the one that was asked for.
    #[error("the credential is not the user's")]
    Credential,
    /// The key is of no kind that was offered.
    #[error("the key is of an algorithm that was not asked for")]
    Algorithm,
    /// The signature is not by the credential's key.
    #[error("the signature is wrong")]
    Signature,
    /// The authenticator signed more before than it says: it was cloned, or the answer is old.
    #[error("the counter of signatures went back")]
    Counter,
}

/// What an authentication changes of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Signatures by now; 0 for authenticators that do not count.
    pub(crate) sign_count: u32,
    /// Whether the credential is in a backup.
    pub(crate) backed_up: bool,
}

/// Checks the answer to a registration (section 7.1).
pub(crate) fn register(expected: Expected<'_>, answer: &Registration) -> Result<Credential, WebauthnError> {
    check_client_data(expected, Ceremony::Creation, &answer.response.client_data)?;
    let data = attested_data(&answer.response.attestation_object)?;
    let data = AuthenticatorData::parse(&data)?;
    check_authenticator(expected, &data)?;
    let attested = data.attested.ok_or(WebauthnError::Malformed("no credential"))?;
    if attested.credential_id != answer.raw_id {
        return Err(WebauthnError::Credential);
    }
    PublicKey::parse(attested.public_key)?;
    Ok(Credential {
        id: attested.credential_id.to_vec(),
        public_key: attested.public_key.to_vec(),
        aaguid: attested.aaguid,
        sign_count: data.sign_count,
        transports: answer.transports(),
        user_verified: data.user_verified,
        backup_eligible: data.backup_eligible,
        backed_up: data.backed_up,
    })
}

/// Checks the answer to an authentication (section 7.2). The caller has found the credential by the answer's id; `handle` is
/// what its owner was called at the registration, in each form that it may have.
pub(crate) fn authenticate(
    expected: Expected<'_>,
    credential: &Credential,
    handles: &[&[u8]],
    answer: &Assertion,
) -> Result<Seen, WebauthnError> {
    let response = &answer.response;
    let is_owner = response.user_handle.as_deref().is_none_or(|given| handles.contains(&given));
    if credential.id != answer.raw_id || !is_owner {
        return Err(WebauthnError::Credential);
    }
    check_client_data(expected, Ceremony::Request, &response.client_data)?;
    let data = AuthenticatorData::parse(&response.authenticator_data)?;
    check_authenticator(expected, &data)?;
    let hash = digest(&SHA256, &response.client_data);
    let signed = [response.authenticator_data.as_slice(), hash.as_ref()].concat();
    PublicKey::parse(&credential.public_key)?.verify(&signed, &response.signature)?;
    let counts = data.sign_count != 0 || credential.sign_count != 0;
    if counts && data.sign_count <= credential.sign_count {
        return Err(WebauthnError::Counter);
    }
    Ok(Seen { sign_count: data.sign_count, backed_up: data.backed_up })
}

fn check_authenticator(expected: Expected<'_>, data: &AuthenticatorData<'_>) -> Result<(), WebauthnError> {
    let own = digest(&SHA256, expected.party.id().as_bytes());
    if !bool::from(own.as_ref().ct_eq(data.rp_id_hash)) {
        return Err(WebauthnError::RelyingParty);
    }
    if !data.user_present {
        return Err(WebauthnError::UserAbsent);
    }
    if expected.user_verification && !data.user_verified {
        return Err(WebauthnError::UserUnverified);
    }
    if data.backed_up && !data.backup_eligible {
        return Err(WebauthnError::Malformed("in a backup but not eligible for one"));
    }
    Ok(())
}

/// The authenticator data inside of an attestation object (section 6.5).
fn attested_data(object: &[u8]) -> Result<Vec<u8>, WebauthnError> {
    let malformed = WebauthnError::Malformed("attestation object");
    let mut rest = object;
    let Some(Value::Map(entries)) = read_cbor(&mut rest) else { return Err(malformed) };
    if !rest.is_empty() {
        return Err(malformed);
    }
    let data = entries.into_iter().find(|(name, _)| name.as_text() == Some("authData"));
    data.and_then(|(_, data)| data.into_bytes().ok()).ok_or(malformed)
}

/// The first item of these bytes, which are moved on behind it. Items are not nested deeper than the standard's own.
fn read_cbor(bytes: &mut &[u8]) -> Option<Value> {
    ciborium::de::from_reader_with_recursion_limit(bytes, 16).ok()
}
