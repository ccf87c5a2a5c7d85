//! What a browser is asked to do, in the JSON form that clients read (WebAuthn level 3, sections 5.1.8 and 5.1.9). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::cose::ALGORITHMS;
use super::{CHALLENGE_LENGTH, Credential, RelyingParty};

/// The user for whom a credential is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedUser<'a> {
    /// What the authenticator tells us again at a sign-in. It keeps one discoverable credential for each.
    pub(crate) handle: &'a [u8],
    /// What the user reads.
    pub(crate) name: &'a str,
    /// Whether the credential must be found without its id, and its user be recognised: to sign in with nothing else.
    pub(crate) is_passkey: bool,
}

/// A challenge on the wire.
pub(crate) fn new_challenge(random: [u8; CHALLENGE_LENGTH]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// Asks for a new credential on an authenticator that has none of these.
pub(crate) fn creation_options(
    party: &RelyingParty,
    challenge: &str,
    user: AskedUser<'_>,
    (known, timeout): (&[Credential], u64),
) -> Value {
    let algorithms = ALGORITHMS.map(|algorithm| json!({"type": "public-key", "alg": algorithm}));
    json!({
        "rp": {"id": party.id(), "name": party.name()},
        "user": {
            "id": URL_SAFE_NO_PAD.encode(user.handle), "name": user.name, "displayName": user.name,
        },
        "challenge": challenge,
        "pubKeyCredParams": algorithms,
        "timeout": timeout,
        "excludeCredentials": descriptors(known),
        "authenticatorSelection": {
            "residentKey": if user.is_passkey { "required" } else { "discouraged" },
            "requireResidentKey": user.is_passkey,
            "userVerification": verification(user.is_passkey),
        },
        "attestation": "none",
    })
}

/// Asks for a signature by one of these credentials; by any discoverable one where none is named.
pub(crate) fn request_options(
    party: &RelyingParty,
    challenge: &str,
    (allowed, timeout): (&[Credential], u64),
) -> Value {
    json!({
        "challenge": challenge,
        "timeout": timeout,
        "rpId": party.id(),
        "allowCredentials": descriptors(allowed),
        "userVerification": verification(allowed.is_empty()),
    })
}

fn verification(is_passkey: bool) -> &'static str {
    if is_passkey { "required" } else { "preferred" }
}

fn descriptors(credentials: &[Credential]) -> Vec<Value> {
    let descriptor = |credential: &Credential| {
        let mut descriptor = json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(&credential.id)});
        if !credential.transports.is_empty() {
            descriptor["transports"] = json!(credential.transports);
        }
        descriptor
    };
    credentials.iter().map(descriptor).collect()
}
