//! What the authenticator says of itself and a credential (section 6.1). Pure.

use ciborium::Value;
use uuid::Uuid;

use super::{WebauthnError, read_cbor};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// The longest id of a credential (section 7.1, step 25).
const LONGEST_ID: usize = 1023;

/// Authenticator data.
#[expect(clippy::struct_excessive_bools, reason = "the standard has these flags")]
#[derive(Clone, Debug)]
pub(super) struct AuthenticatorData<'a> {
    /// SHA-256 of the relying party's id.
    pub(super) rp_id_hash: &'a [u8],
    /// Whether somebody touched it.
    pub(super) user_present: bool,
    /// Whether it knows that it was its user.
    pub(super) user_verified: bool,
    /// Whether the credential may be copied to other devices.
    pub(super) backup_eligible: bool,
    /// Whether it is.
    pub(super) backed_up: bool,
    /// Signatures by now.
    pub(super) sign_count: u32,
    /// A new credential.
    pub(super) attested: Option<Attested<'a>>,
}

/// A new credential.
#[derive(Clone, Debug)]
pub(super) struct Attested<'a> {
    /// The authenticator's model; zeros where it keeps that to itself.
    pub(super) aaguid: Uuid,
    /// The credential's id.
    pub(super) credential_id: &'a [u8],
    /// Its public key, in COSE.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of these bytes; a byte too many is an error.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let malformed = WebauthnError::Malformed("authenticator data");
        let mut rest = bytes;
        let rp_id_hash = take(&mut rest, 32).ok_or(malformed)?;
        let flags = take(&mut rest, 1).and_then(|byte| byte.first().copied()).ok_or(malformed)?;
        let count = take(&mut rest, 4).and_then(|bytes| bytes.try_into().ok()).ok_or(malformed)?;
        let has = |flag: u8| flags & flag != 0;
        let attested = if has(HAS_CREDENTIAL) { Some(attested(&mut rest).ok_or(malformed)?) } else { None };
        if has(HAS_EXTENSIONS) && !matches!(read_cbor(&mut rest), Some(Value::Map(_))) {
            return Err(malformed);
        }
        if !rest.is_empty() {
            return Err(malformed);
        }
        Ok(Self {
            rp_id_hash,
            user_present: has(USER_PRESENT),
            user_verified: has(USER_VERIFIED),
            backup_eligible: has(BACKUP_ELIGIBLE),
            backed_up: has(BACKED_UP),
            sign_count: u32::from_be_bytes(count),
            attested,
        })
    }
}

/// Section 6.5.1.
fn attested<'a>(rest: &mut &'a [u8]) -> Option<Attested<'a>> {
    let aaguid = Uuid::from_slice(take(rest, 16)?).ok()?;
    let length = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    let credential_id = take(rest, length.into()).filter(|id| (1..=LONGEST_ID).contains(&id.len()))?;
    let key = *rest;
    read_cbor(rest)?;
    let public_key = key.get(..key.len() - rest.len())?;
    Some(Attested { aaguid, credential_id, public_key })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
